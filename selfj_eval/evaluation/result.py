"""The result of an evaluation: every number has a name and a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from selfj_eval.evaluation.rater_result import RaterAgreement
from selfj_eval.jobs.results import Result, plain
from selfj_eval.metrics import Difference, Headline, Metric, Reliability, RiskBand

KIND = "selfj-evaluation"
COMPARISON = "selfj-comparison"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many answers there are.

    Attributes:
        records: All answers.
        scored, unscored, rated: Those with a score, without one, with a rating.
        used: Those with both, on which metrics are computed.
        good: Those of them that are good.
        instructions: Distinct instructions among the used; 0 where texts are missing.
    """

    records: int
    scored: int
    unscored: int
    rated: int
    used: int
    good: int
    instructions: int


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What the numbers were computed with.

    Attributes:
        good_at: Lowest good rating.
        confidence: Level of all intervals.
        resamples, seed: Of the bootstrap.
        good_at_scale: Of ``good_at``, in words.
        resampled: What the bootstrap draws: ``instructions`` or ``records``.
    """

    good_at: float
    confidence: float
    resamples: int
    seed: int
    good_at_scale: str
    resampled: str


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlations of score and rating, or their means over groups."""

    pearson: Metric
    spearman: Metric
    kendall_tau_b: Metric


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Accuracy on pairs of answers.

    Attributes:
        all_pairs: acc23 on all pairs.
        same_instruction: On pairs of answers to the same instruction.
        same_instruction_ties: The same as acc23, ties counted.
        same_instruction_calibrated: The same, where scores that differ by at most epsilon are tied;
            epsilon is chosen on other instructions.
        epsilon: Smallest and largest epsilon of the folds; None where undefined.
    """

    all_pairs: Metric
    same_instruction: Metric
    same_instruction_ties: Metric
    same_instruction_calibrated: Metric
    epsilon: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Group:
    """One category's or model's answers.

    Attributes:
        n: How many have a score and a rating.
        mean_score: As scored.
        mean_rating: On 0..9 where the scale is known.
        good: Share of good answers in [0, 1].
        headline: All headline metrics of these answers. The intervals are analytic and clustered.
    """

    n: int
    mean_score: Metric
    mean_rating: Metric
    good: Metric
    headline: Headline

    def to_dict(self) -> dict[str, Any]:
        """With the metrics beside the other numbers."""
        own = ("n", "mean_score", "mean_rating", "good")
        numbers = {name: getattr(self, name) for name in own} | self.headline._asdict()
        return {name: plain(number) for name, number in numbers.items()}


class ModelOrder(NamedTuple):
    """How the order of the models by mean score agrees with that by mean rating.

    Attributes:
        spearman, kendall_tau_b, rbo: As of ``RankingAgreement``.
        soft_pairwise_accuracy: Whether both are sure of the same differences between models;
            ``n`` is the number of pairs of models. It has no interval: a resample repeats
            instructions, which makes every p-value smaller.
    """

    spearman: Metric
    kendall_tau_b: Metric
    rbo: Metric
    soft_pairwise_accuracy: Metric


@dataclass(frozen=True, slots=True)
class Curve:
    """The risk-coverage curve, thinned to at most 200 points, from the highest score down."""

    threshold: Sequence[float]
    coverage: Sequence[float]
    risk: Sequence[float]


@dataclass(frozen=True, slots=True)
class Graded:
    """Selective metrics with 1 - rating / 9 as the loss, in place of good or bad."""

    augrc: Metric
    aurc: Metric
    excess_aurc: Metric
    prr: Metric


@dataclass(frozen=True, slots=True)
class Selective:
    """What the scores are worth for accepting answers.

    Attributes:
        excess_aurc: AURC minus that of a perfect order.
        accuracy_at_coverage: Share of good answers in the best so many, by coverage as text.
        coverage_at_risk: Largest coverage with at most so many bad, by risk as text.
        curve: Risk over coverage.
        band: Intervals of the risk at some coverages.
        graded: None where the ratings' scale is unknown.
    """

    excess_aurc: Metric
    accuracy_at_coverage: Mapping[str, Metric]
    coverage_at_risk: Mapping[str, Metric]
    curve: Curve
    band: RiskBand
    graded: Graded | None


@dataclass(frozen=True, slots=True)
class Fit:
    """Probabilities of a good answer against what was seen.

    Attributes:
        ece, brier, log_loss: Of these probabilities.
        bins: The reliability diagram; None where there are no probabilities.
    """

    ece: Metric
    brier: Metric
    log_loss: Metric
    bins: Reliability | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The score as a probability: score / 9, and cross-fitted."""

    raw: Fit
    isotonic: Fit
    platt: Fit


@dataclass(frozen=True, slots=True)
class Binary:
    """The judge as one that says good or bad.

    Attributes:
        score_cut: Lowest score that is judged good; None where it could not be chosen.
        chosen: Whether it was chosen on the ratings. Then each rated answer has its verdict by a
            cut chosen on others, so that the rates are not flattered.
        tpr: Share of good answers that are judged good.
        tnr: Share of bad answers that are judged bad.
        precision: Share of good answers among those judged good.
        youden: TPR + TNR - 1; 0 is a judge that knows nothing.
        unrated: Scored answers without a rating.
        judged_good: Share of these that are judged good.
        corrected: Share of these that are good, by Rogan and Gladen's correction.
    """

    score_cut: float | None
    chosen: bool
    tpr: Metric
    tnr: Metric
    precision: Metric
    youden: Metric
    unrated: int
    judged_good: Metric
    corrected: Metric


@dataclass(frozen=True, slots=True)
class Length:
    """Spearman's correlations with the answer's length in characters."""

    score_length: Metric
    rating_length: Metric
    score_rating_given_length: Metric


@dataclass(frozen=True, slots=True)
class ScoresAtRating:
    """The scores of the answers with one rating, or with one of ten ranges of ratings.

    Attributes:
        rating: The rating or range, as text.
        n: How many answers.
        mean: Of their scores.
        quantiles: At 0.05, 0.25, 0.5, 0.75 and 0.95.
    """

    rating: str
    n: int
    mean: float
    quantiles: Sequence[float]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        scores, scores_sha256: The file, and the hash of its content.
        ratings: The file that ratings were taken from, or None.
        run: How the scores were made, as the run file beside them says; None where that is not
            known.
        versions: Of the packages that computed the numbers.
    """

    scores: str
    scores_sha256: str
    ratings: str | None
    run: Mapping[str, Any] | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Result):
    """All results about one judge on one set of rated answers.

    ``docs/evaluation.md`` explains every number; ``raters`` is None without two raters of the
    answers.
    """

    judge: str
    counts: Counts
    warnings: Sequence[str]
    settings: EvaluationSettings
    headline: Headline
    correlation: Correlation
    pairwise: Pairwise
    by_category: Mapping[str, Group]
    by_model: Mapping[str, Group]
    mean_over_categories: Correlation
    mean_over_models: Correlation
    models: ModelOrder | None
    selective: Selective
    calibration: Calibration
    length: Length
    distribution: Sequence[ScoresAtRating]
    binary: Binary
    raters: RaterAgreement | None
    provenance: Provenance

    def groups(self, name: str) -> Mapping[str, Group]:
        """The groups by ``category`` or by ``model``."""
        return self.by_category if name == "category" else self.by_model

    def to_dict(self) -> dict[str, Any]:
        """The document that ``selfj eval`` prints as JSON; no NaN anywhere."""
        found = {name: plain(getattr(self, name)) for name in self.__slots__}
        return {"kind": KIND, "conclusion": self.conclusion, **found}

    @property
    def conclusion(self) -> str:
        """Whether the judge agrees with the ratings, as a sentence, by fixed rules."""
        from selfj_eval.evaluation.conclusions import conclusion_of

        return conclusion_of(self)

    def rows(self) -> list[dict[str, Any]]:
        """One row per metric: where it stands, its value, interval and n."""
        from selfj_eval.evaluation.rendering import COLUMNS, metric_rows

        return [dict(zip(COLUMNS, row, strict=True)) for row in metric_rows(self)]

    def __str__(self) -> str:
        from selfj_eval.evaluation.rendering import text

        return text(self)


class Compared(NamedTuple):
    """How many records each judge has, and how many are compared.

    Attributes:
        first, second: Records of each judge.
        compared: Those that are compared.
        instructions: How many instructions these answer; 0 where texts are missing.
        unrated: Records that both judges scored and that have no rating.
    """

    first: int
    second: int
    compared: int
    instructions: int
    unrated: int


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """As ``EvaluationSettings``."""

    good_at: float
    confidence: float
    resamples: int
    seed: int
    resampled: str


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Result):
    """Two judges on the same records.

    Attributes:
        judges: What they are called.
        counts: Records of each, and those compared.
        warnings: What a reader should know, as sentences.
        settings: What the numbers were computed with.
        metrics: Both values of each headline metric, and their difference (first - second).
        provenance: Of each.
    """

    judges: Sequence[str]
    counts: Compared
    warnings: Sequence[str]
    settings: ComparisonSettings
    metrics: Mapping[str, Difference]
    provenance: Sequence[Provenance]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``selfj compare`` prints as JSON."""
        found = {name: plain(getattr(self, name)) for name in self.__slots__}
        return {"kind": COMPARISON, "conclusion": self.conclusion, **found}

    @property
    def conclusion(self) -> str:
        """Which judge agrees better with the ratings, as a sentence, by fixed rules."""
        from selfj_eval.evaluation.conclusions import conclusion_of_two

        return conclusion_of_two(self)

    def rows(self) -> list[dict[str, Any]]:
        """One row per headline metric."""
        return [
            {
                "metric": name,
                "first": d.first.value,
                "second": d.second.value,
                "difference": d.difference.value,
                "low": d.difference.low,
                "high": d.difference.high,
                "first_higher": d.first_higher,
            }
            for name, d in self.metrics.items()
        ]

    def __str__(self) -> str:
        from selfj_eval.evaluation.rendering import comparison_text

        return comparison_text(self)
