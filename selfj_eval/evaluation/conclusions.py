"""What the numbers of an evaluation say, in a sentence, by fixed rules on the intervals.

How well a judge agrees is read from the lower end of the interval of Spearman's correlation: what
the answers show, not what they happen to give.
"""

from __future__ import annotations

from selfj_eval.errors import shown
from selfj_eval.evaluation.result import Comparison, Evaluation, Length
from selfj_eval.metrics import Metric

STRONG = 0.6
CLEAR = 0.3
"""Lower ends of the interval from which agreement is strong, or clear; above 0 it is weak."""
_MOST = 0.5


def conclusion_of(found: Evaluation) -> str:
    """Whether the judge agrees with the ratings, and whether that is more than answer length."""
    rho = found.headline.spearman
    if rho.value is None:
        return f"Nothing can be said about agreement: {rho.undefined}."
    unit = found.settings.resampled
    if rho.interval is None:
        return f"There are too few {unit} to say whether the scores agree with the ratings."
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
    gap = rho.difference
    if gap.value == 0 and gap.interval is None:
        return "Both judges agree with the ratings equally well."
    if gap.value is None or gap.interval is None:
        reason = gap.undefined or f"there are too few {found.settings.resampled}"
        return f"Nothing can be said about which judge agrees better: {reason}."
    low, high = gap.interval.low, gap.interval.high
    numbers = f"(difference of Spearman {gap.value:.2f}, {low:.2f} to {high:.2f})"
    if low <= 0 <= high:
        unit = found.settings.resampled
        return f"These {unit} cannot tell which judge agrees better with the ratings {numbers}."
    better, worse = (first, second) if low > 0 else (second, first)
    return f"{better} agrees better with the ratings than {worse} {numbers}."


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
