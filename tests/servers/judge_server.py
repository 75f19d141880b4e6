"""A judge behind an OpenAI-compatible server, as a process of its own; it ends with its stdin.

    python judge_server.py NAME=FOLDER [NAME=FOLDER ...]

Scores are real. A request's model is NAME+KIND, and KIND says what kind of server answers:

    plain    top log-probabilities by the token's text, 20 at most
    vllm     as vLLM 0.32: also named tokens, tokens as their ids
    ids      as an older vLLM: tokens as their ids, named tokens are ignored
    strict   as plain, but refuses fields it does not know
    llama    as llama.cpp: the layout of chats, any number
    cutting  as plain, but cuts long prompts without a word
    holding  as cutting, but tells that its cache held 32 of the tokens that it counts
    caching  as ids, but counts only the tokens that no earlier prompt began with
    telling  as caching, and tells how many the cache held
    guessing as plain, but counts a token for every three characters
    newer    as plain, but takes max_completion_tokens in place of max_tokens
    other    as plain, but names another model in its replies
    huge, bomb  replies without an end; of a few bytes that unpack to very many
    bare, locked, forbidden  without log-probabilities; 401; 403

A mark in a prompt makes it misbehave: <<500 2>> answers the first two requests with status 500,
<<500>> all of them. Other marks: echo (the key in an error), rest and hour (Retry-After), broke (no
credit), slow, asleep, bare (no log-probabilities), ended (none of any token, as llama-cpp-python
where the answer ends at once), two and none (choices), index, nan, text, positive (values),
truncated (JSON), dropped (connection), huge, bomb, moved (<<moved 8000>>: a redirect to that port).
An error in a reply with status 200: inside502, inside429, insidechoice (in the choice), insideday
(a day's limit), insidepath (an unknown address), insidecode (an unknown model), insidehost and
insideload (words that are like it), insidesaid and insideflag (a moderated prompt), insidewarn
(beside an answer).

GET /stats tells, and forgets, how many requests came and how many at most at once for
one model.
"""

from __future__ import annotations

import base64
import email.utils
import functools
import gzip
import io
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MARK = re.compile(r"<<(\w+) ?(\d*)>>")
CUT_AT = 64
INSIDE = {
    "inside502": {"code": 502, "message": "no provider"},
    "inside429": {"type": "rate_limit_error", "message": "slowly"},
    "insideday": {"code": 429, "message": "limit of 50 requests per day"},
    "insidepath": "Unexpected endpoint or method",
    "insidecode": {"code": "model_not_found", "message": "no such thing"},
    "insidehost": {"message": "upstream host not found, authentication did not begin"},
    "insideload": "Model is loading, not found in memory",
    "insidesaid": {"code": 403, "message": "Forbidden", "metadata": {"reasons": ["violence"]}},
    "insideflag": {"code": 403, "message": "requires moderation and your input was flagged"},
}
MIB = 1 << 20
torch.set_num_threads(1)


class Judge:
    """A model and what it has answered."""

    def __init__(self, folder: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.lock = threading.Lock()
        self.cache: set[tuple[int, ...]] = set()

    def new_tokens(self, ids: list[int]) -> int:
        """How many of a prompt's tokens no earlier prompt began with."""
        with self.lock:
            held = next(
                n for n in range(len(ids), -1, -1) if n == 0 or tuple(ids[:n]) in self.cache
            )
            self.cache |= {tuple(ids[:n]) for n in range(1, len(ids) + 1)}
        return len(ids) - held

    def log_probabilities(self, ids: list[int]) -> torch.Tensor:
        """Of all tokens after some."""
        with self.lock, torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)


JUDGES: dict[str, Judge] = {}
STATE = threading.Lock()
SEEN: Counter[str] = Counter()  # prompts
NOW: Counter[str] = Counter()  # requests so far, most at once, and by model at once


@functools.cache
def bomb() -> bytes:
    """300 MiB, packed."""
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb") as packing:
        for _ in range(300):
            packing.write(b" " * MIB)
    return target.getvalue()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """How much was asked since the last time."""
        with STATE:
            told = {"requests": NOW["requests"], "most": NOW["most"]}
            NOW["requests"] = NOW["most"] = 0
        self.asked = ""
        self.reply(200, told)

    def do_POST(self) -> None:
        """Answer a completion or a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked = body["model"]
        with STATE:
            NOW["requests"] += 1
            NOW[self.asked] += 1
            NOW["most"] = max(NOW["most"], NOW[self.asked])
        self.answer(body)

    def answer(self, body: dict[str, Any]) -> None:
        """What the model's kind and the prompt's mark say."""
        chat = self.path == "/v1/chat/completions"
        name, _, kind = body["model"].partition("+")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        known = {"model", "max_tokens", "temperature", "prompt", "logprobs"}
        limit = "max_completion_tokens" if kind == "newer" else "max_tokens"
        if kind in ("locked", "forbidden"):
            self.fail(401 if kind == "locked" else 403, f"no: {self.headers['Authorization']}")
        elif name not in JUDGES or self.path not in ("/v1/completions", "/v1/chat/completions"):
            self.fail(404, f"The model `{body['model']}` does not exist.")
        elif limit not in body:
            self.fail(400, f"Unsupported parameter: use '{limit}' instead of 'max_tokens'.")
        elif kind in ("huge", "bomb"):
            self.misbehave(kind, body, prompt, JUDGES[name], kind, chat)
        elif kind == "strict" and not set(body) <= known:
            self.fail(400, f"Unrecognized request arguments: {sorted(set(body) - known)}")
        elif (body["top_logprobs"] if chat else body["logprobs"]) > 20 and kind != "llama":
            self.fail(400, "Requested sample logprobs of more than max allowed: 20")
        else:
            mark = MARK.search(prompt)
            what, times = mark.groups() if mark else ("", "")
            with STATE:
                SEEN[prompt] += 1
                over = bool(times) and SEEN[prompt] > int(times)
            self.misbehave("" if over else what, body, prompt, JUDGES[name], kind, chat)

    def misbehave(
        self, what: str, body: Any, prompt: str, judge: Judge, kind: str, chat: bool
    ) -> None:
        """Answer, or do what a mark says."""
        if what.isdigit():
            self.fail(int(what), "no luck")
        elif what == "echo":
            key = self.headers["Authorization"].removeprefix("Bearer ")
            forms = [key, key[:12], key[-10:], base64.b64encode(f"Bearer {key}".encode()).decode()]
            self.fail(500, f"headers were: Bearer {' '.join([*forms, key.encode().hex()])}")
        elif what == "rest":
            self.fail(429, "too many requests", ("Retry-After", "1"))
        elif what == "hour":
            later = email.utils.formatdate(time.time() + 3600, usegmt=True)
            self.fail(429, "too many requests", ("Retry-After", later))
        elif what == "moved":
            port = MARK.search(prompt)
            assert port is not None
            to = f"http://user:pass@127.0.0.1:{port[2]}/v2{self.path[3:]}?secret=1"
            self.reply(307, {}, "", ("Location", to))
        elif what in INSIDE:
            self.reply(200, {"error": INSIDE[what]})
        elif what == "huge":
            self.endless()
        elif what == "bomb":
            self.packed()
        elif what == "broke":
            self.fail(429, "no credit", code="insufficient_quota")
        else:
            time.sleep({"slow": 0.3, "asleep": 9}.get(what, 0))
            reply = self.complete(body, prompt, judge, kind, chat)
            if reply is None:
                return
            choice = reply["choices"][0]
            if what == "insidewarn":
                reply["error"] = {"code": 404, "message": "a fallback answered"}
            if what == "insidechoice":
                error = {"code": 503, "message": "the provider ended"}
                reply["choices"][0] = {"index": 0, "finish_reason": "error", "error": error}
            elif kind == "bare" or what == "bare":
                choice["logprobs"] = None
            elif what == "ended":
                names = ("text_offset", "token_logprobs", "tokens", "top_logprobs")
                choice |= {"finish_reason": "stop", "logprobs": {name: [] for name in names}}
            elif what in ("two", "none"):
                reply["choices"] *= 2 if what == "two" else 0
            elif what == "index":
                choice["index"] = 1
            elif what in ("nan", "text", "positive"):
                values = {"nan": float("nan"), "text": "-0.5", "positive": 0.5}
                tops = choice["logprobs"]["top_logprobs"][0]
                tops |= dict.fromkeys(tops, values[what])
            self.reply(200, reply, what)

    def complete(
        self, body: Any, prompt: str, judge: Judge, kind: str, chat: bool
    ) -> dict[str, Any] | None:
        """The reply of a server that is well; None if it has refused."""
        ids = judge.tokenizer(prompt).input_ids
        longest = judge.model.config.max_position_embeddings
        if len(ids) + 1 > longest:
            message = f"This model's maximum context length is {longest} tokens and your request"
            self.fail(  # as vLLM
                400, f"'max_tokens' or 'max_completion_tokens' is too large: 1. {message} has more."
            )
            return None
        if kind in ("cutting", "holding"):
            ids = ids[-CUT_AT:]
        scores = judge.log_probabilities(ids)
        top = scores.topk(min(body["top_logprobs"] if chat else body["logprobs"], len(scores)))
        tokens = top.indices.tolist()
        sampled = tokens[0]
        if kind == "vllm" and not chat and "logprob_token_ids" in body:
            tokens = list(dict.fromkeys([sampled, *body["logprob_token_ids"]]))
        as_ids = kind in ("vllm", "ids", "caching", "telling") and body.get(
            "return_tokens_as_token_ids"
        )
        pairs = [(self.text(judge, i, bool(as_ids)), i, scores[i].item()) for i in tokens]
        if chat or kind == "llama":
            own = {"id": 0} if kind == "llama" else {}
            listed = [{"token": t, "logprob": s, **(own and {"id": i})} for t, i, s in pairs]
            logprobs: dict[str, Any] = {"content": [listed[0] | {"top_logprobs": listed}]}
        else:
            top_logprobs = {text: max(score, -9999.0) for text, _, score in pairs}
            logprobs = {"tokens": [pairs[0][0]], "token_logprobs": [pairs[0][2]]}
            logprobs["top_logprobs"] = [top_logprobs]
        said = judge.tokenizer.decode([sampled])
        message = {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        choice = {"index": 0, "finish_reason": "length", "logprobs": logprobs, **message}
        counted = len(prompt) // 3 if kind == "guessing" else len(ids)
        usage: dict[str, Any] = {"completion_tokens": 1}
        if kind in ("caching", "telling"):
            counted = judge.new_tokens(ids)
            if kind == "telling":
                usage["prompt_tokens_details"] = {"cached_tokens": len(ids) - counted}
        if kind == "holding":
            usage["prompt_tokens_details"] = {"cached_tokens": 32}
        usage |= {"prompt_tokens": counted, "total_tokens": counted + 1}
        model = "a-wholly-other" if kind == "other" else body["model"]
        return {"id": "x", "model": model, "choices": [choice], "usage": usage}

    def text(self, judge: Judge, token: int, as_id: bool) -> str:
        """How a token is written."""
        return f"token_id:{token}" if as_id else judge.tokenizer.decode([token])

    def fail(self, status: int, message: str, *headers: tuple[str, str], code: object = 0) -> None:
        """An error as servers send it."""
        error = {"message": message, "type": "error", "code": code or status}
        self.reply(status, {"error": error}, "", *headers)

    def endless(self) -> None:
        """A reply of 300 MiB, as long as anyone reads it."""
        with STATE:
            NOW[self.asked] -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(300 * MIB))
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b" " * MIB)

    def packed(self) -> None:
        """A reply of 300 MiB that comes as a few bytes."""
        with STATE:
            NOW[self.asked] -= 1
        data = bomb()
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def reply(self, status: int, body: Any, what: str = "", *headers: tuple[str, str]) -> None:
        """Send JSON, or less of it than there is."""
        with STATE:  # before the client can know, and ask again
            NOW[self.asked] -= 1
        data = json.dumps(body).encode()
        if what == "truncated":
            data = data[: len(data) // 2]
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if what == "dropped" else data)
        self.close_connection = what == "dropped"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Takes a burst of connections, and says nothing when a client goes away."""

    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that went away."""


def end_with_stdin() -> None:
    """So that it never outlives the test that started it."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        own_name, _, where = argument.partition("=")
        JUDGES[own_name] = Judge(where)
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.serve_forever()
