"""Variation ratio for the original prediction: is the answer what the model would say again?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from selfj_eval.generation.answering import AnswerOutcome, answers_to, key
from selfj_eval.generation.base import Generator
from selfj_eval.generation.options import PROMPTS, Sampling
from selfj_eval.jobs.arguments import items
from selfj_eval.raters.base import MeasureOutcome, StoredRater
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.storage.store import AnswerStore, Measure, MeasureStore

if TYPE_CHECKING:
    from selfj_eval.engines.models.embedder import Embedder

_METHOD = 1  # raise when the same answer and samples would get another number
_TOGETHER = 64  # instructions that are sampled together
_PAIRS = 8192  # of answer and sample that are embedded and kept together


class VroRater(StoredRater):
    """How alike an answer is to others that its model gives: mean cosine, in [-1, 1].

    The answering model is asked the instruction n times more, and the answer is compared with
    what it says. High: the model says about the same each time, so it is sure. The variation ratio
    for the original prediction of Huang et al., "Look Before You Leap" (arXiv 2307.10236),
    turned round (similarity in place of distance), with the cosine of sentence embeddings; the row
    "VRO" of Self-J's table. It says something of answers of ``generator`` only.

    An empty answer is unscored: nothing can be like it. An empty sample has the similarity 0
    (``Embedder.similarity``).

    Args:
        generator: The answering model.
        embedder: The embedding model.
        sampling: How many answers are drawn, and how. More than one, and a temperature above 0,
            or they say nothing of how sure the model is.
        answers: Where the samples are looked up and kept, so that other answers of the same model
            cost nothing. Without, they are kept for one window of records only.
        store: Where numbers are looked up and kept.
    """

    def __init__(
        self,
        generator: Generator,
        embedder: Embedder,
        *,
        sampling: Sampling,
        answers: AnswerStore | None = None,
        store: MeasureStore | None = None,
    ) -> None:
        model = {f"answering {name}": value for name, value in generator.identity.items()}
        identity = {
            **model,
            "prompt": generator.prompt,
            "prompt text": PROMPTS[generator.prompt],
            "sampling": json.dumps(asdict(sampling)),
            "samples": key(generator, "", sampling).hex(),  # holds how answers are made, too
            "embedder": embedder.identity,
            "method": str(_METHOD),
        }
        super().__init__(identity, store=store)
        self._generator, self._embedder = generator, embedder
        self._sampling, self._answers = sampling, answers
        self._together: dict[str, tuple[str, ...]] = {}

    def reason(self, record: Record) -> str | None:
        """Why a record cannot be rated, or None."""
        if reason := super().reason(record):
            return reason
        if record.response.strip():
            return None
        where = f"{record.where}, " if record.where else ""
        return f"{where}field 'response': is empty, so no other answer can be similar to it."

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records; those with the same instruction are compared with the same samples."""
        records = items(records, Record, "judge()")
        # What is sampled together decides the random numbers, so it must not depend on what is
        # in a store: a run that was interrupted gives the numbers of one that was not.
        texts = list(dict.fromkeys(r.question for r in records if self.reason(r) is None))
        with self._lock:
            for start in range(0, len(texts), _TOGETHER):
                group = tuple(texts[start : start + _TOGETHER])
                self._together |= dict.fromkeys(group, group)
            try:
                return super().judge(records, progress=progress)
            finally:
                self._together = {}

    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Similarities, a group of instructions after the other."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, record in enumerate(records):
            alone = (record.question,)
            groups.setdefault(self._together.get(record.question, alone), []).append(place)
        portion = max(1, _PAIRS // self._sampling.n)
        for group, places in groups.items():
            drawn = answers_to(self._generator, group, self._sampling, store=self._answers)
            found = dict(zip(group, drawn, strict=True))
            places.sort(key=lambda at: group.index(records[at].question))
            for start in range(0, len(places), portion):
                part = places[start : start + portion]
                yield self._compared(
                    [(at, records[at], found[records[at].question]) for at in part]
                )

    def _compared(
        self, part: Sequence[tuple[int, Record, AnswerOutcome]]
    ) -> dict[int, MeasureOutcome]:
        """Outcomes by place, of records with what the model was found to say."""
        failed = [
            (at, f"the model gave no other answers: {d.error}") for at, _, d in part if d.error
        ]
        whole = [(at, record.response, d.answers) for at, record, d in part if not d.error]
        # The last pair of a record tells how much of its answer is not read.
        pairs = [
            (response, text)
            for _, response, samples in whole
            for text in (*(sample.text for sample in samples), "")
        ]
        similar = self._embedder.similarity(pairs)
        shape = (len(whole), self._sampling.n + 1)
        means = similar.cosine.reshape(shape)[:, :-1].mean(axis=1).tolist()
        unread = similar.trimmed.reshape(shape)[:, -1].tolist()
        rows = zip(whole, means, unread, strict=True)
        return {at: MeasureOutcome(None, reason) for at, reason in failed} | {
            at: MeasureOutcome(Measure(mean, tokens)) for (at, _, _), mean, tokens in rows
        }
