"""Declining poor answers: choosing a threshold with a guarantee, and applying one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, counted, printable, some
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.policy import BAD, LOSSES, Policy
from selfj_eval.evaluation.selection import Decided, Decisions, Selection
from selfj_eval.jobs.options import OptionError, PathLike, keywords, option
from selfj_eval.records.addresses import is_address
from selfj_eval.records.writing import TableOptions

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scores, ScoresLike

_OF_A_CHOICE = ("good_at", "confidence", "loss", "all_answers", "by_category")


@dataclass(frozen=True, kw_only=True)
class SelectOptions(RatingOptions, TableOptions):
    """How a policy is chosen or applied."""

    max_risk: float | None = option(
        None,
        "choose a threshold; R is the largest probability that an accepted answer to a random "
        "instruction is bad",
        placeholder="R",
    )
    loss: str = option(
        BAD,
        "the loss of an accepted answer: 1 if it is bad, or 1 minus its rating on 0 to 1 (the "
        "expected loss is then limited)",
        LOSSES,
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
        "use all answers to each instruction even with fewer than 200 instructions or three "
        "answers each; this accepts more answers only if the promised risk is not small",
    )
    by_category: bool = option(
        False,
        "choose a threshold for each category, so that the promise holds in each; the allowed "
        "error is divided by the number of categories",
    )

    def check(self) -> None:
        """Refuse what does not go together."""
        RatingOptions.check(self)
        self.need_share("max_risk")
        if self.max_risk is not None and self.policy is not None:
            message = (
                "give only one of `max_risk` (to choose a policy) and `policy` (to apply one)."
            )
            raise DataError(message)
        if self.max_risk is None and self.policy is None:
            raise DataError("give `max_risk` to choose a policy, or `policy` to apply one.")
        for name in set(_OF_A_CHOICE).intersection(self.changed()) if self.policy else ():
            raise OptionError(name, "is for choosing a policy: leave it out, or choose a new one.")


def select_answers(scores: ScoresLike, options: SelectOptions) -> Selection | Decisions:
    """Choose an acceptance threshold with a guarantee, or apply a policy to new answers.

    Args:
        scores: Scored answers, as for ``evaluate``; to choose a threshold, they need ratings.

    Returns:
        The selection if ``max_risk`` is given, the decisions if ``policy`` is given.

    Raises:
        DataError: If they cannot be read, no answer is rated, rated answers to choose on had
            different probabilities of being rated (``inclusion``), or the loss is made of ratings
            whose scale is missing.
        StoreError: If the output cannot be written.
    """
    return _choose(scores, options) if options.policy is None else _apply(scores, options)


select = keywords(select_answers, SelectOptions)


def _output(scores: ScoresLike, options: SelectOptions, ending: str, *formats: str) -> Path | None:
    """The output; beside a file of scores where none is named."""
    from selfj_eval.files.atomic import FORMATS, check_output

    if options.output is None and is_address(scores):
        raise OptionError("output", "must name a file here, as the scores are on the hub.")
    source = scores if isinstance(scores, str | Path) else None
    name = options.output or (None if source is None else f"{source}{ending}")
    inputs = (scores, options.ratings, options.policy)
    output = None
    if name is not None:
        output = check_output(name, formats=formats or FORMATS, inputs=inputs)
    options.check_csv(output)
    return output


def _choose(given: ScoresLike, options: SelectOptions) -> Selection:
    from selfj_eval.evaluation.choosing import Wanted, choose
    from selfj_eval.judging.scored import as_scores

    output = _output(given, options, ".policy.json", ".json")
    scores = as_scores(given, ratings=options.ratings, scale=options)
    named = {name: getattr(options, name) for name in _OF_A_CHOICE}
    choice = choose(scores, Wanted(options.max_risk or 0.0, **named))
    if choice.policy is None:
        output = None
    elif output is not None:
        choice.policy.save(output)
    return Selection(
        policy=choice.policy,
        max_risk=options.max_risk or 0.0,
        confidence=options.confidence,
        loss=options.loss,
        promise=choice.promise,
        promises=choice.promises,
        unscored=sum(a.score is None for a in scores.answers),
        warnings=choice.notes,
        output=None if output is None else printable(output),
    )


def _apply(given: ScoresLike, options: SelectOptions) -> Decisions:
    from selfj_eval.evaluation.choosing import losses, refuse_unscaled
    from selfj_eval.evaluation.columns import Columns, note_on_chances
    from selfj_eval.judging.scored import as_scores
    from selfj_eval.records.writing import write_rows

    output = _output(given, options, ".decisions.jsonl")
    policy = options.policy
    if not isinstance(policy, Policy):
        policy = Policy.load(policy or "")
    scores = as_scores(given, ratings=options.ratings, scale=options)
    decided, judged, accepted = [], [], 0
    for answer in scores.answers:
        accept, p_good = policy.decide(answer)
        decision = "accept" if accept else "decline"
        decided.append(Decided(answer.id, decision, p_good, answer.score, answer.error))
        accepted += accept
        if accept and answer.rating is not None:
            judged.append(answer)
    refuse_unscaled(judged, policy.loss, scores.ratings or scores.path)
    data = Columns.of(judged, policy.good_at)
    if output is not None:
        write_rows(output, [vars(one) for one in decided], safe_csv=options.safe_csv)
    return Decisions(
        answers=len(decided),
        accepted=accepted,
        declined=len(decided) - accepted,
        unscored=sum(a.score is None for a in scores.answers),
        rated_accepted=len(judged),
        bad_accepted=int((~data.good).sum()),
        mean_loss=float(losses(data, policy.loss).mean()) if judged else None,
        warnings=[
            *scores.warnings,
            *mismatch(policy, scores),
            *_unlike(policy, scores),
            *note_on_chances(judged),
        ],
        output=None if output is None else printable(output),
        decided=decided,
        promised=policy.max_risk,
        loss=policy.loss,
    )


def mismatch(policy: Policy, scores: Scores) -> list[str]:
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
        which = "is known here, but was not for the policy"
        if not scaled:
            which = "was known for the policy, but is not known here (give it as `scale`)"
        found.append(f"the scale of the ratings {which}: 'bad' may mean something else")
    judge = scores.run.get("judge")
    if not isinstance(judge, dict) or policy.judge is None:
        which = "it is not known whether the same judge made these scores and the policy's"
        return [*found, which]
    if changed := policy.differs(judge):
        found.append(
            f"the policy is for another judge ({', '.join(changed)}): the guarantee does not hold"
        )
    return found


def _unlike(policy: Policy, scores: Scores) -> list[str]:
    """What shows that these answers are not like those that the promise was made on."""
    from selfj_eval.evaluation.drifting import drifts

    scored = [a for a in scores.answers if a.score is not None]
    seen = None if policy.distributions is None else policy.distributions["all"]
    found = [
        f"these answers differ from those of the policy: {one}; the promise is for answers like "
        "those"
        for one in drifts(seen, scored)
        if one.clear
    ]
    if policy.thresholds is not None:
        others = [a.category for a in scored if a.category not in policy.thresholds]
        if others:
            named = some(sorted({str(name) for name in others}), 5)
            how_many = counted(len(others), "answer is", "answers are")
            found.append(f"{how_many} declined: no promise for category {named}")
    return found


def _on_our_scale(scores: Sequence[Any]) -> bool:
    from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

    return bool(min(scores) >= MIN_SCORE and max(scores) <= MAX_SCORE)
