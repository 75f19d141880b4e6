"""From records to judgments: prompts, what is stored already, the backend, the scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from selfj_eval.engines.base import Backend
from selfj_eval.engines.open_engine import open_backend, template_of
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import JudgeError, StoreError
from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.labels import Expected, expected_score
from selfj_eval.prompts.rubrics import Rubric, read_rubric
from selfj_eval.prompts.templates import (
    CUT,
    SELF_J,
    Prompt,
    PromptTemplate,
    check_budget,
    fit_prompt,
)
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import answers_in, reason_not_text
from selfj_eval.storage.resume import resume, whole_steps
from selfj_eval.storage.store import JudgmentStore, Stored

_TRIMMING = 1  # raise when fit_prompt changes what it makes of the same input
WINDOW = 4096
"""Records whose prompts are tokenized and sorted together."""

_NO_LABEL = (
    "the judge gave no finite probability to any {label}; try `dtype` float32, and check that the "
    "weights belong to a judge."
)


class _Form(NamedTuple):
    """One question that is asked of each record.

    Attributes:
        template: With the criterion in it, where there are criteria.
        context: Hash of all that decides its judgments but the record: 32 bytes.
    """

    template: PromptTemplate
    context: bytes


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
    if template.without_reference is None and record.reference is None:
        return (
            f"{where}field 'reference': missing, and the template {template.name} needs one; give "
            "it `without_reference`, too."
        )
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
        template: The prompt template, or its name or file; by default the backend's.
        rubric: What answers are judged by, or its file (docs/templates.md), for a template that
            shows it. Of several criteria each is asked for, and the score is their weighted mean.
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
        template: str | PromptTemplate | None = None,
        rubric: str | Path | Rubric | None = None,
        reference: bool = True,
        max_tokens: int | None = None,
        allow_markers: bool = False,
        store: JudgmentStore | None = None,
    ) -> None:
        self.backend = backend
        self.template = template_of(backend, template)
        self.rubric = read_rubric(rubric) if isinstance(rubric, str | Path) else rubric
        self.reference = reference
        self.max_tokens = backend.max_tokens if max_tokens is None else max_tokens
        if not 0 < self.max_tokens <= backend.max_tokens:
            raise JudgeError(
                f"max_tokens must be in 1..{backend.max_tokens} for this judge, got {max_tokens}."
            )
        self._chat = backend.chat if self.template.chat else None
        self._forms = [
            self._form(own) for own in (self.rubric or Rubric()).templates(self.template)
        ]
        contexts = [form.context for form in self._forms]
        several = len(contexts) > 1
        self.context = hashlib.sha256(b"".join(contexts)).digest() if several else contexts[0]
        self.allow_markers = allow_markers
        self.store = store
        self.from_store = 0
        self.failed = 0
        self._counting = Lock()

    def _form(self, template: PromptTemplate) -> _Form:
        """A question, once it is sure that it can be asked.

        Raises:
            JudgeError: If a field has no text, or the budget does not hold the template.
        """
        for name in ("rubric", "criterion"):
            if template.shows(name) and getattr(template, name) is None:
                raise JudgeError(
                    f"the template {template.name} shows {{{name}}}, and there is none: name a "
                    "file with `rubric`."
                )
        tokenize = self.backend.tokenize
        check_budget(template, tokenize=tokenize, max_tokens=self.max_tokens, chat=self._chat)
        decides = [dict(sorted(self.backend.identity.items())), *template.key()[:2]]
        decides += [self.max_tokens, _TRIMMING, CUT, *template.key()[2:]]
        return _Form(template, hashlib.sha256(json.dumps(decides).encode()).digest())

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
            **options: Those of ``engines.options.JudgeOptions``: adapter, template, rubric,
                max_tokens, allow_markers, revision, dtype, device, batch_tokens,
                trust_remote_code, engine, engine_args. By default the template is the judge's own:
                ``sections`` for an encoder, ``self-j`` for others.

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
        return cls(
            open_backend(model, options),
            rubric=options.rubric,
            reference=reference,
            max_tokens=options.max_tokens,
            allow_markers=options.allow_markers,
            store=store,
        )

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        template = self.template
        about: dict[str, Any] = {
            "template": template.name,
            "reference": self.reference,
            "max_tokens": self.max_tokens,
            "identity": dict(self.backend.identity),
        }
        if template.name not in SELF_J:
            asked = json.dumps([form.template.key() for form in self._forms])
            about["template_sha256"] = hashlib.sha256(asked.encode()).hexdigest()
            about["labels"] = dict(zip(template.labels.texts, template.labels.values, strict=True))
            about["scale"] = list(template.labels.scale)
        if self.rubric is not None:
            about["criteria"] = {own.name: own.weight for own in self.rubric.criteria}
        return about

    def reason(self, record: Record) -> str | None:
        """Why a record must not be judged, or None."""
        shown = record if self._reference(record) else replace(record, reference=None)
        reasons = (
            reason_unjudgeable(form.template, shown, allow_markers=self.allow_markers)
            for form in self._forms
        )
        return next((reason for reason in reasons if reason is not None), None)

    def key(self, record: Record, criterion: int = 0) -> bytes:
        """Key of a record's judgment in a store: 32 bytes, by content, not by id or place.

        Args:
            record: The record.
            criterion: Which of the rubric's.
        """
        texts = [record.question, record.response, self._reference(record)]
        form = self._forms[criterion]
        return hashlib.sha256(form.context + json.dumps(texts).encode()).digest()

    def prompt(self, record: Record, criterion: int = 0) -> Prompt:
        """The prompt that the judge is given for a record. Arguments as for ``key``."""
        return fit_prompt(
            self._forms[criterion].template,
            record.question,
            record.response,
            self._reference(record),
            tokenize=self.backend.tokenize,
            max_tokens=self.max_tokens,
            chat=self._chat,
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
            StoreError: If the store keeps something else under a record's key.
        """
        records = items(records, Record, "judge()")
        errors, count = [self.reason(record) for record in records], len(self._forms)
        keys = [
            b"" if error else self.key(record, criterion)
            for record, error in zip(records, errors, strict=True)
            for criterion in range(count)
        ]
        reasons: dict[bytes, str] = {}

        def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, Stored]]:
            asked = {key: (records[at // count], at % count) for key, at in left.items()}
            return self._run(asked, reasons)

        finished, stored = resume(keys, self.store, run, whole_steps(progress, count))
        with self._counting:
            self.from_store += stored // count
        outcomes = [(finished.get(key), reasons.get(key)) for key in keys]
        return self._judgments(records, errors, outcomes)

    def _run(
        self, pending: dict[bytes, tuple[Record, int]], reasons: dict[bytes, str]
    ) -> Iterator[dict[bytes, Stored]]:
        """Judge what is not stored yet; yields what has been finished and stored.

        Args:
            pending: Records and numbers of criteria, by key.
            reasons: Gets why a key has no score, where the backend says.
        """
        keys, labels = list(pending), self.template.labels
        for start in range(0, len(keys), WINDOW):
            window, prompts = [], []
            for key in keys[start : start + WINDOW]:
                try:
                    prompts.append(self.prompt(*pending[key]))
                except JudgeError as error:  # the tokenizer gives up on a text
                    reasons[key] = str(error)
                    yield {key: Stored((math.nan,) * len(labels.texts), 0)}
                else:
                    window.append(key)
            for batch in self.backend.score([prompt.text for prompt in prompts]):
                done = {
                    window[i]: Stored(tuple(row.tolist()), prompts[i].trimmed_tokens)
                    for i, row in zip(batch.indices, batch.log_probabilities, strict=True)
                }
                if self.store is not None:
                    # What could not be scored is tried again by the next run.
                    scores = expected_score(batch.log_probabilities, labels).score
                    good = [i for i, s in zip(batch.indices, scores, strict=True) if s == s]
                    self.store.put({window[i]: done[window[i]] for i in good})
                reasons |= {window[i]: reason for i, reason in batch.reasons.items()}
                yield done

    def _reference(self, record: Record) -> str | None:
        shown = self.reference and self.template.with_reference is not None
        return record.reference if shown else None

    def _judgments(
        self,
        records: Sequence[Record],
        errors: Sequence[str | None],
        outcomes: Sequence[tuple[Stored | None, str | None]],
    ) -> list[Judgment]:
        """The judgments of records, of which each has as many outcomes as there are criteria."""
        count, width = len(self._forms), len(self.template.labels.texts)
        rows = [() if own is None else own.log_probabilities for own, _ in outcomes]
        if any(len(row) not in (0, width) for row in rows):
            raise StoreError(
                f"the store keeps judgments that have not the {width} labels of the template; it "
                "is damaged. Name another file with `store`."
            )
        known = np.array([row or (math.nan,) * width for row in rows]).reshape(-1, width)
        expected = expected_score(known, self.template.labels)
        judgments = []
        for at, (record, error) in enumerate(zip(records, errors, strict=True)):
            if error is not None:
                judgments.append(Judgment(record.id, None, None, None, error=error))
                continue
            own = slice(at * count, (at + 1) * count)
            part = Expected(*(column[own] for column in expected))
            judgments.append(self._judgment(record, part, outcomes[own]))
        with self._counting:
            pairs = zip(judgments, errors, strict=True)
            self.failed += sum(judged.score is None and not error for judged, error in pairs)
        return judgments

    def _judgment(
        self,
        record: Record,
        expected: Expected,
        outcomes: Sequence[tuple[Stored | None, str | None]],
    ) -> Judgment:
        """A record's judgment, from the scores of its criteria."""
        scores = [None if math.isnan(score) else float(score) for score in expected.score]
        names = [own.name for own in self.rubric.criteria] if self.rubric is not None else []
        judgment = Judgment(
            record.id, None, None, None,
            reference_used=self._reference(record) is not None,
            trimmed_tokens=max(0 if own is None else own.trimmed_tokens for own, _ in outcomes),
            criteria=tuple(zip(names, scores, strict=True)) if names else (),
        )  # fmt: skip
        where = f"{record.where}: " if record.where else ""
        if None in scores:
            at = scores.index(None)
            what = "digit" if self.template.name in SELF_J else "label"
            which = f"criterion {names[at]}: " if names else ""
            reason = outcomes[at][1] or _NO_LABEL.format(label=what)
            return replace(judgment, error=f"{where}{which}{reason}")
        mass = float(expected.digit_mass.min())  # of the criterion that is to be trusted least
        if self.rubric is not None and names:
            score = self.rubric.weighted([score for score in scores if score is not None])
            return replace(judgment, score=score, digit_mass=mass)
        probabilities = tuple(expected.probabilities[0].tolist())
        return replace(judgment, score=scores[0], digit_mass=mass, probabilities=probabilities)
