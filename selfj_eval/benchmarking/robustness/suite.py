"""A rater on answers and their changed forms: one document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from selfj_eval import __version__
from selfj_eval.benchmarking.robustness.attacks import changed_record, get_changes
from selfj_eval.benchmarking.robustness.change_numbers import (
    CONFIDENCE,
    Pair,
    Unit,
    digit_unit,
    measure,
    spread_unit,
)
from selfj_eval.benchmarking.robustness.choosing import AnswerPool, chosen
from selfj_eval.benchmarking.robustness.result import Base, Robustness, TrialSettings
from selfj_eval.errors import counted
from selfj_eval.jobs.arguments import items
from selfj_eval.metrics.bootstrap import RESAMPLES
from selfj_eval.metrics.result import FEWEST_UNITS
from selfj_eval.raters.protocol import Preparable, Progress, Rater
from selfj_eval.records.record import Judgment, Record


def robustness(
    rater: Rater,
    records: Iterable[Record],
    *,
    changes: Iterable[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """What changes of answers do to a rater's scores.

    The base of a change is the record's own response, rated as the rater rates any: with the
    reference where it looks at one. The references themselves would be a poor base: shown beside
    itself a reference has the best mark, and what cannot rise cannot be seen to rise.

    Args:
        rater: A ``Judge`` or another rater. It is asked twice: for the answers, and for their
            changed forms (only where the answer itself has a score).
        records: Answers; also where ``other_answer`` takes its answers from.
        changes: Names from ``attacks.CHANGES``; all by default.
        seed: Decides, with the records' ids, what is drawn; seed of the bootstrap, too.
        limit: Take at most this many records.
        progress: Called as records finish; ``work`` says how many there are.

    Raises:
        SelfJError: If a change does not exist, or the limit is below 1.
        TypeError: If ``records`` is not an iterable of ``Record``.
    """
    records = items(records, Record, "robustness()")
    wanted, answers = get_changes(changes), AnswerPool(records)
    base = chosen(records, limit, seed)
    if isinstance(rater, Preparable):  # the changed answers get no say in the scale
        rater = rater.prepare(lambda: [base])
    judged = rater.judge(base, progress=progress)
    made = {
        c.name: [(k, x) for k, r in enumerate(base) if (x := changed_record(r, c, answers, seed))]
        for c in wanted
    }
    asked = [x for rows in made.values() for k, x in rows if judged[k].score is not None]
    verdicts = iter(rater.judge(asked, progress=progress))
    if progress is not None:
        progress(sum(map(len, made.values())) - len(asked))
    unit, refuses = unit_of(judged), refusal(rater)

    def pair(k: int, changed: Record) -> Pair:
        own, before = base[k], judged[k]
        if before.score is None:
            return Pair(own.id, own.question, None, None)
        after = next(verdicts)
        refused = after.score is None and refuses(changed) is not None
        trimmed = before.trimmed_tokens + after.trimmed_tokens > 0
        return Pair(own.id, own.question, before.score, after.score, refused, trimmed)

    pairs = {name: [pair(*row) for row in rows] for name, rows in made.items()}
    scored = [j.score for j in judged if j.score is not None]
    instructions = len({r.question for r in base if isinstance(r.question, str)})
    settings = TrialSettings(
        seed,
        limit,
        unit.name,
        unit.value,
        unit.tolerance,
        CONFIDENCE,
        RESAMPLES,
        "instructions",
    )
    mean = sum(scored) / len(scored) if scored else None
    return Robustness(
        rater=dict(rater.description),
        base=Base(len(base), len(scored), len(base) - len(scored), instructions, mean),
        settings=settings,
        warnings=_warnings(judged, instructions, unit),
        changes={
            c.name: measure(c, pairs[c.name], unit, records=len(base), seed=seed) for c in wanted
        },
        versions={"selfj-eval": __version__},
    )


def work(
    records: Iterable[Record],
    *,
    changes: Iterable[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> int:
    """How many records ``robustness`` reports to ``progress``. Arguments as there."""
    records = items(records, Record, "work()")
    wanted, answers, base = get_changes(changes), AnswerPool(records), chosen(records, limit, seed)
    return len(base) + sum(c.apply(r, answers, seed) is not None for c in wanted for r in base)


def unit_of(judgments: Sequence[Judgment]) -> Unit:
    """What a rater's moves are measured in, from its judgments of the base answers.

    Those that give probabilities of the digits score on 0 to 9; of others the scale is not known.
    """
    scored = [j for j in judgments if j.score is not None]
    if scored and all(j.probabilities is not None for j in scored):
        return digit_unit()
    return spread_unit([j.score for j in scored if j.score is not None])


def refusal(rater: Rater) -> Callable[[Record], str | None]:
    """Why a rater declines a record before it rates it, or None: its own check, if it has one."""
    check: Callable[[Record], str | None] = getattr(rater, "reason", lambda _: None)
    return check


def _warnings(judged: Sequence[Judgment], instructions: int, unit: Unit) -> list[str]:
    found = []
    unscored = [j for j in judged if j.score is None]
    if unscored:
        first = f"{unscored[0].id}: {unscored[0].error}"
        found.append(f"{len(unscored)} of {len(judged)} base answers are unscored; first {first}")
    if unit.undefined:
        found.append(f"no move can be measured: {unit.undefined}")
    if instructions < FEWEST_UNITS:
        some = counted(instructions, "instruction")
        found.append(f"only {some}: too few for reliable intervals")
    return found
