"""Rubrics in YAML files: what answers are judged by, one criterion at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import mapping, read_yaml
from selfj_eval.prompts.forging import marks_of
from selfj_eval.prompts.templates import PLACEHOLDER, PromptTemplate, with_marks

_KEYS = ("rubric", "criteria")
_OWN_KEYS = ("name", "text", "weight")
_NAME = re.compile(r"[A-Za-z]\w{0,39}")
_MOST = 50  # criteria


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the things that an answer is judged by.

    Attributes:
        name: Of its column, ``score_NAME``.
        text: What the judge is told.
        weight: Positive; what counts is its share of all weights.
    """

    name: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a rubric file says.

    Attributes:
        text: For the field ``{rubric}`` of a template, or None.
        criteria: For its field ``{criterion}``, one after the other; may be empty.
    """

    text: str | None = None
    criteria: tuple[Criterion, ...] = ()

    def templates(self, template: PromptTemplate) -> list[PromptTemplate]:
        """The template filled in: for each criterion, or once where there is none.

        Raises:
            DataError: If the template does not show what the rubric says.
        """
        for name, given in (("rubric", self.text), ("criterion", self.criteria)):
            if given and not template.shows(name):
                raise DataError(
                    f"the template {template.name} does not show {{{name}}}, which `rubric` gives; "
                    "use `template` rubric, or one of your own with that field."
                )
        filled = template if self.text is None else replace(template, rubric=self.text)
        if self.text is not None:
            filled = with_marks(filled, marks_of(self.text, PLACEHOLDER).values())
        return [
            with_marks(
                replace(filled, criterion=own.text), marks_of(own.text, PLACEHOLDER).values()
            )
            for own in self.criteria
        ] or [filled]

    def weighted(self, scores: Sequence[float]) -> float:
        """The mean of the criteria's scores, by their weights."""
        weights = [own.weight for own in self.criteria]
        return sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)


def read_rubric(path: str | Path) -> Rubric:
    """A rubric file: ``rubric``, a text, and ``criteria``, a list of name, text and weight.

    Raises:
        DataError: Naming file and field.
    """
    path = Path(path)
    values = mapping(read_yaml(path), _KEYS, path)
    text = values.get("rubric")
    if text is not None:
        text = _text(text, path, "rubric")
    given = values.get("criteria") or []
    if not isinstance(given, list) or len(given) > _MOST:
        message = f"expected a list of at most {_MOST}, each with {', '.join(_OWN_KEYS)}."
        raise DataError(message, path=path, field="criteria")
    criteria = tuple(_criterion(own, path, f"criteria[{at}]") for at, own in enumerate(given))
    if text is None and not criteria:
        raise DataError("holds neither a rubric nor criteria.", path=path)
    names = [own.name.lower() for own in criteria]
    if len(set(names)) < len(names):
        raise DataError("two criteria have the same name.", path=path, field="criteria")
    return Rubric(text, criteria)


def _criterion(given: Any, path: Path, field: str) -> Criterion:
    values = mapping(given, _OWN_KEYS, path, prefix=f"{field}.")
    name, weight = values.get("name"), values.get("weight", 1)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"expected a letter, then letters, digits or _, 40 at most; got {name!r:.60}."
        raise DataError(message, path=path, field=f"{field}.name")
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not 0 < weight < math.inf:
        message = f"expected a number above 0, got {weight!r:.40}."
        raise DataError(message, path=path, field=f"{field}.weight")
    return Criterion(name, _text(values.get("text"), path, f"{field}.text"), float(weight))


def _text(text: Any, path: Path, field: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"expected text, got {text!r:.40}.", path=path, field=field)
    return text.rstrip("\n")
