"""Plan which answers to rate, rate them, and estimate."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate, evaluate, plan, score
from selfj_eval.errors import DataError
from selfj_eval.records.reading import read_records

Make = Callable[..., Any]
RATED = [{"id": "a1", "rating": 7, "rating_min": 0, "rating_max": 9}]


def test_from_a_plan_to_an_estimate(
    in_process: Any, jsonl: Callable[..., Path], tmp_path: Path, two_models: Make
) -> None:
    """As a user does it, with a spreadsheet between the two commands."""
    rows = two_models()
    file = jsonl(*[{k: v for k, v in r.items() if k != "truth"} for r in rows], name="s.jsonl")
    done = in_process("selfj", "plan", file, "--budget", "40")
    assert done.returncode == 0, done.stderr
    assert "Rate 40 of 120 answers to 60 instructions (random)." in done.stdout
    sheet = tmp_path / "s.jsonl.plan.csv"
    with sheet.open(encoding="utf-8", newline="") as stream:
        planned = list(csv.DictReader(stream))
    assert {"score", "model"}.isdisjoint(planned[0])  # rated blind
    assert [row["rating"] for row in planned] == [""] * 40
    assert len({row["instruction"] for row in planned}) == 40  # spread over the instructions
    truth = {r["id"]: r["truth"] for r in rows}
    for row in planned:
        row["rating"] = truth[row["id"]]
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(planned[0]))
        writer.writeheader()
        writer.writerows(planned)
    done = in_process("selfj", "estimate", file, "--ratings", sheet, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    mean = found["estimates"][0]
    interval = mean["combined"]["interval"]
    assert interval["low"] < np.mean(list(truth.values())) < interval["high"]
    assert mean["combined"]["effective_labels"] > 60  # 40 ratings, and a good judge
    alone = mean["ratings_only"]["interval"]
    assert interval["high"] - interval["low"] < alone["high"] - alone["low"]
    assert mean["scores_only"] is None  # nobody knows on what scale these scores are
    assert "worth" in in_process("selfj", "estimate", file, "--ratings", sheet).stdout


def test_planned_labels_stay_right_when_rating_stops_early(two_models: Make, labels: Make) -> None:
    rows = two_models(instructions=200)
    planned = plan(rows, budget=100)
    first = [row["id"] for row in planned.planned][:50]
    given = [row | {"inclusion": p["inclusion"]} for row, p in zip(
        sorted(labels(rows, set(first)), key=lambda r: first.index(r["id"])), planned.planned,
        strict=False,
    )]  # fmt: skip
    found = estimate(rows, ratings=given).estimates[0].combined
    assert found.labels == 50
    assert found.interval is not None
    assert found.interval.low < np.mean([r["truth"] for r in rows]) < found.interval.high


def test_unequal_chances_are_undone(two_models: Make, labels: Make) -> None:
    """High scores are rated more often; without the chances the mean would be far too high."""
    rows = two_models(instructions=300)
    random = np.random.default_rng(3)
    chance = {r["id"]: 0.05 if r["score"] < 4.5 else 0.6 for r in rows}
    chosen = {r["id"] for r in rows if random.random() < chance[r["id"]]}
    given = labels(rows, chosen)
    truth = np.mean([r["truth"] for r in rows])
    constant = [r | {"score": 5.0} for r in rows]  # so that only the chances can help
    naive = estimate(constant, ratings=given).estimates[0].combined
    assert naive.interval is not None
    assert naive.interval.low > truth
    weighted = [row | {"inclusion": chance[row["id"]]} for row in given]
    found = estimate(constant, ratings=weighted).estimates[0].combined
    assert found.interval is not None
    assert found.interval.low < truth < found.interval.high


def test_that_most_answers_are_unrated_is_no_news(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models()
    given = labels(rows, every(rows, 3))
    for found in (estimate(rows, ratings=given), plan(rows, ratings=given, budget=20)):
        assert "have no rating" not in str(found)
    assert "80 of 120 answers have no rating" in str(evaluate(rows, ratings=given, resamples=20))


def test_the_order_of_rows_changes_nothing(two_models: Make, labels: Make, every: Make) -> None:
    rows = two_models(instructions=120)
    given = labels(rows, every(rows, 2))
    found = estimate(rows, ratings=given, predictors="all")
    other = estimate(rows[::-1], ratings=given[::-1], predictors="all")
    assert json.dumps(other.to_dict()["estimates"]) == json.dumps(found.to_dict()["estimates"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: {"ratings": [{"id": "nobody", "rating": 7}]}, "no id in common"),
        (lambda rows: {"ratings": RATED, "models": ("a",)}, "two different"),
        (lambda rows: {"ratings": RATED, "models": ("a", "c")}, "by 'c'"),
        (
            lambda rows: {"ratings": [
                {"id": "a1", "rating": 7, "inclusion": 0.5}, {"id": "a2", "rating": 7}
            ]},
            "1 of 2 ratings have no inclusion probability",
        ),
        (
            lambda rows: {"ratings": [{"id": "a1", "rating": 7, "inclusion": 1.5}]},
            "expected a probability above 0",
        ),
        (
            lambda rows: {"ratings": [{"id": "a1", "rating": 7}, {"id": "a1", "rating": 5}]},
            "a1",
        ),
    ],
)  # fmt: skip
def test_wrong_input(
    change: Callable[[Any], dict[str, Any]], message: str, two_models: Make
) -> None:
    rows = two_models()
    with pytest.raises(DataError, match=message):
        estimate(rows, **change(rows))


def test_what_speaks_against_an_estimate(two_models: Make, labels: Make, every: Make) -> None:
    rows = two_models()
    few = estimate(rows, ratings=labels(rows, {"a1", "b2", "a3"}))
    assert few.estimates[0].combined.value is not None
    assert few.estimates[0].combined.interval is None
    assert few.conclusion == (
        "3 ratings on 3 instructions are too few for an interval, which takes at least 10 ratings "
        "on 3 instructions: 7 more are needed."
    )
    assert str(few).count("too few for an interval") == 1
    rough = estimate(rows, ratings=labels(rows, every(rows, 10)))
    assert rough.estimates[0].combined.interval is not None
    assert "only 12 ratings: intervals are rough" in rough.warnings
    useless = [r | {"score": float(k * 7919 % 90) / 10} for k, r in enumerate(rows)]
    found = estimate(useless, ratings=labels(rows, every(rows, 3)))
    assert any("the scores add nothing" in w for w in found.warnings)
    constant = [r | {"score": 5.0} for r in rows]
    found = estimate(constant, ratings=labels(rows, every(rows, 3)))
    assert any("the scores are not informative" in w for w in found.warnings)
    assert found.estimates[0].combined.value == pytest.approx(found.estimates[0].ratings_only.value)
    best = sorted(rows, key=lambda r: -r["score"])[:40]
    found = estimate(rows, ratings=labels(rows, {r["id"] for r in best}))
    assert any("are not like the others in score" in w for w in found.warnings)
    random = estimate(rows, ratings=labels(rows, every(rows, 3)))
    assert not any("not like the others" in w for w in random.warnings)


def test_good_at_must_lie_on_the_scale(two_models: Make, labels: Make, every: Make) -> None:
    rows = two_models()
    given = labels(rows, every(rows, 3))
    with pytest.raises(DataError, match="`good_at` is 12"):
        estimate(rows, ratings=given, good_at=12)
    unknown = [{"id": r["id"], "rating": r["rating"]} for r in given]
    bare = [{k: v for k, v in r.items() if not k.startswith("rating")} for r in rows]
    found = estimate(bare, ratings=unknown)
    assert any("scale of the ratings is not known" in w for w in found.warnings)


def test_no_share_where_the_scale_is_unknown_and_no_rating_could_be_good(two_models: Make) -> None:
    """Stars from 1 to 5: the default of 6 is above all of them. The mean is about right."""
    rows = two_models()
    bare = [{k: v for k, v in r.items() if not k.startswith("rating")} for r in rows]
    stars = [{"id": r["id"], "rating": 1 + min(4, int(r["truth"] / 2))} for r in rows[::3]]
    low = min(row["rating"] for row in stars)
    found = estimate(bare, ratings=stars)
    mean, share = found.estimates
    assert mean.combined.interval is not None
    assert (share.combined.value, share.combined.interval, found.binary) == (None, None, None)
    assert (
        f"\n  share good: `good_at` is 6, but the ratings go from {low} to 5: no answer would be "
        "good. Give their scale as `scale` (lowest and highest), or another `good_at`\n"
    ) in str(found)
    known = estimate(bare, ratings=stars, scale=(1, 5)).estimates[1].combined
    assert known.value is not None and 0.1 < known.value < 0.9
    assert estimate(bare, ratings=stars, good_at=4).estimates[1].combined.interval is not None
    two = estimate(bare, ratings=stars, models=("a", "b"))
    assert "good_at" not in str(two)


def test_no_interval_where_all_ratings_are_equal(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models()
    given = [{**row, "rating": 3} for row in labels(rows, every(rows, 2))]
    found = estimate(rows, ratings=given)
    assert found.estimates[0].combined.value == pytest.approx(3)
    assert found.estimates[0].combined.interval is None
    assert found.conclusion == "All 60 ratings are 3, so no interval can be given."
    assert "3.00 to 3.00" not in str(found)


def test_a_share_where_all_ratings_are_equal_is_not_certain(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models()
    for step in (2, 3, 4, 5, 7, 10):
        given = [{**row, "rating": 9} for row in labels(rows, every(rows, step))]
        share = estimate(rows, ratings=given).estimates[1]
        for found in (share.combined, share.ratings_only):
            assert found.interval is not None
            assert found.interval.low < 0.95
            assert (found.value, found.standard_error, found.effective_labels) == (1, 0, None)


def test_what_the_scores_alone_say_needs_a_judge(tmp_path: Path) -> None:
    from selfj_eval import ladder

    records = ladder(instructions=5)
    run = score(records, judge="demo", output=tmp_path / "s.jsonl")
    found = estimate(tmp_path / "s.jsonl").estimates[0]
    assert found.scores_only == pytest.approx(run.mean_score)
    score(records, judge="length", output=tmp_path / "l.jsonl")
    assert estimate(tmp_path / "l.jsonl").estimates[0].scores_only is None


def test_real_ratings_are_covered(data: Path) -> None:
    """Of GPT-4's ratings of vicuna_blog, 60 random ones at a time; trigrams are the score."""
    records = read_records(data / "judge_bench" / "pointwise_vicuna_blog.parquet")
    kept = [r for r in records if r.reference is not None]
    rows = score(kept, judge="trigrams").rows()
    truth = np.mean([r.rating for r in kept])
    hits, widths = 0, []
    for seed in range(20):
        planned = plan([{**r, "rating": None} for r in rows], budget=60, seed=seed)
        known = {r["id"]: r for r in rows}
        given = [
            {**{k: known[p["id"]][k] for k in ("id", "rating", "rating_min", "rating_max")},
             "inclusion": p["inclusion"]}
            for p in planned.planned
        ]  # fmt: skip
        found = estimate([{**r, "rating": None} for r in rows], ratings=given).estimates[0]
        assert found.combined.interval is not None
        assert found.ratings_only.interval is not None
        hits += found.combined.interval.low <= truth <= found.combined.interval.high
        low, high = found.ratings_only.interval[:2]
        widths.append((found.combined.interval.high - found.combined.interval.low) / (high - low))
    assert hits >= 17
    assert np.mean(widths) < 0.95
