"""Scores of a model's answers, by anything that rates them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from selfj_eval.alpaca.options import ComparisonOptions
from selfj_eval.alpaca.outputs import read_references
from selfj_eval.alpaca.preference import default_temperature
from selfj_eval.errors import DataError
from selfj_eval.files.hashes import sha256_of
from selfj_eval.jobs.options import PathLike
from selfj_eval.metrics.result import Array
from selfj_eval.raters.judge import Judge
from selfj_eval.raters.open_rater import opened, rater_name
from selfj_eval.raters.pair_judge import PairJudge
from selfj_eval.raters.prompting import PromptJudge
from selfj_eval.raters.protocol import Preparable, Progress, Rater
from selfj_eval.records.record import Record
from selfj_eval.registry.alpaca_pack import (
    BASELINES,
    EvaluationSet,
    ModelAnswers,
    evaluation_set,
    official_baseline,
)

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class NamedRater:
    """What rates the answers to an evaluation set.

    Attributes:
        rater: Rates them; with a store, an answer is never judged twice.
        name: What it is called in files and figures.
        references: Reference answers by instruction, for a judge that is to see them.
    """

    rater: Rater
    name: str
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """The default temperature of its preferences; other scores than a judge's are no odds."""
        if not isinstance(self.rater, Judge):
            return 0.0
        return default_temperature(self.rater.template.labels.scale)

    def prepare(
        self,
        instructions: EvaluationSet,
        answers: Sequence[ModelAnswers],
        positions: Sequence[int] | None = None,
    ) -> NamedRater:
        """The same; a rater that needs it, such as a sum, takes its scale from these answers.

        For win rates that is the baseline's: it is the same for every model of a leaderboard.
        With ``positions``, only answers to these instructions count.
        """
        if not isinstance(self.rater, Preparable):
            return self
        else:
            texts = instructions.instructions
            asked = range(len(texts)) if positions is None else positions
            windows = [
                [self.record(k, texts[k], o) for k in asked if (o := own.outputs[k]) is not None]
                for own in answers
            ]
            return replace(self, rater=self.rater.prepare(lambda: windows))

    def score(
        self, instructions: EvaluationSet, answers: ModelAnswers, progress: Progress
    ) -> AnswerScores:
        """Score one model's answers; ``progress`` is told how many are done."""
        there = [k for k, output in enumerate(answers.outputs) if output is not None]
        records = [self.record(k, instructions.instructions[k], answers.outputs[k]) for k in there]
        judgments = self.rater.judge(records, progress=progress)
        score = np.full(len(instructions), np.nan)
        for k, judgment in zip(there, judgments, strict=True):
            score[k] = np.nan if judgment.score is None else judgment.score
        errors = [(k, j.error) for k, j in zip(there, judgments, strict=True) if j.error]
        return AnswerScores(score, tuple(errors), sum(j.trimmed_tokens > 0 for j in judgments))

    def record(self, number: int, instruction: str, output: str | None) -> Record:
        """An answer as the rater is given it."""
        reference = self.references.get(instruction)
        return Record(str(number), instruction, output or "", reference=reference)


@contextmanager
def named_rater(
    judge: str | Rater,
    options: ComparisonOptions,
    instructions: EvaluationSet,
    store: PathLike,
) -> Iterator[NamedRater]:
    """What rates the answers, loaded.

    Args:
        judge: As for ``raters.open_rater.opened``.
        options: How it runs, and the references that it is shown.
        instructions: Those that are answered.
        store: The file that keeps judgments.

    Raises:
        DataError: If references are given and none belongs to an instruction.
        JudgeError: If a model cannot be loaded completely and safely.
    """
    references = references_of(options, instructions)
    with opened(judge, options.judge_options, store=store) as rater:
        yield NamedRater(rater, rater_name(judge, options), references)


def references_of(options: ComparisonOptions, instructions: EvaluationSet) -> Mapping[str, str]:
    """The references that the judge is shown, by instruction.

    Raises:
        DataError: If references are given and none belongs to an instruction.
    """
    given = options.references
    if given is None:
        return {}
    if isinstance(given, str) and given in BASELINES:
        baseline = official_baseline(given).outputs
        own = zip(evaluation_set().instructions, baseline, strict=True)
        return {text: output for text, output in own if output is not None}
    path = None if isinstance(given, Mapping) else Path(given)
    found = given if isinstance(given, Mapping) else read_references(given)
    known = sum(text in found for text in instructions.instructions)
    if not known:
        message = "has no reference to any of the instructions; their texts have to be equal."
        raise DataError(message, path=path, field=None if path else "references")
    logger.info(f"{known:,} of {len(instructions):,} instructions have a reference")
    return found


def described(rater: Rater | PairJudge, name: str, options: ComparisonOptions) -> dict[str, Any]:
    """What decides the scores, for the record."""
    own = {k: v for k, v in rater.description.items() if k != "reference"}
    if isinstance(rater, PromptJudge):
        own["allow_markers"] = rater.allow_markers
    references = options.references
    return {"name": name, **own, "references_sha256": digest_of_references(references)}


def digest_of_references(references: PathLike | Mapping[str, str] | None) -> str | None:
    """SHA-256 of the references: of their file, or of their texts; or the baseline's name."""
    if isinstance(references, Mapping):
        return hashlib.sha256(json.dumps(sorted(references.items())).encode()).hexdigest()
    if isinstance(references, str) and references in BASELINES:
        return BASELINES[references]
    return None if references is None else sha256_of(Path(references))
