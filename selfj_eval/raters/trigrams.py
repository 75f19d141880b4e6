"""Similarity of answer and reference by runs of three characters: needs no model and no fitting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from selfj_eval.raters.base import MeasureOutcome, StoredRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import Measure

_PORTION = 1024
"""Records whose vectors are held together."""
_BUCKETS = 2**20  # that trigrams are hashed into: two that share one are rare


class TrigramRater(StoredRater):
    """Cosine of the character trigrams of answer and reference, in [0, 1].

    A trigram counts log(1 + its occurrences). Letters in lower case; white space as it is. An
    answer of fewer than three characters has the similarity 0. Longer answers share more with a
    long reference, so the number is not free of length. Each pair is compared alone: nothing is
    taken from other records, unlike in TF-IDF.
    """

    def __init__(self) -> None:
        super().__init__({"scikit-learn": version("scikit-learn")}, reference=True)

    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Similarities, a portion of the records after the other."""
        from sklearn.feature_extraction.text import HashingVectorizer

        vectorizer = HashingVectorizer(
            analyzer="char", ngram_range=(3, 3), norm=None, alternate_sign=False,
            n_features=_BUCKETS,
        )  # fmt: skip
        for start in range(0, len(records), _PORTION):
            part = records[start : start + _PORTION]
            left = _logarithms(vectorizer, [record.response for record in part])
            right = _logarithms(vectorizer, [record.reference or "" for record in part])
            cosine = np.asarray(left.multiply(right).sum(axis=1)).ravel()
            clipped = np.clip(cosine, 0.0, 1.0).tolist()
            yield {at: MeasureOutcome(Measure(value)) for at, value in enumerate(clipped, start)}


def _logarithms(vectorizer: Any, texts: Sequence[str]) -> Any:
    """Vectors of length 1, shape (texts, buckets); of 0 where a text has no trigram."""
    from sklearn.preprocessing import normalize

    counts = vectorizer.transform(texts)
    counts.data = np.log1p(counts.data)
    return normalize(counts)
