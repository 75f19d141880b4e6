"""Pairs of answers to one question, with the label that says which is better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import Turn, as_text
from selfj_eval.records.formats import Rows
from selfj_eval.records.hub import local_file
from selfj_eval.records.layouts import columns_of, layout_rows, recognised
from selfj_eval.records.names import FAMILIAR, column_of, on_missing, with_inner_fields
from selfj_eval.records.notices import Notices, on_nothing
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.questions import NOT_TEXT, QUESTION_FIELDS
from selfj_eval.records.reading import (
    iter_rows,
    refuse_repeated_ids,
    refuse_unseen,
    with_familiar,
)
from selfj_eval.records.record import Record, record_from_mapping

LABELS = ("A", "B", "tie")
SIGNS = {"A": 1, "tie": 0, "B": -1}
"""Labels as numbers: the sign of how much better A is."""

_FIELDS = ("id", "instruction", "reference", "category", "label", "verdict", "raters")
_SIDES = ("response", "model", "rating")
_REQUIRED = ("id", "instruction", "response_a", "response_b")
_OF_SIDES = tuple(f"{name}_{side}" for name in _SIDES for side in "ab")
_NAMED = ("id", "instruction", "reference", "category", "label", *_OF_SIDES)  # by `fields`
_READ = frozenset({*_FIELDS, *QUESTION_FIELDS, *_OF_SIDES})


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question.

    Attributes:
        id: Unique within a data set.
        instruction, messages, reference, category: As in ``Record``.
        response_a, response_b: The answers; None if one is missing, which leaves the pair unscored.
        label: Which is better: ``A``, ``B`` or ``tie``; None if it is unknown.
        model_a, model_b: Who wrote them, or None.
        rating_a, rating_b: Ratings that they were given, or None.
        verdict: The label as its source has it, such as ``A>>B``, or None.
        raters: Who gave which label, where that is known.
        error: Why the pair cannot be judged, such as a question with an image; None when it can.
        where: File and line the pair came from, for messages.
    """

    id: str
    instruction: str
    response_a: str | None
    response_b: str | None
    label: str | None = None
    messages: tuple[Turn, ...] | None = None
    reference: str | None = None
    category: str | None = None
    model_a: str | None = None
    model_b: str | None = None
    rating_a: float | None = None
    rating_b: float | None = None
    verdict: str | None = None
    raters: tuple[tuple[str, str], ...] | None = None
    error: str | None = None
    where: str | None = field(default=None, compare=False, repr=False)

    @property
    def question(self) -> str:
        """What was asked, as one text: the instruction, or the whole conversation."""
        return self.instruction if self.messages is None else as_text(self.messages)

    def answer(self, side: str) -> Record:
        """One of its answers as a record, for what rates answers alone.

        Args:
            side: ``a`` or ``b``.
        """
        return Record(
            self.id,
            self.instruction,
            getattr(self, f"response_{side}"),
            self.reference,
            model=getattr(self, f"model_{side}"),
            category=self.category,
            error=self.error,
            where=self.where,
            messages=self.messages,
        )


@dataclass(frozen=True, slots=True)
class PairJudgment:
    """What a judge says of a pair, asked in both orders.

    If either order fails, the pair is *unscored*: it has an ``error`` and no preference.

    Attributes:
        id: The pair's id.
        preference: For A, in [0, 1]: the mean of both orders. Above 0.5, A wins.
        a_first, b_first: The preference for A where A was shown first, and where B was.
        label_mass: Probability in [0, 1] that the judge gave to its labels, the lower of the two
            orders.
        error: Why there is no preference; None when there is one.
        reference_used: Whether the judge saw a reference.
        trimmed_tokens: How many tokens did not fit into the prompt and were cut.
    """

    id: str
    preference: float | None
    a_first: float | None = None
    b_first: float | None = None
    label_mass: float | None = None
    error: str | None = None
    reference_used: bool = False
    trimmed_tokens: int = 0

    @property
    def winner(self) -> str | None:
        """``A``, ``B`` or ``tie``; None where it is unscored."""
        return None if self.preference is None else winner(self.preference)


def winner(preference: float) -> str:
    """Which answer a preference for A is for: ``A``, ``B``, or at 0.5 ``tie``."""
    return "tie" if preference == 0.5 else "A" if preference > 0.5 else "B"


def read_pairs(
    path: str | Path, *, options: ReadOptions | None = None, notices: Notices | None = None
) -> list[Pair]:
    """Read and check a file of pairs.

    A row has ``id``, ``instruction`` (or ``messages``), ``response_a``, ``response_b`` and, where
    it is known, ``label``; or the file is in a layout of pairs that is recognised: preferences as
    TRL, OpenAI and ShareGPT have them, RewardBench, arenas, the judgments of MT-bench and
    arena-hard.

    Args:
        path: The file, here or on the hub.
        options: How it is read; ``fields`` names the fields of a pair, such as ``response_a``.
        notices: Gets what was recognised, converted or left out.

    Returns:
        The pairs, in the order of the file; at least one, with distinct ids.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid pair.
    """
    path, options, notices = local_file(path), options or ReadOptions(), notices or Notices()
    first = next(iter_rows(path, fields=(), options=options), None)
    columns = set() if first is None else columns_of(first[1].keys())
    named = options.fields.values()
    wanted = _READ.union(columns, FAMILIAR["instruction"], named, map(column_of, named))
    rows = iter_rows(path, fields=wanted, options=options, notices=notices)
    found = list(_pairs(rows, path, options, notices))
    refuse_repeated_ids([(pair.id, place) for place, pair in found], path=path)
    if not found:
        raise DataError(on_nothing("holds no pairs", notices.why_left_out()), path=path)
    return [pair for _, pair in found]


def pairs_in_memory(
    given: Iterable[Pair] | Iterable[Mapping[str, Any]],
    *,
    options: ReadOptions | None = None,
    notices: Notices | None = None,
) -> list[Pair]:
    """Pairs, or rows as mappings with their fields, as a list; options as for ``read_pairs``.

    Raises:
        DataError: If there is none, one is no pair, or an id occurs twice.
        TypeError: If it is something else.
    """
    from selfj_eval.records.inputs import rows_of

    found: list[Any] = list(given)
    options, notices = options or ReadOptions(), notices or Notices()
    if all(isinstance(pair, Pair) for pair in found):
        placed = [(f"row {number}", pair) for number, pair in enumerate(found, 1)]
    else:
        placed = list(_pairs(rows_of(found), None, options, notices))
    if not placed:
        raise DataError(on_nothing("there are no pairs", notices.why_left_out()))
    refuse_repeated_ids([(pair.id, place) for place, pair in placed], path=None)
    return [pair for _, pair in placed]


def _pairs(
    rows: Rows, path: Path | None, options: ReadOptions, notices: Notices
) -> Iterator[tuple[str, Pair]]:
    first = next(rows, None)
    if first is None:
        return
    place, columns = first
    rows, names, inner = chain([first], rows), dict[str, str](), list[str]()
    layout = recognised(columns, options, path=path, place=place)
    if layout is not None:
        how = {"path": path, "options": options, "notices": notices, "holds": "pairs"}
        rows = layout_rows(layout, rows, **how)  # type: ignore[arg-type]
    else:
        if unknown := options.fields.keys() - _NAMED:
            message = f"no field {min(unknown)!r} of a pair; there are: {', '.join(_NAMED)}."
            raise DataError(message)
        # An answer of neither side is not looked for.
        told = {"response": "response_a", **options.fields}
        names = with_familiar(told, columns, path, place, notices)
        inner = [name for name in names.values() if "." in name]
        rows = with_inner_fields(rows, inner)
    unseen, seen = set(options.fields.values()) if layout is None else set[str](), set[str]()
    for place, row in rows:
        unseen -= row.keys()
        seen |= row.keys()
        yield place, _pair(row, names, path, place, notices)
    refuse_unseen(unseen, names, columns, path)
    if layout is None:
        read = _READ.union(names.values(), map(column_of, inner))
        notices.ignore(name for name in columns if name in seen - read)


def _pair(
    row: Mapping[str, Any],
    names: Mapping[str, str],
    path: Path | None,
    place: str,
    notices: Notices,
) -> Pair:
    """Check one row of data and make a pair of it."""

    def value(name: str) -> Any:
        return row.get(names.get(name, name))

    asked = not is_missing(row.get("messages"))
    required = [name for name in _REQUIRED if not (name == "instruction" and asked)]
    if missing := [name for name in required if names.get(name, name) not in row]:
        field = missing[0] if len(missing) == 1 else None
        raise DataError(on_missing(missing, row, True), path=path, place=place, field=field)
    first = _side(row, "a", names, path, place, notices)
    # What both share is checked and counted once.
    others = {own: name for own, name in names.items() if own != "instruction"}
    other = {names.get(name, name): value(name) for name in ("id", *_OF_SIDES)}
    second = _side({"instruction": "?"} | other, "b", others, path, place, notices)
    label = None if is_missing(value("label")) else value("label")
    if label is not None and label not in LABELS:
        message = f"expected A, B or tie, got {label!r:.40}."
        field = names.get("label", "label")
        raise DataError(message, path=path, place=place, field=field)
    votes = row.get("raters")
    unreadable = first.error is not None and NOT_TEXT in first.error
    return Pair(
        first.id,
        first.instruction,
        None if is_missing(value("response_a")) else first.response,
        None if is_missing(value("response_b")) else second.response,
        label,
        messages=first.messages,
        reference=first.reference,
        category=first.category,
        model_a=first.model,
        model_b=second.model,
        rating_a=first.rating,
        rating_b=second.rating,
        verdict=row.get("verdict"),
        raters=tuple((vote["rater"], vote["label"]) for vote in votes) if votes else None,
        error=first.error if unreadable else None,
        where=place if path is None else f"{printable(path)}, {place}",
    )


def _side(
    row: Mapping[str, Any],
    side: str,
    names: Mapping[str, str],
    path: Path | None,
    place: str,
    notices: Notices | None,
) -> Record:
    """One of the answers as a record."""
    others = {own: name for own, name in names.items() if own in _FIELDS}
    sides = {own: names.get(f"{own}_{side}", f"{own}_{side}") for own in _SIDES}
    own = {name: value for name, value in row.items() if name not in ("rating", "raters", "error")}
    shown = None if path is None else printable(path)
    how: dict[str, Any] = {"path": shown, "place": place, "notices": notices}
    return record_from_mapping(own, names=others | sides, **how)
