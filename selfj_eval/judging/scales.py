"""The scale of a judge's scores, as far as the run file knows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE
from selfj_eval.records.record import is_number


def scale_of(judge: Mapping[str, Any]) -> tuple[float, float]:
    """Ends of the scale of a judge's scores, infinite of a rater without one.

    Args:
        judge: What the run file says of the judge.
    """
    ends = judge.get("scale")  # of a template's labels; a sum's is no pair of numbers
    if isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)):
        low, high = map(float, ends)
        if low < high:
            return (low, high)
    judges = "template" in judge or "format" in judge
    return (MIN_SCORE, MAX_SCORE) if judges else (-math.inf, math.inf)
