"""A chat server that speaks OpenAI's protocol, as a process of its own.

It prefers the longer of the two outputs in AlpacaEval's prompts, whichever place it stands in, and
answers AlpacaEval 1's annotator with a ranking and AlpacaEval 2's with log-probabilities. Every
request is a line in LOG.

    python chat_server.py LOG [BROKEN [LAST]]

BROKEN: text that makes it answer with nonsense where a prompt holds it; "refuse:TEXT" has it refuse
such a prompt.
LAST: the number of the request at which it is gone.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OUTPUTS = re.compile(r'"(?:answer|output)": """(.*?)"""\s*\}', re.S)


class Handler(BaseHTTPRequestHandler):
    """One request at a time."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
            line = {"model": body["model"], "authorization": self.headers["Authorization"]}
            log.write(json.dumps(line) + "\n")
        if len(sys.argv) > 3 and len(Path(sys.argv[1]).read_text().splitlines()) >= int(
            sys.argv[3]
        ):
            os._exit(1)
        prompt = body["messages"][-1]["content"]
        first, second = (len(text) for text in OUTPUTS.findall(prompt)[-2:])
        _, refuse, text = (sys.argv[2:] or [""])[0].rpartition("refuse:")
        broken = len(sys.argv) > 2 and text in prompt
        choice: dict[str, object] = {"index": 0, "finish_reason": "stop"}
        if body.get("logprobs"):
            p = 1 / (1 + math.exp((second - first) / 1000))  # that the first one is better
            tokens = [("?", 0.0)] if broken else [("m", p), ("M", 1 - p)]
            top = [
                {"token": token, "bytes": None, "logprob": math.log(max(share, 1e-9))}
                for token, share in tokens
            ]
            choice["logprobs"] = {"content": [top[0] | {"top_logprobs": top}]}
            text = top[0]["token"]
        else:
            ranks = (1, 2) if first >= second else (2, 1)
            text = str([{"model": f"model_{k}", "rank": rank} for k, rank in enumerate(ranks, 1)])
            text = "I cannot decide." if broken else text
        choice["message"] = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        answer |= {"choices": [choice], "usage": usage}
        if broken and refuse:
            answer = {"error": {"code": "content_filter", "message": "The prompt was filtered."}}
        data = json.dumps(answer).encode()
        self.send_response(400 if broken and refuse else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
