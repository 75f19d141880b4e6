"""Win rates of models by a judge that is shown both answers, in both orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from selfj_eval.alpaca.evaluation import ModelResult, line_of, said_of, with_length_control
from selfj_eval.alpaca.upstream import Annotation
from selfj_eval.raters.pair_judge import PairJudge, bias_of
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.pairs import Pair, PairJudgment
from selfj_eval.registry.alpaca_pack import EvaluationSet, ModelAnswers


class PairwiseComparison:
    """Models against one baseline, each answer beside the baseline's.

    Args:
        judge: Compares them; with a store, no pair is asked twice.
        name: What the judge is called in files.
        instructions: The evaluation set.
        baseline: Its answers.
        references: Reference answers by instruction, for the judge to see.
        gamed, mode, progress: As for ``BaselineComparison``; told how many pairs are judged.
    """

    def __init__(
        self,
        judge: PairJudge,
        name: str,
        instructions: EvaluationSet,
        baseline: ModelAnswers,
        *,
        references: Mapping[str, str],
        gamed: Path | None = None,
        mode: str = "community",
        progress: Progress = lambda _: None,
    ) -> None:
        self.judge, self.name, self.references = judge, name, references
        self.instructions, self.baseline = instructions, baseline
        self._gamed, self._mode, self._progress = gamed, mode, progress

    def pairs(self, model: ModelAnswers) -> list[Pair]:
        """A model's answers (A) and the baseline's (B), where both have one."""
        texts = self.instructions.instructions
        return [
            Pair(str(k), texts[k], own, other, reference=self.references.get(texts[k]))
            for k, (own, other) in enumerate(zip(model.outputs, self.baseline.outputs, strict=True))
            if own is not None and other is not None
        ]

    def evaluate(self, model: ModelAnswers) -> ModelResult:
        """Compare one model's answers with the baseline's."""
        pairs = self.pairs(model)
        judgments = self.judge.judge(pairs, progress=self._progress)
        rows = [
            self._annotation(pair, own, model) for pair, own in zip(pairs, judgments, strict=True)
        ]
        line, reason = with_length_control(
            line_of(model, rows, mode=self._mode), rows, self._gamed, of=len(self.instructions)
        )
        line = replace(line, n_trimmed=sum(own.trimmed_tokens > 0 for own in judgments))
        errors = [
            f"{model.model}: {said_of(self.instructions, int(own.id), own.error)}"
            for row, own in zip(rows, judgments, strict=True)
            if row["preference"] is None and own.error is not None
        ]
        return ModelResult(model.model, line, rows, errors, reason, bias_of(judgments))

    def _annotation(self, pair: Pair, judgment: PairJudgment, model: ModelAnswers) -> Annotation:
        # The same text is a tie for AlpacaEval, whatever an annotator would say.
        value = 0.5 if pair.response_a == pair.response_b else judgment.preference
        return {
            "index": int(pair.id),
            "instruction": pair.instruction,
            "output_1": pair.response_b,
            "generator_1": self.baseline.model,
            "output_2": pair.response_a,
            "generator_2": model.model,
            "annotator": self.name,
            "preference": None if value is None else 1 + value,
            "model_shown_first": judgment.a_first,
            "baseline_shown_first": judgment.b_first,
        }
