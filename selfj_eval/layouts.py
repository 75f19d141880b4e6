"""Layouts of other programs' files that are read as records: lm-eval, AlpacaEval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError

Row = tuple[str, Mapping[str, Any]]
"""Place in the file ("line 3", "row 3"), and the fields."""


def lm_eval_samples(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    """The answers in lm-eval's log of a generation task.

    The whole answer is judged (``resps``), not what a filter extracted from it. The
    instruction is the document's ``instruction``, else the prompt the model was given; the
    reference is the document's ``reference``, else the target.
    """
    seen = set()
    for place, row in rows:

        def fail(field: str, message: str, place: str = place) -> DataError:
            return DataError(message, path=path, place=place, field=field)

        number = row.get("doc_id")
        if not isinstance(number, int):
            raise fail("doc_id", "expected the document's number, as lm-eval writes it.")
        if number in seen:  # the same answers once more, filtered otherwise
            continue
        seen.add(number)
        resps = row.get("resps")
        answers = resps[0] if isinstance(resps, list) and len(resps) == 1 else None
        if (
            not isinstance(answers, list)
            or not answers
            or not all(isinstance(answer, str) for answer in answers)
        ):
            raise fail(
                "resps",
                "holds no generated text; only the samples of generation tasks "
                "(output_type generate_until) can be judged.",
            )
        doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
        prompt = row.get("arguments")
        while isinstance(prompt, dict | list) and prompt:
            prompt = next(iter(prompt.values() if isinstance(prompt, dict) else prompt))
        target = row["target"] if isinstance(row.get("target"), str) else None
        for index, answer in enumerate(answers):
            yield (
                place,
                {
                    "id": str(number) if len(answers) == 1 else f"{number}-{index}",
                    "instruction": doc.get("instruction") or prompt,
                    "response": answer,
                    "reference": doc.get("reference") or target,
                    "category": doc.get("category"),
                },
            )


def alpaca_eval_outputs(
    rows: Iterator[Row], columns: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[Iterator[Row], dict[str, str]]:
    """AlpacaEval's ``model_outputs``: other names, and no ids: the position is the id, from 0."""
    own = {"response": "output", "model": "generator", "category": "dataset"}
    renamed = {f: n for f, n in own.items() if f not in columns and n in columns} | dict(names)
    if "id" in {*names, *columns}:
        return rows, renamed
    return ((place, {"id": n, **row}) for n, (place, row) in enumerate(rows)), renamed
