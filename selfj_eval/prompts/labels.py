"""What a judge may answer, with its values: expected score, label mass, the ten digits' tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import JudgeError
from selfj_eval.jobs.arguments import Numbers, numbers

DIGITS = tuple("0123456789")
MIN_SCORE = 0.0
MAX_SCORE = 9.0

_LARGEST_MASS = 1.01  # 1, and room for servers that round their log-probabilities


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that a judge may answer with.

    Attributes:
        texts: At least two different ones.
        values: A finite number for each, not all equal.
        rescale: Put the expected value on 0..9, the scale of Self-J's scores.
    """

    texts: tuple[str, ...]
    values: tuple[float, ...]
    rescale: bool = False

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        if self.rescale:
            return MIN_SCORE, MAX_SCORE
        return min(self.values), max(self.values)


DIGIT_LABELS = Labels(DIGITS, tuple(map(float, range(10))))
"""Self-J's: the digits 0 to 9."""


class Expected(NamedTuple):
    """Scores of n judgments.

    Attributes:
        score: Shape (n,). Expected score on ``Labels.scale``; NaN where it is undefined.
        probabilities: Shape (n, k). Probabilities of the labels, each row sums to 1.
        digit_mass: Shape (n,). Probability in [0, 1] that the judge gave to the labels (Self-J's
            ten digits) together; a low value says that the score is not to be trusted.
    """

    score: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]
    digit_mass: npt.NDArray[np.float64]


def expected_score(log_probabilities: Numbers, labels: Labels = DIGIT_LABELS) -> Expected:
    """Expected score over the labels, by default over the ten digits of Self-J.

    ``score = sum_k v_k * p_k / sum_k p_k`` (Self-J, arXiv 2409.00935, section 3; the released
    ``judge.py``, where v_k = k = 0..9). Computed from log-probabilities, so that a tiny label mass
    does not underflow.

    Args:
        log_probabilities: Shape (n, k). Natural logarithms of the labels' probabilities in the
            softmax over the whole vocabulary. ``-inf`` is allowed for single labels.
        labels: The k labels.

    Returns:
        An ``Expected``. A row that is no part of a distribution (a NaN, only ``-inf``, or
        probabilities that add up to more than 1.01) has no score: all its values are NaN.

    Raises:
        TypeError: If something in it is no number.
        ValueError: If the shape is not (n, k).
    """
    logp, count = numbers(log_probabilities, "log_probabilities"), len(labels.texts)
    if logp.ndim != 2 or logp.shape[1] != count:
        raise ValueError(f"log_probabilities must have shape (n, {count}), got {logp.shape}")
    top = logp.max(axis=1, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        weights = np.exp(logp - top[:, None])  # shifted, so that tiny masses do not underflow
        total = weights.sum(axis=1)
        mass = total * np.exp(top)
    weights[~(mass <= _LARGEST_MASS) | ~np.isfinite(top)] = np.nan
    probabilities = weights / total[:, None]
    low, high = min(labels.values), max(labels.values)
    # Not a matrix product: its rounding would depend on the other rows.
    score = np.clip((probabilities * np.array(labels.values)).sum(axis=1), low, high)
    if labels.rescale:
        score = MAX_SCORE * (score - low) / (high - low)
    return Expected(score, probabilities, np.where(np.isnan(score), np.nan, np.minimum(mass, 1.0)))


class Preference(NamedTuple):
    """What a judge that was shown two answers in both orders says of A, from 0 to 1.

    Attributes:
        a_first, b_first: The preference for A where A was shown first, and where B was; NaN where
            the judgment of that order is undefined.
        mean: Their mean; NaN where either is.
        label_mass: Probability in [0, 1] that the judge gave to its labels, in the order that is
            to be trusted least; NaN where ``mean`` is.
    """

    a_first: float
    b_first: float
    mean: float
    label_mass: float


def preference(orders: Expected, labels: Labels) -> Preference:
    """The preference for A, from the scores of the two orders.

    Args:
        orders: Of two judgments: A shown first, then B shown first.
        labels: What the judge may answer; the score is how much the first answer wins.
    """
    low, high = labels.scale
    first, second = ((float(score) - low) / (high - low) for score in orders.score)
    mean = 0.5 + (first - second) / 2
    return Preference(first, 1 - second, mean, float(orders.digit_mass.min()))


def digit_token_ids(encode: Callable[[str], Sequence[int]], context: str, name: str) -> list[int]:
    """Ids of the tokens "0".."9" as they follow ``context``.

    A digit can have several pieces in one vocabulary (Llama-2 has "5" and " 5"), so the
    id is read off where the judge has to produce it: as what is added to the tokens of
    ``context`` when the digit is appended.

    Args:
        encode: Text to token ids, special tokens included as for scoring.
        context: Text as it ends right before the digit.
        name: Name of the tokenizer, for the error.

    Returns:
        Ten distinct token ids, for "0".."9".

    Raises:
        JudgeError: If a digit is not exactly one token, or two digits share one.
    """
    base = list(encode(context))
    ids: list[int] = []
    for digit in DIGITS:
        extended = list(encode(context + digit))
        if extended[: len(base)] != base or len(extended) != len(base) + 1:
            if extended[-1] == base[-1]:  # a token that ends every text
                raise JudgeError(
                    f"{name} cannot judge by the next token: its tokenizer ends every text with a "
                    "token of its own, as encoders do. An encoder is trained with selfj train "
                    "judge (`architecture` encoder), and judges in selfj score, not in lm-eval."
                )
            advice = "use a judge whose tokenizer splits numbers into digits, such as Llama-2's"
            if context.endswith(" "):
                advice = (
                    'let the prompt or its prefill end before the space; write labels such as " 5"'
                )
            raise JudgeError(
                f"the tokenizer of {name} cannot be used for judging: after "
                f"{context[-16:]!r} the digit {digit!r} is not one token of its own (it turns "
                f"{len(base)} tokens into {len(extended)}). The ten digits must be single "
                f"tokens; {advice}."
            )
        ids.append(extended[-1])
    if len(set(ids)) != len(DIGITS):
        raise JudgeError(
            f"the tokenizer of {name} cannot be used for judging: the ten digits have only "
            f"{len(set(ids))} different tokens ({ids}); is its vocabulary complete?"
        )
    return ids
