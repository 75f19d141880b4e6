"""The verb ``audit``: whether a policy's promise still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import counted, printable, shown
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.policy import BAD, Policy
from selfj_eval.evaluation.selection import percent, promised
from selfj_eval.jobs.options import PathLike, keywords, like, option
from selfj_eval.jobs.results import Result, plain
from selfj_eval.records.options import ScaleOptions

if TYPE_CHECKING:
    from selfj_eval.evaluation.audit_state import AuditState
    from selfj_eval.evaluation.drifting import Drifted
    from selfj_eval.judging.scored import ScoresLike

KIND = "selfj-audit-result"


@dataclass(frozen=True, kw_only=True)
class AuditOptions(ScaleOptions):
    """How a promise is audited."""

    ratings: str | Path | Iterable[Mapping[str, Any]] | None = like(  # noqa: RUF009 - a field
        RatingOptions, "ratings"
    )
    state: PathLike | None = option(
        None,
        "file that records what has been counted, so that labels count only once (.json; "
        "default: POLICY.audit.json)",
        placeholder="FILE",
    )
    confidence: float = option(
        0.95,
        "if the promise holds, the probability that it is ever refuted is at most 1 - C, however "
        "often you look",
        placeholder="C",
    )
    least_inclusion: float | None = option(
        None,
        "the smallest probability with which an answer could be chosen for rating, for labels "
        "with inclusion probabilities (`inclusion`)",
        placeholder="P",
    )

    def check(self) -> None:
        """Refuse probabilities that are none."""
        super().check()
        self.need_share("confidence")
        least = self.least_inclusion
        self.need(least is None or 0 < least <= 1, "least_inclusion", "must be above 0, at most 1")


@dataclass(frozen=True)
class Watched:
    """One promise under audit.

    Attributes:
        category: Which category's; None where there is one promise for all.
        steps: How many instructions have been counted.
        risk: The risk seen so far, as it is promised; None before the first step.
        evidence: Against the promise, after the last step; 1 says nothing.
        highest: The highest evidence so far.
        alarm_at: The evidence that refutes the promise.
        refuted_at: The step at which it was refuted, or None.
    """

    category: str | None
    steps: int
    risk: float | None
    evidence: float
    highest: float
    alarm_at: float
    refuted_at: int | None


@dataclass(frozen=True)
class Audit(Result):
    """Whether a promise still holds.

    Attributes:
        policy: Hash of what the policy promises.
        refuted: Whether it, or that of a category, is refuted: by these labels or by earlier ones.
        max_risk, loss: What was promised.
        confidence: Of a refutation.
        promises: One, or one for each category with a threshold.
        labels: Accepted answers with a rating in these labels.
        declined: Rated answers that the policy declines; they lose nothing.
        new_steps: Instructions that were counted for the first time.
        known: Instructions that were counted before; they do not count again.
        changed: How many of them have changed ratings; the ratings first counted are kept.
        drift: Distributions of score and length beside those that the policy was made on.
        warnings: What shows that these labels do not fit the policy, as sentences.
        state: Where the state was written, or None.
    """

    policy: str
    refuted: bool
    max_risk: float
    loss: str
    confidence: float
    promises: Sequence[Watched]
    labels: int
    declined: int
    new_steps: int
    known: int
    changed: int
    drift: Sequence[Drifted]
    warnings: Sequence[str]
    state: str | None = None

    @property
    def conclusions(self) -> list[str]:
        """A sentence for each promise."""
        return [self._verdict(one) for one in self.promises]

    def to_dict(self) -> dict[str, Any]:
        """The result as the JSON that the command prints."""
        return {"kind": KIND, "conclusions": self.conclusions, **plain(vars(self))}

    def rows(self) -> list[dict[str, Any]]:
        """One row for each promise."""
        return [plain(one) for one in self.promises]

    def __str__(self) -> str:
        new = counted(self.new_steps, "new instruction")
        rated = counted(self.labels, "accepted answer")
        others = counted(self.declined, "other rated answer")
        lines = [
            f"promised: {promised(self.max_risk, self.loss)}; {rated} with a rating; the policy "
            f"declines {others}",
            f"{new} counted, {self.known:,} counted before",
        ]
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        if self.changed:
            some = counted(self.changed, "instruction has", "instructions have")
            lines.append(f"  note: {some} changed ratings; the ratings first counted are kept")
        lines += self.conclusions
        lines += [f"  {one}" for one in self.drift]
        return "\n".join(lines if self.state is None else [*lines, f"  state in {self.state}"])

    def _verdict(self, one: Watched) -> str:
        where = "" if one.category is None else f"{shown(one.category)}: "
        if one.risk is None:
            return f"{where}No alarm: no accepted answer has been rated yet."
        found = f"mean loss {one.risk:.3g} (promised: at most {self.max_risk:.4g})"
        if self.loss == BAD:
            found = f"{percent(one.risk)} bad (promised: at most {percent(self.max_risk, 4)})"
        if one.refuted_at is not None:
            return (
                f"{where}THE PROMISE IS REFUTED with confidence {self.confidence:g}: {found}. The "
                f"alarm came at instruction {one.refuted_at:,} of {one.steps:,}, when the evidence "
                f"reached {one.alarm_at:.4g}."
            )
        return (
            f"{where}No alarm: {found}. Evidence {one.evidence:.2f}; alarm at {one.alarm_at:.4g}."
        )


def audit_policy(policy: str | Path | Policy, labels: ScoresLike, options: AuditOptions) -> Audit:
    """Test whether a policy's promise still holds, while ratings come in.

    You may look at the result after every label: as long as the promise holds, the probability
    that it is ever refuted is at most 1 - ``confidence``. Each instruction is one step, taken once.

    Args:
        policy: What ``select`` chose.
        labels: Scored answers with ratings, as for ``evaluate``, in the order in which they were
            rated: all so far, or only the new ones. An instruction counts by the share of its
            answers that are accepted, so all its answers must be there, rated or not. Either every
            accepted answer had the same chance of being rated, or all those of instructions that
            were chosen at random are rated, or each has ``inclusion``, its probability of being
            rated.

    Returns:
        The verdict, and the drift of score and length.

    Raises:
        DataError: If something cannot be read, no rated answer is accepted, or the state is of
            another audit.
        StoreError: If the state cannot be written.
    """
    from selfj_eval.evaluation.audit_state import AuditState, identity
    from selfj_eval.evaluation.audit_steps import alike, audited, notes_on_choice, steps_of
    from selfj_eval.evaluation.drifting import drifts
    from selfj_eval.evaluation.select import mismatch
    from selfj_eval.files.locks import one_at_a_time
    from selfj_eval.judging.scored import as_scores

    path = _state(policy, labels, options)
    if not isinstance(policy, Policy):
        policy = Policy.load(policy)
    scores = as_scores(labels, ratings=options.ratings, scale=options)
    least = options.least_inclusion
    found = audited(scores, policy, least)
    steps = steps_of(scores, found, policy)
    state = AuditState(identity(policy), options.confidence, least)
    lock = nullcontext() if path is None else one_at_a_time(path.with_name(f".{path.name}.lock"))
    with lock:
        state = state if path is None else state.resumed(path)
        then = {step.instruction: step for step in state.steps}
        new = [step for step in steps if step.instruction not in then]
        state = replace(state, steps=[*state.steps, *new])
        if path is not None:
            state.save(path)
    before = [step for step in steps if step.instruction in then]
    promises = _promises(policy, state)
    seen = None if policy.distributions is None else policy.distributions["accepted"]
    warnings = [
        *scores.warnings,
        *mismatch(policy, scores),
        *notes_on_choice(scores, found, policy),
    ]
    if seen is None:
        warnings.append("no test for drift: this policy keeps no distributions; choose it again")
    return Audit(
        policy=state.policy,
        refuted=any(one.refuted_at is not None for one in promises),
        max_risk=policy.max_risk,
        loss=policy.loss,
        confidence=options.confidence,
        promises=promises,
        labels=len(found),
        declined=len(scores.rated) - len(found),
        new_steps=len(new),
        known=len(before),
        changed=sum(abs(s.value - then[s.instruction].value) > 1e-9 for s in before),
        drift=drifts(seen, alike(found, least)),
        warnings=warnings,
        state=None if path is None else printable(path),
    )


audit = keywords(audit_policy, AuditOptions)


def _state(policy: str | Path | Policy, labels: ScoresLike, options: AuditOptions) -> Path | None:
    """The file of the state; beside a policy's file where none is named."""
    from selfj_eval.files.atomic import check_output

    own = None if isinstance(policy, Policy) else f"{policy}.audit.json"
    name = options.state or own
    if name is None:
        return None
    return check_output(name, formats=(".json",), inputs=(policy, labels, options.ratings))


def _promises(policy: Policy, state: AuditState) -> list[Watched]:
    """The tests, one for each promise; their alarms share the allowed error."""
    import numpy as np

    from selfj_eval.metrics import audit_evidence

    names = [None] if policy.thresholds is None else sorted(policy.thresholds)
    level = round(len(names) / (1 - state.confidence), 9)  # 20, not a little less
    found = []
    for name in names:
        own = [step for step in state.steps if step.category == name]
        values = [step.value for step in own]
        evidence = audit_evidence(
            values, max_risk=policy.max_risk, least_inclusion=state.least_inclusion or 1.0
        )
        over = np.flatnonzero(evidence >= level)
        found.append(
            Watched(
                category=name,
                steps=len(own),
                risk=policy.max_risk + sum(values) / sum(s.accepted for s in own) if own else None,
                evidence=float(evidence[-1]) if own else 1.0,
                highest=float(evidence.max(initial=1.0)),
                alarm_at=level,
                refuted_at=int(over[0]) + 1 if len(over) else None,
            )
        )
    return found
