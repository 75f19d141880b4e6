"""Paired training data: the same answers under the prompt with and without reference.

The format is that of Self-J's released data (arXiv 2409.00935): two files, a record an answer,
joined by ``id``: ``{"id", "instruction", "input", "output"}``. ``instruction`` holds the finished
prompt, ``output`` the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.prompts.templates import RESPONSE_WRAPPER, get_template
from selfj_eval.records.reading import read_rows, refuse_repeated_ids
from selfj_eval.records.texts import MAX_CHARACTERS
from selfj_eval.records.writing import write_rows

_TEMPLATE = get_template("self-j-unwrapped")
_FIELDS = ("id", "instruction", "input", "output")


@dataclass(frozen=True, slots=True)
class Pair:
    """One labelled answer.

    Attributes:
        id: Unique within the data.
        instruction: What was asked.
        response: The answer.
        reference: The reference, or None: then only the student learns from it.
        label: Quality, an integer in 0..9.
        where: File and line it came from, for messages.
    """

    id: str
    instruction: str
    response: str
    reference: str | None
    label: int
    where: str | None = None


def write_pairs(with_reference: Path, without_reference: Path, pairs: Sequence[Pair]) -> None:
    """Write both files in the released format, prompts unwrapped as there.

    A pair without reference stands in the second file only.

    Raises:
        StoreError: If a file cannot be written.
    """

    def row(pair: Pair, reference: str | None) -> dict[str, Any]:
        prompt = _TEMPLATE.render(pair.instruction, pair.response, reference)
        values = (pair.id, prompt, "", str(pair.label))
        return dict(zip(_FIELDS, values, strict=True))

    referred = [row(pair, pair.reference) for pair in pairs if pair.reference is not None]
    write_rows(with_reference, referred)
    write_rows(without_reference, [row(pair, None) for pair in pairs])


def read_pairs(
    with_reference: Path, without_reference: Path, *, allow_unpaired: bool = False
) -> list[Pair]:
    """Read and check both files, and join them by ``id``.

    Args:
        with_reference, without_reference: The files, in any order of their rows.
        allow_unpaired: Take answers that stand in the second file only.

    Returns:
        The pairs, in the order of the second file.

    Raises:
        DataError: Naming file, line and field, if a row is not in the format, an id occurs
            twice or in one file only, a label is no integer in 0..9, an answer is empty, a
            prompt is not Self-J's, some prompts are wrapped and others are not, or the two
            rows of an id are about different texts or have different labels.
    """
    teacher, student = Path(with_reference), Path(without_reference)
    if teacher.resolve() == student.resolve():
        raise DataError("is named twice; give the file with and the one without reference.",
                        path=teacher)  # fmt: skip
    referred = {row.id: row for row in _rows(teacher, reference=True)}
    free = _rows(student, reference=False)
    _refuse_mixed([*referred.values(), *free])
    known = {row.id for row in free}
    for other in referred.values():
        if other.id not in known:
            raise other.fail("id", f"{other.id!r} is not in {printable(student)}; every answer "
                             "needs a row in both files.")  # fmt: skip
    pairs = []
    for row in free:
        partner = referred.get(row.id)
        if partner is None:
            if not allow_unpaired:
                raise row.fail(
                    "id",
                    f"{row.id!r} is not in {printable(teacher)}; add it there, or let answers "
                    "without a reference teach the student alone with `allow_unpaired`.",
                )
            instruction, response = row.split()
            pairs.append(Pair(row.id, instruction, response, None, row.label, row.where))
            continue
        if row.label != partner.label:
            raise row.fail("output", f"is {row.label}, but {partner.label} in {partner.where}; "
                           "both rows of an answer have one label.")  # fmt: skip
        pairs.append(_joined(row, partner))
    return pairs


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    prompt: str
    label: int
    wrapped: bool
    path: Path
    place: str

    @property
    def where(self) -> str:
        return f"{printable(self.path)}, {self.place}"

    def fail(self, field: str, message: str) -> DataError:
        return DataError(message, path=self.path, place=self.place, field=field)

    def split(self) -> tuple[str, str]:
        """Instruction and answer of a prompt without reference."""
        start, middle, _ = _frame(False)
        body = self.prompt.removeprefix(start)
        if body.count(middle) != 1:
            raise self.fail(
                "instruction",
                f"holds {middle.strip()!r} {body.count(middle)} times, so it cannot be told where "
                "the answer begins; it needs exactly one.",
            )
        instruction, response = body.split(middle)
        return instruction, response


def _frame(reference: bool) -> tuple[str, str, str]:
    """What stands before the instruction, before the answer, and before the reference."""
    filled = _TEMPLATE.render("\0", "\0", "\0" if reference else None).split("\0")
    return filled[0], filled[-2], filled[1]


def _rows(path: Path, *, reference: bool) -> list[_Row]:
    found = [_row(row, path, place, reference) for place, row in read_rows(path)]
    if not found and not reference:
        raise DataError("holds no training data.", path=path)
    refuse_repeated_ids([(row.id, row.place) for row in found], path=path)
    return found


def _row(row: Mapping[str, Any], path: Path, place: str, reference: bool) -> _Row:
    def fail(field: str, message: str) -> DataError:
        return DataError(message, path=path, place=place, field=field)

    for field in ("id", "instruction", "output"):
        if row.get(field) is None:
            have = ", ".join(map(str, row)) or "none"
            raise fail(field, f"missing; the fields here are: {have}.")
    name, prompt, label = row["id"], row["instruction"], row["output"]
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise fail("id", "expected text or an integer.")
    if not isinstance(prompt, str):
        raise fail("instruction", f"expected the finished prompt, got {type(prompt).__name__}.")
    if len(prompt) > 3 * MAX_CHARACTERS or any("\ud800" <= c <= "\udfff" for c in prompt):
        raise fail("instruction", "is too long, or holds half of a surrogate pair.")
    if row.get("input"):
        raise fail("input", "must be empty: the finished prompt is in 'instruction'.")
    text = str(label).strip() if isinstance(label, str | int) else ""
    if isinstance(label, bool) or text not in DIGITS:
        raise fail("output", f"expected a label, an integer from 0 to 9, got {label!r}.")
    wrapped = prompt.endswith(RESPONSE_WRAPPER)
    prompt = prompt.removesuffix(RESPONSE_WRAPPER)
    start, middle, between = _frame(reference)
    if not prompt.startswith(start) or middle not in prompt[len(start) :]:
        other = _frame(not reference)[0]
        kind = "with" if reference else "without"
        seen = (
            f"the one {'without' if reference else 'with'}" if prompt.startswith(other) else "not"
        )
        raise fail(
            "instruction",
            f"expected Self-J's prompt {kind} reference, this is {seen}"
            f"{' one of them' if seen == 'not' else ''}; the prompts of a file must all have one "
            "template (docs/training.md).",
        )
    if reference and between not in prompt[len(start) :]:
        raise fail("instruction", f"has no part {between.strip()!r}.")
    if not prompt.rpartition(middle)[2].strip():
        raise fail("instruction", "has an empty answer; leave such answers out, or label them by "
                   "hand as text.")  # fmt: skip
    return _Row(str(name), prompt, int(text), wrapped, path, place)


def _refuse_mixed(rows: Iterable[_Row]) -> None:
    first: _Row | None = None
    for row in rows:
        first = first or row
        if row.wrapped != first.wrapped:
            kinds = ("is not", "is")
            raise row.fail(
                "instruction",
                f"mixed templates: this prompt {kinds[row.wrapped]} wrapped (it "
                f"{'ends' if row.wrapped else 'does not end'} in {RESPONSE_WRAPPER.strip()!r}), "
                f"but {first.where} {kinds[first.wrapped]}; write all of them in one way.",
            )


def _joined(free: _Row, referred: _Row) -> Pair:
    """The pair whose two prompts these are.

    Texts may hold the template's own section marks. The two prompts together still say where
    each text ends, unless they are about different texts.
    """
    start, middle, _ = _frame(False)
    head, _, between = _frame(True)
    body, other = free.prompt.removeprefix(start), referred.prompt.removeprefix(head)
    at = body.find(middle)
    while at >= 0:
        instruction, tail = body[:at], body[at:]
        opening = instruction + between
        if other.startswith(opening) and other.endswith(tail):
            reference = other[len(opening) : len(other) - len(tail)]
            response = tail.removeprefix(middle)
            if len(opening) + len(tail) <= len(other) and reference and response.strip():
                return Pair(free.id, instruction, response, reference, free.label, free.where)
        at = body.find(middle, at + 1)
    raise free.fail(
        "instruction",
        f"is not about the same instruction and answer as {referred.where}, or the reference "
        f"there is empty; the rows of id {free.id!r} do not belong together.",
    )
