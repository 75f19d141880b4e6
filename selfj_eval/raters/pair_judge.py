"""Which of two answers is better: asked in both orders, since judges like what stands first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import items
from selfj_eval.metrics import PositionBias, position_bias
from selfj_eval.prompts.labels import Expected, expected_score, preference
from selfj_eval.prompts.templates import Prompt
from selfj_eval.raters.judge import reason_unjudgeable
from selfj_eval.raters.open_rater import Stores, keeping
from selfj_eval.raters.prompting import PromptJudge
from selfj_eval.raters.protocol import Progress
from selfj_eval.raters.taken_options import refuse_loaded
from selfj_eval.records.pairs import Pair, PairJudgment
from selfj_eval.storage.store import Stored


class PairJudge(PromptJudge[Pair]):
    """A judge model that is shown two answers and says which is better.

    Each pair is judged in both orders. The preference is the mean of the two, so that a judge that
    always takes the first answer prefers neither. Everything else is as for ``Judge``: trimming,
    texts of the prompt in an answer, the store, threads.

    Args:
        backend: The loaded model.
        template: A prompt template with two answers, or its name or file; by default the backend's.
        rubric, reference, max_tokens, allow_markers, store: As for ``Judge``; a rubric has one
            criterion at most.

    Attributes:
        context, failed, prompts, tokens: As of ``Judge``.
        from_store: How many of the pairs judged so far were in the store.
    """

    pairwise = True
    usual_template = "pairwise"

    def reason(self, pair: Pair) -> str | None:
        """Why a pair must not be judged, or None."""
        template = self._forms[0].template
        for side in "ab":
            answer = pair.answer(side)
            shown = replace(answer, reference=self._shown(answer.reference))
            reason = reason_unjudgeable(
                template, shown, allow_markers=self.allow_markers, field=f"response_{side}"
            )
            if reason is not None:
                return reason
        return None

    def key(self, pair: Pair, order: int = 0) -> bytes:
        """Key of a pair's judgment in a store: 32 bytes, by content and order.

        Args:
            pair: The pair.
            order: 0: A is shown first. 1: B is.
        """
        first, second = self._answers(pair, order)
        return self._forms[0].key(pair.question, first, self._shown(pair.reference), second)

    def prompt(self, pair: Pair, order: int = 0) -> Prompt:
        """The prompt that the judge is given for a pair. Arguments as for ``key``."""
        first, second = self._answers(pair, order)
        texts = (pair.question, first, self._shown(pair.reference), second)
        return self._fitted(self._forms[0], *texts)

    def judge(
        self, pairs: Iterable[Pair], *, progress: Progress | None = None
    ) -> list[PairJudgment]:
        """Judge pairs.

        Args:
            pairs: The pairs. All of them are held in memory.
            progress: Called as pairs finish; stored and unjudgeable ones count at once.

        Returns:
            One judgment per pair, in their order.

        Raises:
            TypeError: If ``pairs`` is not an iterable of ``Pair``.
            StoreError: If the store keeps something else under a pair's key.
        """
        pairs = items(pairs, Pair, "judge()")
        errors = [self.reason(pair) for pair in pairs]
        outcomes = self._outcomes(pairs, errors, 2, progress)
        expected = expected_score(self._rows([own for own, _ in outcomes]), self.template.labels)
        judgments = [
            PairJudgment(pair.id, None, error=error)
            if error is not None
            else self._judgment(
                pair,
                Expected(*(column[2 * at : 2 * at + 2] for column in expected)),
                outcomes[2 * at : 2 * at + 2],
            )
            for at, (pair, error) in enumerate(zip(pairs, errors, strict=True))
        ]
        with self._counting:
            self.failed += sum(
                own.preference is None and not error
                for own, error in zip(judgments, errors, strict=True)
            )
        return judgments

    def _judgment(
        self,
        pair: Pair,
        expected: Expected,
        outcomes: Sequence[tuple[Stored | None, str | None]],
    ) -> PairJudgment:
        """A pair's judgment, from the scores of its two orders."""
        found = preference(expected, self.template.labels)
        a_first, b_first = (None if math.isnan(own) else own for own in found[:2])
        judgment = PairJudgment(
            pair.id,
            None,
            a_first,
            b_first,
            reference_used=self._shown(pair.reference) is not None,
            trimmed_tokens=max(0 if own is None else own.trimmed_tokens for own, _ in outcomes),
        )
        if a_first is None or b_first is None:
            at = 0 if a_first is None else 1
            where = f"{pair.where}: " if pair.where else ""
            why = f"with {'AB'[at]} first: {outcomes[at][1] or self._no_label()}"
            return replace(judgment, error=where + why)
        return replace(judgment, preference=found.mean, label_mass=found.label_mass)

    @staticmethod
    def _answers(pair: Pair, order: int) -> tuple[str, str]:
        """The answer that is shown first, and the other."""
        a, b = pair.response_a or "", pair.response_b or ""
        return (b, a) if order else (a, b)


def bias_of(judgments: Iterable[PairJudgment]) -> PositionBias:
    """Position bias over the pairs that were scored in both orders."""
    both = [
        (own.a_first, own.b_first)
        for own in judgments
        if own.a_first is not None and own.b_first is not None
    ]
    return position_bias([a for a, _ in both], [b for _, b in both])


@contextmanager
def opened_pairwise(
    judge: object,
    options: JudgeOptions,
    *,
    reference: bool = True,
    store: str | Path | None = None,
) -> Iterator[PairJudge]:
    """The judge that a user names, loaded to compare answers; arguments as for ``opened``.

    Raises:
        DataError: If an option says how a judge is loaded that is loaded already.
        JudgeError: If its model cannot be loaded whole and safely.
    """
    with Stores.beside(store) as stores:
        if isinstance(judge, str | Path):
            found = PairJudge.open(str(judge), options, reference=reference, store=stores.judgments)
        else:
            if not isinstance(judge, PairJudge):
                raise DataError(
                    f"{type(judge).__name__} cannot compare two answers; name a model, or give a "
                    "PairJudge."
                )
            refuse_loaded(options, reference)
            found = keeping(judge, stores)
        yield found
