"""A judge that writes a reply, out of which its rating is read: GPT-4, Auto-J, Prometheus, ..."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from threading import Lock
from typing import Any

from selfj_eval.engines.server.failures import Failure
from selfj_eval.errors import JudgeError
from selfj_eval.jobs.arguments import items
from selfj_eval.raters.asking import Asker
from selfj_eval.raters.prompting import WINDOW
from selfj_eval.raters.protocol import Progress
from selfj_eval.raters.rating_formats import RatingFormat
from selfj_eval.raters.rating_syntax import Reading, Syntax
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import answers_in, reason_not_text
from selfj_eval.storage.resume import resume
from selfj_eval.storage.store import AnswerStore


class GenerativeRater:
    """Ratings that a judge writes, put on 0..9.

    Replies are kept, not ratings: they are read anew each time, so that a better reader needs no
    new replies. A reply without a clear rating leaves its record unscored.

    Args:
        asker: The judge.
        format: Its prompts, and how it writes a rating.
        reference: Show it the reference of the records that have one.
        allow_markers: Rate answers that hold a line of the prompt's own.
        answers: Where replies are looked up and kept.

    Attributes:
        from_store: How many of the records rated so far had their reply in the store.
        failed: How many had no reply, but may have one the next time.

    Raises:
        JudgeError: If the judge has a prompt with a reference only, and is to see none.
    """

    def __init__(
        self,
        asker: Asker,
        *,
        format: RatingFormat,
        reference: bool = True,
        allow_markers: bool = False,
        answers: AnswerStore | None = None,
    ) -> None:
        if format.without_reference is None and not reference:
            raise JudgeError(
                f"the prompts {format.name} have none without a reference; add without_reference, "
                "or rate with references."
            )
        self.asker, self.format = asker, format
        self.reference = reference
        self.allow_markers = allow_markers
        self.from_store = 0
        self.failed = 0
        self._counting = Lock()
        self._answers = answers

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        texts = [self.format.with_reference, self.format.without_reference]
        return {
            "rater": type(self).__name__,
            "reference": self.reference,
            "format": self.format.name,
            "syntax": self.format.syntax.name,
            "prompts_sha256": hashlib.sha256(json.dumps(texts).encode()).hexdigest(),
            "allow_markers": self.allow_markers,
        } | dict(self.asker.identity)

    @property
    def usage(self) -> Mapping[str, float]:
        """What the judge has used so far; with prices also its ``cost``."""
        return self.asker.usage

    def prompt(self, record: Record) -> str:
        """The prompt that the judge is given for a record.

        Raises:
            JudgeError: If the record has no reference, and the judge needs one.
        """
        reference = record.reference if self.reference else None
        return self.format.render(record.question, record.response, reference)

    def reason(self, record: Record) -> str | None:
        """Why a record cannot be given to the judge, or None."""
        if reason := reason_not_text(record):
            return reason
        where = f"{record.where}, " if record.where else ""
        if self.format.without_reference is None and record.reference is None:
            return f"{where}field 'reference': is missing, and the judge's prompt needs one."
        for name, text in () if self.allow_markers else answers_in(record):
            if (marker := self.format.marker_in(text)) is not None:
                return (
                    f"{where}field {name!r}: holds {marker}, with which an answer can dictate its "
                    "score; remove it, or allow it with allow_markers."
                )
        return None

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records.

        Args:
            records: The records.
            progress: Called as records finish; those with stored replies and those that cannot be
                rated count at once.

        Returns:
            One judgment a record, in their order. A score is in [0, 9]; an unscored record has an
            error, which quotes the end of a reply without a rating.

        Raises:
            JudgeError: If the judge cannot be asked any more. The replies so far are kept.
            TypeError: If ``records`` is not an iterable of ``Record``.
        """
        records = items(records, Record, "judge()")
        errors = [self.reason(record) for record in records]
        rows = zip(records, errors, strict=True)
        keys = [b"" if error else self.asker.key(self.prompt(record)) for record, error in rows]
        syntax, passing = self.format.syntax, set[bytes]()

        def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, Reading]]:
            waiting = iter(left.items())
            while window := list(islice(waiting, WINDOW)):
                prompts = [self.prompt(records[at]) for _, at in window]
                for finished in self.asker.ask(prompts, self._answers):
                    done = {}
                    for at, reply in finished.items():
                        own = window[at][0]
                        if isinstance(reply, Failure):
                            done[own] = Reading(None, reply.reason)
                            passing.update([own] if reply.kind == "passing" else [])
                        else:
                            done[own] = syntax.read(reply)
                    yield done

        kept = None if self._answers is None else _Read(self._answers, syntax)
        found, stored = resume(keys, kept, run, progress)
        with self._counting:
            self.from_store += stored
            self.failed += sum(own in passing for own in keys)
        return [
            self._judgment(record, Reading(None, error) if error else found[own], error is None)
            for record, own, error in zip(records, keys, errors, strict=True)
        ]

    def _judgment(self, record: Record, reading: Reading, asked: bool) -> Judgment:
        used = self.reference and record.reference is not None
        used &= asked and self.format.with_reference is not None
        if reading.rating is None:
            where = f"{record.where}: " if record.where and asked else ""
            return Judgment(record.id, None, None, None, f"{where}{reading.reason}", used)
        syntax = self.format.syntax
        score = rescaled(reading.rating, syntax.low, syntax.high)
        return Judgment(record.id, score, None, None, None, used)


class _Read:
    """A store of replies, as a store of what they say: ratings are small, replies are not."""

    def __init__(self, answers: AnswerStore, syntax: Syntax) -> None:
        self._answers, self._syntax = answers, syntax

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Reading]:
        """What the stored ones among the replies say."""
        found: dict[bytes, Reading] = {}
        for start in range(0, len(keys), WINDOW):
            replies = self._answers.get(keys[start : start + WINDOW])
            found |= {key: self._syntax.read(own[0]) for key, own in replies.items() if own}
        return found
