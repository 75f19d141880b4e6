"""What the numbers of an evaluation say, in a sentence, by fixed rules on the intervals.

How well a judge agrees is read from the lower end of the interval of Spearman's correlation: what
the answers show, not what they happen to give.
"""

from __future__ import annotations

from selfj_eval.errors import shown
from selfj_eval.evaluation.rater_result import RaterAgreement
from selfj_eval.evaluation.result import Comparison, Evaluation, Length
from selfj_eval.metrics import AlternativeAnnotatorTest, Metric
from selfj_eval.metrics.alternative_annotator import PASSED_AT
from selfj_eval.metrics.result import FEWEST_UNITS

STRONG = 0.6
CLEAR = 0.3
"""Lower ends of the interval from which agreement is strong, or clear; above 0 it is weak."""
RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff's alpha (2004, Human Communication Research 30) from which ratings can be relied on,
or allow tentative conclusions. Read from the lower end of its interval, as he advises."""
_MOST = 0.5


def conclusion_of(found: Evaluation) -> str:
    """Whether the judge agrees with the ratings, and whether that is more than answer length."""
    rho = found.headline.spearman
    if rho.value is None:
        return f"Nothing can be said about agreement: {rho.undefined}."
    unit = found.settings.resampled
    drawn = found.counts.instructions or found.counts.used
    if drawn < FEWEST_UNITS or rho.interval is None:
        return f"Too few {unit} ({drawn:,}) to say how well the scores agree with the ratings."
    low, high = rho.interval.low, rho.interval.high
    numbers = f"(Spearman {rho.value:.2f}, {low:.2f} to {high:.2f})"
    if high < 0:
        return f"The scores go against the ratings {numbers}."
    if low <= 0:
        return f"These {unit} cannot show whether the scores agree with the ratings {numbers}."
    how = "strongly" if low >= STRONG else "clearly" if low >= CLEAR else "weakly"
    return f"The scores agree {how} with the ratings {numbers}{_beyond(rho, found.length)}."


def conclusion_of_two(found: Comparison) -> str:
    """Which of two judges agrees better with the ratings, if that can be told."""
    rho = found.metrics["spearman"]
    first, second = map(shown, found.judges)
    gap, unit = rho.difference, found.settings.resampled
    if gap.value == 0 and gap.interval is None:
        return "Both judges agree with the ratings equally well."
    if gap.value is None:
        return f"Nothing can be said about which judge agrees better: {gap.undefined}."
    drawn = found.counts.instructions or found.counts.compared
    if drawn < FEWEST_UNITS or gap.interval is None:
        return f"Too few {unit} ({drawn:,}) to say which judge agrees better with the ratings."
    low, high = gap.interval.low, gap.interval.high
    numbers = f"(difference of Spearman {gap.value:.2f}, {low:.2f} to {high:.2f})"
    if low <= 0 <= high:
        return f"These {unit} cannot tell which judge agrees better with the ratings {numbers}."
    better, worse = (first, second) if low > 0 else (second, first)
    return f"{better} agrees better with the ratings than {worse} {numbers}."


def conclusions_on_raters(found: RaterAgreement) -> list[str]:
    """How well several raters agree, and whether the judge may replace one of them."""
    tests = {"equal": found.judge.accuracy, "close": found.judge.rmse}
    verdicts = [
        _replacing(name, test) for name, test in tests.items() if test.advantage.value is not None
    ]
    return [_agreeing(found), *verdicts]


def _agreeing(found: RaterAgreement) -> str:
    alpha = found.alpha.interval
    if alpha.value is None:
        return f"Nothing can be said about how well the raters agree: {alpha.undefined}."
    drawn = found.instructions or found.answers
    if drawn < FEWEST_UNITS or alpha.interval is None:
        unit = "instructions" if found.instructions else "answers"
        return f"Too few {unit} ({drawn:,}) to say how well the raters agree."
    low, high = alpha.interval.low, alpha.interval.high
    numbers = f"(Krippendorff's alpha {alpha.value:.2f}, {low:.2f} to {high:.2f})"
    if low >= RELIABLE:
        return f"The raters agree well {numbers}."
    if low >= TENTATIVE:
        return f"The raters agree well enough for tentative conclusions {numbers}."
    if high < TENTATIVE:
        return f"The raters do not agree well enough to rely on their ratings {numbers}."
    return (
        f"It is not certain that the raters agree well enough to rely on their ratings {numbers}."
    )


def _replacing(name: str, test: AlternativeAnnotatorTest) -> str:
    """A sentence of the alternative annotator test: the smallest epsilon at which it is passed."""
    start, rates = f"By {name} ratings, the judge", test.winning_rates
    won = {e: f"{e} ({round((m.value or 0) * m.n)} of {m.n} raters)" for e, m in rates.items()}
    passed = [e for e, m in rates.items() if (m.value or 0) >= PASSED_AT]
    failed = [e for e in rates if e not in passed]
    if not passed:
        return f"{start} is not shown to replace a rater, not even at epsilon {won[failed[-1]]}."
    but = f"; not at {failed[-1]}" if failed else ""
    return f"{start} may replace a rater at epsilon {won[passed[0]]}{but}."


def _beyond(rho: Metric, length: Length) -> str:
    """What is left of an agreement once answer length is accounted for."""
    rest = length.score_rating_given_length
    if rest.value is None or rest.interval is None or rho.value is None:
        return ""
    if rest.interval.low <= 0:
        return "; beyond answer length, nothing is shown"
    if rest.value < _MOST * rho.value:
        return ", and most of that is answer length"
    return ", and not only because of answer length"
