"""``select`` with several answers to an instruction: which test is used, and what is promised."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import DataError, Policy, plan, select
from selfj_eval.jobs.options import OptionError
from selfj_eval.metrics import certify, certify_over_instructions, one_of_each
from selfj_eval.records.writing import write_rows

Rows = list[dict[str, Any]]


def rated(
    instructions: int, answers: int, *, seed: int = 0, noise: float = 1.0, prefix: str = ""
) -> Rows:
    """Answers whose ratings depend on their instruction, too."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(instructions):
        level = rng.normal(6, 1.2)
        for k in range(answers):
            quality = float(np.clip(rng.normal(level, 1.5), 0, 9))
            rows.append(
                {
                    "id": f"{prefix}{i}-{k}",
                    "instruction": f"{prefix}What is {i}?",
                    "response": "word " * int(rng.integers(1, 80)),
                    "category": ("easy", "hard")[i % 2],
                    "score": float(np.clip(quality + rng.normal(0, noise), 0, 9)),
                    "rating": quality,
                    "rating_min": 0,
                    "rating_max": 9,
                }
            )
    return rows


def arrays(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, rating and instruction by id, as ``select`` puts them into order."""
    rows = sorted(rows, key=lambda r: r["id"])
    score, rating = (np.array([r[name] for r in rows]) for name in ("score", "rating"))
    return score, rating, np.array([r["instruction"] for r in rows])


@pytest.mark.parametrize(
    ("instructions", "answers", "options", "test", "used"),
    [
        (200, 3, {}, "betting", "over 200 instructions, with all their 600 answers"),
        (199, 3, {}, "binomial", "on one answer to each of 199 instructions, drawn at random"),
        (300, 2, {}, "binomial", "on one answer to each of 300 instructions, drawn at random"),
        (600, 1, {}, "binomial", "on one answer to each of 600 instructions"),
        (150, 4, {"all_answers": True}, "betting", "over 150 instructions, with all their 600"),
        (300, 1, {"loss": "rating", "max_risk": 0.3}, "betting", "over 300 instructions"),
    ],
)
def test_the_numbers_alone_decide_which_test_is_used(
    instructions: int, answers: int, options: dict[str, Any], test: str, used: str, tmp_path: Path
) -> None:
    rows = rated(instructions, answers)
    found = select(rows, output=tmp_path / "p.json", **{"max_risk": 0.2} | options)
    (promise,) = found.promises
    assert promise.test == test
    assert promise.used.startswith(f"{test} test {used}")
    assert promise.used in str(found) and found.promise in str(found)
    kept = Policy.load(tmp_path / "p.json")
    assert kept.promise == found.promise
    assert kept.calibration["promises"][0]["used"] == promise.used

    score, rating, group = arrays(rows)
    risk = options.get("max_risk", 0.2)
    if test == "betting":
        loss = 1 - rating / 9 if "loss" in options else rating < 6
        assert kept.threshold == certify_over_instructions(score, loss, group, max_risk=risk)
    else:
        one = one_of_each(group)
        certified = certify(score[one], rating[one] >= 6, max_risk=risk)
        assert certified is not None
        assert kept.threshold == certified.threshold


def test_what_is_promised_is_said_exactly() -> None:
    every = select(rated(200, 4), max_risk=0.2, confidence=0.9).promise
    assert every == (
        "Draw an instruction from the same source, then one of its answers: if the answer is "
        "accepted, the chance that it is bad is at most 0.2. This holds with probability 0.9 over "
        "the draw of the calibration instructions."
    )
    bare = [{k: v for k, v in row.items() if k != "instruction"} for row in rated(300, 1)]
    alone = select(bare, max_risk=0.2).promise
    assert alone.startswith("Draw an answer from the same source: if the answer is accepted")
    assert alone.endswith("calibration answers, if a higher threshold has no higher risk.")
    graded = select(rated(200, 1), max_risk=0.3, loss="rating")
    assert "its expected loss (1 - rating on 0 to 1) is at most 0.3" in graded.promise
    assert "a mean loss of at most 0.3 with confidence 0.95" in str(graded)


def test_a_graded_promise_is_about_the_mean_loss(tmp_path: Path) -> None:
    rows = rated(300, 4, noise=2)
    found = select(rows, max_risk=0.3, loss="rating", output=tmp_path / "p.json")
    policy = found.policy
    assert policy is not None and policy.loss == "rating"
    applied = select(rows, policy=tmp_path / "p.json", output=tmp_path / "d.jsonl")
    score, rating, group = arrays(rows)
    loss, accepted = 1 - rating / 9, score >= policy.threshold
    assert applied.mean_loss == pytest.approx(loss[accepted].mean())
    promised = "promised, if each instruction counts once: at most 0.3"
    assert f"mean loss {applied.mean_loss:.3g} ({promised})" in str(applied)
    means = [
        ((loss * accepted)[group == name].mean(), accepted[group == name].mean())
        for name in set(group.tolist())
    ]
    assert found.promises[0].risk == pytest.approx(
        sum(a for a, _ in means) / sum(b for _, b in means)
    )


def test_a_threshold_for_each_category(tmp_path: Path) -> None:
    rows = rated(500, 3)
    for row in rows:  # a judge that is of no use in one of them
        if row["category"] == "hard":
            row["score"] = float(np.random.default_rng(len(row["response"])).uniform(0, 9))
    rows += [row | {"id": f"u{row['id']}", "category": None} for row in rated(5, 1, prefix="z")]
    found = select(rows, max_risk=0.2, by_category=True, output=tmp_path / "p.json")
    easy, hard = found.promises
    assert (easy.category, hard.category) == ("easy", "hard")
    assert easy.threshold is not None and hard.threshold is None
    assert "hard: NO THRESHOLD CAN BE CERTIFIED" in str(found)
    assert "in every category that has a threshold" in found.promise
    assert any("5 rated answers have no category" in w for w in found.warnings)
    score, rating, group = arrays([row for row in rows if row["category"] == "easy"])
    # Bonferroni: an error of 0.05 for both together.
    alone = certify_over_instructions(score, rating < 6, group, max_risk=0.2, confidence=0.975)
    assert easy.threshold == alone

    policy = Policy.load(tmp_path / "p.json")
    assert policy.thresholds == {"easy": easy.threshold}
    assert policy.decide(9, "easy").accept
    assert not policy.decide(9, "hard").accept
    assert not policy.decide(9).accept
    applied = select(rows, policy=policy, output=tmp_path / "d.jsonl")
    kept = [row["category"] == "easy" and row["score"] >= easy.threshold for row in rows]
    assert [one.decision == "accept" for one in applied.decided] == kept
    assert "no promise for category None, hard" in str(applied)


def test_a_policy_says_when_it_meets_other_answers(tmp_path: Path) -> None:
    policy = select(rated(300, 2), max_risk=0.2).policy
    output = tmp_path / "d.jsonl"
    same = select(rated(200, 3, seed=1), policy=policy, output=output)
    assert "differ from those" not in str(same)
    longer = [row | {"response": row["response"] * 3} for row in rated(200, 3, seed=1)]
    other = select(longer, policy=policy, output=output)
    assert "differ from those of the policy: length: DRIFT (chi-squared test of homog" in str(other)
    assert "score: DRIFT" not in str(other)


def test_the_promise_over_instructions_holds_on_the_source() -> None:
    """All answers of one source: calibration by 200 instructions each time, truth by all."""
    source = rated(4000, 4, seed=9)
    score, rating, _ = arrays(source)
    by_instruction: Sequence[Rows] = [source[k : k + 4] for k in range(0, len(source), 4)]
    rng, broken, found = np.random.default_rng(0), 0, 0
    for _ in range(60):
        drawn = rng.choice(len(by_instruction), 200, replace=False)
        chosen = select(
            [row for k in drawn for row in by_instruction[k]], max_risk=0.2, confidence=0.9
        )
        if chosen.policy is not None:
            found += 1
            broken += (rating[score >= chosen.policy.threshold] < 6).mean() > 0.2
    assert found > 50
    assert broken / 60 <= 0.1 + 3 * math.sqrt(0.09 / 60)


@pytest.mark.parametrize(
    ("drop", "options", "message"),
    [
        ("rating_max", {"loss": "rating"}, "field 'rating_min': a loss made of ratings needs"),
        ("instruction", {"all_answers": True}, "`all_answers` needs the instruction of every"),
        ("category", {"by_category": True}, "`by_category` needs categories, and no rated answer"),
        ("rating", {}, "no answer has a score and a rating to calibrate on"),
    ],
)
def test_what_is_missing_is_said(drop: str, options: dict[str, Any], message: str) -> None:
    rows = [{k: v for k, v in row.items() if k != drop} for row in rated(20, 2)]
    with pytest.raises(DataError) as caught:
        select(rows, max_risk=0.3, **options)
    assert message in str(caught.value)


def test_ratings_chosen_by_doubt_promise_nothing(tmp_path: Path) -> None:
    """Such answers are no draw from the source that the promise is about."""
    rows = rated(300, 1)
    for at, row in enumerate(rows):
        row["probabilities"] = [0.1] * 10 if at % 3 else [0.0] * 9 + [1.0]
    truth = {row["id"]: row.pop("rating") for row in rows}

    def planned(design: str) -> Path:
        labels = tmp_path / f"{design}.jsonl"
        chosen = plan(rows, budget=150, design=design).planned
        write_rows(labels, [row | {"rating": truth[row["id"]]} for row in chosen])
        return labels

    labels = planned("active")
    with pytest.raises(DataError) as caught:
        select(rows, max_risk=0.45, ratings=labels)
    assert str(caught.value).startswith(f"{labels}, field 'inclusion': is 0.25 to ")
    assert "rate those that `selfj plan` chose with the design `random`" in str(caught.value)
    policy = select(rows, max_risk=0.45, ratings=planned("random")).policy
    assert policy is not None

    some = [row | {"rating": truth[row["id"]]} for row in rows]
    for at, row in enumerate(some):
        row["inclusion"] = 0.5 if at else None
    with pytest.raises(DataError, match="'inclusion': 1 of 300 rated answers have none"):
        select(some, max_risk=0.45)
    # A category is drawn from if its own answers had equal chances.
    for row in some:
        row["inclusion"] = 0.5 if row["category"] == "easy" else 1.0
    with pytest.raises(DataError, match="is 0.5 to 1 for the rated answers"):
        select(some, max_risk=0.45)
    assert select(some, max_risk=0.45, by_category=True).policy is not None
    # A policy may be applied to them, but the share that it shows is not that of all.
    note = "the rated answers were not chosen with equal probabilities (`inclusion`)"
    assert note in str(select(some, policy=policy))
    for row in some:
        row["inclusion"] = 0.5
    assert note not in str(select(some, policy=policy))


def test_a_loss_of_ratings_is_not_counted_without_their_scale(tmp_path: Path) -> None:
    rows = [row | {"rating": 100 * row["rating"] / 9, "rating_max": 100} for row in rated(300, 1)]
    policy = select(rows, max_risk=0.3, loss="rating").policy
    assert policy is not None
    bare = [{k: v for k, v in row.items() if k not in ("rating_min", "rating_max")} for row in rows]
    output = tmp_path / "d.jsonl"
    with pytest.raises(DataError, match=r"field 'rating_min': a loss made of ratings needs"):
        select(bare, policy=policy, output=output)
    assert not output.exists()
    scaled = select(bare, policy=policy, output=output, scale=(0, 100))
    kept = [row for row in rows if row["score"] >= policy.threshold]
    wanted = np.mean([1 - row["rating"] / 100 for row in kept])
    assert scaled.mean_loss == pytest.approx(wanted) and wanted > 0.1
    unrated = [row | {"rating": None} for row in bare]
    assert select(unrated, policy=policy, output=output).accepted == len(kept)


def test_scores_on_the_hub_need_a_name_for_the_output() -> None:
    address = "hf://datasets/me/answers/scores.jsonl"
    for options in ({"max_risk": 0.2}, {"policy": "p.json"}):
        for given in (address, Path(address)):
            with pytest.raises(OptionError, match="must name a file here, as the scores are on"):
                select(given, **options)


def test_options_of_a_choice_are_refused_for_a_policy() -> None:
    policy = select(rated(300, 2), max_risk=0.2).policy
    for option in ({"loss": "rating"}, {"all_answers": True}, {"by_category": True}):
        with pytest.raises(DataError, match="is for choosing a policy"):
            select(rated(3, 1), policy=policy, **option)


def test_what_is_used_and_what_would_help_is_said() -> None:
    found = str(select(rated(80, 10, noise=3), max_risk=0.05))
    assert found.startswith("80 of 800 rated answers used (one per instruction), ")
    assert "NO THRESHOLD CAN BE CERTIFIED: at most 5 % bad with confidence 0.95" in found
    assert re.search(
        r"the lowest risk that can be certified: 0\.\d{3}; it was found on these answers, so to "
        r"promise it, test it on new ones\n",
        found,
    )
    assert found.endswith(
        "  nothing was written; more instructions or a better judge would help (from 200 "
        "instructions with 3 answers each on, all answers are used)"
    )
    every = str(select(rated(80, 10, noise=3), max_risk=0.05, all_answers=True))
    assert every.startswith("800 rated answers used, ")
    assert every.endswith("nothing was written; more rated answers or a better judge would help")


def test_nothing_can_be_promised_of_bad_answers() -> None:
    bad = [row | {"rating": 1} for row in rated(200, 3)]
    found = str(select(bad, max_risk=0.1))
    assert "600 rated answers used, 100 % of them bad; 0 unscored answers are skipped" in found
    assert found.endswith(
        "no risk can be certified: all 600 answers are bad\n  nothing was written"
    )
    few = str(select(bad[:30], max_risk=0.1))
    assert "10 of 30 rated answers used (one per instruction), 100 % of them bad" in few
    assert "no risk can be certified: all 10 answers used are bad" in few


def test_shares_and_thresholds_are_printed_for_people(tmp_path: Path) -> None:
    rows, policy = rated(300, 4), tmp_path / "p.json"
    found = select(rows, max_risk=0.15, output=policy)
    (one,) = found.promises
    assert one.threshold is not None
    assert f"at least {one.threshold:.3f}: at most 15 % bad with confidence 0.95\n" in str(found)
    share = round(100 * one.accepted / one.n, 1)
    assert f"this accepts {one.accepted:,} ({share:g} %), {one.bad_accepted:,} of them bad" in str(
        found
    )
    applied = select(rows, policy=policy, output=tmp_path / "d.jsonl")
    bad = round(100 * applied.bad_accepted / applied.rated_accepted, 1)
    promised = "promised, if each instruction counts once: at most 15 %"
    assert f"{applied.bad_accepted:,} bad, {bad:g} % ({promised})\n" in str(applied)
    assert Policy.load(policy).threshold == one.threshold


def test_partly_rated_instructions_of_different_sizes_are_weighted() -> None:
    """Instructions with many answers are more likely to have a rated one."""
    rows = [
        {"id": f"{q}-{k}", "instruction": f"q{q}", "response": f"a{k}"}
        | {"score": 5 + (q * 7 + k) % 10 / 10, "rating_min": 0, "rating_max": 9}
        | ({"rating": 8 if q % 2 else 1} if (q + k) % 3 == 0 else {})
        for q in range(100)
        for k in range(8 if q % 2 else 1)
    ]
    noted = "each instruction is weighted by the share of its answers that are rated"
    found = select(rows, max_risk=0.5)
    assert any(noted in note for note in found.warnings)
    (one,) = found.promises
    assert f"{one.n} of them drawn by the share of their answers that are rated" in one.used
    assert one.n < 67  # instructions with a rated answer
    betting = select(rows, max_risk=0.9, all_answers=True)
    (each,) = betting.promises
    # Of the fifty long ones eight answers, of the others one: bad are the 17 rated short ones.
    accepted = 17 + sum(sum((q + k) % 3 == 0 for k in range(8)) / 8 for q in range(1, 100, 2))
    assert each.threshold == 5
    assert each.risk == pytest.approx(17 / accepted)

    whole = [row | {"rating": row.get("rating", 8)} for row in rows]
    assert not any(noted in note for note in select(whole, max_risk=0.5).warnings)
    same = [row for row in rows if row["id"].endswith("-0")]
    assert not any(noted in note for note in select(same, max_risk=0.5).warnings)
