"""Prompt templates in YAML files: those that are shipped, and users' own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import mapping, read_yaml
from selfj_eval.prompts.forging import heading, marks_of, section, sentence
from selfj_eval.prompts.labels import DIGIT_LABELS, Labels
from selfj_eval.prompts.templates import (
    ANSWERS,
    FIELDS,
    PLACEHOLDER,
    RESPONSE_WRAPPER,
    SELF_J,
    PromptTemplate,
    with_marks,
)

SHIPPED = (*SELF_J, "chat", "rubric", "yes-no", "pairwise")
"""Templates of the package, by name."""
MOST_LABELS = 100
"""Labels of a template; vLLM gives the probabilities of 128 named tokens."""

_TEXTS = ("with_reference", "without_reference")
_KEYS = (*_TEXTS, "system", "prefill", "rubric", "criterion", "chat", "rescale", "labels")
_RANGE = re.compile(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*")


@cache
def shipped(name: str) -> PromptTemplate:
    """A template of the package, by one of the names in ``SHIPPED``."""
    found = _read_shipped(name)
    if name not in SELF_J:
        return found
    opening = str(_read_shipped("self-j").with_reference).partition(" Rate")[0]
    # The three are one protocol: what belongs to one of them is refused in all.
    marks = (
        heading(RESPONSE_WRAPPER.strip()),
        sentence(opening),
        *map(section, ("[Question]", "[Reference]", "[Answer]")),
    )
    return replace(found, marks=marks)


@cache
def _read_shipped(name: str) -> PromptTemplate:
    with as_file(files("selfj_eval.prompts").joinpath("shipped", f"{name}.yaml")) as file:
        return replace(read_template(file), name=name)


def read_template(path: str | Path) -> PromptTemplate:
    """A template of a user's own (docs/templates.md).

    Raises:
        DataError: Naming file and field.
    """
    path = Path(path)
    values = mapping(read_yaml(path), _KEYS, path)
    chat, rescale = (_flag(values, key, path) for key in ("chat", "rescale"))
    for key in ("system", "prefill"):
        if values.get(key) is not None and not chat:
            message = "is for a chat: set `chat: true`, or write it into the prompt itself."
            raise DataError(message, path=path, field=key)
    texts = {key: _text(values, key, path) for key in _KEYS[:6]}
    if texts["with_reference"] is None and texts["without_reference"] is None:
        message = "is missing, and so is with_reference; give one of them, or both."
        raise DataError(message, path=path, field="without_reference")
    template = PromptTemplate(
        path.name,
        texts["with_reference"],
        texts["without_reference"],
        labels=_labels(values.get("labels"), rescale, path),
        chat=chat,
        system=texts["system"],
        prefill=texts["prefill"] or "",
        rubric=texts["rubric"],
        criterion=texts["criterion"],
    )
    for name in ("rubric", "criterion"):
        if texts[name] is not None and not template.shows(name):
            raise DataError(
                f"is not shown in any text: write {{{name}}} into one.", path=path, field=name
            )
    if template.shows("conversation") and template.shows("instruction"):
        message = "shows {conversation} and {instruction}, which is part of it; choose one."
        raise DataError(message, path=path, field=_first_text(template))
    _check_pairwise(template, path)
    return with_marks(template, marks_of(_fixed_text(template), PLACEHOLDER).values())


def _check_pairwise(template: PromptTemplate, path: Path) -> None:
    """Refuse a mix of one answer and two, and labels whose values prefer one of the two."""
    texts = (template.system, template.with_reference, template.without_reference)
    shown = {name for text in texts if text is not None for name in PLACEHOLDER.findall(text)}
    if shown.isdisjoint(ANSWERS):
        return
    if alone := shown & {"response", "input"}:
        message = (
            f"shows {{{alone.pop()}}} and {{response_a}}: a template rates one answer or compares "
            "two, in all of its texts."
        )
        raise DataError(message, path=path, field=_first_text(template))
    values = sorted(template.labels.values)
    sums = [low + high for low, high in zip(values, reversed(values), strict=True)]
    if template.labels.rescale or max(sums) - min(sums) > 1e-9 * max(map(abs, values)):
        message = (
            "the score is how much the first answer wins, from 0 to 1: give values that "
            "mirror each other, such as {A: 1, tie: 0.5, B: 0}, and no rescale."
        )
        raise DataError(message, path=path, field="labels")


def _fixed_text(template: PromptTemplate) -> str:
    parts = (template.system, template.with_reference, template.without_reference)
    begins = f"{template.prefill}{{response}}" if template.prefill else None
    more = (begins, template.rubric, template.criterion)
    return "\n".join(part for part in (*parts, *more) if part)


def _first_text(template: PromptTemplate) -> str:
    return _TEXTS[template.with_reference is None]


def _flag(values: Mapping[str, Any], key: str, path: Path) -> bool:
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise DataError(f"expected true or false, got {value!r:.40}.", path=path, field=key)
    return value


def _text(values: Mapping[str, Any], key: str, path: Path) -> str | None:
    """A text, without the line breaks at its end, of which YAML's own ``|`` leaves one."""
    text = values.get(key)
    if text is None:
        return None
    if not isinstance(text, str):
        message = f"expected text, got {type(text).__name__}; put it in quotes."
        raise DataError(message, path=path, field=key)
    if any("\ud800" <= char <= "\udfff" for char in text):
        message = "holds half of a surrogate pair, which is not valid Unicode text."
        raise DataError(message, path=path, field=key)
    text = text.rstrip("\n")
    if not text.strip():
        raise DataError("is empty; write a text, or leave it out.", path=path, field=key)
    found = PLACEHOLDER.findall(text)
    known: tuple[str, ...] = FIELDS
    if key in ("prefill", "rubric", "criterion"):
        known = ()
    elif key != "with_reference":
        known = tuple(name for name in FIELDS if name != "reference")
    shown = ", ".join(f"{{{name}}}" for name in known if name != "input")
    for name in found:
        if name not in known and (known or name in FIELDS):
            what = f"there are: {shown}" if known else "this text is shown as it is"
            message = f"{{{name}}} is no placeholder here; {what}."
            raise DataError(message, path=path, field=key)
    answers = ANSWERS if not {*found}.isdisjoint(ANSWERS) else ("response",)
    needed = [*answers * (key in _TEXTS), *["reference"] * (key == "with_reference")]
    for name in needed:
        if name not in found and not (name == "response" and "input" in found):
            raise DataError(f"lacks the placeholder {{{name}}}.", path=path, field=key)
    return text


def _labels(given: Any, rescale: bool, path: Path) -> Labels:
    """The labels: a range such as ``1-10``, or texts with their values; by default 0-9."""

    def fail(message: str) -> DataError:
        return DataError(message, path=path, field="labels")

    if given is None:
        return replace(DIGIT_LABELS, rescale=rescale)
    if isinstance(given, str) and (ends := _RANGE.fullmatch(given)):
        low, high = map(int, ends.groups())
        if not 0 < high - low < MOST_LABELS:
            raise fail(f"a range has 2 to {MOST_LABELS} numbers, the lowest first; got {given!r}.")
        numbers = range(low, high + 1)
        return Labels(tuple(map(str, numbers)), tuple(map(float, numbers)), rescale)
    if not isinstance(given, dict):
        raise fail(f"expected a range such as 1-10, or labels with values; got {given!r:.60}.")
    if not 2 <= len(given) <= MOST_LABELS:
        raise fail(f"expected 2 to {MOST_LABELS} labels, got {len(given)}.")
    texts = [_label(text, fail) for text in given]
    values = [_value(text, value, fail) for text, value in given.items()]
    if len(set(texts)) < len(texts):
        raise fail("two labels are the same text.")
    if len(set(values)) == 1:
        raise fail("all labels have the same value, so there is nothing to score.")
    return Labels(tuple(texts), tuple(values), rescale)


def _label(text: Any, fail: Any) -> str:
    if isinstance(text, bool):
        raise fail(f"YAML reads an unquoted yes or no as {text}: put the label in quotes.")
    if isinstance(text, int):
        return str(text)
    if not isinstance(text, str) or not text.strip():
        raise fail(f"expected labels that are texts, got {text!r:.40}; put it in quotes.")
    return text


def _value(text: Any, value: Any, fail: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise fail(f"the value of {text!r:.40} must be a number, got {value!r:.40}.")
    return float(value)
