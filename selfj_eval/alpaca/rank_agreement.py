"""AlpacaEval's stored models ranked by their scores, and agreement with GPT-4's rankings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from selfj_eval.alpaca.preference import fit_temperature, preference
from selfj_eval.alpaca.ranking import (
    METRICS,
    Agreement,
    PreferenceFit,
    RankedModel,
    Ranking,
    RankSettings,
)
from selfj_eval.alpaca.rating import NamedRater
from selfj_eval.metrics.bootstrap import RESAMPLES, Bootstrap, bootstrap, evaluations
from selfj_eval.metrics.ranking import rank_biased_overlap
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.soft_pairwise import soft_pairwise_accuracy
from selfj_eval.raters.protocol import Progress
from selfj_eval.registry import alpaca_pack
from selfj_eval.registry.alpaca_pack import ANNOTATORS, BASELINES, EvaluationSet, ModelAnswers

NOT_COMPARED = {
    "v1": {"falcon-7b-instruct", "text_davinci_003", "Mistral-7B+RAHF-DUAL+LoRA"},
}
"""Models whose line of a leaderboard is about other texts than the stored ones: made of
falcon-40b-instruct's annotations, of the baseline's own answers, and against another baseline."""
MODEL_SETS = ("release", "all")
"""The 95 models of the first V2 leaderboard (those with stored outputs), and all."""
GPT4 = ("v1_win_rate", "v1_length_controlled", "v2_win_rate", "v2_length_controlled")
_COLUMN = {"win_rate": "win_rate", "length_controlled": "length_controlled_winrate"}


class ScoredModels(NamedTuple):
    """All answers of all models scored.

    Attributes:
        models: The models' names.
        score: Shape (models, instructions); NaN where there is no answer or it is unscored.
        unscored: Shape (models,). How many answers are unscored.
        trimmed: Shape (models,). How many were too long for the judge and lost their middle.
        missing: Shape (models,). How many instructions have no answer.
        average_length: Shape (models,). Mean characters of an answer.
        baseline: Version to the scores of its baseline's answers, shape (instructions,).
        errors: Why answers are unscored.
        positions: Shape (instructions,). Which of AlpacaEval's instructions they are, from 0.
    """

    models: tuple[str, ...]
    score: Array
    unscored: list[int]
    trimmed: list[int]
    missing: list[int]
    average_length: list[int]
    baseline: Mapping[str, Array]
    errors: list[str]
    positions: Sequence[int]


_TOGETHER = 16
"""Instructions whose answers by all models are judged together: they begin alike."""


def score_models(
    rater: NamedRater,
    instructions: EvaluationSet,
    models: Sequence[ModelAnswers],
    progress: Progress,
    positions: Sequence[int] | None = None,
) -> ScoredModels:
    """Score the answers of all models and of both official baselines.

    Args:
        rater: Scores them.
        instructions: AlpacaEval's, all of them.
        models: The models' answers.
        progress: Told how many answers are done.
        positions: The instructions that count, from 0; by default all.
    """
    positions = range(len(instructions)) if positions is None else positions
    everyone = [*map(alpaca_pack.official_baseline, BASELINES), *models]
    score = np.full((len(everyone), len(positions)), np.nan)
    trimmed = [0] * len(everyone)
    errors: list[tuple[int, int, str]] = []
    for start in range(0, len(positions), _TOGETHER):
        asked = [
            (column, position, row, output)
            for column, position in enumerate(positions[start : start + _TOGETHER], start)
            for row, answers in enumerate(everyone)
            if (output := answers.outputs[position]) is not None
        ]
        texts = instructions.instructions
        records = [rater.record(k, texts[k], output) for _, k, _, output in asked]
        judgments = rater.rater.judge(records, progress=progress)
        for (column, position, row, _), judgment in zip(asked, judgments, strict=True):
            trimmed[row] += judgment.trimmed_tokens > 0
            if judgment.score is not None:
                score[row, column] = judgment.score
            if judgment.error:
                errors.append((row, position, judgment.error))
    first = len(BASELINES)
    unscored = Counter(row for row, *_ in errors)
    missing = [sum(own.outputs[k] is None for k in positions) for own in models]
    return ScoredModels(
        models=tuple(answers.model for answers in models),
        score=score[first:],
        unscored=[unscored[row] for row in range(first, len(everyone))],
        trimmed=trimmed[first:],
        missing=missing,
        average_length=[answers.average_length for answers in models],
        baseline=dict(zip(BASELINES, score, strict=False)),
        errors=[f"{everyone[r].model}, instruction {k}: {why}" for r, k, why in sorted(errors)],
        positions=positions,
    )


def gpt4_rankings() -> dict[str, dict[str, float]]:
    """GPT-4's official numbers by ``GPT4`` and model, in percent."""
    found: dict[str, dict[str, float]] = {}
    for name in GPT4:
        version, _, kind = name.partition("_")
        rows = alpaca_pack.leaderboard(version)
        column = _COLUMN[kind]
        found[name] = {
            model: row[column]
            for model, row in rows.items()
            if column in row and model not in NOT_COMPARED.get(version, ())
        }
    return found


def ranking_of(
    name: str,
    scored: ScoredModels,
    *,
    temperature: float,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
    judge: Mapping[str, Any] | None = None,
) -> Ranking:
    """Rank models by mean score and by win rate, and compare the rankings with GPT-4's.

    Intervals are bootstrap intervals over instructions (``metrics.bootstrap``): of this ranking;
    GPT-4's is taken as it is.

    Args:
        name: What scored.
        scored: The scores.
        temperature: Of the preferences.
        resamples, confidence, seed: Of the bootstrap.
        progress: Told how many evaluations of the bootstrap are done (``work`` in all).
        judge: What decides the scores, for the record.
    """
    wins = {v: preference(b, scored.score, temperature) - 1 for v, b in scored.baseline.items()}
    own = {"mean_score": scored.score} | {f"win_rate_{v}": wins[v] for v in BASELINES}
    gpt4 = gpt4_rankings()
    cells = _cells(scored, gpt4)

    def statistic(drawn: Any) -> Array:
        counts = np.bincount(drawn, minlength=scored.score.shape[1])
        means = {name: _means(values, counts) for name, values in own.items()}
        return np.concatenate([cell.values(means[cell.own]) for cell in cells])

    found = bootstrap(
        statistic,
        scored.score.shape[1],
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        progress=progress,
    )
    everything = np.ones(scored.score.shape[1])
    return Ranking(
        name=name,
        temperature=temperature,
        answers=int(scored.score.size - sum(scored.missing)),
        unscored=sum(scored.unscored),
        trimmed=sum(scored.trimmed),
        missing=sum(scored.missing),
        errors=scored.errors,
        models=_ranked(scored, {n: _means(v, everything) for n, v in own.items()}, gpt4),
        agreement=[_agreement(name, cell, found, 3 * k) for k, cell in enumerate(cells)],
        preferences=[_single_preferences(v, scored, wins[v], seed) for v in BASELINES],
        settings=RankSettings(scored.score.shape[1], resamples, confidence, seed),
        judge=judge,
    )


def work(scored: ScoredModels, resamples: int = RESAMPLES) -> int:
    """How many evaluations ``rank`` needs, for a progress bar."""
    return evaluations(scored.score.shape[1], None, resamples)


class _Cell(NamedTuple):
    """One comparison: our ranking of some models with one of GPT-4's."""

    models: str
    own: str
    gpt4: str
    at: Any  # positions of the models
    names: list[str]
    signs: Array  # of the differences of GPT-4's values, ``_signs``
    order: list[str]  # GPT-4's ranking, best first

    def values(self, means: Array) -> Array:
        """Spearman, Kendall tau-b and RBO; NaN where our side is constant or undefined."""
        x = means[self.at]
        if len(x) < 2 or np.isnan(x).any() or np.ptp(x) == 0:
            return np.full(3, np.nan)
        signs, given = _signs(x), self.signs
        rho = np.corrcoef(signs.sum(axis=1), given.sum(axis=1))[0, 1]
        tau = np.vdot(signs, given) / np.sqrt(np.vdot(signs, signs) * np.vdot(given, given))
        order = [name for _, name in sorted(zip(-x, self.names, strict=True))]
        return np.array([rho, tau, rank_biased_overlap(order, self.order)])


def _agreement(name: str, cell: _Cell, found: Bootstrap, at: int) -> Agreement:
    """What the bootstrap found of one comparison, whose three metrics begin at a position."""
    numbers: dict[str, float | None] = {}
    for k, metric in enumerate(METRICS, at):
        interval = found.intervals[k]
        numbers[metric] = _number(found.value[k])
        numbers[f"{metric}_low"] = None if interval is None else interval.low
        numbers[f"{metric}_high"] = None if interval is None else interval.high
    return Agreement(name, cell.models, cell.own, cell.gpt4, len(cell.at), **numbers)


def _cells(scored: ScoredModels, gpt4: Mapping[str, Mapping[str, float]]) -> list[_Cell]:
    release = alpaca_pack.leaderboard("v2_release")
    cells = []
    for models in MODEL_SETS:
        for name, values in gpt4.items():
            at = [
                k
                for k, model in enumerate(scored.models)
                if model in values
                and (models == "all" or model in release)
                and np.isfinite(scored.score[k]).any()
            ]
            names = [scored.models[k] for k in at]
            given = np.array([values[n] for n in names])
            order = [n for _, n in sorted(zip(-given, names, strict=True))]
            for own in ("mean_score", f"win_rate_{name[:2]}"):
                where = np.array(at, dtype=np.int64)
                cells.append(_Cell(models, own, name, where, names, _signs(given), order))
    return cells


def _signs(values: Array) -> Array:
    """Which value is the larger one of each two, shape (k, k): 1 the first, -1 the second, 0 none.

    A row's sum is twice the average rank, but for a constant. For so few models the matrix takes a
    tenth of the time of scipy's functions, which the bootstrap calls thousands of times.
    """
    return np.sign(values[:, None] - values)


def _means(values: Array, counts: Any) -> Array:
    """Mean of each row over the drawn instructions that have a value; NaN without any."""
    there = np.isfinite(values)
    n = there @ counts
    with np.errstate(invalid="ignore"):
        return np.asarray((np.where(there, values, 0.0) @ counts) / np.where(n > 0, n, np.nan))


def _ranked(
    scored: ScoredModels, means: Mapping[str, Array], gpt4: Mapping[str, Mapping[str, float]]
) -> list[RankedModel]:
    release = alpaca_pack.leaderboard("v2_release")
    found: list[RankedModel] = []
    for k in np.argsort(-means["mean_score"], kind="stable"):  # NaN comes last
        model = scored.models[k]
        given = {f"gpt4_{name}": values.get(model) for name, values in gpt4.items()}
        found.append(
            RankedModel(
                rank=len(found) + 1,
                model=model,
                mean_score=_number(means["mean_score"][k]),
                win_rate_v1=_number(100 * means["win_rate_v1"][k]),
                win_rate_v2=_number(100 * means["win_rate_v2"][k]),
                **given,
                avg_length=scored.average_length[k],
                in_release=model in release,
                n_unscored=scored.unscored[k],
                n_missing=scored.missing[k],
                n_trimmed=scored.trimmed[k],
            )
        )
    return found


def _single_preferences(
    version: str, scored: ScoredModels, wins: Array, seed: int
) -> PreferenceFit:
    """Agreement with GPT-4's stored preferences, and the temperature that fits them.

    Args:
        version: ``v1`` or ``v2``.
        scored: The scores.
        wins: Shape (models, instructions). Our preferences, from 0 to 1.
        seed: Of the soft pairwise accuracy.
    """
    place = {model: k for k, model in enumerate(scored.models)}
    column = {position: at for at, position in enumerate(scored.positions)}
    cells, given = [], []
    for model, values in alpaca_pack.stored_preferences(ANNOTATORS[version], matching=True).items():
        if model not in place or model in NOT_COMPARED.get(version, ()):
            continue
        for position, value in values.items():
            if position not in column:
                continue
            cell = (place[model], column[position])
            if value is not None and np.isfinite(wins[cell]):
                cells.append(cell)
                given.append(value)
    row, at = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    wanted = np.array(given)
    gap = scored.score[row, at] - scored.baseline[version][at]
    decided = wanted != 1.5
    found = PreferenceFit(
        version,
        ANNOTATORS[version],
        len(gap),
        int(decided.sum()),
        soft_pairwise_accuracy=soft_pairwise_accuracy(wins[row, at], wanted, row, at, seed=seed),
    )
    if not decided.any():
        return found
    fit = fit_temperature(gap, wanted)
    share = ((np.sign(gap) * np.sign(wanted - 1.5) + 1) / 2)[decided]
    return replace(
        found,
        accuracy=float(share.mean()),
        temperature=fit.temperature,
        log_loss=fit.log_loss,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
