"""Ranking AlpacaEval's stored models by judges, and how far they agree with GPT-4's rankings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.alpaca.options import PACKAGES, ComparisonOptions
from selfj_eval.errors import DataError, printable, shown
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, plain, table
from selfj_eval.raters.protocol import Rater
from selfj_eval.registry import alpaca_pack

if TYPE_CHECKING:
    from selfj_eval.metrics.result import Metric
    from selfj_eval.registry.alpaca_pack import EvaluationSet, ModelAnswers

METRICS = ("spearman", "kendall_tau_b", "rbo")


@dataclass(frozen=True, kw_only=True)
class RankOptions(ComparisonOptions):
    """How models are ranked."""

    judge: Sequence[str | Rater] = option(
        help="a judge's folder or hub id, or any other rater, such as length, trigrams or "
        "tfidf+length; may be repeated; an option of the judge applies to each that accepts "
        "it",
        placeholder="JUDGE",
    )
    output: PathLike = option(help="folder for the CSV files and the figure", placeholder="DIR")
    instructions: int | None = option(
        None, "use only N instructions, drawn at random (default: all 805)", low=2
    )
    resamples: int = option(1000, "resamples of the bootstrap over instructions", low=20)
    seed: int = option(0, "seed of the bootstrap, and of the instructions drawn", low=0)
    store: PathLike | None = option(
        None,
        "file that keeps judgments (default: judgments.store in the folder)",
        placeholder="FILE",
    )
    progress: Watch = option(False, internal=True)

    def __post_init__(self) -> None:
        if isinstance(self.judge, str | Rater):  # one alone
            object.__setattr__(self, "judge", (self.judge,))
        super().__post_init__()

    def check(self) -> None:
        """Refuse judges whose files would have the same name, and no judge at all."""
        if not self.judge:
            raise DataError("`judge` is missing; give it.")
        names = self.file_names
        if len(set(names)) < len(names):
            raise DataError(f"two `judge` would share a file name: {', '.join(names)}.")

    @property
    def file_names(self) -> list[str]:
        """What the files of each judge are called."""
        return [_file_name(judge) for judge in self.judge]


def _file_name(judge: str | Rater) -> str:
    if not isinstance(judge, str):
        return type(judge).__name__
    return re.sub(r"[^A-Za-z0-9._+-]", "_", judge.rstrip("/").rpartition("/")[2]) or "judge"


@dataclass(frozen=True)
class RankedModel:
    """A model's place.

    Attributes:
        rank, model: From 1, by mean score.
        mean_score: Over its scored answers; None without any.
        win_rate_v1, win_rate_v2: Against the two official baselines, in percent.
        gpt4_v1_win_rate, gpt4_v1_length_controlled, gpt4_v2_win_rate, gpt4_v2_length_controlled:
            GPT-4's official numbers; None where there is none.
        avg_length: Mean characters of an answer.
        in_release: Whether it is one of the first AlpacaEval 2 leaderboard.
        n_unscored, n_missing, n_trimmed: Counts of its answers.
    """

    rank: int
    model: str
    mean_score: float | None
    win_rate_v1: float | None
    win_rate_v2: float | None
    gpt4_v1_win_rate: float | None
    gpt4_v1_length_controlled: float | None
    gpt4_v2_win_rate: float | None
    gpt4_v2_length_controlled: float | None
    avg_length: int
    in_release: bool
    n_unscored: int
    n_missing: int
    n_trimmed: int


@dataclass(frozen=True)
class Agreement:
    """How far a ranking agrees with one of GPT-4's.

    Attributes:
        judge: Whose ranking it is.
        models: ``release`` (those of the first AlpacaEval 2 leaderboard) or ``all``.
        by: What the models are ranked by: ``mean_score``, ``win_rate_v1`` or ``win_rate_v2``.
        gpt4: Which of GPT-4's rankings.
        n_models: How many models are in both.
        spearman, kendall_tau_b, rbo: The coefficients with the ends of their intervals; None
            where undefined.
    """

    judge: str
    models: str
    by: str
    gpt4: str
    n_models: int
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None
    kendall_tau_b: float | None
    kendall_tau_b_low: float | None
    kendall_tau_b_high: float | None
    rbo: float | None
    rbo_low: float | None
    rbo_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """As a row of a CSV, where the judge has its name of version 0.1."""
        row = asdict(self)
        return {"scorer": row.pop("judge"), **row}


@dataclass(frozen=True)
class PreferenceFit:
    """Agreement with GPT-4's stored single preferences.

    Attributes:
        version, annotator: ``v1`` or ``v2``, and the annotator whose preferences they are.
        n, n_decided: How many there are, and how many are no tie.
        accuracy: Share of the decided ones that go the same way; None without any.
        temperature: The one that fits them, in points of the score; None where they do not rise
            with the score.
        log_loss: Under that temperature, in nats.
        soft_pairwise_accuracy: Whether the judge's preferences and these are sure of the same
            differences between models; ``n`` is the number of pairs of models.
    """

    version: str
    annotator: str
    n: int
    n_decided: int
    soft_pairwise_accuracy: Metric
    accuracy: float | None = None
    temperature: float | None = None
    log_loss: float | None = None


@dataclass(frozen=True)
class RankSettings:
    """Of the bootstrap, and how many instructions count."""

    instructions: int
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Ranking:
    """The models as one judge ranks them.

    Attributes:
        name: What the judge is called.
        temperature: Of its preferences.
        answers, unscored, trimmed, missing: Counts of answers, and of those that are not there.
        errors: Why answers are unscored.
        models: Best mean score first.
        agreement: One for each set of models, ranking and GPT-4 ranking.
        preferences: One per version of AlpacaEval.
        settings: Of the bootstrap.
        judge: What decides the scores; None of the length.
    """

    name: str
    temperature: float
    answers: int
    unscored: int
    trimmed: int
    missing: int
    errors: Sequence[str]
    models: Sequence[RankedModel]
    agreement: Sequence[Agreement]
    preferences: Sequence[PreferenceFit]
    settings: RankSettings
    judge: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it as JSON."""
        found = {name: plain(value) for name, value in vars(self).items()}
        return {"scorer": found.pop("name"), **found}

    def __str__(self) -> str:
        lines = [
            f"{shown(self.name)}: {len(self.models)} models, {self.answers:,} answers to "
            f"{self.settings.instructions} instructions, "
            f"{self.unscored:,} unscored, {self.missing:,} missing, {self.trimmed:,} trimmed to "
            "the judge's context",
            self._table(),
        ]
        for found in self.preferences:
            if found.accuracy is None:
                lines.append(f"  no single preferences of {found.annotator} to compare with")
                continue
            fit = "none: preferences do not rise with the score"
            if found.temperature is not None:
                fit = f"{found.temperature:.4g} (log loss {found.log_loss:.3f} nats)"
            lines.append(
                f"  {found.n_decided:,} decided preferences of {found.annotator}: "
                f"{found.accuracy:.1%} in the same direction; best-fitting temperature, in "
                f"units of the score: {fit}"
            )
            soft = found.soft_pairwise_accuracy
            if soft.value is not None:
                lines.append(
                    f"    soft pairwise accuracy of {soft.n:,} pairs of models: {soft.value:.3f}"
                )
        return "\n".join(lines + [f"  UNSCORED {shown(error)}" for error in self.errors[:5]])

    def _table(self) -> str:
        rows = [["by", "GPT-4", "models", "n", "Spearman", "", "Kendall", "", "RBO", ""]]
        for row in self.agreement:
            cells = [row.by, row.gpt4, row.models, str(row.n_models)]
            for value, low, high in (
                (row.spearman, row.spearman_low, row.spearman_high),
                (row.kendall_tau_b, row.kendall_tau_b_low, row.kendall_tau_b_high),
                (row.rbo, row.rbo_low, row.rbo_high),
            ):
                cells.append("-" if value is None else f"{value:.3f}")
                cells.append("" if low is None else f"{low:.3f} to {high:.3f}")
            rows.append(cells)
        return table(rows)


@dataclass(frozen=True)
class Rankings(Result):
    """Rankings by one or several judges.

    Attributes:
        rankings: One per judge, in the order in which they were given.
        output: The folder with agreement.csv, models_*.csv and ranking.svg.
    """

    rankings: Sequence[Ranking]
    output: str

    @property
    def unscored(self) -> int:
        """How many answers are unscored, by all judges."""
        return sum(ranking.unscored for ranking in self.rankings)

    def document(self) -> list[dict[str, Any]]:
        """One ranking after the other."""
        return [ranking.to_dict() for ranking in self.rankings]

    def rows(self) -> list[dict[str, Any]]:
        """One row per agreement, with its judge."""
        return [asdict(row) for ranking in self.rankings for row in ranking.agreement]

    def __str__(self) -> str:
        files = "agreement.csv, models_*.csv, ranking.svg"
        return "\n\n".join([*map(str, self.rankings), f"written to {self.output}: {files}"])


def rank_models(options: RankOptions) -> Rankings:
    """Rank AlpacaEval's stored models by judges and compare the rankings with GPT-4's.

    Judgments are kept. After an interruption, make the same call again to continue.

    Args:
        options: The judges, and where results go.

    Raises:
        DataError: If AlpacaEval's data are missing, there is no such rater, or none of the raters
            takes an option.
        JudgeError: If a judge cannot be loaded, or matplotlib is not installed.
        StoreError: If results cannot be written.
    """
    from selfj_eval.alpaca.figure import check_can_draw
    from selfj_eval.files.atomic import output_folder
    from selfj_eval.raters.taken_options import options_of_each

    check_can_draw()
    each = options_of_each(options.judge, options)
    folder = output_folder(options.output)
    instructions, models = alpaca_pack.evaluation_set(), alpaca_pack.stored_outputs()
    size = len(instructions)
    if options.instructions is not None and options.instructions > size:
        raise DataError(f"`instructions` must be at most {size}, got {options.instructions}.")
    drawn = Random(options.seed).sample(range(size), options.instructions or size)
    data = _Data(instructions, models, sorted(drawn))
    rankings = [
        _ranked(judge, data, folder, own) for judge, own in zip(options.judge, each, strict=True)
    ]
    _write(rankings, options.file_names, folder)
    return Rankings(rankings, printable(folder))


rank = keywords(rank_models, RankOptions)


class _Data(NamedTuple):
    """What is ranked: the answers, and the positions of the instructions that count."""

    instructions: EvaluationSet
    models: Sequence[ModelAnswers]
    positions: Sequence[int]


def _ranked(judge: str | Rater, data: _Data, folder: Path, options: RankOptions) -> Ranking:
    from selfj_eval.alpaca.rank_agreement import ranking_of, score_models, work
    from selfj_eval.alpaca.rating import described, named_rater
    from selfj_eval.raters.length import LengthRater

    instructions, models, positions = data
    store = options.store or folder / "judgments.store"
    with named_rater(judge, options, instructions, store) as rater:
        rater = rater.prepare(instructions, models, positions)
        answered = sum(own.outputs[k] is not None for own in models for k in positions)
        total = answered + len(alpaca_pack.BASELINES) * len(positions)
        with steps(options.progress, total, f"{rater.name}: scored", "answer") as progress:
            scored = score_models(rater, instructions, models, progress, positions)
        own = rater.rater
        about = None if isinstance(own, LengthRater) else described(own, rater.name, options)
        temperature = rater.temperature if options.temperature is None else options.temperature
    total = work(scored, options.resamples)
    with steps(options.progress, total, "bootstrap", "evaluation") as progress:
        return ranking_of(
            rater.name,
            scored,
            temperature=temperature,
            resamples=options.resamples,
            seed=options.seed,
            progress=progress,
            judge=about,
        )


def _write(rankings: Sequence[Ranking], names: Sequence[str], folder: Path) -> None:
    from selfj_eval.alpaca.figure import draw
    from selfj_eval.files.atomic import write_json
    from selfj_eval.files.formulas import guarded
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.records.writing import write_rows

    for name, ranking in zip(names, rankings, strict=True):
        # GPT-4's numbers are in the official leaderboards, and in the result.
        rows = [
            {k: v for k, v in asdict(row).items() if not k.startswith("gpt4_")}
            | {"model": guarded(row.model)}
            for row in ranking.models
        ]
        write_rows(folder / f"models_{name}.csv", rows)
    agreement = [row.to_dict() for ranking in rankings for row in ranking.agreement]
    write_rows(folder / "agreement.csv", agreement)
    hidden = ("models", "agreement", "errors")
    about = [{k: v for k, v in r.to_dict().items() if k not in hidden} for r in rankings]
    write_json(folder / "ranking.json", {"scorers": about} | provenance(*PACKAGES))
    draw(rankings, folder / "ranking.svg")
