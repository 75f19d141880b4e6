"""The client that the stock ``alpaca_eval`` command makes of our configuration and asks.

AlpacaEval takes it for a completions client: a prompt in, a text out. The prompt holds instruction
and outputs between separators, the text is JSON with a preference. A client is made for every
batch, so the judge behind it is one for the process.
"""

from __future__ import annotations

import atexit
import json
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from selfj_eval.alpaca.preference import preference
from selfj_eval.alpaca.rating import NamedRater
from selfj_eval.errors import JudgeError
from selfj_eval.files.hashes import sha256_of
from selfj_eval.jobs.callers import local_of
from selfj_eval.jobs.terminal import say

SEPARATOR = "\uf8f0"
"""A character for private use, which no text should hold."""
TEMPLATE = SEPARATOR + SEPARATOR.join(("{instruction}", "{output_1}", "{output_2}")) + SEPARATOR


@dataclass(slots=True)
class Choice:
    """One completion."""

    text: str

    def model_dump(self) -> dict[str, Any]:
        """As AlpacaEval reads it."""
        return {"text": self.text}


@dataclass(slots=True)
class Usage:
    """What was used: no paid tokens."""

    total_tokens: int = 0


@dataclass(slots=True)
class Completion:
    """The answer to a batch of prompts."""

    choices: list[Any]
    usage: Usage


class Client:
    """A judge that looks like a completions client.

    Args:
        judge: Settings of the judge: ``model``, ``fingerprint``, and ``JudgeOptions`` by name.
        store: File of the judgment store.
        temperature: Of the preference.
        references: File of references, or None.
        references_sha256: Of its content when the configuration was written.
    """

    def __init__(
        self,
        *,
        judge: dict[str, Any],
        store: str,
        temperature: float,
        references: str | None,
        references_sha256: str | None,
    ) -> None:
        self.completions = self
        self._temperature = temperature
        settings = json.dumps(judge, sort_keys=True)
        self._rater = _rater(settings, store, references, references_sha256)

    def create(self, *, prompt: list[str], **_: Any) -> Completion:
        """Judge the outputs in each prompt; one choice a prompt, in order."""
        nulls = {column: _null_texts(column) for column in _COLUMNS}
        read = [_read(text, nulls) for text in prompt]
        pairs = [(r[0], output) for r in read if not isinstance(r, str) for output in r[1:]]
        records = [self._rater.record(k, *pair) for k, pair in enumerate(pairs)]
        scored = iter([(j.score, j.error) for j in self._rater.rater.judge(records)])
        choices: list[Any] = []
        for parts in read:
            if isinstance(parts, str):
                choices.append(_choice({"preference": None, "error": parts}))
                continue
            (score_1, error_1), (score_2, error_2) = next(scored), next(scored)
            found: dict[str, Any] = {"score_1": score_1, "score_2": score_2, "preference": None}
            if score_1 is not None and score_2 is not None:
                found["preference"] = float(preference(score_1, score_2, self._temperature))
            else:
                found["error"] = error_1 or error_2
            choices.append(_choice(found))
        return Completion(choices, Usage())


_counts = {"pairs": 0, "unscored": 0}


def _choice(found: dict[str, Any]) -> Choice:
    _counts["pairs"] += 1
    if found["preference"] is None:
        _counts["unscored"] += 1
        found = {"score_1": None, "score_2": None} | found
        say(f"selfj: unscored: {found['error']}", file=sys.stderr)
    return Choice(json.dumps(found))


_COLUMNS = ("instruction", "output_1", "output_2")
_NULLS = frozenset({"nan", "None", "<NA>", "NaT"})
"""What pandas' missing values look like as text."""


def _null_texts(column: str) -> frozenset[str]:
    """The texts that stand for a missing value in a column of what AlpacaEval annotates.

    It makes texts of all that is none, and keeps, by that text, what it was. Where this is not
    found, a text that may be null counts as null: an answer that nobody gave must not win.
    """
    converted = local_of("inverse_mapper", dict)
    return _NULLS if converted is None else _NULLS & converted.get(column, {}).keys()


def _read(prompt: str, nulls: Mapping[str, Set[str]]) -> tuple[str, str, str] | str:
    """Instruction and outputs in a prompt, or why there are none, or they cannot be told apart."""
    before, *parts = prompt.split(SEPARATOR)
    if before or len(parts) != 4 or parts[3]:
        return f"a text holds the character U+{ord(SEPARATOR):04X}, which separates the texts here"
    instruction, first, second, _ = parts
    # AlpacaEval fills its placeholders one after the other, each at its first occurrence, so one
    # that is part of a text takes what belongs elsewhere and leaves its own place unfilled.
    if first == "{output_1}" or second == "{output_2}":
        return "a text holds one of AlpacaEval's placeholders, {output_1} or {output_2}"
    for column, text in zip(_COLUMNS, (instruction, first, second), strict=True):
        if text in nulls[column]:
            return f"{column} is null (AlpacaEval writes {text!r}), and only text is judged"
    return instruction, first, second


@lru_cache(maxsize=1)
def _rater(judge: str, store: str, references: str | None, sha256: str | None) -> NamedRater:
    """The judge, one for the process.

    Raises:
        DataError: If an option of the judge is unknown or wrong.
        JudgeError: If judge or references are no longer those the configuration was written for.
    """
    from selfj_eval.alpaca.outputs import read_references
    from selfj_eval.engines.options import JudgeOptions
    from selfj_eval.raters.judge import Judge
    from selfj_eval.storage.store import JudgmentStore

    settings = json.loads(judge)
    written_for, model = settings.pop("fingerprint"), settings.pop("model")
    options = JudgeOptions.of(settings, path=Path(store).with_name("client.yaml"))
    loaded = Judge.open(model, options, store=JudgmentStore(store))
    identity = loaded.backend.identity
    same = [identity["model"], identity["adapter"]] == written_for
    if references is not None:
        same &= sha256_of(references) == sha256
    if not same:
        raise JudgeError(
            "the judge or its references have changed since the AlpacaEval configuration was "
            "written, so the stored annotations are from another judge; write it again: selfj "
            "alpaca config"
        )
    given = {} if references is None else read_references(references)
    atexit.register(_summary)
    return NamedRater(loaded, "selfj", given)


def _summary() -> None:
    line = f"selfj: {_counts['pairs']:,} comparisons judged"
    if _counts["unscored"]:
        line += f", {_counts['unscored']:,} of them UNSCORED: not in the win rate, nor in n_total"
    say(line, file=sys.stderr)
