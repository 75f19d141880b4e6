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
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.reading import iter_rows, refuse_repeated_ids
from selfj_eval.records.record import Record, record_from_mapping

LABELS = ("A", "B", "tie")
_FIELDS = ("id", "instruction", "reference", "category", "label", "verdict", "raters")
_SIDES = ("response", "model", "rating")
_READ = frozenset(
    {*_FIELDS, *QUESTION_FIELDS, *(f"{name}_{side}" for name in _SIDES for side in "ab")}
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question.

    Attributes:
        id: Unique within a data set.
        instruction, messages, reference, category: As in ``Record``.
        response_a, response_b: The answers; None where there is none, which leaves the pair
            unscored.
        label: Which is better: ``A``, ``B`` or ``tie``; None where nobody has said.
        model_a, model_b: Who wrote them, or None.
        rating_a, rating_b: Ratings that they were given, or None.
        verdict: The label as its source has it, such as ``A>>B``, or None.
        raters: Who gave which label, where that is known.
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
            where=self.where,
            messages=self.messages,
        )


@dataclass(frozen=True, slots=True)
class PairJudgment:
    """What a judge says of a pair, asked in both orders.

    A pair of which either order failed is *unscored*: it has an ``error`` and no preference.

    Attributes:
        id: The pair's id.
        preference: For A, in [0, 1]: the mean of both orders. Above 0.5 A wins.
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
        options: How it is read.
        notices: Gets what was recognised, converted or left out.

    Returns:
        The pairs, in the order of the file; at least one, with distinct ids.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid pair.
    """
    path, options, notices = local_file(path), options or ReadOptions(), notices or Notices()
    first = next(iter_rows(path, fields=(), options=options), None)
    columns = set() if first is None else columns_of(first[1].keys())
    rows = iter_rows(path, fields=_READ | columns, options=options, notices=notices)
    found = list(_pairs(rows, path, options, notices))
    refuse_repeated_ids([(pair.id, place) for place, pair in found], path=path)
    if not found:
        why = f"; {notices.sentences()[-1]}" if notices.left_out else ""
        raise DataError(f"holds no pairs{why}.", path=path)
    return [pair for _, pair in found]


def pairs_in_memory(given: Iterable[Pair] | Iterable[Mapping[str, Any]]) -> list[Pair]:
    """Pairs, or rows as mappings with their fields, as a list.

    Raises:
        DataError: If there is none, one is no pair, or an id occurs twice.
        TypeError: If it is something else.
    """
    from selfj_eval.records.inputs import rows_of

    found: list[Any] = list(given)
    if all(isinstance(pair, Pair) for pair in found):
        placed = [(f"row {number}", pair) for number, pair in enumerate(found, 1)]
    else:
        rows = rows_of(found)
        placed = [(place, pair_from_mapping(row, path=None, place=place)) for place, row in rows]
    if not placed:
        raise DataError("there are no pairs.")
    refuse_repeated_ids([(pair.id, place) for place, pair in placed], path=None)
    return [pair for _, pair in placed]


def _pairs(
    rows: Rows, path: Path, options: ReadOptions, notices: Notices
) -> Iterator[tuple[str, Pair]]:
    first = next(rows, None)
    if first is None:
        return
    layout = recognised(first[1], options, path=path, place=first[0])
    rows = chain([first], rows)
    if layout is not None:
        how = {"path": path, "options": options, "notices": notices, "holds": "pairs"}
        rows = layout_rows(layout, rows, **how)  # type: ignore[arg-type]
    for place, row in rows:
        yield place, pair_from_mapping(row, path=path, place=place)


def pair_from_mapping(row: Mapping[str, Any], *, path: Path | None, place: str) -> Pair:
    """Check one row of data and make a pair of it.

    Raises:
        DataError: Naming file, place and field.
    """
    first, second = (_side(row, side, path, place) for side in "ab")
    label = None if is_missing(row.get("label")) else row["label"]
    if label is not None and label not in LABELS:
        message = f"expected A, B or tie, got {label!r:.40}."
        raise DataError(message, path=path, place=place, field="label")
    votes = row.get("raters")
    return Pair(
        first.id,
        first.instruction,
        first.row()["response"],
        second.row()["response"],
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
        where=place if path is None else f"{printable(path)}, {place}",
    )


def _side(row: Mapping[str, Any], side: str, path: Path | None, place: str) -> Record:
    """One of the answers as a record."""
    names = {name: f"{name}_{side}" for name in _SIDES}
    own = {name: value for name, value in row.items() if name not in ("rating", "raters", "error")}
    shown = None if path is None else printable(path)
    return record_from_mapping(own, names=names, path=shown, place=place)
