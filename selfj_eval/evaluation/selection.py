"""What ``select`` gives: a policy that was chosen, or one that was applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfj_eval.errors import counted, shown
from selfj_eval.evaluation.policy import BAD, Policy
from selfj_eval.jobs.results import Result, plain

ENOUGH_INSTRUCTIONS, ENOUGH_ANSWERS = 200, 3
"""From so many instructions on, with so many answers each on average, all answers accept more."""


@dataclass(frozen=True)
class Promise:
    """A promise about all answers, or about those of one category.

    Attributes:
        category: Which category; None for all answers.
        test: ``binomial`` (one answer to each instruction) or ``betting`` (all of them).
        used: The same as a sentence, with the numbers that decided.
        rated: Rated answers; of these, the binomial test uses one to each instruction.
        n, bad: Rated answers that were used, and how many of them are bad.
        instructions: How many instructions they answer; None where texts are missing.
        threshold: Accept from this score on; None where nothing can be promised.
        accepted, bad_accepted: How many of the n it accepts, and the bad among them.
        risk: The risk as it is promised, but as seen on these answers; None without a threshold.
        lowest_certifiable_risk: Without a threshold: the lowest risk that can be promised, or None.
        fewest_records: Without one, in the binomial test: how many accepted answers, none of them
            bad, the promise takes at least.
    """

    category: str | None
    test: str
    used: str
    rated: int
    n: int
    instructions: int | None
    bad: int
    threshold: float | None
    accepted: int
    bad_accepted: int
    risk: float | None
    lowest_certifiable_risk: float | None
    fewest_records: int | None


@dataclass(frozen=True)
class Selection(Result):
    """A policy that was chosen, or why none can be.

    Attributes:
        policy: The policy, or None where no threshold can be certified.
        max_risk, confidence, loss: What was to be promised.
        promise: The same as a sentence.
        promises: One for each category where that was wanted, else a single one.
        unscored: Answers without a score, which are skipped.
        warnings: What speaks against the promise, as sentences.
        output: Where the policy was written, or None.
    """

    policy: Policy | None = field(repr=False)
    max_risk: float
    confidence: float
    loss: str
    promise: str
    promises: Sequence[Promise]
    unscored: int
    warnings: Sequence[str]
    output: str | None = None

    @property
    def certified(self) -> bool:
        """Whether there is a policy."""
        return self.policy is not None

    @property
    def n(self) -> int:
        """Rated answers that were used."""
        return sum(one.n for one in self.promises)

    @property
    def bad(self) -> int:
        """How many of them are bad."""
        return sum(one.bad for one in self.promises)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        shared = ("certified", "max_risk", "confidence", "loss", "promise", "n", "bad", "unscored")
        found = {name: getattr(self, name) for name in shared} | {"warnings": list(self.warnings)}
        if self.promises[0].category is not None:
            return found | {"categories": plain(self.promises), "output": self.output}
        own = plain(self.promises[0])
        names = ["test", "used", "instructions", "threshold", "accepted", "bad_accepted", "risk"]
        if self.policy is None:
            names = [*names[:3], "lowest_certifiable_risk", "fewest_records"]
        found |= {name: own[name] for name in names}
        return found if self.policy is None else found | {"output": self.output}

    def rows(self) -> list[dict[str, Any]]:
        """One row, or one for each category."""
        return [plain(one) for one in self.promises]

    def __str__(self) -> str:
        lines = [
            f"{self._used}, {percent(self.bad / self.n)} of them bad; "
            f"{counted(self.unscored, 'unscored answer is', 'unscored answers are')} skipped"
        ]
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        for one in self.promises:
            lines += self._none(one) if one.threshold is None else self._accepting(one)
        if self.policy is None:
            return "\n".join([*lines, f"  nothing was written{self._what_would_help}"])
        lines.append(f"  promised: {self.promise}")
        return "\n".join(lines if self.output is None else [*lines, f"  written to {self.output}"])

    @property
    def _used(self) -> str:
        rated = sum(one.rated for one in self.promises)
        if self.n == rated:
            return f"{counted(rated, 'rated answer')} used"
        return f"{self.n:,} of {counted(rated, 'rated answer')} used (one per instruction)"

    @property
    def _what_would_help(self) -> str:
        if self.bad == self.n:
            return ""
        if all(one.instructions is None or one.test == "betting" for one in self.promises):
            return "; more rated answers or a better judge would help"
        return (
            f"; more instructions or a better judge would help (from {ENOUGH_INSTRUCTIONS} "
            f"instructions with {ENOUGH_ANSWERS} answers each on, all answers are used)"
        )

    @property
    def _wanted(self) -> str:
        return f"{promised(self.max_risk, self.loss)} with confidence {self.confidence:g}"

    def _accepting(self, one: Promise) -> list[str]:
        m, k = one.accepted, one.bad_accepted
        seen = f"; their loss is {one.risk:.3g}" if self.loss != BAD else ""
        return [
            f"{_where(one)}accept answers that score at least {_rounded(one.threshold)}: "
            f"{self._wanted}",
            f"  of these answers, this accepts {m:,} ({percent(m / one.n)}), {k:,} of them bad "
            f"({percent(k / m)}){seen}",
            f"  by a {one.used}",
        ]

    def _none(self, one: Promise) -> list[str]:
        lines = [
            f"{_where(one)}NO THRESHOLD CAN BE CERTIFIED: {self._wanted} is not supported by "
            "these answers.",
            f"  by a {one.used}",
        ]
        if one.fewest_records is not None and one.n < one.fewest_records:
            fewest = f"{one.fewest_records:,}"
            lines.append(f"  this needs at least {fewest} accepted answers, none of them bad")
        if one.lowest_certifiable_risk is None:
            why = "there are too few answers, or the scores do not separate good from bad"
            if one.bad == one.n and self.loss == BAD:
                used = "" if one.n == one.rated else " used"
                why = f"all {one.n:,} answers{used} are bad"
            return [*lines, f"  no risk can be certified: {why}"]
        lowest = f"{one.lowest_certifiable_risk:.3f}"
        return [
            *lines,
            f"  the lowest risk that can be certified: {lowest}; it was found on these answers, so "
            "to promise it, test it on new ones",
        ]


def promised(max_risk: float, loss: str) -> str:
    """What a policy promises, in few words."""
    if loss == BAD:
        return f"at most {percent(max_risk, 4)} bad"
    return f"a mean loss of at most {max_risk:.4g}"


def percent(share: float, digits: int = 1) -> str:
    """A share as people read it, such as ``8.1 %`` or ``15 %``."""
    return f"{round(100 * share, digits):g} %"


def _rounded(threshold: float | None) -> str:
    """A threshold as people read it; the policy keeps all digits."""
    if threshold is None:
        return "-"
    return f"{threshold:.3f}" if abs(threshold) >= 0.1 else f"{threshold:.3g}"


def _where(one: Promise) -> str:
    return "" if one.category is None else f"{shown(one.category)}: "


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
        rated_accepted, bad_accepted: Accepted answers with a rating, and how many of them are bad.
        mean_loss: Mean loss of these, as the policy defines it; None if there are none.
        warnings: What shows that the promise may not hold here, as sentences.
        output: Where the decisions were written, or None.
        decided: One per answer, in their order.
        promised, loss: The policy's largest risk, and of what.
    """

    answers: int
    accepted: int
    declined: int
    unscored: int
    rated_accepted: int
    bad_accepted: int
    mean_loss: float | None
    warnings: Sequence[str]
    output: str | None
    decided: Sequence[Decided] = field(repr=False)
    promised: float = field(repr=False)
    loss: str = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        hidden = ("decided", "promised", "loss")
        found = {name: value for name, value in vars(self).items() if name not in hidden}
        return found | {"warnings": list(self.warnings)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per answer."""
        return [vars(decided).copy() for decided in self.decided]

    def __str__(self) -> str:
        lines = [
            f"{self.accepted:,} of {counted(self.answers, 'answer')} accepted, "
            f"{self.declined:,} declined ({self.unscored:,} of them unscored)"
        ]
        if self.rated_accepted:
            bad = self.bad_accepted
            share = bad / self.rated_accepted
            some = counted(
                self.rated_accepted,
                "accepted answer has a rating",
                "accepted answers have a rating",
            )
            # The promise is about instructions, however many accepted answers each has here.
            promised = "promised, if each instruction counts once: at most"
            found = f"{bad:,} bad, {percent(share)} ({promised} {percent(self.promised, 4)})"
            if self.loss != BAD:
                found = (
                    f"{bad:,} bad, {percent(share)}; mean loss {self.mean_loss:.3g} ({promised} "
                    f"{self.promised:.4g})"
                )
            lines.append(f"  {some}: {found}")
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        return "\n".join(lines if self.output is None else [*lines, f"  written to {self.output}"])
