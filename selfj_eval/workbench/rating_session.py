"""What comes next, what is taken back: the state of a page on which people rate."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from selfj_eval.errors import DataError
from selfj_eval.records.texts import is_unicode
from selfj_eval.workbench.rating_file import Given, RatingFile, ToRate

LONGEST_NAME = 60
LONGEST_COMMENT = 10_000


class Progress(NamedTuple):
    """How far a person is.

    Attributes:
        rated, skipped: Answers.
        total: Answers to rate.
    """

    rated: int
    skipped: int
    total: int


class RatingSession:
    """Several people who rate the answers of one file, from several windows and threads.

    A position counts the answers to rate from 0; those of a plan's pilot are not among them.

    Attributes:
        answers: To rate, in their order.
        values: The ratings that may be given, from the lowest.
        piloted: Whether there is a pilot.
    """

    def __init__(self, file: RatingFile) -> None:
        self.answers = tuple(answer for answer in file.answers if answer.rating is None)
        self.piloted = len(self.answers) < len(file.answers)
        low, high = file.scale
        self.values = tuple(range(int(low), int(high) + 1))
        self._file = file
        self._at = {key_of(answer): k for k, answer in enumerate(self.answers)}
        self._done = defaultdict[str, list[tuple[str, Given | None]]](list)
        self._lock = threading.Lock()

    @property
    def raters(self) -> list[str]:
        """Everybody who has rated or skipped an answer, in the order of the first."""
        return list(dict.fromkeys(rater for rater, _ in list(self._file.given)))

    def given(self, rater: str, position: int) -> Given | None:
        """What a person has said of the answer at a position."""
        return self._file.given.get((rater, self.answers[position].id))

    def progress(self, rater: str) -> Progress:
        """How far a person is."""
        own = [one for (who, _), one in list(self._file.given.items()) if who == rater]
        skipped = sum(one.rating is None for one in own)
        return Progress(len(own) - skipped, skipped, len(self.answers))

    def following(self, rater: str, after: int = -1) -> int | None:
        """The next answer without a rating that was not skipped; from the start after the last.

        Args:
            rater: Who rates.
            after: A position.

        Returns:
            Its position; None where there is none left.
        """
        order = (*range(after + 1, len(self.answers)), *range(after + 1))
        return next((k for k in order if self.given(rater, k) is None), None)

    def skipped(self, rater: str, after: int = -1) -> int | None:
        """The next answer that was skipped; None after the last."""
        return next((k for k in self._skipped(rater) if k > after), None)

    def rate(self, rater: str, key: str, rating: float | None, comment: str) -> int:
        """Keep a rating; when this returns, it is on the disk.

        Args:
            rater: Who rates.
            key: The answer's, as ``key_of`` gives it.
            rating: None to skip the answer.
            comment: May be empty.

        Returns:
            The answer's position.

        Raises:
            DataError: If there is no such answer, the rating is not on the scale, or the comment is
                too long or no text.
            StoreError: If the file cannot be written; then nothing has changed.
        """
        if key not in self._at:
            raise DataError("this answer can no longer be rated; reload the page.")
        if rating is not None and rating not in self.values:
            ends = f"{self.values[0]} to {self.values[-1]}"
            raise DataError(f"{rating:g} is no whole number from {ends}.", field="rating")
        if len(comment) > LONGEST_COMMENT:
            raise DataError(f"has more than {LONGEST_COMMENT:,} characters.", field="comment")
        if not is_unicode(comment):  # the file could not hold it
            message = "holds half of a surrogate pair, which is not valid Unicode text."
            raise DataError(message, field="comment")
        position = self._at[key]
        own = self.answers[position].id
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            before = self._file.given.get((rater, own))
            if before is None or (before.rating, before.comment) != (rating, comment):
                self._file.put(Given(own, rater, rating, comment, now))
                self._done[rater].append((own, before))
        return position

    def undo(self, rater: str) -> tuple[int, Given] | None:
        """Take back what a person did last, also before this session.

        Returns:
            The answer's position, and what was taken back; None where there is nothing.

        Raises:
            StoreError: If the file cannot be written; then nothing has changed.
        """
        with self._lock:
            done = self._done[rater]
            # A rating that was changed keeps its place among the others: only `at` says when.
            earlier = [one for (who, _), one in reversed(self._file.given.items()) if who == rater]
            if not done and not earlier:
                return None
            own, before = done[-1] if done else (max(earlier, key=lambda one: one.at).id, None)
            undone = self._file.given[rater, own]
            if before is None:
                self._file.take_back(rater, own)
            else:
                self._file.put(before)
            if done:
                done.pop()
        position = next(k for k, answer in enumerate(self.answers) if answer.id == own)
        return position, undone

    def _skipped(self, rater: str) -> Iterator[int]:
        for k in range(len(self.answers)):
            given = self.given(rater, k)
            if given is not None and given.rating is None:
                yield k


def key_of(answer: ToRate) -> str:
    """What a page calls an answer: not its id, which may hold the model's name.

    It follows from the texts, so that a page that was opened before the command was started anew
    cannot rate another answer than it shows.
    """
    texts = "\0".join((answer.id, answer.question, answer.response))
    return hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def name_of(rater: str) -> str:
    """A person's name as it is kept.

    Raises:
        DataError: If it is empty, too long, or not printable.
    """
    name = " ".join(unicodedata.normalize("NFC", rater).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        message = f"a name has 1 to {LONGEST_NAME} characters, got {rater!r:.80}."
        raise DataError(message, field="rater")
    return name
