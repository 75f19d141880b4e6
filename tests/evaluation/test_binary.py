"""The judge as one that says good or bad: rates, and the share of good unrated answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.cli import main
from selfj_eval.evaluation.evaluate import evaluate

FAST: dict[str, Any] = {"resamples": 50}
SCALE = {"rating_min": 1, "rating_max": 10}
Jsonl = Callable[..., Path]


def drawn(n: int, rated: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        rating = int(rng.integers(1, 11))
        row: dict[str, Any] = {
            "id": f"{k:03}",
            "score": float(np.clip(rating - 1 + rng.normal(0, 2), 0, 9)),
        }
        rows.append(row | ({"rating": rating} | SCALE if k < rated else {}))
    return rows


def test_rates_at_a_given_score_and_the_corrected_share(data: Path) -> None:
    file = data.parent / "oracles" / "inference.json"
    if not file.is_file():
        pytest.skip("the oracles of inference are not here")
    oracles = json.loads(file.read_text())
    own, wanted = oracles["data"]["main"], oracles["b_rogan_gladen"]
    rows = [
        {"id": str(k), "score": own["score"][k]}
        | ({"rating": own["rating"][k]} | SCALE if own["labelled_spread"][k] else {})
        for k in range(120)
    ]
    found = evaluate(rows, judged_good_at=6, **FAST).binary
    assert (found.score_cut, found.chosen, found.unrated) == (6, False, wanted["unlabelled"])
    assert found.tpr.value == pytest.approx(wanted["tpr"])
    assert [found.tnr.low, found.tnr.high] == pytest.approx(wanted["tnr_wilson95"])
    assert found.judged_good.value == 23 / 80
    assert found.corrected.value == pytest.approx(wanted["share"])
    ends = [found.corrected.low, found.corrected.high]
    assert ends == pytest.approx(wanted["lang_reiczigel95"])
    texts = [
        row | {"instruction": str(own["instruction"][k]), "response": "r"}
        for k, row in enumerate(rows)
    ]
    clustered = evaluate(texts, judged_good_at=6, **FAST).binary
    assert clustered.tpr.value == found.tpr.value
    assert clustered.tpr.interval != found.tpr.interval
    assert clustered.corrected.value == found.corrected.value
    assert clustered.corrected.interval != found.corrected.interval


def test_the_chosen_cut_and_what_is_printed() -> None:
    rows = drawn(120, 80)
    result = evaluate(rows, **FAST)
    found = result.binary
    assert found.chosen and 3 < found.score_cut < 7
    called = [r["score"] >= found.score_cut for r in rows[80:]]
    assert found.judged_good.value == pytest.approx(np.mean(called))
    assert found.corrected.low < found.corrected.value < found.corrected.high
    assert found.youden.value == pytest.approx(found.tpr.value + found.tnr.value - 1)
    text = str(result)
    assert f"judged good or bad: good from score {found.score_cut:.3f} on, which" in text
    corrected = r"good, corrected for the judge's errors \(Rogan-Gladen\) +"
    assert re.search(rf"{corrected}{found.corrected.value:.3f}  {found.corrected.low:.3f} to", text)
    csv = {r["metric"]: r["value"] for r in result.rows() if r["scope"] == "binary"}
    assert csv["corrected"] == found.corrected.value
    assert csv["precision"] == found.precision.value
    assert result.to_dict()["binary"]["tpr"]["n"] == result.counts.good


def test_no_order_of_rows_matters() -> None:
    rows = drawn(90, 60)
    for k, row in enumerate(rows):
        row |= {"instruction": f"i{k % 30}", "response": "r"}
    first = evaluate(rows, **FAST).binary
    assert evaluate(rows[::-1], **FAST).binary == first


def test_what_cannot_be_said_has_a_reason() -> None:
    few = evaluate(drawn(9, 9), **FAST)
    assert few.binary.tpr.undefined == (
        "only 9 rated answers to choose a score cut on; rate at least 10, or give one as "
        "`judged_good_at`"
    )
    grouped = [
        r | {"instruction": f"i{k // 2}", "response": "r"} for k, r in enumerate(drawn(18, 18))
    ]
    assert evaluate(grouped, **FAST).binary.tpr.undefined == (
        "only 9 rated instructions to choose a score cut on; rate answers to at least 10, or give "
        "one as `judged_good_at`"
    )
    assert "answers are not judged good or bad" in str(few)
    assert evaluate(drawn(9, 9), judged_good_at=5, **FAST).binary.tpr.value is not None
    whole = evaluate(drawn(40, 40), **FAST)
    assert whole.binary.corrected.undefined == "every scored answer has a rating"
    assert "Rogan" not in str(whole)
    good = [row | ({"rating": 9} if "rating" in row else {}) for row in drawn(40, 30)]
    found = evaluate(good, **FAST).binary
    assert found.tnr.undefined == found.corrected.undefined == "no rated answer is bad"
    assert found.score_cut is None
    assert "answers are not judged good or bad: no rated answer is bad\n" in str(
        evaluate(good, **FAST)
    )
    poor = [row | ({"rating": 1} if "rating" in row else {}) for row in drawn(40, 30)]
    said = str(evaluate(poor, **FAST))
    assert "answers are not judged good or bad: no rated answer is good\n" in said
    assert "precision" not in said
    given = evaluate(poor, judged_good_at=5, **FAST).binary
    assert given.tnr.value is not None and given.tpr.undefined == "no rated answer is good"
    none = evaluate([{"id": str(k), "score": k} for k in range(9)], **FAST)
    assert none.binary.unrated == 9 and none.binary.corrected.value is None


def test_a_judge_that_knows_nothing_is_not_relied_on() -> None:
    rng = np.random.default_rng(6)
    rows = [row | {"score": float(rng.uniform(0, 9))} for row in drawn(120, 80)]
    found = evaluate(rows, judged_good_at=4, **FAST)
    assert found.binary.youden.low <= 0
    assert any("do not rely on the corrected share of good answers" in w for w in found.warnings)
    fine = evaluate(drawn(120, 80), **FAST)
    assert not any("do not rely" in w for w in fine.warnings)


def test_answers_chosen_by_score_are_said_to_be() -> None:
    rows = drawn(60, 40)
    for k, row in enumerate(rows[:40]):
        row["inclusion"] = 0.5 if k % 2 else 0.9
    found = evaluate(rows, **FAST)
    assert any("not chosen with equal probabilities (`inclusion`)" in w for w in found.warnings)
    even = [row | ({"inclusion": 0.5} if "rating" in row else {}) for row in rows]
    assert not any("equal probabilities" in w for w in evaluate(even, **FAST).warnings)


def test_the_command(jsonl: Jsonl, capsys: pytest.CaptureFixture[str]) -> None:
    scored = jsonl(*drawn(60, 40))
    assert main(["eval", str(scored), "--judged-good-at", "5.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["binary"]
    assert (document["score_cut"], document["chosen"], document["unrated"]) == (5.5, False, 20)
