"""The judge's distributions over its labels, where scored answers come with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, printable
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.judging.scored import Scores
from selfj_eval.prompts.labels import DIGITS, expected_score
from selfj_eval.records.hub import fetched
from selfj_eval.records.inputs import rows_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions, ScaleOptions
from selfj_eval.records.reading import iter_rows
from selfj_eval.records.record import Judgment, is_number
from selfj_eval.records.texts import shortened

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

Distribution = Sequence[float]
_FIELD = "probabilities"
DISTRIBUTION_FIELDS = frozenset({_FIELD, "filtered_resps"})
"""Fields of a row that may hold probabilities."""
_READ = DISTRIBUTION_FIELDS | {"id", "score", "doc", "doc_id"}
_ROUNDED = 0.01  # by so much the sum may differ from 1


def distributions_of(
    given: ScoresLike, scores: Scores, scale: ScaleOptions
) -> list[Distribution | None]:
    """The judge's probabilities of its labels, one for each answer; None where there are none.

    In a file, they are None for all answers if the first one with a score has none.

    They are not in ``Scored``: few need them, and they would take half of its memory.

    Args:
        given: As for ``as_scores``, but no iterator: it is read a second time.
        scores: What ``as_scores`` made of it. The result is in the order of its answers.
        scale: As for ``as_scores``.

    Raises:
        DataError: Naming file, row and field, if probabilities do not lie between 0 and 1 or do not
            add up to 1.
    """
    judgments = getattr(given, "judgments", None)
    if isinstance(judgments, tuple | list) and judgments and isinstance(judgments[0], Judgment):
        return [judgment.probabilities for judgment in judgments]
    source: Any = given
    if isinstance(given, str | Path):
        source = fetched(given)
    elif not scores.path.startswith("memory:"):  # what a verb wrote, or was read before
        source = fetched(scores.path)
    elif isinstance(given, Scores):
        return [None] * len(scores.answers)
    if not isinstance(source, str | Path):
        return [distribution_in(row, None, place) for place, row in rows_of(source)]
    how = ReadOptions(missing_rating=scale.missing_rating)
    rows = iter_rows(Path(source), fields=_READ, options=how, notices=Notices())
    found: list[Distribution | None] = []
    for place, row in rows:
        found.append(distribution_in(row, printable(source), place))
        if not any(found) and not is_missing(row.get("score")):
            return [None] * len(scores.answers)  # scores of another kind of rater
    return found


def distribution_in(row: Mapping[str, Any], path: str | None, place: str) -> Distribution | None:
    """The probabilities in a row; lm-eval's samples have log-probabilities of the digits.

    Args:
        row: With the fields that ``DISTRIBUTION_FIELDS`` names, as far as there are any.
        path, place: Where it stands, for errors.

    Raises:
        DataError: As for ``distributions_of``.
    """

    def fail(field: str, expected: str, value: object) -> DataError:
        message = f"expected {expected}, got {shortened(value)}. Score the answers again."
        return DataError(message, path=path, place=place, field=field)

    if isinstance(row.get("doc"), dict) and "doc_id" in row:
        choices = row.get("filtered_resps")
        if not isinstance(choices, list) or len(choices) != len(DIGITS):
            return None
        try:
            found = expected_score([[float(choice[0]) for choice in choices]])
        except (ValueError, TypeError, LookupError):
            raise fail("filtered_resps", "ten log-probabilities", choices) from None
        values = found.probabilities[0].tolist()
        return None if is_missing(values[0]) else values
    value = row.get(_FIELD)
    if isinstance(value, str):  # in a table it is JSON
        try:
            value = parse_json(value) if value.strip() else None
        except ValueError:
            raise fail(_FIELD, "a JSON list of probabilities", value) from None
    if is_missing(value):
        return None
    if (
        not isinstance(value, tuple | list)
        or not all(is_number(p) and 0 <= p <= 1 for p in value)
        or abs(sum(value) - 1) > _ROUNDED
    ):
        raise fail(_FIELD, "probabilities from 0 to 1 that add up to 1", value)
    return [float(p) for p in value]
