"""A threshold policy: accept or decline an answer by its score, in a service too.

This module needs no numpy to decide, so that a service that loads a policy stays light.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from selfj_eval import __version__
from selfj_eval.errors import DataError, printable
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.arguments import expect
from selfj_eval.records.record import Judgment, is_number

if TYPE_CHECKING:
    from selfj_eval.evaluation.columns import Columns
    from selfj_eval.judging.scored import Scored, Scores

KIND = "selfj-policy"


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
        threshold: On the judge's scale.
        max_risk: Guaranteed largest share of bad answers among all accepted ones.
        confidence: With which probability, over calibration sets, the promise holds.
        good_at: An answer is good when its rating, put on 0..9, is at least this.
        slope, intercept: P(good | score) = 1 / (1 + exp(-(slope score + intercept))).
        calibration: What it was chosen on: file, hash, n, accepted, bad, range of the scores, and
            the warnings.
        judge: How the calibration scores were made; a policy holds for that judge only.
        version: Of this package.
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

    def decide(self, score: float | Judgment | Scored | None) -> Decision:
        """Accept or decline one answer.

        Args:
            score: The judge's score, or the judgment that holds it; None (unscored) is always
                declined.

        Raises:
            ValueError: If the score is NaN or infinite.
            TypeError: If it is no single number, such as an array of several.
        """
        given: Any = score
        if isinstance(given, Judgment) or type(given).__name__ == "Scored":
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
        return Decision(score >= self.threshold, p_good)

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
            number = value.get(name)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise DataError(f"expected a number, got {number!r}.", path=path, field=name)
            if not math.isfinite(number):
                raise DataError(f"expected a finite number, got {number}.", path=path, field=name)
        for name in ("max_risk", "confidence"):
            if not 0 < value[name] < 1:
                message = f"expected a number between 0 and 1, got {value[name]}."
                raise DataError(message, path=path, field=name)
        for name, kinds in (("calibration", dict), ("judge", dict | None)):
            if not isinstance(value.get(name), kinds):
                raise DataError("expected an object.", path=path, field=name)
        for name in ("lowest_score", "highest_score"):
            end = value["calibration"].get(name)
            if end is not None and not is_number(end):
                message = f"expected a number, got {end!r:.40}."
                raise DataError(message, path=path, field=f"calibration.{name}")
        version = value.get("version", __version__)
        if not isinstance(version, str) or not re.match(r"\d+\.\d+", version):
            message = f"expected the version of selfj-eval that made it, got {version!r:.40}."
            raise DataError(message, path=path, field="version")
        if unknown := sorted(value.keys() - {field.name for field in fields(cls)}):
            message = f"no field of a policy; this is version {__version__}."
            raise DataError(message, path=path, field=unknown[0])
        return cls(**value)


def calibration_set(
    scores: Scores, good_at: float, *, all_answers: bool = False
) -> tuple[Columns, list[str]]:
    """The rated answers that a promise can be made on, and what speaks against it.

    Where instructions are known, one answer to each, drawn at random with a fixed seed: answers
    to one instruction are not independent, and with all of them promises are broken too often.

    Args:
        scores: Scored answers with ratings.
        good_at: As in ``Policy``.
        all_answers: Take all of them all the same.

    Returns:
        The answers, and sentences for a reader of the promise.

    Raises:
        DataError: If ``good_at`` lies outside the ratings.
    """
    from selfj_eval.evaluation.columns import Columns
    from selfj_eval.evaluation.evaluate import warnings_on
    from selfj_eval.metrics import one_of_each

    data = Columns.of(scores.rated, good_at)
    data.check_good_at(good_at, scores.path)
    notes = [*scores.warnings, *warnings_on(scores, data)]
    n = len(data.answers)
    if data.group is None or (instructions := len(set(data.group.tolist()))) == n:
        return data, notes
    about = f"{n} answers to {instructions} instructions"
    if all_answers:
        return data, [
            *notes,
            f"{about}: they are not independent, so the guarantee fails more often than stated",
        ]
    chosen = [data.answers[k] for k in one_of_each(data.group)]
    notes.append(f"{about}: one answer to each is used, drawn at random (see `all_answers`)")
    return Columns.of(chosen, good_at), notes


def choose(
    scores: Scores,
    *,
    max_risk: float,
    confidence: float,
    good_at: float,
    all_answers: bool = False,
) -> Policy | None:
    """The policy with the largest coverage that can be certified, or None.

    Args:
        scores: Scored answers with ratings, from the source that the policy will meet.
        max_risk: Largest share of bad answers among the accepted, in (0, 1).
        confidence: In (0, 1); see ``metrics.certify`` for the promise.
        good_at: As in ``Policy``.
        all_answers: As for ``calibration_set``.

    Raises:
        DataError: If no answer has a score and a rating.
        TypeError: If ``scores`` is no ``Scores``.
    """
    from selfj_eval.judging.scored import Scores
    from selfj_eval.metrics import certify, fit_platt

    expect(scores, Scores, "choose()", "selfj_eval.judging.scored.read_scores")
    # Plain numbers also where numpy's were given: the policy is written as JSON.
    max_risk, confidence, good_at = float(max_risk), float(confidence), float(good_at)
    data, notes = calibration_set(scores, good_at, all_answers=all_answers)
    if not len(data.score):
        raise DataError("no answer has a score and a rating to calibrate on.", path=scores.path)
    found = certify(data.score, data.good, max_risk=max_risk, confidence=confidence)
    if found is None:
        return None
    curve = fit_platt(data.score, data.good)
    used = {
        "scores": printable(Path(scores.path).name),
        "sha256": scores.sha256,
        "n": found.n,
        "accepted": found.accepted,
        "bad": found.bad,
        "unscored": sum(a.score is None for a in scores.answers),
        "lowest_score": float(data.score.min()),
        "highest_score": float(data.score.max()),
        "scaled_ratings": data.scaled,
        "warnings": notes,
    }
    judge = scores.run.get("judge")
    return Policy(
        found.threshold,
        max_risk,
        confidence,
        good_at,
        curve.slope,
        curve.intercept,
        used,
        judge if isinstance(judge, dict) else None,
    )
