"""Win rates of models against a baseline: every answer scored once."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfj_eval.alpaca.data import Answers, EvaluationSet, leaderboard_lines
from selfj_eval.alpaca.preference import preference
from selfj_eval.alpaca.scorers import AnswerScores, Progress, Scorer
from selfj_eval.alpaca.upstream import Annotation, length_controlled, win_rate
from selfj_eval.errors import DataError
from selfj_eval.formulas import guarded
from selfj_eval.writing import atomic_write

_FIRST = (
    *("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total"),
    *("discrete_win_rate", "mode", "avg_length", "length_controlled_winrate", "lc_standard_error"),
)
_OURS = (
    *("mean_score", "baseline_mean_score", "n_unscored", "n_missing", "n_empty", "n_unknown"),
    "n_trimmed",
)
COLUMNS = (*_FIRST, *_OURS)
"""AlpacaEval's columns, then ours: mean scores (0 to 9), and counts of the model's answers."""


@dataclass(frozen=True)
class ModelResult:
    """What was found of one model.

    Attributes:
        model: Its name.
        row: Its line of the leaderboard, by ``COLUMNS``; what is undefined is left out.
        annotations: The comparisons, in AlpacaEval's fields and with both scores; an unscored
            one has the preference None.
        errors: Why answers of the model or of the baseline are unscored.
        no_length_control: Why there is no length-controlled win rate, or None.
    """

    model: str
    row: Mapping[str, float | int | str]
    annotations: Sequence[Annotation]
    errors: Sequence[str]
    no_length_control: str | None


class Evaluation:
    """Models against one baseline.

    Args:
        scorer: Scores the answers.
        instructions: The evaluation set.
        baseline: Its answers are scored here, once for all models. None where no model has an
            answer spares the judge.
        temperature: Of ``preference``; by default the scorer's.
        gamed: AlpacaEval's ``df_gamed.csv``; None for no length-controlled win rates.
        mode: The leaderboard's column: ``community``, ``verified``, ``minimal`` or ``dev``.
        progress: Told how many answers are scored.
    """

    def __init__(
        self,
        scorer: Scorer,
        instructions: EvaluationSet,
        baseline: Answers,
        *,
        temperature: float | None = None,
        gamed: Path | None = None,
        mode: str = "community",
        progress: Progress = lambda _: None,
    ) -> None:
        self.scorer, self.instructions, self.baseline = scorer, instructions, baseline
        self.temperature = scorer.temperature if temperature is None else temperature
        self._gamed, self._mode, self._progress = gamed, mode, progress
        self.baseline_scores = scorer.score(instructions, baseline, progress)

    def evaluate(self, model: Answers) -> ModelResult:
        """Score one model's answers and compare them with the baseline's."""
        scores = self.scorer.score(self.instructions, model, self._progress)
        annotations = self._annotations(model, scores)
        row = row_of(model, annotations, mode=self._mode)
        left = {a["index"] for a in annotations if a["preference"] is None}
        unscored = [f"{model.model}: {self._said(k, e)}" for k, e in scores.errors if k in left]
        unscored += [
            f"{self.baseline.model} (baseline): {self._said(k, why)}"
            for k, why in self.baseline_scores.errors
            if k in left
        ]
        reason = add_length_control(row, annotations, self._gamed, of=len(self.instructions))
        for name, key in (("mean_score", "score_2"), ("baseline_mean_score", "score_1")):
            row |= _mean(name, [a[key] for a in annotations if a["preference"] is not None])
        row["n_trimmed"] = scores.trimmed
        ordered = {name: row[name] for name in COLUMNS if name in row}
        return ModelResult(model.model, ordered, annotations, unscored, reason)

    def _annotations(self, model: Answers, scores: AnswerScores) -> list[Annotation]:
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
                    "annotator": self.scorer.name,
                    "score_1": _number(base[k]),
                    "score_2": _number(scores.score[k]),
                    "preference": _number(value),
                }
            )
        return rows

    def _said(self, position: int, why: str) -> str:
        return f"instruction {position} ({self.instructions.instructions[position][:40]!r}): {why}"


def row_of(
    model: Answers, annotations: Sequence[Annotation], *, mode: str
) -> dict[str, float | int | str]:
    """A model's line of the leaderboard, but for length control and scores."""
    row: dict[str, float | int | str] = {**win_rate(annotations)} if annotations else {"n_total": 0}
    row |= {"mode": mode, "avg_length": model.average_length}
    row["n_unscored"] = sum(a["preference"] is None for a in annotations)
    row |= {"n_missing": len(model.outputs) - len(annotations), "n_empty": model.empty}
    row["n_unknown"] = model.unknown
    return row


def add_length_control(
    row: dict[str, float | int | str],
    annotations: Sequence[Annotation],
    gamed: Path | None,
    *,
    of: int,
) -> str | None:
    """Put the length-controlled win rate into a line; returns why there is none, or None."""
    if gamed is None:
        return "made for the baseline of AlpacaEval 2 and its own instructions only"
    found = length_controlled(annotations, gamed, of=of) if annotations else "no answers"
    if isinstance(found, str):
        return found
    names = ("length_controlled_winrate", "lc_standard_error")
    row |= {name: found[name] for name in names if name in found}
    return None


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
                    f"two models are called alike, {other!r} and {model!r}: their annotations "
                    "would share a file. Give them other names (`generator` in the outputs)."
                )
        names[model] = name
    return names


def _mean(name: str, scores: Sequence[float | None]) -> dict[str, float]:
    scored = [score for score in scores if score is not None]  # a tie of equal texts may have none
    return {name: sum(scored) / len(scored)} if scored else {}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
