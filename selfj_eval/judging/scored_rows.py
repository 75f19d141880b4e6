"""The rows of scored answers, read and checked one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, counted, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import Turn, as_text, messages_of
from selfj_eval.records.formats.spreadsheet import EMPTY_ANSWERS
from selfj_eval.records.inputs import rows_of
from selfj_eval.records.layouts.alpaca import alpaca_eval_names
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions, ScaleOptions
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.rater_rows import RATER, on_no_rating, one_row_an_answer
from selfj_eval.records.raters import GivenRating
from selfj_eval.records.ratings import RATINGS, rescaled, with_rating, without_off_scale
from selfj_eval.records.reading import iter_rows
from selfj_eval.records.record import RECORD_FIELDS, checked_fields

_NO_SCORE = "no score in the file"
_REMEDIES = {
    (True, True): " Put the rows with a `rater` into a separate file; give it as `ratings`.",
    (True, False): "",
    (False, True): " Name the `rater` in every row of an answer that has several.",
    (False, False): " Several raters? Add a column `rater`.",
}
_READ = frozenset(
    {*RECORD_FIELDS, *QUESTION_FIELDS, "output", "generator", "dataset"}
    | {RATINGS, RATER, "score", "error", "inclusion", "doc", "doc_id"}
)


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer with its score; what is not known is None.

    Attributes:
        id: Unique within the file.
        score: A judge's score, or None when the answer is unscored.
        error: Why it is unscored.
        rating, rating_min, rating_max, model, category, instruction, response, reference, messages,
            raters: As in ``Record``.
        inclusion: Probability with which the answer was chosen for rating.
    """

    id: str
    score: float | None = None
    error: str | None = None
    rating: float | None = None
    rating_min: float | None = None
    rating_max: float | None = None
    model: str | None = None
    category: str | None = None
    instruction: str | None = None
    response: str | None = None
    reference: str | None = None
    messages: tuple[Turn, ...] | None = None
    raters: tuple[GivenRating, ...] | None = None
    inclusion: float | None = None

    @property
    def question(self) -> str | None:
        """What was asked, as one text: the instruction, or the whole conversation."""
        return self.instruction if self.messages is None else as_text(self.messages)

    @property
    def quality(self) -> float | None:
        """The rating on 0..9, or as given where its scale is unknown."""
        if self.rating is None:
            return None
        return rescaled(self.rating, self.rating_min, self.rating_max)

    def row(self) -> dict[str, Any]:
        """Its fields, as in a scores file."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.messages is not None:
            found["messages"] = messages_of(self.messages)
        if self.raters is not None:
            found["raters"] = [one._asdict() for one in self.raters]
        return found

    def with_score(self, score: float) -> Scored:
        """The same answer with another judge's score."""
        return replace(self, score=score, error=None)


class ScoredRows:
    """The scored, or the rated and the chosen answers of a file or of rows in memory.

    Iterated over once, it gives each answer with its place and its row; memory does not grow with
    the file. Repeated ids are not looked for.

    Args:
        source: A file (a ``Path``), or rows in memory.
        scale: The scale of ratings that come without one, and what stands for no rating.
        score: Whether the rows are scored answers; else they are ratings.
        more: Fields of the rows that are needed beside those of a scored answer.

    Raises:
        DataError: Naming file, place and field, if a row is no such answer, or none has a score
            (or a rating).
    """

    def __init__(
        self,
        source: Any,
        scale: ScaleOptions,
        *,
        score: bool,
        more: frozenset[str] = frozenset(),
    ) -> None:
        self.path = source if isinstance(source, Path) else None
        self._source, self._scale, self._score, self._more = source, scale, score, more
        self._notices = Notices()
        self._outside, self._first_outside = 0, ""
        self._by_rater = False

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any], Scored]]:
        path, notices, scale = self.path, self._notices, self._scale
        how = ReadOptions(scale=scale.scale, missing_rating=scale.missing_rating)
        rows = (
            rows_of(self._source) if path is None
            else iter_rows(path, fields=_READ | self._more, options=how, notices=notices)
        )  # fmt: skip
        if not self._score:
            rows = one_row_an_answer(rows, path=path, scale=scale, notices=notices)
        first = next(rows, None)
        if first is None:
            raise DataError("holds no rows.", path=path)
        shown = None if path is None else printable(path)
        columns = first[1].keys()
        names = {} if "response" in columns else alpaca_eval_names(columns, {})
        found = False  # a score, or a reason why there is none; a rating
        for place, row in chain([first], rows):
            values = self._values(row, place, shown, names)
            if not self._score and values.keys().isdisjoint(("rating", "inclusion")):
                continue
            answer = Scored(**values)
            if self._score:
                found = found or answer.score is not None or answer.error != _NO_SCORE
            else:
                found = found or answer.rating is not None
            yield place, row, answer
        if not found:
            raise self._nothing([*columns])

    def _values(
        self, row: Mapping[str, Any], place: str, shown: str | None, names: Mapping[str, str]
    ) -> dict[str, Any]:
        """The fields of a ``Scored`` in one row."""
        if isinstance(row.get("doc"), dict) and "doc_id" in row:  # lm-eval's samples
            row = {"id": row["doc_id"], **row["doc"], "score": row.get("score")}
        self._by_rater = self._by_rater or not is_missing(row.get(RATER))
        row = with_rating(row, self._scale, self._notices, path=shown, place=place)
        row, off = without_off_scale(row)
        if off and not self._outside:
            self._first_outside = f"{place}: {off[0]}"
        self._outside += len(off)
        values = checked_fields(
            row,
            required=("id",),
            numbers=("score", "inclusion") if self._score else ("inclusion",),
            names=names or None,
            path=shown,
            place=place,
            notices=self._notices,
        )
        error = row.get("error")
        if values.get("score") is None:
            values["error"] = error if isinstance(error, str) and error else _NO_SCORE
        return values

    def _nothing(self, columns: list[str]) -> DataError:
        if self._score:
            have = ", ".join(map(str, columns))
            message = f"no row has a score; the first has: {have}. Make scores with `selfj score`."
            return DataError(message, path=self.path, field="score")
        name, message = on_no_rating(columns)
        if self._outside:
            first = self._first_outside
            name, message = "rating", f"no rating is on its scale; first {first}. Correct one."
        return DataError(message, path=self.path, field=name)

    @property
    def remedy(self) -> str:
        """What to do if an id occurs twice, once all rows are read."""
        return _REMEDIES[self._score, self._by_rater]

    def warnings(self) -> list[str]:
        """What did not fit together, as sentences, once all rows are read."""
        self._notices.forget(EMPTY_ANSWERS)  # known since they were scored
        warnings = self._notices.sentences()
        if self._outside:
            first = self._first_outside
            place = first if self.path is None else f"{printable(self.path)}, {first}"
            much = f"{counted(self._outside, 'rating')} outside the scale skipped"
            warnings.append(f"{much}; first {place}")
        return warnings
