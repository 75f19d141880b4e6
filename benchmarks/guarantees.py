"""How often promises of ``selfj select`` break, and how soon ``selfj audit`` finds it.

Real ratings: instructions are drawn, with replacement, from a whole rated set, with all their
answers; the truth is the whole set. The score is the trigram similarity of answer and reference.

examples: nice python benchmarks/guarantees.py select --accepted 0.7
          nice python benchmarks/guarantees.py audit
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rated_sets import read_set

from selfj_eval import metrics
from selfj_eval.raters.trigrams import TrigramRater

SETS = ("qlora_vicuna", "mtbench")
SIZES = (None, 200, 300)
"""Instructions in a resample; None: as many as the set has."""
CONFIDENCE, GOOD_AT = 0.9, 6
RISKS = (0.05, 0.1, 0.2)
STEPS = 1000


class Rated(NamedTuple):
    """A rated set, best score first; ``weight`` is 1 / answers to the same instruction."""

    score: np.ndarray
    quality: np.ndarray
    group: np.ndarray
    weight: np.ndarray


def rated(name: str) -> Rated:
    """The answers with a reference, scored."""
    records = read_set(name)
    judged = TrigramRater().judge(records)
    known = [k for k, one in enumerate(judged) if one.score is not None]
    score = np.array([judged[k].score for k in known], dtype=float)
    order = np.argsort(-score, kind="stable")
    quality = np.array([records[k].rating for k in known])
    _, group = np.unique([records[k].instruction or "" for k in known], return_inverse=True)
    weight = 1 / np.bincount(group)[group]
    return Rated(*(column[order] for column in (score, quality, group, weight)))


def truth(data: Rated, loss: np.ndarray) -> Callable[[float], tuple[float, float]]:
    """The true risk, and the share of answers accepted, from a score on."""
    lost, kept = np.cumsum(data.weight * loss), np.cumsum(data.weight)

    def at(threshold: float) -> tuple[float, float]:
        last = int((data.score >= threshold).sum()) - 1
        return float(lost[last] / kept[last]), float(kept[last] / kept[-1])

    return at


def shares(found: Sequence[float | None], at: Callable, risk: float) -> str:
    """Broken, certified, mean coverage (0 where nothing is certified)."""
    known = [at(threshold) for threshold in found if threshold is not None]
    broken = sum(own > risk for own, _ in known) / len(found)
    covered = sum(share for _, share in known) / len(found)
    return f"{broken:.1%} | {len(known) / len(found):.1%} | {covered:.3f}"


def resampled(data: Rated, loss: np.ndarray, size: int, risk: float, draws: int) -> list[list]:
    """Thresholds from one answer per instruction (none for graded losses), and from all."""
    members = [np.flatnonzero(data.group == k) for k in range(data.group.max() + 1)]
    counts = np.array([len(own) for own in members])
    graded = not np.isin(loss, (0, 1)).all()
    rng, one, every = np.random.default_rng(1), [], []
    wanted = {"max_risk": risk, "confidence": CONFIDENCE}
    for seed in range(draws):
        drawn = rng.integers(0, len(members), size)
        rows = np.concatenate([members[k] for k in drawn])
        label = np.repeat(np.arange(size), counts[drawn])
        own = data.score[rows], loss[rows], label
        every.append(metrics.certify_over_instructions(*own, **wanted, seed=seed))
        if not graded:
            few = rows[metrics.one_of_each(label, seed=seed)]
            found = metrics.certify(data.score[few], loss[few] == 0, **wanted)
            one.append(None if found is None else found.threshold)
    return [one, every]


def select(draws: int, accepted: float) -> None:
    """The promise is 0.0005 below the true risk where so many are accepted: a bad case."""
    print("| set, loss | instructions | promised | test | broken | certified | coverage |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for name in SETS:
        data = rated(name)
        for kind, loss in (
            ("bad", (data.quality < GOOD_AT).astype(float)),
            ("rating", 1 - data.quality / 9),
        ):
            at = truth(data, loss)
            risk = at(float(np.quantile(data.score, 1 - accepted)))[0] - 0.0005
            for size in SIZES if kind == "bad" else (300,):
                size = size or int(data.group.max()) + 1
                found = resampled(data, loss, size, risk, draws)
                for test, own in zip(("one answer", "all answers"), found, strict=True):
                    if own:
                        head = f"{name}, {kind} | {size} | {risk:.3f} | {test}"
                        print(f"| {head} | {shares(own, at, risk)} |", flush=True)


def first_alarms(before: int, low: float, high: float, risk: float, streams: int) -> np.ndarray:
    """Steps from the change of the risk to the alarm; infinite without one."""
    rng, found = np.random.default_rng(2), []
    true = np.repeat([low, high], [before, STEPS])
    for _ in range(streams):
        steps = (rng.random(len(true)) < true) - risk
        over = metrics.audit_evidence(steps, max_risk=risk) >= 20
        found.append(int(over.argmax()) + 1 - before if over.any() else np.inf)
    return np.array(found)


def audit(streams: int) -> None:
    """Streams of one answer per instruction, watched at every step, alarm at 20."""
    print("| promised | false alarms | 2 x from the start | 3 x | 2 x after 1,000 at half |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for risk in RISKS:
        row = [f"{np.isfinite(first_alarms(0, 0, risk, risk, streams)).mean():.1%}"]
        for before, times in ((0, 2), (0, 3), (STEPS, 2)):
            alarm = first_alarms(before, risk / 2, times * risk, risk, streams // 4)
            early = f", {(alarm <= 0).mean():.1%} before" if before else ""
            late = f" ({np.quantile(alarm, 0.9, method='higher'):.0f}{early})"
            row.append(f"{np.quantile(alarm, 0.5, method='higher'):.0f}{late}")
        print(f"| {risk} | {' | '.join(row)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["select", "audit"])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--accepted", type=float, default=0.4, help="of select; default: 0.4")
    arguments = parser.parse_args()
    start = time.process_time()
    if arguments.part == "select":
        select(arguments.draws, arguments.accepted)
    else:
        audit(arguments.draws)
    print(f"\n{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()
