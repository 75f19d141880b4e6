"""From records to judgments: prompts, what is stored already, the backend, the scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np

from selfj_eval.engines.base import Backend
from selfj_eval.engines.open_engine import open_backend
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import JudgeError
from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.labels import DIGITS, expected_score
from selfj_eval.prompts.templates import (
    CUT,
    DEFAULT_TEMPLATE,
    Prompt,
    PromptTemplate,
    fit_prompt,
    get_template,
)
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import answers_in, reason_not_text
from selfj_eval.storage.resume import resume
from selfj_eval.storage.store import JudgmentStore, Stored

_TRIMMING = 1  # raise when fit_prompt changes what it makes of the same input
WINDOW = 4096
"""Records whose prompts are tokenized and sorted together."""

_NO_DIGIT = (
    "the judge gave no finite probability to any digit; try `dtype` float32, and check that the "
    "weights belong to a judge."
)


def reason_unjudgeable(
    template: PromptTemplate, record: Record, *, allow_markers: bool = False
) -> str | None:
    """Why a record must not be given to a judge, or None.

    Args:
        template: The prompt template it would be put into.
        record: The record.
        allow_markers: Judge an answer although it holds text of the prompt template.
    """
    if reason := reason_not_text(record):
        return reason
    where = f"{record.where}, " if record.where else ""
    for name, text in () if allow_markers else answers_in(record):
        if (marker := template.marker_in(text)) is not None:
            return (
                f"{where}field {name!r}: holds {marker}, with which an answer can dictate its "
                "score; remove it, or judge it all the same with `allow_markers`."
            )
    return None


class Judge:
    """A judge model with its prompt.

    Several threads may use one, with one store; there is one forward pass at a time.

    Args:
        backend: The loaded model.
        template: Name of the prompt template.
        reference: Show the judge the reference of the records that have one.
        max_tokens: Longest prompt; what is longer is cut in the middle of its texts
            (``prompts.templates.fit_prompt``). By default the backend's limit.
        allow_markers: Judge answers that hold text of the prompt template.
        store: Where finished judgments are looked up and kept.

    Attributes:
        context: Hash of all that decides a judgment but the record: 32 bytes.
        from_store: How many of the records judged so far had their judgment in the store.
        failed: For how many the backend gave no score, which it may the next time.

    Example:
        >>> from selfj_eval import Judge, Record
        >>> judge = Judge.load("demo")
        >>> judgment, = judge.judge([Record("1", "What is 2 + 3?", "2 + 3 = 5")])
        >>> 0 <= judgment.score <= 9
        True
    """

    def __init__(
        self,
        backend: Backend,
        *,
        template: str = DEFAULT_TEMPLATE,
        reference: bool = True,
        max_tokens: int | None = None,
        allow_markers: bool = False,
        store: JudgmentStore | None = None,
    ) -> None:
        self.backend = backend
        self.template = get_template(template)
        self.reference = reference
        self.max_tokens = backend.max_tokens if max_tokens is None else max_tokens
        if not 0 < self.max_tokens <= backend.max_tokens:
            raise JudgeError(
                f"max_tokens must be in 1..{backend.max_tokens} for this judge, got {max_tokens}."
            )
        # An over-long record, to fail now rather than at the first one if the budget is too small.
        probe = "x " * self.max_tokens
        fit_prompt(
            self.template, probe, "", "", tokenize=backend.tokenize, max_tokens=self.max_tokens
        )
        self.allow_markers = allow_markers
        self.store = store
        self.from_store = 0
        self.failed = 0
        self._counting = Lock()
        self.context = hashlib.sha256(
            json.dumps(
                [
                    dict(sorted(backend.identity.items())),
                    self.template.with_reference,
                    self.template.without_reference,
                    self.max_tokens,
                    _TRIMMING,
                    CUT,
                ]
            ).encode()
        ).digest()

    @classmethod
    def load(
        cls,
        model: str,
        *,
        reference: bool = True,
        store: JudgmentStore | None = None,
        **options: Any,
    ) -> Judge:
        """Load a judge.

        Args:
            model: ``demo`` (embedded), a model folder, a hub id such as ``oceanpty/Self-J``, or
                with the engine ``openai`` the model's name at the server.
            reference, store: As for ``Judge``.
            **options: Those of ``engines.options.JudgeOptions``: adapter, template, max_tokens,
                allow_markers, revision, dtype, device, batch_tokens, trust_remote_code, engine,
                engine_args. By default the template is the judge's own: ``sections`` for an
                encoder, ``self-j`` for others.

        Raises:
            DataError: If an option is unknown or wrong.
            JudgeError: If the judge cannot be loaded whole and safely.
        """
        return cls.open(model, JudgeOptions.of(options), reference=reference, store=store)

    @classmethod
    def open(
        cls,
        model: str,
        options: JudgeOptions,
        *,
        reference: bool = True,
        store: JudgmentStore | None = None,
    ) -> Judge:
        """Load a judge with given options; the rest is as for ``load``."""
        opened = open_backend(model, options)
        return cls(
            opened.backend,
            template=opened.template,
            reference=reference,
            max_tokens=options.max_tokens,
            allow_markers=options.allow_markers,
            store=store,
        )

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        return {
            "template": self.template.name,
            "reference": self.reference,
            "max_tokens": self.max_tokens,
            "identity": dict(self.backend.identity),
        }

    def reason(self, record: Record) -> str | None:
        """Why a record must not be judged, or None."""
        return reason_unjudgeable(self.template, record, allow_markers=self.allow_markers)

    def key(self, record: Record) -> bytes:
        """Key of a record's judgment in a store: 32 bytes, by content, not by id or place."""
        texts = [record.question, record.response, self._reference(record)]
        return hashlib.sha256(self.context + json.dumps(texts).encode()).digest()

    def prompt(self, record: Record) -> Prompt:
        """The prompt that the judge is given for a record."""
        return fit_prompt(
            self.template,
            record.question,
            record.response,
            self._reference(record),
            tokenize=self.backend.tokenize,
            max_tokens=self.max_tokens,
        )

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Judge records.

        Args:
            records: The records. All of them are held in memory; give a large set in parts.
            progress: Called as records finish; stored and unjudgeable ones count at once.

        Returns:
            One judgment per record, in the order of the records.

        Raises:
            TypeError: If ``records`` is no iterable of ``Record``.
        """
        records = items(records, Record, "judge()")
        errors = [self.reason(record) for record in records]
        keys = [b"" if error else self.key(r) for r, error in zip(records, errors, strict=True)]
        reasons: dict[bytes, str] = {}

        def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, Stored]]:
            return self._run({key: records[at] for key, at in left.items()}, reasons)

        finished, stored = resume(keys, self.store, run, progress)
        with self._counting:
            self.from_store += stored
        outcomes = [(finished.get(key), reasons.get(key)) for key in keys]
        return self._judgments(records, errors, outcomes)

    def _run(
        self, pending: dict[bytes, Record], reasons: dict[bytes, str]
    ) -> Iterator[dict[bytes, Stored]]:
        """Judge what is not stored yet; yields what has been finished and stored.

        Args:
            pending: The records, by key.
            reasons: Gets why a key has no score, where the backend says.
        """
        keys = list(pending)
        for start in range(0, len(keys), WINDOW):
            window, prompts = [], []
            for key in keys[start : start + WINDOW]:
                try:
                    prompts.append(self.prompt(pending[key]))
                except JudgeError as error:  # the tokenizer gives up on a text
                    reasons[key] = str(error)
                    yield {key: Stored((math.nan,) * len(DIGITS), 0)}
                else:
                    window.append(key)
            for batch in self.backend.score([prompt.text for prompt in prompts]):
                done = {
                    window[i]: Stored(tuple(row.tolist()), prompts[i].trimmed_tokens)
                    for i, row in zip(batch.indices, batch.log_probabilities, strict=True)
                }
                if self.store is not None:
                    # What could not be scored is tried again by the next run.
                    scores = expected_score(batch.log_probabilities).score
                    good = [i for i, s in zip(batch.indices, scores, strict=True) if s == s]
                    self.store.put({window[i]: done[window[i]] for i in good})
                reasons |= {window[i]: reason for i, reason in batch.reasons.items()}
                yield done

    def _reference(self, record: Record) -> str | None:
        return record.reference if self.reference else None

    def _judgments(
        self,
        records: Sequence[Record],
        errors: Sequence[str | None],
        outcomes: Sequence[tuple[Stored | None, str | None]],
    ) -> list[Judgment]:
        scored = [stored.log_probabilities for stored, _ in outcomes if stored is not None]
        expected = zip(*expected_score(scored or np.empty((0, 10))), strict=True)
        judgments, failed = [], 0
        for record, error, (stored, reason) in zip(records, errors, outcomes, strict=True):
            if stored is None:
                judgments.append(Judgment(record.id, None, None, None, error=error))
                continue
            score, probabilities, mass = next(expected)
            used = self._reference(record) is not None
            trimmed = stored.trimmed_tokens
            if math.isnan(score):
                failed += 1
                where = f"{record.where}: " if record.where else ""
                error = where + (reason or _NO_DIGIT)
                judgments.append(Judgment(record.id, None, None, None, error, used, trimmed))
            else:
                digits = tuple(probabilities.tolist())
                judgments.append(
                    Judgment(record.id, float(score), float(mass), digits, None, used, trimmed)
                )
        with self._counting:
            self.failed += failed
        return judgments
