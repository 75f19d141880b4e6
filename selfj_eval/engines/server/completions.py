"""What an OpenAI-compatible server is asked for one prompt, and the labels in its reply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.prompts.labels import DIGIT_LABELS, Labels, expected_score

Api = Literal["completions", "chat"]
APIS: tuple[Api, ...] = ("completions", "chat")

Form = Literal["exact", "ids", "plain"]
"""How the labels are asked for: ``exact`` names their tokens (vLLM), ``ids`` asks for the
likeliest tokens and their ids, ``plain`` for the likeliest tokens as any server understands it."""

_AS_ID = "token_id:"  # how vLLM writes a token as its id
_NOTHING = -9999.0  # JSON has no minus infinity: vLLM and OpenAI write this, llama.cpp -3.4e38
_MORE_THAN_NAMED = 20  # asked for, so that a server that ignores the ten ids shows it; vLLM's most
_ROUNDING = 1e-3  # by how much a logarithm of a probability may be above 0

_WITHOUT = (
    "the server's reply has no log-probabilities of the most likely tokens, so there is no "
    "score; use a server that gives them (vLLM, llama.cpp, SGLang), or `engine_args` api=chat "
    "where only its chat does (TGI)."
)
_ENDED = (
    "the most likely token ends the judge's answer before a label, and this server then lists no "
    "tokens (llama-cpp-python); is the model a judge, and the template its own? llama.cpp's "
    "llama-server, vLLM and `engine` transformers give a score in this case, too."
)


class LabelReply(NamedTuple):
    """What a reply says of the labels.

    Attributes:
        log_probabilities: Shape (k,), of the labels; ``-inf`` for one that is not among the
            likeliest tokens. None without a usable one.
        reason: Why there is none, or empty.
        exact: Whether it holds the tokens that were named, and no others.
        readable: Whether it is what was asked for, with or without a label in it.
        by_id: Whether its tokens are told apart by their ids, not by their texts.
    """

    log_probabilities: npt.NDArray[np.float64] | None
    reason: str = ""
    exact: bool = False
    readable: bool = False
    by_id: bool = False


class TokenUsage(NamedTuple):
    """What a server has counted.

    Attributes:
        prompt: Tokens of the prompt; some servers leave out those that their cache held.
        completion: Tokens of the answer.
        cached: Tokens of the prompt that the cache held.
    """

    prompt: int
    completion: int
    cached: int


class _Listed(NamedTuple):
    token: object
    id: object
    value: object


@dataclass(frozen=True, slots=True)
class Question:
    """How one server is asked.

    Without token ids, a label is the token whose text is exactly that label: the prompt ends
    in text that no space follows, so this is the token which ``prompts.label_tokens`` finds.
    " 5" and "▁5" are other tokens and never count. Of several tokens with the same text (the
    byte 0x35 also reads "5") the likeliest counts.

    Attributes:
        model: The model's name at the server.
        api: Which of its interfaces.
        top: How many of the likeliest tokens to ask for.
        label_ids: The labels' ids, where a tokenizer is known.
        form: How the labels are asked for.
        labels: The labels.
    """

    model: str
    api: Api
    top: int
    label_ids: tuple[int, ...] = ()
    form: Form = "plain"
    labels: Labels = DIGIT_LABELS

    def body(self, prompt: str) -> dict[str, Any]:
        """The request: one token, the likeliest one, and log-probabilities."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": 1, "temperature": 0}
        if self.api == "chat":
            message = {"role": "user", "content": prompt}
            return body | {"messages": [message], "logprobs": True, "top_logprobs": self.top}
        body |= {"prompt": prompt, "logprobs": self.top}
        if self.form == "exact":
            body["logprobs"] = max(self.top, _MORE_THAN_NAMED)
            body["logprob_token_ids"] = list(self.label_ids)
        if self.form != "plain":
            body["return_tokens_as_token_ids"] = True
        return body

    def read(self, reply: Mapping[str, Any]) -> LabelReply:
        """The labels in a reply, whatever it holds."""
        choices = reply.get("choices")
        if not isinstance(choices, list):
            return LabelReply(None, "the server's reply is not a completion: it has no choices.")
        if len(choices) != 1 or not isinstance(choices[0], Mapping):
            return LabelReply(None, f"the server gave {len(choices)} choices; expected one.")
        if choices[0].get("index") not in (0, None):
            index = choices[0]["index"]
            return LabelReply(
                None, f"the server answered prompt {index!r}; expected 0, the only one."
            )
        listed = _listed(choices[0].get("logprobs"))
        if not listed:
            ended = _ended(choices[0])
            return LabelReply(None, _ENDED if ended else _WITHOUT, readable=ended)
        found: dict[int, float] = {}
        for entry in listed:
            label = self._label(entry)
            if label is None:
                continue
            value = _log_probability(entry.value)
            if value is None:
                return LabelReply(
                    None,
                    f"the server gave {entry.value!r} as log-probability of "
                    f"{self.labels.texts[label]!r}; expected a number of at most 0.",
                )
            found[label] = max(value, found.get(label, -math.inf))
        return self._answer(found, listed)

    def _answer(self, found: dict[int, float], listed: list[_Listed]) -> LabelReply:
        texts = self.labels.texts
        others = len({str(e.token) for e in listed}) - len(texts)
        exact = len(found) == len(texts) and others <= 1  # the token that was sampled
        if self.form == "exact" and not exact:
            missing = [text for at, text in enumerate(texts) if at not in found]
            return LabelReply(
                None,
                f"the server left out tokens it was asked for ({', '.join(missing) or 'none'}), or "
                "gave others; do all servers behind this address run the same version?",
            )
        by_id = any(self._id(entry) is not None for entry in listed)
        row = np.array([found.get(label, -math.inf) for label in range(len(texts))])
        if not np.isfinite(row).any():
            shown = ", ".join(ascii(entry.token)[:30] for entry in listed[:3])
            as_ids = isinstance(listed[0].token, str) and listed[0].token.startswith(_AS_ID)
            help_ = "raise `engine_args` top_logprobs where the server takes more"
            if as_ids and not self.label_ids:
                help_ = "give the model's tokenizer (`engine_args` tokenizer=...)"
            return LabelReply(
                None,
                f"no {self._what} is among the tokens that the server lists ({shown}, ...); is the "
                f"model a judge, and the template its own? Or {help_}.",
                readable=True,
                by_id=by_id,
            )
        if np.isnan(expected_score(row[None], self.labels).score[0]):
            return LabelReply(
                None, f"the server's {self._what} probabilities add up to more than 1."
            )
        return LabelReply(row, exact=exact, readable=True, by_id=by_id)

    @property
    def _what(self) -> str:
        return "digit" if self.labels.texts == DIGIT_LABELS.texts else "label"

    def _label(self, entry: _Listed) -> int | None:
        """Which label a listed token is; None for another token."""
        if (own := self._id(entry)) is not None:
            return self.label_ids.index(own) if own in self.label_ids else None
        token = entry.token
        texts = self.labels.texts
        return texts.index(token) if isinstance(token, str) and token in texts else None

    def _id(self, entry: _Listed) -> int | None:
        """A listed token's id; None where there is none, or no tokenizer to make sense of it."""
        token, own = entry.token, entry.id
        if not self.label_ids:
            return None
        if isinstance(token, str) and token.startswith(_AS_ID):
            own = int(token.removeprefix(_AS_ID)) if token[len(_AS_ID) :].isdecimal() else -1
        return own if isinstance(own, int) else None


def _listed(logprobs: object) -> list[_Listed]:
    """The tokens that a choice lists for the first place, the sampled one first.

    There are two layouts: that of chats, which llama.cpp uses for completions, too, and that of
    completions, where an object maps tokens to log-probabilities.
    """
    if not isinstance(logprobs, Mapping):
        return []
    if isinstance(content := logprobs.get("content"), list):
        first = content[0] if content and isinstance(content[0], Mapping) else {}
        top = first.get("top_logprobs")
        if not isinstance(top, list) or not top:
            return []
        entries = [entry for entry in (first, *top) if isinstance(entry, Mapping)]
        listed = [_Listed(e.get("token"), e.get("id"), e.get("logprob")) for e in entries]
        return listed if listed[0].value is not None else listed[1:]
    top = logprobs.get("top_logprobs")
    if not (isinstance(top, list) and top and isinstance(top[0], Mapping) and top[0]):
        return []
    listed = [_Listed(token, None, value) for token, value in top[0].items()]
    # In an object, of two tokens with the same text the less likely one stays.
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if isinstance(tokens, list) and isinstance(values, list) and tokens and values[:1] != [None]:
        listed.insert(0, _Listed(tokens[0], None, values[0]))
    return listed


def _ended(choice: Mapping[str, Any]) -> bool:
    """Whether log-probabilities were given, but of no token, since the first one is the last."""
    logprobs = choice.get("logprobs")
    lists = ("top_logprobs", "content")
    none = isinstance(logprobs, Mapping) and any(logprobs.get(name) == [] for name in lists)
    return none and choice.get("finish_reason") == "stop"


def _log_probability(value: object) -> float | None:
    """The value as a logarithm of a probability; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _ROUNDING:
        return None
    return -math.inf if value <= _NOTHING else float(value)


def tokens_used(reply: Mapping[str, Any]) -> TokenUsage:
    """Tokens that the server says it has counted; 0 where it does not say."""
    usage = reply.get("usage")
    counted = usage if isinstance(usage, Mapping) else {}
    details = counted.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return TokenUsage(
        _count(counted.get("prompt_tokens")),
        _count(counted.get("completion_tokens")),
        _count(cached),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
