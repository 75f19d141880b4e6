"""What gives the answers their scores: a judge, or the length as a null model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from selfj_eval.alpaca.data import Answers, EvaluationSet
from selfj_eval.alpaca.preference import TEMPERATURE
from selfj_eval.metrics.result import Array
from selfj_eval.records import Record

if TYPE_CHECKING:
    from selfj_eval.judge import Judge

Progress = Callable[[int], None]


class AnswerScores(NamedTuple):
    """Scores of one model's answers.

    Attributes:
        score: Shape (instructions,). NaN where there is no answer or it is unscored.
        errors: For each unscored answer, the instruction's position and why.
        trimmed: How many answers were too long for the judge's prompt and lost their middle.
    """

    score: Array
    errors: tuple[tuple[int, str], ...] = ()
    trimmed: int = 0


class Scorer(Protocol):
    """Something that scores answers.

    Attributes:
        name: What it is called in files and figures.
        temperature: The default temperature of its preferences.
    """

    @property
    def name(self) -> str: ...

    @property
    def temperature(self) -> float: ...

    def score(
        self, instructions: EvaluationSet, answers: Answers, progress: Progress
    ) -> AnswerScores:
        """Score one model's answers; ``progress`` is told how many are done."""
        ...


class LengthScorer:
    """The null model: the score is the number of characters, so the longer answer wins."""

    name = "length"
    temperature = 0.0  # only which one is longer; characters are not odds

    def score(
        self, instructions: EvaluationSet, answers: Answers, progress: Progress
    ) -> AnswerScores:
        """Lengths in characters."""
        lengths = [np.nan if output is None else len(output) for output in answers.outputs]
        progress(len(lengths) - answers.missing)
        return AnswerScores(np.array(lengths, dtype=np.float64))


class JudgeScorer:
    """A Self-J judge.

    Args:
        judge: The loaded judge; with a store, an answer is never judged twice.
        name: What it is called.
        references: Reference answers by instruction, for a judge that is to see them.
    """

    temperature = TEMPERATURE

    def __init__(
        self, judge: Judge, *, name: str, references: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.judge = judge
        self._references = references or {}

    def score(
        self, instructions: EvaluationSet, answers: Answers, progress: Progress
    ) -> AnswerScores:
        """Expected scores, 0 to 9."""
        there = [k for k, output in enumerate(answers.outputs) if output is not None]
        pairs = [(instructions.instructions[k], answers.outputs[k] or "") for k in there]
        judgments = self.judge.judge(
            [self._record(k, *pair) for k, pair in zip(there, pairs, strict=True)],
            progress=progress,
        )
        score = np.full(len(instructions), np.nan)
        for k, judgment in zip(there, judgments, strict=True):
            score[k] = np.nan if judgment.score is None else judgment.score
        errors = [(k, j.error) for k, j in zip(there, judgments, strict=True) if j.error]
        return AnswerScores(score, tuple(errors), sum(j.trimmed_tokens > 0 for j in judgments))

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float | None, str | None]]:
        """Score and error of (instruction, output) pairs, one of the two each."""
        records = [self._record(k, *pair) for k, pair in enumerate(pairs)]
        return [(j.score, j.error) for j in self.judge.judge(records)]

    def _record(self, number: int, instruction: str, output: str) -> Record:
        reference = self._references.get(instruction)
        return Record(str(number), instruction, output, reference=reference)
