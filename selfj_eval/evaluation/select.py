"""Declining poor answers: choosing a threshold with a guarantee, and applying one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, printable, shown
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.policy import Policy
from selfj_eval.jobs.options import OptionError, PathLike, keywords, option
from selfj_eval.jobs.results import Result
from selfj_eval.records.writing import TableOptions

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scores, ScoresLike

_OF_A_CHOICE = ("good_at", "confidence", "all_answers")


@dataclass(frozen=True, kw_only=True)
class SelectOptions(RatingOptions, TableOptions):
    """How a policy is chosen or applied."""

    max_risk: float | None = option(
        None,
        "choose a threshold: the largest share of bad answers among all answers that will be "
        "accepted",
        placeholder="R",
    )
    policy: str | Path | Policy | None = option(
        None, "apply this policy to SCORES", placeholder="FILE"
    )
    output: PathLike | None = option(
        None,
        "file for the policy (.json; default: SCORES.policy.json) or for the decisions (.jsonl, "
        ".json, .csv or .parquet; default: SCORES.decisions.jsonl)",
        placeholder="FILE",
    )
    all_answers: bool = option(
        False,
        "use all answers to an instruction, not one drawn at random; they are not independent, so "
        "a guarantee based on them fails more often than stated",
    )

    def check(self) -> None:
        """Refuse what does not go together."""
        RatingOptions.check(self)
        self.need_share("max_risk")
        if (self.max_risk is None) == (self.policy is None):
            raise DataError("give `max_risk` to choose a policy, or `policy` to apply one.")
        for name in set(_OF_A_CHOICE).intersection(self.changed()) if self.policy else ():
            raise OptionError(name, "is for choosing a policy: leave it out, or choose a new one.")


@dataclass(frozen=True)
class Selection(Result):
    """A policy that was chosen, or why none can be.

    Attributes:
        policy: The policy, or None where no threshold can be certified.
        max_risk, confidence: The guarantee that was asked for.
        n, bad: Rated answers that were used, and how many of them are bad.
        unscored: Answers without a score, which are skipped.
        warnings: Reasons why the guarantee may not hold, as sentences.
        lowest_certifiable_risk: The lowest risk that can be certified; None if none can.
        fewest_records: How many accepted answers, none of them bad, the guarantee needs at least.
        output: Where the policy was written, or None.
    """

    policy: Policy | None = field(repr=False)
    max_risk: float
    confidence: float
    n: int
    bad: int
    unscored: int
    warnings: Sequence[str]
    lowest_certifiable_risk: float | None = None
    fewest_records: int | None = None
    output: str | None = None

    @property
    def certified(self) -> bool:
        """Whether there is a policy."""
        return self.policy is not None

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        shared = ("certified", "max_risk", "confidence", "n", "bad", "unscored")
        found = {name: getattr(self, name) for name in shared} | {"warnings": list(self.warnings)}
        if self.policy is None:
            return found | {
                "lowest_certifiable_risk": self.lowest_certifiable_risk,
                "fewest_records": self.fewest_records,
            }
        return found | {
            "threshold": self.policy.threshold,
            "accepted": self.policy.calibration["accepted"],
            "bad_accepted": self.policy.calibration["bad"],
            "output": self.output,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def __str__(self) -> str:
        lines = [
            f"{self.n:,} rated answers used, {self.bad / self.n:.1%} of them bad; "
            f"{self.unscored:,} unscored answers are skipped"
        ]
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        promise = f"at most {self.max_risk:.4g} bad with confidence {self.confidence:g}"
        return "\n".join([*lines, *(self._none(promise) or self._accepting(promise))])

    def _accepting(self, promise: str) -> list[str]:
        found = self.to_dict()
        m, k = found["accepted"], found["bad_accepted"]
        lines = [
            f"accept answers that score at least {found['threshold']:.6g}: {promise}",
            f"  of these answers, this accepts {m:,} ({m / self.n:.1%}), {k:,} of them bad "
            f"({k / m:.1%})",
        ]
        return lines if self.output is None else [*lines, f"  written to {self.output}"]

    def _none(self, promise: str) -> list[str]:
        if self.policy is not None:
            return []
        lines = [
            f"NO THRESHOLD CAN BE CERTIFIED: {promise} is not supported by these answers.",
        ]
        if self.fewest_records is not None and self.n < self.fewest_records:
            fewest = f"{self.fewest_records:,}"
            lines.append(f"  this needs at least {fewest} accepted answers, none of them bad")
        if self.lowest_certifiable_risk is None:
            lines.append(
                "  no risk can be certified: there are too few answers, or the scores do not "
                "separate good from bad"
            )
        else:
            lines.append(
                f"  the lowest risk that can be certified: {self.lowest_certifiable_risk:.3f}; to "
                "certify it, use other answers"
            )
        return [*lines, "  nothing was written; more rated answers or a better judge would help"]


@dataclass(frozen=True)
class Decided:
    """What a policy says of one answer.

    Attributes:
        id: The answer's.
        decision: ``accept`` or ``decline``.
        p_good: Estimated probability in (0, 1) that it is good; None when unscored.
        score: Its score.
        error: Why it is unscored.
    """

    id: str
    decision: str
    p_good: float | None
    score: float | None
    error: str | None


@dataclass(frozen=True)
class Decisions(Result):
    """A policy applied.

    Attributes:
        answers, accepted, declined, unscored: Counts of answers; unscored ones are declined.
        rated_accepted, bad_accepted: Accepted answers with a rating, and the bad among them.
        warnings: Reasons why the guarantee may not hold here, as sentences.
        output: Where the decisions were written, or None.
        decided: One per answer, in their order.
        promised: The policy's largest share of bad answers.
    """

    answers: int
    accepted: int
    declined: int
    unscored: int
    rated_accepted: int
    bad_accepted: int
    warnings: Sequence[str]
    output: str | None
    decided: Sequence[Decided] = field(repr=False)
    promised: float = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        hidden = ("decided", "promised")
        found = {name: value for name, value in vars(self).items() if name not in hidden}
        return found | {"warnings": list(self.warnings)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per answer."""
        return [vars(decided).copy() for decided in self.decided]

    def __str__(self) -> str:
        lines = [
            f"{self.accepted:,} of {self.answers:,} answers accepted, {self.declined:,} declined "
            f"({self.unscored:,} of them unscored)"
        ]
        if self.rated_accepted:
            bad = self.bad_accepted
            lines.append(
                f"  {self.rated_accepted:,} accepted answers have a rating: {bad:,} bad "
                f"({bad / self.rated_accepted:.1%}; promised at most {self.promised:.4g})"
            )
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        return "\n".join(lines if self.output is None else [*lines, f"  written to {self.output}"])


def select_answers(scores: ScoresLike, options: SelectOptions) -> Selection | Decisions:
    """Choose an acceptance threshold with a guarantee, or apply a policy to new answers.

    Args:
        scores: Scored answers as for ``evaluate``; rated ones, to choose.

    Returns:
        The selection if ``max_risk`` is given, the decisions if ``policy`` is given.

    Raises:
        DataError: If they cannot be read, or no answer is rated.
        StoreError: If the output cannot be written.
    """
    return _choose(scores, options) if options.policy is None else _apply(scores, options)


select = keywords(select_answers, SelectOptions)


def _output(scores: ScoresLike, options: SelectOptions, ending: str, *formats: str) -> Path | None:
    """The output; beside a file of scores where none is named."""
    from selfj_eval.files.atomic import FORMATS, check_output

    source = scores if isinstance(scores, str | Path) else None
    name = options.output or (None if source is None else f"{source}{ending}")
    inputs = (scores, options.ratings, options.policy)
    output = None
    if name is not None:
        output = check_output(name, formats=formats or FORMATS, inputs=inputs)
    options.check_csv(output)
    return output


def _choose(given: ScoresLike, options: SelectOptions) -> Selection:
    from selfj_eval.evaluation.policy import calibration_set, choose
    from selfj_eval.judging.scored import as_scores
    from selfj_eval.metrics import fewest_records, lowest_certifiable_risk

    risk, confidence = options.max_risk or 0.0, options.confidence
    output = _output(given, options, ".policy.json", ".json")
    scores = as_scores(given, ratings=options.ratings, scale=options)
    every: dict[str, Any] = {"good_at": options.good_at, "all_answers": options.all_answers}
    policy = choose(scores, max_risk=risk, confidence=confidence, **every)
    data, notes = calibration_set(scores, **every)
    lowest = fewest = None
    if policy is None:
        lowest = lowest_certifiable_risk(data.score, data.good, confidence=confidence)
        fewest = fewest_records(risk, confidence)
    elif output is not None:
        policy.save(output)
    return Selection(
        policy=policy,
        max_risk=risk,
        confidence=confidence,
        n=len(data.score),
        bad=int((~data.good).sum()),
        unscored=sum(a.score is None for a in scores.answers),
        warnings=notes,
        lowest_certifiable_risk=lowest,
        fewest_records=fewest,
        output=None if output is None or policy is None else printable(output),
    )


def _apply(given: ScoresLike, options: SelectOptions) -> Decisions:
    from selfj_eval.judging.scored import as_scores
    from selfj_eval.records.writing import write_rows

    output = _output(given, options, ".decisions.jsonl")
    policy = options.policy
    if not isinstance(policy, Policy):
        policy = Policy.load(policy or "")
    scores = as_scores(given, ratings=options.ratings, scale=options)
    decided, judged, accepted = [], [], 0
    for answer in scores.answers:
        accept, p_good = policy.decide(answer.score)
        decision = "accept" if accept else "decline"
        decided.append(Decided(answer.id, decision, p_good, answer.score, answer.error))
        accepted += accept
        if accept and answer.quality is not None:
            judged.append(answer.quality >= policy.good_at)
    if output is not None:
        write_rows(output, [vars(one) for one in decided], safe_csv=options.safe_csv)
    return Decisions(
        answers=len(decided),
        accepted=accepted,
        declined=len(decided) - accepted,
        unscored=sum(a.score is None for a in scores.answers),
        rated_accepted=len(judged),
        bad_accepted=len(judged) - sum(judged),
        warnings=[*scores.warnings, *_mismatch(policy, scores)],
        output=None if output is None else printable(output),
        decided=decided,
        promised=policy.max_risk,
    )


def _mismatch(policy: Policy, scores: Scores) -> list[str]:
    """What shows that these scores are not like those that the promise was made with."""
    found: list[str] = []
    known = [a.score for a in scores.answers if a.score is not None]
    ends = [policy.calibration.get(name) for name in ("lowest_score", "highest_score")]
    if known and None not in ends and _on_our_scale(ends) != _on_our_scale(known):
        found.append(
            f"these scores, from {min(known):g} to {max(known):g}, and those of the policy, from "
            f"{ends[0]:g} to {ends[1]:g}, are not on the same scale: the guarantee does "
            "not hold"
        )
    rated = [a for a in scores.answers if a.rating is not None]
    scaled = all(None not in (a.rating_min, a.rating_max) for a in rated)
    if rated and scaled != policy.calibration.get("scaled_ratings", scaled):
        found.append(
            "the ratings' scale is known only here or only for the policy: 'bad' may mean "
            "something else"
        )
    judge = scores.run.get("judge")
    if not isinstance(judge, dict) or policy.judge is None:
        which = "it is not known whether the same judge made these scores and the policy's"
        return [*found, which]
    parts = ("identity", "template", "template_sha256", "scale", "reference", "max_tokens")
    changed = [part for part in parts if judge.get(part) != policy.judge.get(part)]
    if changed:
        found.append(
            f"the policy is for another judge ({', '.join(changed)}): the guarantee does not hold"
        )
    return found


def _on_our_scale(scores: Sequence[Any]) -> bool:
    from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

    return bool(min(scores) >= MIN_SCORE and max(scores) <= MAX_SCORE)
