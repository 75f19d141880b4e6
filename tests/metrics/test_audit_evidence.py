"""Evidence against a promise, looked at after every rating."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from selfj_eval.metrics import audit_evidence

NINE = [k / 10 for k in range(1, 10)]


def first(evidence: np.ndarray, level: float = 20) -> int | None:
    return int(np.argmax(evidence >= level)) + 1 if (evidence >= level).any() else None


def test_oracles(inference: dict[str, Any]) -> None:
    wanted, data = inference["g_audit"], inference["data"]
    quiet, loud = (np.array(data[name]) - 0.1 for name in ("audit_bad", "audit_bad_high"))
    plain: dict[str, Any] = {"max_risk": 0.1, "fresh": False}
    for steps, mixed, constant in (
        (quiet, wanted["mixture_of_9_bets_0.1_to_0.9_of_largest"], wanted["constant_bet_2"]),
        (loud, *(wanted["high_risk_sequence"][n] for n in ("mixture_of_9_bets", "constant_bet_2"))),
    ):
        for bets, own in ((NINE, mixed), ([0.2], constant)):
            found = audit_evidence(steps, bets=bets, **plain)
            assert math.log(found[-1]) == pytest.approx(own["log_e_final"], rel=1e-6)
            assert first(found) == own["first_alarm"]
    found = audit_evidence(quiet, bets=NINE, **plain)
    log_at_60 = wanted["mixture_of_9_bets_0.1_to_0.9_of_largest"]["log_e_at_60"]
    assert math.log(found[59]) == pytest.approx(log_at_60, rel=1e-6)

    own = wanted["weighted_audit_high_risk"]
    weight = np.array(own["audited"]) / np.resize([0.25, 0.5, 1], 80)
    found = audit_evidence(loud * weight, bets=[0.8], least_inclusion=0.25, **plain)  # a bet of 2
    assert math.log(found[-1]) == pytest.approx(own["log_e_final"], rel=1e-6)
    assert first(found) == own["first_alarm"]


def test_evidence_of_all_starts_and_bets_one_by_one() -> None:
    rng = np.random.default_rng(4)
    steps = (rng.random(300) < 0.2) - 0.15
    found = audit_evidence(steps, max_risk=0.15)
    for now in (1, 64, 65, 128, 129, 300):
        capital, kept = 0.0, 1.0
        for number, start in enumerate([0, 64, 128, 256]):
            if start >= now:
                break
            weight = 1 / ((number + 1) * (number + 2))
            kept -= weight
            for share in (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2):
                product = math.prod(1 + share / 0.15 * float(z) for z in steps[start:now])
                capital += weight / 5 * product
        # What has not started yet is still there.
        assert found[now - 1] == pytest.approx(capital + kept)


@pytest.mark.parametrize("risk", [0.05, 0.2])
def test_false_alarms_are_as_rare_as_promised_at_every_look(risk: float) -> None:
    """The risk is just what was promised, the worst case."""
    rng = np.random.default_rng(7)
    alarms = sum(
        first(audit_evidence((rng.random(1000) < risk) - risk, max_risk=risk)) is not None
        for _ in range(1000)
    )
    assert 0 < alarms / 1000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_a_broken_promise_is_found_early_and_late() -> None:
    rng = np.random.default_rng(8)
    for good, within in ((0, 250), (1000, 500)):
        found = []
        for _ in range(100):
            risk = np.repeat([0.05, 0.2], [good, 1500])
            at = first(audit_evidence((rng.random(len(risk)) < risk) - 0.1, max_risk=0.1))
            found.append(math.inf if at is None else at - good)
        assert np.quantile(found, 0.9) < within


def test_what_cannot_be_a_step() -> None:
    assert audit_evidence([], max_risk=0.1).tolist() == []
    with pytest.raises(ValueError, match=r"steps must be at least -0\.1, got -0\.4"):
        audit_evidence([-0.4], max_risk=0.1)
    audit_evidence([-0.4], max_risk=0.1, least_inclusion=0.25)
