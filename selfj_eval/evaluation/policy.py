"""A threshold policy: accept or decline an answer by its score, in a service too.

This module needs no numpy to decide, so that a service that loads a policy stays light.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from selfj_eval import __version__
from selfj_eval.errors import DataError
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.records.record import Judgment, is_number

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scored

KIND = "selfj-policy"
BAD, RATING = LOSSES = ("bad", "rating")
"""What an answer may cost: 1 if it is bad, or 1 for the worst rating down to 0 for the best."""
_DECIDES = ("identity", "template", "template_sha256", "scale", "reference", "max_tokens")
"""What a run file says of a judge that decides its scores."""


class Decision(NamedTuple):
    """What a policy says of one score.

    Attributes:
        accept: Whether to give the answer out.
        p_good: Estimated probability in (0, 1) that the answer is good; None when unscored. An
            estimate: the guarantee is about the accepted answers together.
    """

    accept: bool
    p_good: float | None


@dataclass(frozen=True)
class Policy:
    """Accept the answers that score at least ``threshold``.

    Attributes:
        threshold: On the judge's scale; the highest one if each category has its own.
        max_risk: Promised largest probability that an answer to a random instruction is bad if it
            is accepted, or largest expected loss; each instruction counts once.
        confidence: The probability, over calibration sets, with which the promise holds.
        good_at: An answer is good if its rating, rescaled to 0..9, is at least this.
        slope, intercept: P(good | score) = 1 / (1 + exp(-(slope score + intercept))).
        calibration: What it was chosen on and how: file, hash, n, accepted, bad, range of the
            scores, the test that was used, and the warnings about the promise.
        judge: How the calibration scores were made; a policy holds for that judge only.
        version: Of this package.
        loss: ``bad`` or ``rating``: what ``max_risk`` limits.
        promise: What exactly is promised, as a sentence; None in policies of version 0.1.
        thresholds: By category, where each has its own; answers of other categories are declined.
        distributions: Histograms of score and length on which ``selfj audit`` finds a drift: of
            ``all`` calibration answers and of the ``accepted``, one answer per instruction; a
            length is None where texts are missing. None in policies of version 0.1.
    """

    threshold: float
    max_risk: float
    confidence: float
    good_at: float
    slope: float
    intercept: float
    calibration: dict[str, Any]
    judge: dict[str, Any] | None = None
    version: str = __version__
    loss: str = BAD
    promise: str | None = None
    thresholds: dict[str, float] | None = None
    distributions: dict[str, Any] | None = None

    def decide(
        self, score: float | Judgment | Scored | None, category: str | None = None
    ) -> Decision:
        """Accept or decline one answer.

        Args:
            score: The judge's score, or the judgment that holds it; None (unscored) is always
                declined.
            category: The answer's, if each category has its own threshold. One without a
                threshold is always declined.

        Raises:
            ValueError: If the score is NaN or infinite.
            TypeError: If it is not a single number, such as an array of several.
        """
        given: Any = score
        if type(given).__name__ == "Scored":
            category = given.category if category is None else category
            given = given.score
        elif isinstance(given, Judgment):
            given = given.score
        if hasattr(given, "item"):  # numpy's and torch's; of several numbers float refuses, too
            with suppress(ValueError, RuntimeError):
                given = given.item()
        if given is None:
            return Decision(False, None)
        wrong = f"a score must be a number or None, got {given!r:.60}"
        if isinstance(given, str | bytes | bool):
            raise TypeError(wrong)
        try:
            score = float(given)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(wrong) from None
        if not math.isfinite(score):
            raise ValueError(f"a score must be finite, got {score}; give None for unscored")
        logit = self.slope * score + self.intercept
        p_good = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
        least = self.threshold
        if self.thresholds is not None:
            least = math.inf if category is None else self.thresholds.get(category, math.inf)
        return Decision(score >= least, p_good)

    def differs(self, judge: Mapping[str, Any]) -> list[str]:
        """In what a judge differs from the policy's; for a different judge, no promise holds.

        Args:
            judge: As a run file describes it.

        Returns:
            Names of what decides its scores; empty for the same judge, or where the policy does not
            name its judge.
        """
        if self.judge is None:
            return []
        names: Iterable[str] = _DECIDES
        if "identity" not in {*judge, *self.judge}:  # no judge model: names of its own
            names = {*judge, *self.judge} - {"model", "revision", "adapter"}
        return sorted(name for name in names if judge.get(name) != self.judge.get(name))

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON.

        Raises:
            StoreError: If it cannot be written; then nothing is.
        """
        write_json(path, {"kind": KIND} | asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: If the file cannot be read or is not a policy, naming the field.
        """
        value = read_json(path)
        if not isinstance(value, dict) or value.pop("kind", None) != KIND:
            raise DataError("is not a policy; make one with `selfj select`.", path=path)
        names = ("threshold", "max_risk", "confidence", "good_at", "slope", "intercept")
        for name in names:
            _number(value.get(name), path, name)
        for name in ("max_risk", "confidence"):
            if not 0 < value[name] < 1:
                message = f"expected a number between 0 and 1, got {value[name]}."
                raise DataError(message, path=path, field=name)
        for name in ("calibration", "judge", "thresholds", "distributions"):
            kinds = dict if name == "calibration" else dict | None
            if not isinstance(value.get(name), kinds):
                raise DataError("expected an object.", path=path, field=name)
        for name in ("lowest_score", "highest_score"):
            if (end := value["calibration"].get(name)) is not None:
                _number(end, path, f"calibration.{name}")
        for name, threshold in (value.get("thresholds") or {}).items():
            _number(threshold, path, f"thresholds.{name}")
        if (loss := value.get("loss", BAD)) not in LOSSES:
            message = f"expected one of {', '.join(LOSSES)}, got {loss!r:.40}."
            raise DataError(message, path=path, field="loss")
        if not isinstance(promise := value.get("promise"), str | None):
            raise DataError(f"expected a text, got {promise!r:.40}.", path=path, field="promise")
        _check_distributions(value.get("distributions"), path)
        version = value.get("version", __version__)
        if not isinstance(version, str) or not re.match(r"\d+\.\d+", version):
            message = f"expected the version of selfj-eval that made it, got {version!r:.40}."
            raise DataError(message, path=path, field="version")
        if unknown := sorted(value.keys() - {field.name for field in fields(cls)}):
            message = f"no field of a policy; this is version {__version__}."
            raise DataError(message, path=path, field=unknown[0])
        return cls(**value)


def _number(value: object, path: str | Path, field: str) -> None:
    if not is_number(value):
        raise DataError(f"expected a number, got {value!r:.40}.", path=path, field=field)


def _check_distributions(value: dict[str, Any] | None, path: str | Path) -> None:
    """Refuse anything but histograms: increasing edges, and a count more than there are edges."""
    for part in ("all", "accepted") if value is not None else ():
        own = (value or {}).get(part)
        for name in ("score", "length"):
            where = f"distributions.{part}.{name}"
            found = own.get(name, 0) if isinstance(own, dict) else 0
            if found is None and name == "length":  # of answers without texts
                continue
            edges, counts = (
                map(found.get, ("edges", "counts")) if isinstance(found, dict) else (0, 0)
            )
            sound = False
            if isinstance(edges, list) and isinstance(counts, list):
                for number in (*edges, *counts):
                    _number(number, path, where)
                rising = all(a < b for a, b in pairwise(edges))
                sound = rising and len(counts) == len(edges) + 1 and min(counts) >= 0
            if not sound:
                raise DataError("expected a histogram: edges, counts.", path=path, field=where)
