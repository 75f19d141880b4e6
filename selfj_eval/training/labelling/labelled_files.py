"""From answers to labelled training data: what can be labelled, the parts, the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError, StoreError
from selfj_eval.files.atomic import check_output, run_file, write_json
from selfj_eval.generation.instructions import (
    Instruction,
    asked_rows,
    instructions_of,
    read_instructions,
)
from selfj_eval.jobs.options import PathLike
from selfj_eval.prompts.templates import get_template
from selfj_eval.raters.judge import reason_unjudgeable
from selfj_eval.records.conversations import messages_of
from selfj_eval.records.inputs import records_of
from selfj_eval.records.layouts import recognised
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.reading import iter_rows, read_records
from selfj_eval.records.record import Record
from selfj_eval.records.writing import write_rows
from selfj_eval.training.labelling.rules import LABELS, LabelRule, Labels, in_validation
from selfj_eval.training.pairs import Pair, write_pairs

if TYPE_CHECKING:
    from selfj_eval.generation.instructions import Asked

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one run, named after its output.

    Attributes:
        ref, noref: Training pairs, with and without reference.
        validation_ref, validation_noref: Validation pairs.
        labels: All labelled answers, readable as records.
        rule: The rule that made the labels.
        run: How it was done; written last, so that it stands for a whole set.
    """

    ref: Path
    noref: Path
    validation_ref: Path
    validation_noref: Path
    labels: Path
    rule: Path
    run: Path

    @classmethod
    def of(cls, output: PathLike, *, inputs: Sequence[PathLike | None] = ()) -> Files:
        """The files of an output, once it is sure that they can be written.

        Raises:
            StoreError: If one cannot be written, or is one of the inputs.
        """
        if not Path(output).name or Path(output).is_dir():
            raise StoreError(
                f"`output` {output} is a folder; give what the files' names begin with, such as "
                f"{Path(output) / 'pairs'}."
            )
        parts = ("ref", "noref", f"{VALIDATION}.ref", f"{VALIDATION}.noref", "labels")
        names = [f"{output}.{part}.jsonl" for part in parts] + [f"{output}.rule.json"]
        names.append(str(run_file(output)))
        return cls(*(check_output(name, inputs=inputs) for name in names))

    def all(self) -> list[Path]:
        """Every file."""
        return [getattr(self, field.name) for field in fields(self)]

    def pairs(self, part: str) -> tuple[Path, Path]:
        """The two files of a part."""
        if part == TRAIN:
            return self.ref, self.noref
        return self.validation_ref, self.validation_noref


def read_input(
    path: Path, limit: int | None = None, *, notices: Notices | None = None
) -> list[Record] | list[Instruction]:
    """Answers where the file has any, else instructions.

    Args:
        path: A file that ``read_records`` or ``read_instructions`` takes. It has answers if any
            row has a field ``response``, or ``output`` beside ``instruction`` (AlpacaEval), or it
            is in another program's layout, conversations that end with the user's turn apart.
        limit: Only the first so many; by default all.
        notices: Receives what was recognised, converted or ignored.

    Raises:
        DataError: If it cannot be read, or has answers in some rows only.
    """
    first: Mapping[str, Any] = {}
    names = set[str]()
    for _, row in iter_rows(path, fields=()):
        first, names = first or row, names.union(row)
    if _are_answers(names, first):
        return read_records(path, notices=notices)[:limit]
    return read_instructions(path, notices=notices)[:limit]


def input_of(
    values: Asked, limit: int | None = None, *, notices: Notices | None = None
) -> list[Record] | list[Instruction]:
    """The same of what is in memory; arguments and errors otherwise as for ``read_input``."""
    rows = list(asked_rows(values))
    names = {name for row in rows for name in row}
    if _are_answers(names, rows[0] if rows else {}):
        return records_of(rows, notices=notices)[:limit]
    return instructions_of(rows, notices=notices)[:limit]


def _are_answers(names: set[str], first: Mapping[str, Any]) -> bool:
    """Whether rows are answers, by all their fields and the first row."""
    if "response" in names or {"output", "instruction"} <= names:
        return True
    messages = first.get("messages")
    if "instruction" not in names and isinstance(messages, list) and messages:
        last = messages[-1]
        return isinstance(last, Mapping) and last.get("role") == "assistant"
    return recognised(first, ReadOptions(), path=None, place="row 1") is not None


def check_references(items: Sequence[Record] | Sequence[Instruction], path: Path | None) -> None:
    """Refuse data in which a reference is missing.

    Raises:
        DataError: Naming the first place, and how many there are.
    """
    missing = [item for item in items if item.reference is None]
    if missing:
        first = missing[0]
        place = getattr(first, "where", None)
        raise DataError(
            f"missing ({len(missing):,} of {len(items):,} have none); labels compare answers with "
            "references. Add it, or leave the row out, or take `source` rating where answers "
            "are rated.",
            path=place or path,
            place=f"id {first.id!r}",
            field="reference",
        )


def given_ratings(records: Sequence[Record]) -> npt.NDArray[np.float64]:
    """The records' ratings, on 0..9 where they have a scale; shape (n,).

    Raises:
        DataError: If one is missing, or some have a scale and others not.
    """
    scaled = [r.rating_min is not None and r.rating_max is not None for r in records]
    for record, own in zip(records, scaled, strict=True):
        if record.rating is None:
            message = "is missing; `source` rating needs one in every row."
            raise DataError(message, path=record.where, field="rating")
        if own != scaled[0]:
            raise DataError(
                f"there is {'a' if own else 'no'} scale here, but {'none' if own else 'one'} in "
                f"{records[0].where or records[0].id}; give rating_min and rating_max in all "
                "rows or in none.",
                path=record.where,
                field="rating_min",
            )
    values = [rescaled(r.rating or 0.0, r.rating_min, r.rating_max) for r in records]
    return np.asarray(values, dtype=np.float64)


def reason_unlabelled(record: Record) -> str | None:
    """Why an answer can be no training data, or None."""
    if record.error is not None:
        return reason_unjudgeable(get_template("self-j-unwrapped"), record)
    if not record.response.strip():
        return "the answer is empty."
    template = get_template("self-j-unwrapped")
    where = f"{record.where}, " if record.where else ""
    if marker := template.marker_in(record.response):
        return (
            f"{where}field 'response': holds {marker}, so the prompt would teach something else; "
            "remove it if it is not meant."
        )
    if record.reference is None and (marker := template.marker_in(record.question)):
        return (
            f"{where}field 'instruction': holds {marker}, so without a reference it cannot be told "
            "where the answer begins."
        )
    return reason_unjudgeable(template, record)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Answers with measures, parts and labels, all in one order.

    Attributes:
        records: The answers.
        measures: z1, z2 and rating, each of shape (n,), those that were measured.
        parts: ``train`` or ``validation`` for each.
        rule: What made the labels.
        labels: The labels.
    """

    records: Sequence[Record]
    measures: Mapping[str, npt.NDArray[np.float64]]
    parts: Sequence[str]
    rule: LabelRule
    labels: Labels

    def histogram(self, part: str) -> list[int]:
        """How many answers of a part have the labels 0, 1, ..., 9."""
        chosen = [k for k, own in zip(self.labels.label, self.parts, strict=True) if own == part]
        return [int(count) for count in np.bincount(chosen, minlength=LABELS)]


def labelled(
    records: Sequence[Record],
    measures: Mapping[str, npt.NDArray[np.float64]],
    *,
    validation: float = 0.1,
    seed: int = 0,
    rule: LabelRule | None = None,
    **fit: Any,
) -> Labelled:
    """Split answers by instruction, and label them by a rule that the training part decides.

    Args:
        records: The answers, at least one.
        measures: By name, each of shape (n,), finite.
        validation: Share of the instructions in the validation part, in [0, 1).
        seed: Of the split.
        rule: A rule to apply, in place of fitting one.
        **fit: As for ``LabelRule.fit``.

    Raises:
        DataError: As for ``LabelRule.fit`` and ``apply``, or if no answer is left for training.
    """
    parts = [
        VALIDATION if in_validation(record.question, validation, seed) else TRAIN
        for record in records
    ]
    chosen = np.asarray([part == TRAIN for part in parts], dtype=bool)
    if not chosen.any():
        raise DataError(
            f"none of the {len(records):,} answers is in the training part; give more "
            "instructions, a smaller `validation` or another `seed`."
        )
    if rule is None:
        rule = LabelRule.fit({name: z[chosen] for name, z in measures.items()}, **fit)
    return Labelled(records, measures, parts, rule, rule.apply(measures))


def write_labelled(files: Files, data: Labelled, measured_by: Mapping[str, Any]) -> list[Path]:
    """Write everything but the run file, which is removed first: it stands for a whole set.

    Where no answer is in the validation part, its files from an earlier run are removed.

    Args:
        files: Where to.
        data: The labelled answers.
        measured_by: What made z1 and z2; kept with the rule.

    Returns:
        What was written.

    Raises:
        StoreError: If a file cannot be written.
    """
    files.run.unlink(missing_ok=True)
    write_rows(files.labels, _rows(data))
    write_json(files.rule, {**data.rule.to_dict(), "measured_by": dict(measured_by)})
    written = [files.labels, files.rule]
    for part in (TRAIN, VALIDATION):
        rows = zip(data.records, data.labels.label, data.parts, strict=True)
        pairs = [
            Pair(r.id, r.question, r.response, r.reference, int(own), r.where)
            for r, own, its in rows
            if its == part
        ]
        if pairs:
            write_pairs(*files.pairs(part), pairs)
            written += files.pairs(part)
        else:
            for stale in files.pairs(part):
                stale.unlink(missing_ok=True)
    return written


def _rows(data: Labelled) -> list[dict[str, Any]]:
    rows = []
    for i, record in enumerate(data.records):
        row: dict[str, Any] = {
            name: getattr(record, name) for name in ("id", "instruction", "response", "reference")
        }
        if record.messages is not None:
            row["messages"] = messages_of(record.messages)
        for name in ("z1", "z2"):
            row[name] = float(data.measures[name][i]) if name in data.measures else None
        own = int(data.labels.label[i])
        row |= {"z": float(data.labels.z[i]), "label": own, "part": data.parts[i]}
        row |= {"rating": own, "rating_min": 0, "rating_max": LABELS - 1}
        if record.rating is not None:
            row["given_rating"] = rescaled(record.rating, record.rating_min, record.rating_max)
        rows.append(row | {"model": record.model, "category": record.category})
    return rows
