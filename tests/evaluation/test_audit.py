"""``selfj audit`` as it is called again and again while ratings come in."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import DataError, Policy, audit, select
from selfj_eval.cli import main
from selfj_eval.evaluation.drifting import distributions
from selfj_eval.judging.scored import Scored
from selfj_eval.metrics import audit_evidence

Rows = list[dict[str, Any]]
POLICY = Policy(5.0, 0.1, 0.95, 6.0, 1.0, -5.0, {"scaled_ratings": True})


def stream(n: int, risk: float, *, seed: int = 0, answers: int = 1, start: int = 0) -> Rows:
    """Accepted answers, each bad with this probability."""
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"{start + i}-{k}",
            "instruction": f"What is {start + i}?",
            "response": "word " * int(rng.integers(1, 60)),
            "score": float(rng.uniform(5, 9)),
            "rating": 2.0 if rng.random() < risk else 8.0,
            "rating_min": 0,
            "rating_max": 9,
        }
        for i in range(start, start + n)
        for k in range(answers)
    ]


def bad(rows: Rows) -> np.ndarray:
    return np.array([row["rating"] < 6 for row in rows])


def test_one_call_and_many_give_the_same(tmp_path: Path) -> None:
    rows, policy = stream(150, 0.1, seed=3), tmp_path / "p.json"
    POLICY.save(policy)
    whole = audit(POLICY, rows)
    assert whole.state is None  # nowhere to keep it
    for count, new in ((40, 40), (90, 50), (90, 0), (150, 60)):
        found = audit(policy, rows[:count])  # all labels so far
        assert (found.new_steps, found.known, found.changed) == (new, count - new, 0)
    assert found.promises == whole.promises
    assert found.state == f"{policy}.audit.json"
    last = audit(policy, rows[120:])  # only the new ones
    assert (last.new_steps, last.promises) == (0, whole.promises)

    (own,) = whole.promises
    evidence = audit_evidence(bad(rows) - 0.1, max_risk=0.1)
    assert own.evidence == pytest.approx(evidence[-1])
    assert own.highest == pytest.approx(evidence.max())
    assert (own.alarm_at, own.steps) == (pytest.approx(20), 150)
    assert own.risk == pytest.approx(bad(rows).mean())
    assert not whole.refuted


def test_a_refuted_promise_stays_refuted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jsonl: Callable[..., Path]
) -> None:
    policy = tmp_path / "p.json"
    POLICY.save(policy)
    rows = stream(200, 0.3, seed=1)
    evidence = audit_evidence(bad(rows) - 0.1, max_risk=0.1)
    at = int(np.argmax(evidence >= 20)) + 1
    assert 1 < at < 200
    arguments = ["audit", str(policy)]
    assert main([*arguments, str(jsonl(*rows[: at - 1], name="a.jsonl"))]) == 0
    assert (
        f"No alarm: {round(100 * bad(rows[: at - 1]).mean(), 1):g} % bad (promised: at most 10 %). "
        f"Evidence {evidence[at - 2]:.2f}; alarm at 20.\n"
    ) in capsys.readouterr().out
    assert main([*arguments, str(jsonl(*rows, name="b.jsonl"))]) == 1
    said = capsys.readouterr().out
    assert "THE PROMISE IS REFUTED with confidence 0.95: " in said
    assert f"The alarm came at instruction {at} of 200, when the evidence reached 20." in said
    good = stream(400, 0.0, seed=2, start=1000)
    assert main([*arguments, str(jsonl(*good, name="c.jsonl")), "--json"]) == 1
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["promises"][0]["refuted_at"] == at
    assert found["promises"][0]["evidence"] < found["promises"][0]["highest"]


def test_each_instruction_is_one_step() -> None:
    rows = stream(50, 0.3, answers=4, seed=5)
    found = audit(POLICY, rows)
    means = bad(rows).reshape(50, 4).mean(axis=1)
    assert (found.new_steps, found.labels) == (50, 200)
    assert found.promises[0].evidence == pytest.approx(
        audit_evidence(means - 0.1, max_risk=0.1)[-1]
    )
    assert found.promises[0].risk == pytest.approx(means.mean())


def test_declined_and_unscored_answers_in_the_file_count_as_in_the_promise() -> None:
    """What is declined loses nothing; what is not rated had the same chance as the rated."""
    rows = stream(60, 0.3, answers=4, seed=6)
    for row in rows[::4]:
        row["score"] = 1.0
    for row in rows[1::4]:
        row["rating"] = None  # accepted, not rated
    rows[0]["score"], rows[0]["error"] = None, "no digit"
    found = audit(POLICY, rows)
    rated = bad([row for k, row in enumerate(rows) if k % 4 > 1]).reshape(60, 2).mean(axis=1)
    assert (found.labels, found.declined) == (120, 59)
    assert found.promises[0].evidence == pytest.approx(
        audit_evidence(0.5 * (rated - 0.1), max_risk=0.1)[-1]
    )
    assert found.promises[0].risk == pytest.approx(rated.mean())


def test_steps_are_right_on_average_if_every_accepted_answer_has_the_same_chance(
    tmp_path: Path,
) -> None:
    """Over all choices of answers, a step is on average the chance times what is promised."""
    chance, state = 0.3, tmp_path / "s.json"
    rows: Rows = []
    odds, promised = [], []
    for size, losses in ((4, (1, 0, 1)), (2, (1,)), (5, (0, 0, 0, 1))):
        promised.append(sum(loss - 0.1 for loss in losses) / size)
        for chosen in itertools.product((False, True), repeat=len(losses)):
            if any(chosen):  # else there is no step
                n = sum(chosen)
                odds.append((len(promised) - 1, chance**n * (1 - chance) ** (len(losses) - n)))
                for k, row in enumerate(stream(1, 0, answers=size, start=len(odds))):
                    row["rating"] = None
                    if k >= len(losses):
                        row["score"] = 1.0
                    elif chosen[k]:
                        row["rating"] = 2.0 if losses[k] else 8.0
                    rows.append(row)
    found = audit(POLICY, rows, state=state)
    steps = [value for _, _, value, _ in json.loads(state.read_text())["steps"]]
    mean = np.zeros(len(promised))
    for (at, odd), step in zip(odds, steps, strict=True):
        mean[at] += odd * step
    assert mean == pytest.approx(chance * np.array(promised))
    assert "20 instructions have accepted answers with and without a rating." in str(found)
    # So a chance that all have is the same known or not.
    known = [row | {"inclusion": chance} for row in rows]
    same = audit(POLICY, known, least_inclusion=chance)
    assert same.promises[0].evidence == pytest.approx(found.promises[0].evidence)
    assert same.promises[0].risk == pytest.approx(found.promises[0].risk)
    assert "with and without" not in str(same)


def test_instructions_count_by_the_share_of_their_answers_that_is_accepted() -> None:
    """Risk 0.1 where all ten are accepted, 0.8 where one is: 0.164 of the accepted are bad."""
    policy, note = replace(POLICY, max_risk=0.2), "no answer here is declined or unrated"
    alarms = {True: 0, False: 0}
    for seed in range(40):
        safe = stream(30, 0.1, answers=10, seed=seed)
        risky = stream(30, 0.8, answers=10, seed=1000 + seed, start=30)
        for k, row in enumerate(risky):
            if k % 10:
                row["score"] = 1.0
        both = [row for k in range(0, 300, 10) for row in safe[k : k + 10] + risky[k : k + 10]]
        for whole in alarms:
            found = audit(policy, both if whole else [row for row in both if row["score"] >= 5])
            assert (note in str(found)) is not whole
            alarms[whole] += found.refuted
    assert alarms[True] / 40 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40)
    assert alarms[False] == 40  # why there is a note
    assert note not in str(audit(policy, stream(30, 0.1)))  # one answer each
    assert "with and without" not in str(audit(policy, stream(30, 0.1, answers=3)))


def test_other_ratings_of_what_was_counted_change_nothing(tmp_path: Path) -> None:
    state, rows = tmp_path / "s.json", stream(30, 0.2, answers=2)
    first = audit(POLICY, rows[::2], state=state)
    kept = json.loads(state.read_text())["steps"]
    rows[0]["rating"] = 10 - rows[0]["rating"]
    second = audit(POLICY, rows, state=state)
    assert (second.new_steps, second.known) == (0, 30)
    differ = sum(a != b for a, b in zip(bad(rows[::2]), bad(rows[1::2]), strict=True))
    assert second.changed >= max(differ - 1, 1)
    some = f"{second.changed} instruction{'s have' if second.changed > 1 else ' has'}"
    assert f"{some} changed ratings; the ratings first counted are kept" in str(second)
    assert second.promises == first.promises
    assert json.loads(state.read_text())["steps"] == kept


def test_answers_without_texts_are_a_step_each() -> None:
    rows = [{k: row[k] for k in ("id", "score", "rating")} for row in stream(20, 0.2, answers=2)]
    assert audit(POLICY, rows, scale=(0, 9)).new_steps == 40


def test_labels_with_inclusion_probabilities(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = stream(300, 0.3, seed=7)
    for row in rows:
        row["inclusion"] = (0.25, 0.5, 1.0)[int(row["id"].split("-")[0]) % 3]
        if rng.random() >= row["inclusion"]:
            row["rating"] = None
    found = audit(POLICY, rows, least_inclusion=0.25, state=tmp_path / "s.json")
    own = [row for row in rows if row["rating"] is not None]
    steps = (bad(own) - 0.1) / np.array([row["inclusion"] for row in own])
    assert found.new_steps == len(own)
    assert found.promises[0].evidence == pytest.approx(
        audit_evidence(steps, max_risk=0.1, least_inclusion=0.25)[-1]
    )
    weight = np.array([1 / row["inclusion"] for row in own])
    assert found.promises[0].risk == pytest.approx(float(weight @ bad(own) / weight.sum()))
    for options, message in (
        ({}, "give the smallest one that was possible as `least_inclusion`"),
        ({"least_inclusion": 0.5}, "is 0.25, less than `least_inclusion`"),
    ):
        with pytest.raises(DataError, match=message):
            audit(POLICY, rows, **options)
    with pytest.raises(DataError, match="is for labels with a field `inclusion`, which none has"):
        audit(POLICY, stream(5, 0.1), least_inclusion=0.5)
    own[3]["inclusion"] = None
    with pytest.raises(DataError, match="is missing for '.*other labels have one"):
        audit(POLICY, rows, least_inclusion=0.25)
    own[3]["inclusion"] = 1.5
    with pytest.raises(DataError, match=r"is 1\.5; expected a probability above 0, at most 1"):
        audit(POLICY, rows, least_inclusion=0.25)


def test_a_graded_promise_is_audited_by_the_mean_loss() -> None:
    policy, rows = replace(POLICY, loss="rating", max_risk=0.3), stream(80, 0.3, seed=4)
    found = audit(policy, rows)
    loss = 1 - np.array([row["rating"] for row in rows]) / 9
    assert found.promises[0].evidence == pytest.approx(audit_evidence(loss - 0.3, max_risk=0.3)[-1])
    assert found.promises[0].risk == pytest.approx(loss.mean())
    bare = [{k: row[k] for k in ("id", "score", "rating")} for row in rows]
    with pytest.raises(DataError, match="a loss made of ratings needs their scale in every row"):
        audit(policy, bare)


def test_each_category_is_audited_and_the_alarms_share_the_error() -> None:
    policy = replace(POLICY, thresholds={"easy": 5.0, "hard": 5.0})
    rows = [row | {"category": "easy"} for row in stream(100, 0.05, seed=1)]
    rows += [row | {"category": "hard"} for row in stream(100, 0.5, seed=2, start=500)]
    rows += [row | {"category": "odd"} for row in stream(10, 1.0, start=900)]
    found = audit(policy, rows)
    easy, hard = found.promises
    assert (easy.category, hard.category, found.declined) == ("easy", "hard", 10)
    evidence = audit_evidence(bad(rows[100:200]) - 0.1, max_risk=0.1)
    assert hard.alarm_at == pytest.approx(40)
    assert hard.refuted_at == int(np.argmax(evidence >= 40)) + 1
    assert easy.refuted_at is None and found.refuted
    assert "hard: THE PROMISE IS REFUTED" in str(found)


def test_false_alarms_are_rare_and_a_double_risk_is_found() -> None:
    alarms = {0.1: 0, 0.2: 0}
    for risk in alarms:
        for seed in range(100):
            alarms[risk] += audit(POLICY, stream(300, risk, seed=seed)).refuted
    assert alarms[0.1] / 100 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)
    assert alarms[0.2] > 90


def test_drift_of_scores_and_lengths(tmp_path: Path) -> None:
    made = [Scored(**row) for row in stream(400, 0.05, answers=3, seed=1)]
    seen = distributions(made)
    assert sum(seen["score"]["counts"]) == 400  # one answer per instruction
    policy = replace(POLICY, distributions={"all": seen, "accepted": seen})
    same = audit(policy, stream(200, 0.05, answers=2, seed=2))
    score, length = same.drift
    assert (score.what, length.what) == ("score", "length")
    assert (score.before, score.now) == (400, 200)
    assert not score.clear and not length.clear
    longer = [row | {"response": row["response"] * 2} for row in stream(200, 0.05, seed=2)]
    score, length = audit(policy, longer).drift
    assert length.clear and not score.clear
    assert "length: DRIFT (chi-squared test of homogeneity, p = " in str(audit(policy, longer))
    # Of answers with several chances of being rated, so many that all had the same chance.
    chosen = stream(600, 0.05, seed=3)
    rng = np.random.default_rng(0)
    for row in chosen:
        row["inclusion"] = 1.0 if row["score"] > 7 else 0.25
    chosen = [row for row in chosen if rng.random() < row["inclusion"]]
    score, _ = audit(policy, chosen, least_inclusion=0.25).drift
    assert not score.clear and score.now < 250
    bare = [{k: v for k, v in row.items() if k != "response"} for row in longer]
    assert "length: not tested: the texts of these answers are missing" in str(audit(policy, bare))
    assert "this policy keeps no distributions" in str(audit(POLICY, longer))


def test_a_policy_from_select_keeps_what_the_audit_needs(tmp_path: Path) -> None:
    rows = stream(400, 0.05, answers=1, seed=8)
    path = tmp_path / "p.json"
    select(rows, max_risk=0.15, output=path)
    found = audit(path, stream(100, 0.05, seed=9, start=5000))
    assert not found.refuted and not any(one.clear for one in found.drift)
    assert not [w for w in found.warnings if "drift" in w]


def _state(**changes: Any) -> dict[str, Any]:
    return {"confidence": 0.95, "least_inclusion": None, "steps": []} | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "x"}, "is not the state of an audit; name another file as `state`"),
        ({"policy": "x"}, "is the state of an audit of another policy"),
        ({"confidence": 0.9}, "the audit began with 0.9, this call has 0.95; an audit keeps its"),
        ({"least_inclusion": 0.5}, "the audit began with 0.5, this call has None"),
        ({"steps": 3}, "field 'steps': expected a list"),
        ({"steps": [["a", None, "1", 1]]}, r"field 'steps\[0\]': expected the hash of an instr"),
    ],
)
def test_states_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    state, rows = tmp_path / "s.json", stream(5, 0)
    audit(POLICY, rows, state=state)
    text = json.dumps(json.loads(state.read_text()) | change)
    state.write_text(text)
    with pytest.raises(DataError, match=message):
        audit(POLICY, rows, state=state)
    assert state.read_text() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rating": None}, "no answer has a score and a rating to audit with"),
        ({"score": 1.0}, "the policy accepts none of the rated answers; rate answers that it"),
    ],
)
def test_labels_that_say_nothing(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        audit(POLICY, [row | change for row in stream(5, 0)])


def test_labels_of_another_judge_and_scale_are_noted(tmp_path: Path) -> None:
    policy = replace(POLICY, calibration={"lowest_score": 0.0, "highest_score": 9.0})
    rows = [row | {"score": 10 * row["score"]} for row in stream(30, 0)]
    assert "are not on the same scale: the guarantee does not hold" in str(audit(policy, rows))


def test_the_state_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "p.json"
    POLICY.save(policy)
    labels = tmp_path / "l.json"
    labels.write_text(json.dumps(stream(5, 0)))
    for state in (policy, labels):
        assert main(["audit", str(policy), str(labels), "--state", str(state)]) == 2
        assert "is an input and would be overwritten" in capsys.readouterr().err
