"""Similarity of answer and reference: of their sentence embeddings, or of their words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selfj_eval.jobs.arguments import items
from selfj_eval.raters.base import MeasureOutcome, StoredRater
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import reason_not_text
from selfj_eval.storage.store import Measure, MeasureStore

if TYPE_CHECKING:
    from selfj_eval.engines.models.embedder import Embedder

_PORTION = 256
"""Records that are embedded and kept together: what a kill may lose."""


class CosineRater(StoredRater):
    """Cosine of the sentence embeddings of answer and reference, in [-1, 1].

    The z2 of Self-J (arXiv 2409.00935, section 3), and the row "Cosine" of its table. An empty
    answer has the similarity 0 (``Embedder.similarity``).

    Args:
        embedder: The embedding model.
        store: Where similarities are looked up and kept.
    """

    def __init__(self, embedder: Embedder, *, store: MeasureStore | None = None) -> None:
        super().__init__({"embedder": embedder.identity}, reference=True, store=store)
        self._embedder = embedder

    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Similarities; answers to compare with the same reference are embedded together."""
        order = sorted(range(len(records)), key=lambda at: records[at].reference or "")
        for start in range(0, len(order), _PORTION):
            places = order[start : start + _PORTION]
            pairs = [(records[at].response, records[at].reference or "") for at in places]
            similar = self._embedder.similarity(pairs)
            rows = zip(places, similar.cosine.tolist(), similar.trimmed.tolist(), strict=True)
            yield {at: MeasureOutcome(Measure(cosine, trimmed)) for at, cosine, trimmed in rows}


class TfidfRater:
    """Cosine of the TF-IDF vectors of answer and reference, in [0, 1]: words in common.

    How much a word weighs is taken from the answers and references that are rated together
    (each text once), so they have to be given together, and nothing can be kept; or from others
    (``fitted``). Words are runs of letters and digits, single ones too, in lower case; an answer
    without any has the similarity 0.
    """

    def __init__(self) -> None:
        self.from_store = 0
        self.failed = 0
        self._words: Any = None  # fitted; False where the records have no words

    def fitted(self, records: Iterable[Record]) -> TfidfRater:
        """A rater whose words weigh what they do in these records, whatever it rates."""
        given = items(records, Record, "fitted()")
        return self.prepare(lambda: [given])

    def prepare(
        self,
        windows: Callable[[], Iterable[Sequence[Record]]],
        *,
        progress: Progress | None = None,
    ) -> TfidfRater:
        """A rater that has weighed the words of all records, and may be given any portions."""
        if self._words is not None:
            return self
        other = TfidfRater()
        other._words = _weighed(windows(), progress)
        return other

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores."""
        from importlib.metadata import version

        return {"rater": "TfidfRater", "reference": True, "scikit-learn": version("scikit-learn")}

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records, which together decide the weights of words."""
        import numpy as np

        records = items(records, Record, "judge()")
        errors = [_reason(record) for record in records]
        kept = [r for r, error in zip(records, errors, strict=True) if error is None]
        scores: dict[int, float] = {}
        vectorizer = _weighed([kept]) if self._words is None else self._words
        if kept and vectorizer:
            left = vectorizer.transform([record.response for record in kept])
            right = vectorizer.transform([record.reference or "" for record in kept])
            cosine = np.asarray(left.multiply(right).sum(axis=1)).ravel()
            scores = dict(enumerate(np.clip(cosine, 0.0, 1.0).tolist()))
        if progress is not None:
            progress(len(records))
        judgments, place = [], 0
        for record, error in zip(records, errors, strict=True):
            if error is not None:
                judgments.append(Judgment(record.id, None, None, None, error))
                continue
            judgments.append(Judgment(record.id, scores.get(place, 0.0), None, None, None, True))
            place += 1
        return judgments


def _weighed(windows: Iterable[Sequence[Record]], progress: Progress | None = None) -> Any:
    """The words of answers and references, each text once, weighed; False without any word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\w+")
    try:
        return vectorizer.fit(_texts(windows, progress))
    except ValueError:  # an empty vocabulary
        return False


def _texts(windows: Iterable[Sequence[Record]], progress: Progress | None) -> Iterator[str]:
    seen = set[bytes]()
    for window in windows:
        readable = (record for record in window if _reason(record) is None)
        for text in (t for r in readable for t in (r.response, r.reference or "")):
            own = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if own not in seen:
                seen.add(own)
                yield text
        if progress is not None:
            progress(len(window))


def _reason(record: Record) -> str | None:
    if record.reference is None:
        where = f"{record.where}: " if record.where else ""
        return f"{where}has no reference, which this rater compares answers with."
    return reason_not_text(record)
