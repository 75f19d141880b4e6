"""Judging through a server that speaks OpenAI's protocol: vLLM, llama.cpp, SGLang, TGI, ..."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np

from selfj_eval.engines.base import Batch, reserved_tokens
from selfj_eval.engines.models.tokenizer import DEFAULT_MAX_TOKENS, JudgeTokenizer
from selfj_eval.engines.server.completions import (
    APIS,
    Form,
    LabelReply,
    Question,
    TokenUsage,
    tokens_used,
)
from selfj_eval.engines.server.counting import PROBE_RETRIES, Counting
from selfj_eval.engines.server.failures import Failure
from selfj_eval.engines.server.session import ask_now
from selfj_eval.engines.server.traffic import (
    ARGUMENTS,
    TEXT,
    WHOLE,
    Kind,
    ServerArguments,
    Traffic,
    check_bounds,
    checked_arguments,
)
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import (
    DEFAULT_TEMPLATE,
    Offsets,
    PromptTemplate,
    Turn,
    get_template,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_BYTES = 1024  # that a listed token may have in a reply

_ARGUMENTS: Mapping[str, Kind] = {
    "base_url": TEXT,
    "api": TEXT,
    "tokenizer": TEXT,
    **ARGUMENTS,
    "top_logprobs": WHOLE,
}


class _Got(NamedTuple):
    """A reply's labels, what the server has counted, and the tokens of the prompt (0: unknown)."""

    answer: LabelReply
    used: TokenUsage
    sent: int


class OpenAIBackend:
    """A judge behind an OpenAI-compatible server, one request a prompt.

    The key is read from OPENAI_API_KEY and from nowhere else; a local server needs none.

    Args:
        model: The model's name at the server.
        template: The prompt template, or its name; each of its labels must be one token.
        api: ``completions``, which shows the judge the prompt as it is, or ``chat``.
        tokenizer: ``demo``, a folder or a hub id: the model's tokenizer. With it prompts are
            measured exactly, and vLLM gives exactly the labels.
        top_logprobs: How many of the likeliest tokens are asked for.
        **server: ``base_url`` and what else ``engines.server.traffic.Traffic`` takes.

    Raises:
        JudgeError: If the server cannot be asked: it is not there, refuses key or model, gives
            no log-probabilities, or the tokenizer is not its model's.
    """

    def __init__(
        self,
        model: str,
        *,
        template: str | PromptTemplate = DEFAULT_TEMPLATE,
        api: str = "completions",
        tokenizer: str | None = None,
        top_logprobs: int = 20,
        **server: Unpack[ServerArguments],
    ) -> None:
        known = next((name for name in APIS if name == api), None)
        if known is None:
            raise JudgeError(f"no api {api!r}; there are: {', '.join(APIS)}.")
        check_bounds("top_logprobs", top_logprobs, 1, 1_000_000)
        self._traffic = Traffic(**server, more=_BYTES * top_logprobs)
        self._endpoint = self._traffic.endpoint
        self.template, self._api = get_template(template), known
        self._tokenizer = None
        if tokenizer is not None:
            own = self.template
            if own.chat and known == "chat":  # the server fills in its chat template itself
                own = replace(own, chat=False)
            self._tokenizer = JudgeTokenizer(tokenizer, template=own)
            self.template = replace(self._tokenizer.template, chat=self.template.chat)
        self._check_template()
        context = self._tokenizer.max_tokens if self._tokenizer else DEFAULT_MAX_TOKENS
        self.max_tokens = context - reserved_tokens("openai", {"api": api})
        ids: tuple[int, ...] = ()
        if self._tokenizer:
            ids = self._tokenizer.labels.single_only("a server") if known != "chat" else ()
        asked = Question(model, known, top_logprobs, ids, labels=self.template.labels)
        self._counting: Counting | None = None
        self._question = self._probe(asked, self._example())
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
    def with_args(
        cls, model: str, template: str | PromptTemplate, engine_args: Mapping[str, Any]
    ) -> OpenAIBackend:
        """The backend with arguments as a user has given them.

        Args:
            model, template: As for the class.
            engine_args: The class's other arguments, by name; None is the default.

        Raises:
            JudgeError: If one is unknown or of the wrong type, or as for the class.
        """
        return cls(model, template=template, **checked_arguments(engine_args, _ARGUMENTS))

    @property
    def usage(self) -> Mapping[str, float]:
        """``requests`` sent, ``retries`` among them, ``prompt_tokens``, ``completion_tokens``.

        Tokens are as the server counts them; with prices also the ``cost`` of them.
        """
        return self._traffic.usage

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``; of an upper estimate without a tokenizer."""
        return estimated_offsets(text) if self._tokenizer is None else self._tokenizer.offsets(text)

    def chat(self, turns: Sequence[Turn]) -> str:
        """Messages as the server is given them: in the model's chat template, or for its own."""
        if self._api == "chat":
            return "\n\n".join(turn["content"] for turn in turns)
        if self._tokenizer is None or self._tokenizer.chat is None:
            raise JudgeError(f"the template {self.template.name} is not a chat.")
        return self._tokenizer.chat.at_server(self._tokenizer.in_chat(turns))

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        """Judge all prompts, some at a time.

        Args:
            prompts: Finished prompts.

        Yields:
            Batches with float64 log-probabilities of shape (m, k), in the order in which the
            server answers. A prompt without a usable answer is a row of NaN with its reason.

        Raises:
            JudgeError: If no further prompt can be judged. What was yielded before counts.
        """
        for finished in self._traffic.send(prompts, self._judge):
            yield self._batch({at: self._whole(got) for at, got in finished.items()})

    def _judge(self, client: AsyncOpenAI, prompt: str) -> Coroutine[Any, Any, _Got | Failure]:
        # Measured here, not where requests wait for each other.
        tokens = self._tokenizer.count_at_server(prompt) if self._tokenizer else 0
        return self._answer(client, prompt, tokens)

    async def _answer(self, client: AsyncOpenAI, prompt: str, tokens: int) -> _Got | Failure:
        """Ask for one prompt's labels."""
        question = self._question
        reply = await self._endpoint.ask(client, question.api, question.body(prompt))
        if isinstance(reply, Failure):
            return reply
        return _Got(question.read(reply), tokens_used(reply), tokens)

    def _whole(self, got: _Got | Failure) -> LabelReply | Failure:
        """An answer to the whole of a prompt, not to a part of it."""
        if isinstance(got, Failure):
            return got
        cut = self._counting.cut(got.sent, got.used) if self._counting else None
        return got.answer if cut is None else LabelReply(None, cut)

    def _probe(self, asked: Question, prompt: str) -> Question:
        """Find out with a short prompt how the server can be asked.

        Raises:
            JudgeError: If it cannot.
        """
        forms: tuple[Form, ...] = ("exact", "ids", "plain") if asked.label_ids else ("plain",)
        for form in forms:
            question = replace(asked, form=form)
            got = ask_now(self._endpoint, asked.api, question.body(prompt), PROBE_RETRIES)
            if not isinstance(got, Failure):
                reply, answer = got, question.read(got)
                if form != "exact" or answer.exact:
                    break
            elif got.kind != "refused" or form == "plain":
                fewer = " If it wants fewer log-probabilities: `engine_args` top_logprobs=5."
                more = fewer if got.kind == "refused" else ""
                raise JudgeError(f"{self._endpoint.base_url}: {got.reason}{more}")
        if not answer.readable:
            raise JudgeError(f"{self._endpoint.base_url}: {answer.reason}")
        if self._tokenizer:
            self._counting = Counting(self._endpoint, question, self._tokenizer, self.max_tokens)
            self._counting.check(prompt, tokens_used(reply), answer.by_id)
        return question

    def _batch(self, finished: Mapping[int, LabelReply | Failure]) -> Batch:
        rows, reasons = [], {}
        for index, got in finished.items():
            row = None if isinstance(got, Failure) else got.log_probabilities
            if row is None:
                row, reasons[index] = np.full(len(self.template.labels.texts), np.nan), got.reason
            rows.append(row)
        return Batch(list(finished), np.array(rows), reasons)

    def _example(self) -> str:
        """A short prompt."""
        if self.template.chat:
            return self.chat(self.template.turns(*self.template.examples[0]))
        return self.template.probe()

    def _check_template(self) -> None:
        """Refuse a template that cannot be asked in this way.

        Raises:
            JudgeError: Saying which way there is.
        """
        template, name = self.template, "`engine_args` tokenizer=..."
        if template.chat and self._api == "chat" and template.prefill:
            raise JudgeError(
                f"the template {template.name} begins the judge's turn ({template.prefill!r}), "
                f"which servers do in different ways; use api=completions with {name}."
            )
        if template.chat and self._api != "chat" and self._tokenizer is None:
            raise JudgeError(
                f"the template {template.name} is a chat: name the tokenizer of the server's model "
                f"({name}), or use api=chat."
            )
        longer = [repr(text) for text in template.labels.texts if len(text) > 1]
        if longer and (self._tokenizer is None or self._api == "chat"):
            one = [repr(text) for text in template.labels.texts if len(text) == 1]
            raise JudgeError(
                f"labels are told apart here by their texts, and {', '.join(longer)} may be "
                f"several tokens; only labels of one character are sure (here: "
                f"{', '.join(one) or 'none'}). Use such labels, or {name} with api=completions."
            )


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
