"""Several raters of the same answers: what ``evaluate`` makes of them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate
from selfj_eval.cli import main
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.judging.scored import Scores, as_scores, read_scores
from selfj_eval.metrics import (
    alternative_annotator_test,
    bootstrap,
    cohen_kappa,
    krippendorff_alpha,
)

FAST: dict[str, Any] = {"resamples": 20}
SCALE = {"rating_min": 1, "rating_max": 5}
NAMES = ("ann", "bob", "cem")
Jsonl = Callable[..., Path]


def drawn(n: int, raters: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ratings, some of them missing, and scores on 0..9."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 6, n)
    ratings = np.clip(truth[:, None] + rng.integers(-1, 2, (n, raters)), 1, 5).astype(float)
    ratings[rng.random((n, raters)) < 0.1] = np.nan
    ratings[:, 0] = truth
    return ratings, np.clip((truth - 1) * 9 / 4 + rng.normal(0, 1, n), 0, 9)


def judged(rows: list[dict[str, Any]], **judge: Any) -> Scores:
    """Scores whose run file says this of the judge."""
    return replace(as_scores(rows), run={"judge": {"model": "m", "template": "default"} | judge})


def values(row: np.ndarray) -> list[float | None]:
    return [None if np.isnan(x) else float(x) for x in row]


def test_four_ways_to_write_them_are_one(jsonl: Jsonl, tmp_path: Path) -> None:
    ratings, scores = drawn(60)
    rows = [{"id": str(k), "score": float(s)} for k, s in enumerate(scores)]
    given = [values(row) for row in ratings]
    named = [dict(zip(NAMES, row, strict=True)) for row in given]
    lists = [row | SCALE | {"ratings": r} for row, r in zip(rows, given, strict=True)]
    mappings = [row | SCALE | {"ratings": r} for row, r in zip(rows, named, strict=True)]
    bare = jsonl(*rows, name="bare.jsonl")
    separate = [
        {"id": row["id"], "rater": rater, "rating": rating} | SCALE
        for row, each in zip(rows, named, strict=True)
        for rater, rating in each.items()
    ]
    random.Random(0).shuffle(separate)
    table = tmp_path / "rows.csv"
    table.write_text(
        "id,rater,rating,rating_min,rating_max\n"
        + "".join(
            f"{r['id']},{r['rater']},{'' if r['rating'] is None else r['rating']},1,5\n"
            for r in separate
        )
    )
    cells = tmp_path / "cells.csv"
    cells.write_text(
        "id,ratings,rating_min,rating_max\n"
        + "".join(
            f'{row["id"]},"{json.dumps(each).replace(chr(34), chr(34) * 2)}",1,5\n'
            for row, each in zip(rows, named, strict=True)
        )
    )
    found = [
        evaluate(jsonl(*lists, name="lists.jsonl"), **FAST),
        evaluate(jsonl(*mappings, name="mappings.jsonl"), **FAST),
        evaluate(bare, ratings=jsonl(*separate, name="rows.jsonl"), **FAST),
        evaluate(bare, ratings=table, **FAST),
        evaluate(bare, ratings=cells, **FAST),
        evaluate(rows, ratings=separate, **FAST),
    ]
    assert [r.rater for r in found[0].raters.raters] == ["rater 1", "rater 2", "rater 3"]
    wanted = found[0].to_dict()
    for one in found[1:]:
        assert [r.rater for r in one.raters.raters] == list(NAMES)
        text = json.dumps(one.to_dict())
        for k, name in enumerate(NAMES, 1):
            text = text.replace(f'"{name}"', f'"rater {k}"')
        same = json.loads(text)
        assert same["raters"] == wanted["raters"]
        assert same["headline"] == wanted["headline"]
        assert any(w == "60 answers have several ratings: their mean is used" for w in one.warnings)
    means = np.nanmean(ratings, axis=1)
    assert [a.rating for a in read_scores(tmp_path / "lists.jsonl").answers] == pytest.approx(means)


def test_the_block_is_what_the_metrics_say(jsonl: Jsonl) -> None:
    ratings, scores = drawn(60)
    rows = [
        {"id": f"{k:02}", "score": float(s), "ratings": values(r)} | SCALE
        for k, (s, r) in enumerate(zip(scores, ratings, strict=True))
    ]
    found = evaluate(judged(rows), **FAST)
    alpha = krippendorff_alpha(ratings)
    assert found.raters.alpha.interval.value == pytest.approx(alpha.interval.value)
    low, high = found.raters.alpha.interval.low, found.raters.alpha.interval.high
    assert low < alpha.interval.value < high
    judge = 1 + 4 * scores / 9
    test = alternative_annotator_test(ratings, judge, "rmse")
    for k, rater in enumerate(found.raters.judge.rmse.raters):
        assert rater.p_values["0.2"] == pytest.approx(test.raters[k].p_values["0.2"])
    kappas = [pair.kappa.quadratic.value for pair in found.raters.pairs]
    assert found.raters.kappa.quadratic.value == pytest.approx(np.mean(kappas))
    assert len(kappas) == found.raters.kappa.quadratic.n == 3
    csv = {(r["name"], r["metric"]): r["value"] for r in found.rows() if r["scope"] == "raters"}
    assert csv["alpha", "interval"] == found.raters.alpha.interval.value
    assert csv["rmse", "winning_rate_0.2"] == test.winning_rates["0.2"].value
    text = str(found)
    assert "agreement of 3 raters on 60 answers" in text
    assert f"{alpha.interval.value:.3f}  {low:.3f} to {high:.3f}" in text


def test_intervals_are_drawn_over_instructions() -> None:
    ratings, scores = drawn(90)
    instruction = np.arange(90) // 6
    rows = [
        {"id": f"{k:02}", "score": float(s), "ratings": values(r), "instruction": f"i{i:02}"}
        | SCALE
        | {"response": "x"}
        for k, (s, r, i) in enumerate(zip(scores, ratings, instruction, strict=True))
    ]
    result = evaluate(rows, resamples=200)
    found = result.raters
    assert found is not None
    used = np.isfinite(ratings).sum(axis=1) > 1

    def statistic(drawn: np.ndarray) -> np.ndarray:
        """The table's numbers of some answers, by the functions for arrays."""
        own = ratings[used][drawn]
        kappas = [cohen_kappa(own[:, i], own[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        means = [np.mean([m.value for m in one]) for one in zip(*kappas, strict=True)]
        return np.array([*means, *(m.value for m in krippendorff_alpha(own))])

    wanted = bootstrap(statistic, int(used.sum()), group=instruction[used], resamples=200)
    shown = (*found.kappa, *found.alpha)
    for metric, value, interval in zip(shown, wanted.value, wanted.intervals, strict=True):
        assert metric.value == pytest.approx(value)
        assert interval is not None
        assert [metric.low, metric.high] == pytest.approx([interval.low, interval.high])
        assert metric.low < value < metric.high
    assert f"{found.kappa.quadratic.low:.3f} to {found.kappa.quadratic.high:.3f}" in str(result)
    of_others = found.raters[0].ceiling.pearson.interval
    assert of_others is not None
    # Without texts, answers are taken to be independent.
    bare = [{k: v for k, v in row.items() if k != "instruction"} for row in rows]
    alone = evaluate(bare, resamples=200).raters
    assert alone is not None
    independent = alone.raters[0].ceiling.pearson.interval
    assert independent is not None and independent.method == "fisher"
    assert of_others.low <= independent.low
    assert of_others.high >= independent.high
    assert alone.kappa.linear.value == found.kappa.linear.value
    assert alone.kappa.linear.interval != found.kappa.linear.interval


def test_no_order_of_rows_or_raters_matters(jsonl: Jsonl) -> None:
    ratings, scores = drawn(50)
    rows = [
        {"id": str(k), "score": float(s), "instruction": f"i{k // 2}", "response": "x"}
        for k, s in enumerate(scores)
    ]
    given = [
        {"id": str(k), "rater": name, "rating": float(r) + 0.1 * j} | SCALE | {"rating_max": 6}
        for k, row in enumerate(ratings)
        for j, (name, r) in enumerate(zip(NAMES, row, strict=True))
        if not np.isnan(r)
    ]
    first = evaluate(judged(rows), ratings=given, **FAST).to_dict()
    random.Random(1).shuffle(rows)
    random.Random(2).shuffle(given)
    second = evaluate(judged(rows), ratings=given, **FAST).to_dict()
    assert first | {"provenance": 0} == second | {"provenance": 0}
    assert first["raters"]["judge"]["accuracy"]["advantage"]["undefined"].startswith(
        "not all ratings are whole numbers"
    )


def test_estimate_takes_rows_of_raters() -> None:
    ratings, scores = drawn(60)
    rows = [
        {"id": str(k), "score": float(s), "instruction": f"i{k}", "response": "r"}
        for k, s in enumerate(scores)
    ]
    given = [
        {"id": str(k), "rater": name, "rating": value} | SCALE
        for k, row in enumerate(ratings[:40])
        for name, value in zip(NAMES, values(row), strict=True)
    ]
    means = [{"id": str(k), "rating": float(np.nanmean(ratings[k]))} | SCALE for k in range(40)]
    one, two = (estimate(rows, ratings=r).to_dict() for r in (given, means))
    assert one["estimates"] == two["estimates"]


def test_one_rater_two_raters_and_few_answers_say_so() -> None:
    ratings, scores = drawn(20)
    rows = [{"id": str(k), "score": float(s)} | SCALE for k, s in enumerate(scores)]

    def found(columns: int) -> Any:
        given = zip(rows, ratings, strict=True)
        made = [
            row | {"ratings": dict(zip(NAMES, values(r)[:columns], strict=False))}
            for row, r in given
        ]
        return evaluate(judged(made), **FAST)

    one = found(1)
    assert one.raters is None
    assert (
        "all ratings are by one rater (ann): agreement between raters cannot be measured"
        in one.warnings
    )
    assert one.headline.spearman.value is not None
    two = found(2).raters
    assert two.alpha.interval.value is not None
    assert two.judge.rmse.advantage.undefined == (
        "only 2 raters; the alternative annotator test needs 3"
    )
    few = found(3).raters
    assert few.judge.rmse.advantage.undefined.startswith("only 0 of 3 raters share 30 answers")
    assert few.judge.rmse.raters[0].advantage.value is not None


NOT_KNOWN = "the scale of the scores is not known: "


@pytest.mark.parametrize(
    ("change", "run", "reason"),
    [
        ({"rating_min": None}, {"template": "t"}, "the scale of the ratings is not known"),
        ({"score": 11}, {"template": "t"}, r"scores from .* to 11 are not on 0\.\.9"),
        ({"score": 6}, {"template": "t", "scale": [1, 5]}, r"scores .* are not on 1\.\.5"),
        ({"score": 11}, {"model": "length"}, "the scores have no scale, so none can be put on"),
        ({"score": 6}, {"scale": "z"}, "the scores have no scale, so none can be put on"),
        ({"score": 6}, {"scale": [3, 3]}, "the scores have no scale, so none can be put on"),
        ({"score": 6}, {"scale": None}, "the scores have no scale, so none can be put on"),
        ({"score": 6}, "a judge", NOT_KNOWN),
        ({"score": 6}, None, NOT_KNOWN),
        ({"score": 11}, None, NOT_KNOWN),
    ],
)
def test_a_judge_that_cannot_be_put_on_the_raters_scale(
    change: dict[str, Any], run: Any, reason: str, jsonl: Jsonl
) -> None:
    ratings, scores = drawn(40)
    rows = [
        {"id": str(k), "score": float(s), "ratings": values(r)} | SCALE
        for k, (s, r) in enumerate(zip(scores, ratings, strict=True))
    ]
    rows[3] |= change
    file = jsonl(*rows, name="scores.jsonl")
    if run is not None:
        Path(f"{file}.run.json").write_text(json.dumps({"judge": run}))
    found = evaluate(file, **FAST).raters
    for test in (found.judge.accuracy, found.judge.rmse):
        assert re.match(reason, test.advantage.undefined or "")
        assert test.winning_rates["0.2"].value is None
    assert found.alpha.interval.value is not None
    assert found.ceiling.judge_pearson.value is not None


@pytest.mark.parametrize(
    ("judge", "low", "high"),
    [
        ({"template": "default"}, 0, 9),
        ({"template": "default", "scale": None}, 0, 9),
        ({"template": "default", "scale": 9}, 0, 9),
        ({"scale": [0, 100]}, 0, 100),
    ],
)
def test_the_run_file_names_the_scale_of_the_scores(
    judge: dict[str, Any], low: float, high: float, jsonl: Jsonl
) -> None:
    ratings, nine = drawn(60)
    scores = low + (high - low) * nine / 9
    rows = [
        {"id": f"{k:02}", "score": float(s), "ratings": values(r)} | SCALE
        for k, (s, r) in enumerate(zip(scores, ratings, strict=True))
    ]
    file = jsonl(*rows, name="scores.jsonl")
    Path(f"{file}.run.json").write_text(json.dumps({"judge": judge}))
    found = evaluate(file, **FAST).raters.judge.rmse
    wanted = alternative_annotator_test(ratings, 1 + 4 * nine / 9, "rmse")
    assert found.advantage.value == pytest.approx(wanted.advantage.value)
    assert found.winning_rates["0.2"].value == wanted.winning_rates["0.2"].value


def test_constant_ratings_and_many_raters() -> None:
    rows = [{"id": str(k), "score": k / 10, "ratings": [4, 4, 4]} | SCALE for k in range(40)]
    found = evaluate(rows, **FAST)
    assert found.raters.alpha.interval.undefined == "all 120 ratings are equal (4)"
    assert found.raters.kappa.linear.undefined == (
        "both raters gave all 40 answers the same rating (4)"
    )
    assert "all 120 ratings are equal (4)" in str(found)
    crowd = [
        {"id": str(k), "score": k / 10, "ratings": {f"w{k}": 1 + k % 5, "w0": 1 + k % 4}} | SCALE
        for k in range(1, 80)
    ]
    found = evaluate(crowd, **FAST)
    assert (
        "there are 80 raters: agreement is that of the 50 with the most ratings" in found.warnings
    )
    assert [r.rater for r in found.raters.raters[:3]] == ["w0", "w1", "w2"]
    assert "... and 40 more raters" in str(found)


def test_the_command(jsonl: Jsonl, capsys: pytest.CaptureFixture[str]) -> None:
    ratings, scores = drawn(40)
    scored = jsonl(*({"id": str(k), "score": float(s)} for k, s in enumerate(scores)))
    rows = [
        {"id": str(k), "rater": name, "rating": value} | SCALE
        for k, row in enumerate(ratings)
        for name, value in zip(NAMES, values(row), strict=True)
    ]
    given = jsonl(*rows, name="ratings.jsonl")
    assert main(["eval", str(scored), "--ratings", str(given), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["raters"]
    assert [r["rater"] for r in document["raters"]] == list(NAMES)
    assert set(document["judge"]["rmse"]["winning_rates"]) == {"0.1", "0.15", "0.2"}
    assert document["raters"][0]["ceiling"]["pearson"]["value"] > 0.5
