"""Win rates of models against a baseline: every answer scored once."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfj_eval.alpaca.preference import preference
from selfj_eval.alpaca.rating import AnswerScores, NamedRater
from selfj_eval.alpaca.upstream import Annotation, length_controlled, win_rate
from selfj_eval.errors import DataError
from selfj_eval.files.atomic import atomic_write
from selfj_eval.files.formulas import guarded
from selfj_eval.metrics import PositionBias
from selfj_eval.raters.protocol import Progress
from selfj_eval.registry.alpaca_pack import EvaluationSet, ModelAnswers, leaderboard_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A model's line of the leaderboard: AlpacaEval's columns, then ours.

    Rates are in percent. None: undefined, such as the standard error of one comparison.

    Attributes:
        win_rate, standard_error, discrete_win_rate: Of the model's answers.
        n_wins, n_wins_base, n_draws, n_total: Counts of comparisons that have a preference.
        mode: ``community``, ``verified``, ``minimal`` or ``dev``.
        avg_length: Mean characters of an answer, without its fraction.
        length_controlled_winrate, lc_standard_error: The win rate at the baseline's length.
        mean_score, baseline_mean_score: Over what was compared.
        n_unscored: How many comparisons have no preference.
        n_missing: How many instructions the model or the baseline has no answer to.
        n_empty: How many answers are blank; they are compared.
        n_unknown: How many outputs are to no instruction of the evaluation set.
        n_trimmed: How many answers were too long for the judge's prompt; None of other annotators.
    """

    win_rate: float | None = None
    standard_error: float | None = None
    n_wins: int | None = None
    n_wins_base: int | None = None
    n_draws: int | None = None
    n_total: int = 0
    discrete_win_rate: float | None = None
    mode: str = "community"
    avg_length: int = 0
    length_controlled_winrate: float | None = None
    lc_standard_error: float | None = None
    mean_score: float | None = None
    baseline_mean_score: float | None = None
    n_unscored: int = 0
    n_missing: int = 0
    n_empty: int = 0
    n_unknown: int = 0
    n_trimmed: int | None = None

    @classmethod
    def of(cls, cells: Mapping[str, Any]) -> Line:
        """A line that was written, as text or as JSON.

        Raises:
            TypeError, ValueError: If what must be a number is none.
        """
        names = [name for name in COLUMNS if name in cells and name != "mode"]
        found: dict[str, Any] = {name: float(cells[name]) for name in names}
        # alpaca_eval writes counts as 805.0 where it has added a line of its own.
        found |= {k: int(v) for k, v in found.items() if k.startswith(("n_", "avg_"))}
        return cls(**found)

    def to_dict(self) -> dict[str, float | int | str]:
        """By column; what is undefined is left out."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return {name: value for name, value in values.items() if value is not None}


COLUMNS = tuple(f.name for f in fields(Line))
"""The columns of a leaderboard."""


@dataclass(frozen=True)
class ModelResult:
    """What was found of one model.

    Attributes:
        model: Its name.
        line: Its line of the leaderboard.
        annotations: The comparisons, in AlpacaEval's fields and with both scores, or with what
            each order says; an unscored one has the preference None.
        errors: Why answers of the model or of the baseline are unscored.
        no_length_control: Why there is no length-controlled win rate, or None.
        position_bias: Of a judge that is shown both answers; else None.
    """

    model: str
    line: Line
    annotations: Sequence[Annotation]
    errors: Sequence[str]
    no_length_control: str | None
    position_bias: PositionBias | None = None


class BaselineComparison:
    """Models against one baseline.

    Args:
        rater: Scores the answers.
        instructions: The evaluation set.
        baseline: Its answers are scored here, once for all models. None where no model has an
            answer spares the judge.
        temperature: Of ``preference``; by default the rater's.
        gamed: AlpacaEval's ``df_gamed.csv``; None for no length-controlled win rates.
        mode: The leaderboard's column: ``community``, ``verified``, ``minimal`` or ``dev``.
        progress: Told how many answers are scored.
    """

    def __init__(
        self,
        rater: NamedRater,
        instructions: EvaluationSet,
        baseline: ModelAnswers,
        *,
        temperature: float | None = None,
        gamed: Path | None = None,
        mode: str = "community",
        progress: Progress = lambda _: None,
    ) -> None:
        self.rater, self.instructions, self.baseline = rater, instructions, baseline
        self.temperature = rater.temperature if temperature is None else temperature
        self._gamed, self._mode, self._progress = gamed, mode, progress
        self.baseline_scores = rater.score(instructions, baseline, progress)

    def evaluate(self, model: ModelAnswers) -> ModelResult:
        """Score one model's answers and compare them with the baseline's."""
        scores = self.rater.score(self.instructions, model, self._progress)
        annotations = self._annotations(model, scores)
        left = {a["index"] for a in annotations if a["preference"] is None}
        unscored = [
            f"{model.model}: {said_of(self.instructions, k, why)}"
            for k, why in scores.errors
            if k in left
        ]
        unscored += [
            f"{self.baseline.model} (baseline): {said_of(self.instructions, k, why)}"
            for k, why in self.baseline_scores.errors
            if k in left
        ]
        line, reason = with_length_control(
            line_of(model, annotations, mode=self._mode),
            annotations,
            self._gamed,
            of=len(self.instructions),
        )
        compared = [a for a in annotations if a["preference"] is not None]
        line = replace(
            line,
            mean_score=_mean([a["score_2"] for a in compared]),
            baseline_mean_score=_mean([a["score_1"] for a in compared]),
            n_trimmed=scores.trimmed,
        )
        return ModelResult(model.model, line, annotations, unscored, reason)

    def _annotations(self, model: ModelAnswers, scores: AnswerScores) -> list[Annotation]:
        base = self.baseline_scores.score
        values = preference(base, scores.score, self.temperature)
        rows: list[Annotation] = []
        for k, (first, second) in enumerate(zip(self.baseline.outputs, model.outputs, strict=True)):
            if first is None or second is None:
                continue  # counted as missing
            # The same text is a tie for AlpacaEval, whatever an annotator would say.
            value = 1.5 if first == second else float(values[k])
            rows.append(
                {
                    "index": k,
                    "instruction": self.instructions.instructions[k],
                    "output_1": first,
                    "generator_1": self.baseline.model,
                    "output_2": second,
                    "generator_2": model.model,
                    "annotator": self.rater.name,
                    "score_1": _number(base[k]),
                    "score_2": _number(scores.score[k]),
                    "preference": _number(value),
                }
            )
        return rows


def said_of(instructions: EvaluationSet, position: int, why: str) -> str:
    """Why an instruction's comparison has no preference, with the instruction."""
    return f"instruction {position} ({instructions.instructions[position][:40]!r}): {why}"


def line_of(model: ModelAnswers, annotations: Sequence[Annotation], *, mode: str) -> Line:
    """A model's line of the leaderboard, but for length control and scores."""
    rates: dict[str, Any] = dict(win_rate(annotations)) if annotations else {}
    return Line(
        **{name: value for name, value in rates.items() if name in COLUMNS},
        mode=mode,
        avg_length=model.average_length,
        n_unscored=sum(a["preference"] is None for a in annotations),
        n_missing=len(model.outputs) - len(annotations),
        n_empty=model.empty,
        n_unknown=model.unknown,
    )


def with_length_control(
    line: Line, annotations: Sequence[Annotation], gamed: Path | None, *, of: int
) -> tuple[Line, str | None]:
    """A line with its length-controlled win rate, and why there is none, or None."""
    if gamed is None:
        return line, "made for the baseline of AlpacaEval 2 and its own instructions only"
    found = length_controlled(annotations, gamed, of=of) if annotations else "no answers"
    if isinstance(found, str):
        return line, found
    controlled = replace(
        line,
        length_controlled_winrate=found.get("length_controlled_winrate"),
        lc_standard_error=found.get("lc_standard_error"),
    )
    return controlled, None


def read_leaderboard(path: Path) -> dict[str, dict[str, Any]]:
    """The lines of a leaderboard that is there already, by model; none when it is not.

    Raises:
        DataError: If it is none, or a cell that must be a number is not.
    """
    return leaderboard_lines(path) if path.exists() else {}


def write_leaderboard(path: Path, rows: Mapping[str, Mapping[str, Any]], *, sort_by: str) -> None:
    """Write lines as AlpacaEval does: the models in a first column without a name, best first."""
    more = {name for row in rows.values() for name in row} - set(COLUMNS)
    columns = [*COLUMNS, *sorted(more)]  # all of ours always: AlpacaEval sorts by some

    def place(item: tuple[str, Mapping[str, Any]]) -> tuple[float, str]:
        value = item[1].get(sort_by, item[1].get("win_rate"))
        return (np.inf if value is None else -float(value)), item[0]

    with atomic_write(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(["", *columns])
        for model, row in sorted(rows.items(), key=place):
            writer.writerow([guarded(model), *(row.get(name, "") for name in columns)])
        text.detach()


def file_names(models: Sequence[str]) -> dict[str, str]:
    """A safe file name for each model's name, which comes from the data.

    Raises:
        DataError: If two models would get the same.
    """
    names: dict[str, str] = {}
    for model in models:
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", model).lstrip(".")[:140]
        if name != model:  # what was cleaned away may be all that tells two names apart
            name += f"-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        for other, taken in names.items():
            if taken.lower() == name.lower():
                raise DataError(
                    f"two models have names that are too similar, {other!r} and {model!r}: their "
                    "annotations would share a file. Give them other names (`generator` in the "
                    "outputs)."
                )
        names[model] = name
    return names


def _mean(scores: Sequence[float | None]) -> float | None:
    scored = [score for score in scores if score is not None]  # a tie of equal texts may have none
    return sum(scored) / len(scored) if scored else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
