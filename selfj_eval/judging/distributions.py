"""The judge's distributions over its labels, where scored answers come with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.records.inputs import rows_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.reading import iter_rows
from selfj_eval.records.record import Judgment

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike


def probabilities_of(given: ScoresLike) -> dict[str, Sequence[float]]:
    """The judge's probabilities of its labels, by id; without the answers that have none.

    They are not in ``Scored``: few need them, and they would take half of its memory.

    Args:
        given: As for ``as_scores``: a file, what ``score`` returned, or rows in memory.
    """
    judgments: Sequence[Judgment] = getattr(given, "judgments", ())
    if judgments:
        return {j.id: j.probabilities for j in judgments if j.probabilities is not None}
    output = getattr(given, "output", given)
    names = frozenset({"id", "doc_id", "probabilities"})
    rows = (
        iter_rows(Path(output), fields=names, notices=Notices())
        if isinstance(output, str | Path)
        else rows_of(output)
    )
    return {
        str(row["id"]): row["probabilities"]
        for _, row in rows
        if "id" in row and isinstance(row.get("probabilities"), list)
    }
