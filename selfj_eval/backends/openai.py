"""Judging through a server that speaks OpenAI's protocol: vLLM, llama.cpp, SGLang, TGI, ..."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.backends.base import Batch, reserved_tokens
from selfj_eval.backends.completions import APIS, Form, Question, tokens_used
from selfj_eval.backends.endpoint import Endpoint, Failure
from selfj_eval.backends.session import Session
from selfj_eval.backends.tokenizer import DEFAULT_MAX_TOKENS, JudgeTokenizer
from selfj_eval.errors import JudgeError
from selfj_eval.prompts import DEFAULT_TEMPLATE, Offsets, get_template

GIVE_UP = 20
"""Prompts in a row, each with all its retries, that may go unanswered before a run stops."""
_PROBE_RETRIES = 2
_CUT = 0.9  # of the tokens sent: a server that counts fewer has read a part of them

_ARGUMENTS: dict[str, tuple[tuple[type, ...], str]] = {
    "base_url": ((str,), "text"),
    "api": ((str,), "text"),
    "tokenizer": ((str,), "text"),
    "concurrency": ((int,), "a whole number"),
    "timeout": ((int, float), "a number"),
    "retries": ((int,), "a whole number"),
    "top_logprobs": ((int,), "a whole number"),
    "price_in": ((int, float), "a number"),
    "price_out": ((int, float), "a number"),
}


class _Outcome(NamedTuple):
    """What became of one prompt: a row of shape (10,), or why there is none.

    ``kind`` is the ``Failure``'s, empty where the server gave a reply.
    """

    row: npt.NDArray[np.float64] | None
    reason: str = ""
    kind: str = ""


class OpenAIBackend:
    """A judge behind an OpenAI-compatible server, one request a prompt.

    The key is read from OPENAI_API_KEY and from nowhere else; a local server needs none.

    Args:
        model: The model's name at the server.
        template: Name of the prompt template, to find the digits' tokens after it.
        base_url: The server's address, usually ending in ``/v1``; by default the variable
            OPENAI_BASE_URL.
        api: ``completions``, which shows the judge the prompt as it is, or ``chat``.
        tokenizer: ``demo``, a folder or a hub id: the model's tokenizer. With it prompts are
            measured exactly, and vLLM gives exactly the ten digits.
        concurrency: Requests under way at once, 1 to 1000.
        timeout: Seconds for one request.
        retries: How often a request is sent again after a passing failure.
        top_logprobs: How many of the likeliest tokens are asked for.
        price_in, price_out: Money for a million tokens of prompts and of answers, for ``usage``.

    Raises:
        JudgeError: If the server cannot be asked: it is not there, refuses key or model, gives
            no log-probabilities, or the tokenizer is not its model's.
    """

    def __init__(
        self,
        model: str,
        *,
        template: str = DEFAULT_TEMPLATE,
        base_url: str | None = None,
        api: str = "completions",
        tokenizer: str | None = None,
        concurrency: int = 32,
        timeout: float = 300.0,
        retries: int = 6,
        top_logprobs: int = 20,
        price_in: float | None = None,
        price_out: float | None = None,
    ) -> None:
        known = next((name for name in APIS if name == api), None)
        if known is None:
            raise JudgeError(f"no api {api!r}; there are: {', '.join(APIS)}.")
        for name, value, least, most in (
            ("concurrency", concurrency, 1, 1000),
            ("timeout", timeout, 1e-3, 1e6),
            ("retries", retries, 0, 100),
            ("top_logprobs", top_logprobs, 1, 1_000_000),
            ("price_in", price_in or 0, 0, 1e9),
            ("price_out", price_out or 0, 0, 1e9),
        ):
            if not least <= value <= most:
                raise JudgeError(f"{name} must be in {least:g}..{most:g}, got {value:g}.")
        self._endpoint = Endpoint(base_url, timeout=timeout, retries=retries)
        self._concurrency = concurrency
        self._prices = (price_in, price_out)
        self._tokenizer = None
        if tokenizer is not None:
            self._tokenizer = JudgeTokenizer(tokenizer, template=template)
        context = self._tokenizer.max_tokens if self._tokenizer else DEFAULT_MAX_TOKENS
        self.max_tokens = context - reserved_tokens("openai", {"api": api})
        ids = tuple(self._tokenizer.digit_ids) if self._tokenizer and api != "chat" else ()
        asked = Question(model, known, top_logprobs, ids)
        self._question = self._probe(asked, get_template(template).probe())
        exact = self._question.form == "exact"
        self.identity: Mapping[str, str] = {
            "engine": "openai",
            "model": model,
            "adapter": "",
            "api": api,
            "tokenizer": self._tokenizer.fingerprint if self._tokenizer else "",
            "logprobs": "exact" if exact else f"top {top_logprobs}",
        }

    @classmethod
    def with_args(cls, model: str, template: str, engine_args: Mapping[str, Any]) -> OpenAIBackend:
        """The backend with arguments as a user has given them.

        Args:
            model, template: As for the class.
            engine_args: The class's other arguments, by name; None is the default.

        Raises:
            JudgeError: If one is unknown or of the wrong type, or as for the class.
        """
        for name, value in engine_args.items():
            kinds, words = _ARGUMENTS.get(name, ((), ""))
            # What was given is not repeated: it may be a key.
            if not kinds:
                raise JudgeError(
                    f"the engine openai takes no argument {name!r}; there are: "
                    f"{', '.join(_ARGUMENTS)}. The key is read from OPENAI_API_KEY."
                )
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                raise JudgeError(f"the engine argument {name} must be {words}.")
        given = {name: value for name, value in engine_args.items() if value is not None}
        return cls(model, template=template, **given)

    @property
    def usage(self) -> Mapping[str, float]:
        """``requests`` sent, ``retries`` among them, ``prompt_tokens``, ``completion_tokens``.

        Tokens are as the server counts them; with prices also the ``cost`` of them.
        """
        found: dict[str, float] = dict(self._endpoint.usage)
        if self._prices != (None, None):
            price_in, price_out = (price or 0.0 for price in self._prices)
            cost = found["prompt_tokens"] * price_in + found["completion_tokens"] * price_out
            found["cost"] = cost / 1e6
        return found

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``; of an upper estimate without a tokenizer."""
        return estimated_offsets(text) if self._tokenizer is None else self._tokenizer.offsets(text)

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        """Judge all prompts, some at a time.

        Args:
            prompts: Finished prompts.

        Yields:
            Batches with float64 log-probabilities of shape (m, 10), in the order in which the
            server answers. A prompt without a usable answer is a row of NaN with its reason.

        Raises:
            JudgeError: If no further prompt can be judged. What was yielded before counts.
        """
        waiting = enumerate(prompts)
        running: dict[Future[_Outcome], int] = {}
        failed = 0
        with Session(self._endpoint) as session:

            def fill() -> None:
                for index, prompt in islice(waiting, self._concurrency - len(running)):
                    tokens = len(self._tokenizer.encode(prompt)) if self._tokenizer else 0
                    running[session.submit(self._judge(session, prompt, tokens))] = index

            fill()
            while running:
                done = wait(running, return_when=FIRST_COMPLETED).done
                finished = {running.pop(future): future.result() for future in done}
                gone = all(outcome.kind == "passing" for outcome in finished.values())
                failed = failed + len(finished) if gone else 0
                stop = self._stop(finished.values(), failed)
                if stop is None:
                    fill()  # before what is finished is stored
                yield _batch(finished)
                if stop is not None:
                    raise stop

    async def _judge(self, session: Session, prompt: str, tokens: int) -> _Outcome:
        """Ask for one prompt's digits; ``tokens`` is its length, or 0 where it is not known."""
        question = self._question
        reply = await self._endpoint.ask(session.client, question.api, question.body(prompt))
        if isinstance(reply, Failure):
            return _Outcome(None, reply.reason, reply.kind)
        counted = tokens_used(reply)[0]
        if 0 < counted < _CUT * tokens:
            return _Outcome(
                None,
                f"the server has read {counted} of about {tokens} tokens, so it has cut the "
                "prompt; raise its context length, or lower --max-tokens.",
            )
        answer = question.read(reply)
        return _Outcome(answer.log_probabilities, answer.reason)

    def _stop(self, finished: Iterable[_Outcome], failed: int) -> JudgeError | None:
        """The error that ends a run, if it must end."""
        reasons = {outcome.kind: outcome.reason for outcome in finished}
        if "hopeless" in reasons:
            return JudgeError(f"{reasons['hopeless']} What was finished is kept.")
        if failed < GIVE_UP:
            return None
        return JudgeError(
            f"{failed} prompts in a row had no answer from {self._endpoint.base_url}, the last: "
            f"{reasons['passing']} What was finished is kept; run it again when the server is well."
        )

    def _probe(self, asked: Question, prompt: str) -> Question:
        """Find out with a short prompt how the server can be asked.

        Raises:
            JudgeError: If it cannot.
        """
        forms: tuple[Form, ...] = ("exact", "ids", "plain") if asked.digit_ids else ("plain",)
        with Session(self._endpoint) as session:
            for form in forms:
                question = replace(asked, form=form)
                body = question.body(prompt)
                request = self._endpoint.ask(session.client, asked.api, body, _PROBE_RETRIES)
                got = session.submit(request).result()
                if not isinstance(got, Failure):
                    reply, answer = got, question.read(got)
                    if form != "exact" or answer.exact:
                        break
                elif got.kind != "refused" or form == "plain":
                    fewer = " If it wants fewer log-probabilities: --engine-arg top_logprobs=5."
                    more = fewer if got.kind == "refused" else ""
                    raise JudgeError(f"{self._endpoint.base_url}: {got.reason}{more}")
        if not answer.readable:
            raise JudgeError(f"{self._endpoint.base_url}: {answer.reason}")
        counted = tokens_used(reply)[0]
        if asked.digit_ids and self._tokenizer and counted:
            own = len(self._tokenizer.encode(prompt))
            if counted != own:
                raise JudgeError(
                    f"the server reads a prompt as {counted} tokens, the tokenizer as {own}: it is "
                    "not the tokenizer of the server's model. Give that one, or none."
                )
        return question


def _batch(finished: Mapping[int, _Outcome]) -> Batch:
    rows = [np.full(10, np.nan) if o.row is None else o.row for o in finished.values()]
    reasons = {index: o.reason for index, o in finished.items() if o.row is None}
    return Batch(list(finished), np.array(rows), reasons)


def estimated_offsets(text: str) -> Offsets:
    """Tokens of a text as an unknown tokenizer might make them, rather too many than too few.

    A letter with up to two small ones behind it is one token, with the space before it; any
    other character is one; one that is not ASCII is as many as its UTF-8 bytes, less one.
    """
    spans: list[tuple[int, int]] = []
    for piece in re.finditer(r" ?[A-Za-z][a-z]{0,2}|.", text, re.S):
        count = 1 if piece[0].isascii() else len(piece[0].encode()) - 1
        spans += [piece.span()] * count
    return spans
