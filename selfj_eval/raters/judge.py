"""From records to judgments: prompts, what is stored already, the backend, the scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.labels import Expected, expected_score
from selfj_eval.prompts.templates import Prompt, PromptTemplate
from selfj_eval.raters.prompting import PromptJudge
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import answers_in, reason_not_text
from selfj_eval.storage.store import Stored


def reason_unjudgeable(
    template: PromptTemplate,
    record: Record,
    *,
    allow_markers: bool = False,
    field: str = "response",
) -> str | None:
    """Why a record must not be given to a judge, or None.

    Args:
        template: The prompt template it would be put into.
        record: The record.
        allow_markers: Judge an answer although it holds text of the prompt template.
        field: What the response is called where it comes from, such as ``response_a``.
    """
    if reason := reason_not_text(record, field=field):
        return reason
    where = f"{record.where}, " if record.where else ""
    if template.without_reference is None and record.reference is None:
        return (
            f"{where}field 'reference': missing, and the template {template.name} needs one; give "
            "it `without_reference`, too."
        )
    for name, text in () if allow_markers else answers_in(record):
        if (marker := template.marker_in(text)) is not None:
            name = field if name == "response" else name
            return (
                f"{where}field {name!r}: holds {marker}, with which an answer can dictate its "
                "score; remove it, or judge it anyway with `allow_markers`."
            )
    return None


class Judge(PromptJudge[Record]):
    """A judge model with its prompt.

    Several threads may use one, with one store; there is one forward pass at a time.

    Args:
        backend: The loaded model.
        template: The prompt template, or its name or file; by default the backend's.
        rubric: What answers are judged by, or its file (docs/templates.md), for a template that
            shows it. Of several criteria each is asked for, and the score is their weighted mean.
        reference: Show the judge the reference of the records that have one.
        max_tokens: Longest prompt; a longer one is cut in the middle of its texts
            (``prompts.templates.fit_prompt``). By default the backend's limit.
        allow_markers: Also judge answers that contain text from the prompt template.
        store: Where finished judgments are looked up and kept.

    Attributes:
        context: Hash of everything that decides a judgment, except the record: 32 bytes.
        from_store: How many of the records judged so far had their judgment in the store.
        failed: For how many the backend gave no score; trying again may help.
        prompts, tokens: How many prompts the model was given so far, and their tokens.

    Example:
        >>> from selfj_eval import Judge, Record
        >>> judge = Judge.load("demo")
        >>> judgment, = judge.judge([Record("1", "What is 2 + 3?", "2 + 3 = 5")])
        >>> 0 <= judgment.score <= 9
        True
    """

    pairwise = False

    def reason(self, record: Record) -> str | None:
        """Why a record must not be judged, or None."""
        shown = record if self._reference(record) else replace(record, reference=None)
        reasons = (
            reason_unjudgeable(form.template, shown, allow_markers=self.allow_markers)
            for form in self._forms
        )
        return next((reason for reason in reasons if reason is not None), None)

    def key(self, record: Record, criterion: int = 0) -> bytes:
        """Key of a record's judgment in a store: 32 bytes, by content, not by id or position.

        Args:
            record: The record.
            criterion: Which of the rubric's.
        """
        texts = (record.question, record.response, self._reference(record))
        return self._forms[criterion].key(*texts)

    def prompt(self, record: Record, criterion: int = 0) -> Prompt:
        """The prompt that the judge is given for a record. Arguments as for ``key``."""
        texts = (record.question, record.response, self._reference(record))
        return self._fitted(self._forms[criterion], *texts)

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
            TypeError: If ``records`` is not an iterable of ``Record``.
            StoreError: If the store keeps something else under a record's key.
        """
        records = items(records, Record, "judge()")
        errors = [self.reason(record) for record in records]
        outcomes = self._outcomes(records, errors, len(self._forms), progress)
        return self._judgments(records, errors, outcomes)

    def _reference(self, record: Record) -> str | None:
        return self._shown(record.reference)

    def _judgments(
        self,
        records: Sequence[Record],
        errors: Sequence[str | None],
        outcomes: Sequence[tuple[Stored | None, str | None]],
    ) -> list[Judgment]:
        """The judgments of records, of which each has as many outcomes as there are criteria."""
        count = len(self._forms)
        known = self._rows([own for own, _ in outcomes])
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
            which = f"criterion {names[at]}: " if names else ""
            reason = outcomes[at][1] or self._no_label()
            return replace(judgment, error=f"{where}{which}{reason}")
        mass = float(expected.digit_mass.min())  # of the criterion that is to be trusted least
        if self.rubric is not None and names:
            score = self.rubric.weighted([score for score in scores if score is not None])
            return replace(judgment, score=score, digit_mass=mass)
        probabilities = tuple(expected.probabilities[0].tolist())
        return replace(judgment, score=scores[0], digit_mass=mass, probabilities=probabilities)
