"""Requirements such as ``spearman>=0.5``: how they are written, and which metric each is about."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from selfj_eval.jobs.options import OptionError
from selfj_eval.metrics import Headline, Interval, Metric

MEAN_SCORE = "mean_score"
UNSCORED = "unscored"
MISSING = "missing"
SHARE_AT_LEAST = "share_at_least"
DIFFERENCE = "difference_to_baseline"
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_WRITTEN = re.compile(r"(.+?)\s*(>=|<=|>|<)\s*([^<>=\s]+)")
_SHARE = re.compile(rf"{SHARE_AT_LEAST}\(([^()]+)\)")
_NAMES = (MEAN_SCORE, f"{SHARE_AT_LEAST}(SCORE)", UNSCORED, MISSING, *Headline._fields)
_KEYS = {"value", "n", "undefined"}
"""Of a metric in JSON."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A bound that a metric must keep.

    Attributes:
        metric: Its name.
        operator: ``>=``, ``<=``, ``>`` or ``<``.
        bound: The number.
    """

    metric: str
    operator: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.bound:.12g}"

    @property
    def needs_ratings(self) -> bool:
        """Whether the metric is about scores and ratings."""
        without = (MEAN_SCORE, UNSCORED, MISSING, DIFFERENCE)
        return self.metric not in without and self.least is None

    @property
    def least(self) -> float | None:
        """The score of ``share_at_least(SCORE)``; None of other metrics."""
        found = _SHARE.fullmatch(self.metric)
        return None if found is None else float(found[1])

    @property
    def end(self) -> str:
        """The end of an interval that decides: ``low`` or ``high``."""
        return "low" if self.operator in (">=", ">") else "high"

    def kept_by(self, number: float) -> bool:
        """Whether a number keeps the bound."""
        return bool(_HOLDS[self.operator](number, self.bound))


def read_requirement(text: str) -> Requirement:
    """A requirement as it is written: a metric, an operator and a number.

    A metric is ``mean_score``, ``share_at_least(SCORE)``, ``unscored``, ``missing``, a headline
    metric such as ``spearman``, or the path of any other in the JSON of ``selfj eval``, such as
    ``by_model.my-7b.spearman``.

    Raises:
        OptionError: If it is written otherwise, or no metric has such a name.
    """
    found = _WRITTEN.fullmatch(text.strip())
    bound = None if found is None else _number(found[3])
    if found is None or bound is None:
        raise OptionError(
            "require",
            "takes a metric, one of >= <= > < and a number, such as 'spearman>=0.5', in quotes on "
            f"a command line; got {text!r:.80}.",
        )
    name = found[1]
    share = _SHARE.fullmatch(name)
    if share is not None and _number(share[1]) is None:
        raise OptionError("require", f"takes {SHARE_AT_LEAST}(SCORE) with a number, got {name!r}.")
    if share is None and "." not in name and name not in _NAMES:
        raise unknown(name)
    return Requirement(name, found[2], bound)


def unknown(name: str, known: Collection[str] = _NAMES) -> OptionError:
    """The error that a metric is unknown.

    Args:
        name: What it was called.
        known: Names that it may have been meant for.
    """
    close = get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return OptionError(
        "require",
        f"names no metric: {name!r:.80}.{hint} There are {', '.join(_NAMES)}, and the paths of "
        "other metrics in the JSON of `selfj eval`, such as pairwise.same_instruction.",
    )


def metrics_of(document: Mapping[str, Any], confidence: float) -> dict[str, Metric]:
    """The metrics of an evaluation by name: the headline's by their own, all by their paths.

    Args:
        document: The JSON of ``selfj eval``.
        confidence: Level of its intervals.
    """
    found = dict(_metrics(document, "", confidence))
    return {name: found[f"headline.{name}"] for name in Headline._fields} | found


def _metrics(value: Any, path: str, confidence: float) -> Iterator[tuple[str, Metric]]:
    if not isinstance(value, Mapping):
        return
    if value.keys() >= _KEYS:
        interval = None
        if "low" in value:
            interval = Interval(value["low"], value["high"], confidence, value["method"])
        yield path, Metric(value["value"], value["n"], value["undefined"], interval)
        return
    for key, item in value.items():
        yield from _metrics(item, f"{path}.{key}" if path else key, confidence)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
