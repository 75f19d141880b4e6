"""Plan which answers to rate, rate them, and estimate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate, evaluate, plan, score
from selfj_eval.errors import DataError
from selfj_eval.evaluation.predictors import from_columns
from selfj_eval.records.reading import read_records

TRUTH = {"a": 6.0, "b": 4.5}
Rows = list[dict[str, Any]]


def scored(noise: float = 1.0, instructions: int = 60, seed: int = 0) -> Rows:
    """Two models' answers with scores, and the ratings that people would give as ``truth``."""
    random = np.random.default_rng(seed)
    rows = []
    for k in range(instructions):
        level = random.normal(0, 1)
        for model, mean in TRUTH.items():
            truth = float(np.clip(round(mean + level + random.normal(0, 1.5)), 0, 9))
            rows.append(
                {
                    "id": f"{model}{k}",
                    "model": model,
                    "instruction": f"Question {k}?",
                    "response": "word " * int(random.integers(1, 50)),
                    "score": float(np.clip(truth - 1 + random.normal(0, noise), 0, 9)),
                    "rating_min": 0,
                    "rating_max": 9,
                    "truth": truth,
                }
            )
    return rows


def labels(rows: Rows, ids: set[str]) -> Rows:
    """Ratings of some answers."""
    return [{"id": r["id"], "rating": r["truth"], "rating_min": 0, "rating_max": 9}
            for r in rows if r["id"] in ids]  # fmt: skip


def every(rows: Rows, step: int) -> set[str]:
    return {r["id"] for r in rows[::step]}


def test_from_a_plan_to_an_estimate(
    in_process: Any, jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    """As a user does it, with a spreadsheet between the two commands."""
    rows = scored()
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


def test_planned_labels_stay_right_when_rating_stops_early() -> None:
    rows = scored(instructions=200)
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


def test_unequal_chances_are_undone() -> None:
    """High scores are rated more often; without the chances the mean would be far too high."""
    rows = scored(instructions=300)
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


def test_verdicts_corrected_where_the_rated_answers_are_better() -> None:
    """Good answers were rated more often. The correction allows for that, the estimate does not."""
    rows = scored(instructions=800)
    random = np.random.default_rng(5)
    chosen = {r["id"] for r in rows if random.random() < (0.3 if r["truth"] >= 6 else 0.1)}
    given = labels(rows, chosen)
    found = estimate(rows, ratings=given)
    share = found.estimates[1].combined
    assert found.binary is not None
    corrected = found.binary.corrected
    assert corrected.n == len(rows) - len(chosen)
    truth = np.mean([r["truth"] >= 6 for r in rows])
    of_others = np.mean([r["truth"] >= 6 for r in rows if r["id"] not in chosen])
    assert share.interval is not None
    assert not share.interval.low < truth < share.interval.high
    assert corrected.low is not None and corrected.high is not None
    assert corrected.low < of_others < corrected.high
    assert corrected == evaluate(rows, ratings=given, resamples=20).binary.corrected
    shown = f"(Rogan-Gladen), {corrected.value:.3f} ({corrected.low:.3f} to {corrected.high:.3f})"
    assert shown in str(found)
    assert found.to_dict()["binary"]["corrected"]["value"] == corrected.value
    assert "the judge errs as often on them" in found.to_dict()["correction"]


def test_verdicts_of_a_random_part_are_less_precise() -> None:
    rows = scored(instructions=300)
    found = estimate(rows, ratings=labels(rows, every(rows, 5)))
    share = found.estimates[1].combined.interval
    assert share is not None and found.binary is not None
    corrected = found.binary.corrected.interval
    assert corrected is not None
    assert corrected.high - corrected.low > share.high - share.low


def test_no_verdicts_where_they_would_mislead() -> None:
    rows = scored(instructions=100)
    given = labels(rows, every(rows, 3))
    assert estimate(rows, ratings=given, models=("a", "b")).correction is None
    equal = [row | {"inclusion": 1 / 3} for row in given]
    assert estimate(rows, ratings=equal).correction is not None
    unequal = [row | {"inclusion": 0.2 + 0.1 * (k % 2)} for k, row in enumerate(given)]
    assert estimate(rows, ratings=unequal).binary is None
    useless = [r | {"score": float(k * 7919 % 90) / 10} for k, r in enumerate(rows)]
    found = estimate(useless, ratings=given)
    assert any("do not rely on the corrected share" in w for w in found.warnings)


def test_that_most_answers_are_unrated_is_no_news() -> None:
    rows = scored()
    given = labels(rows, every(rows, 3))
    for found in (estimate(rows, ratings=given), plan(rows, ratings=given, budget=20)):
        assert "have no rating" not in str(found)
    assert "80 of 120 answers have no rating" in str(evaluate(rows, ratings=given, resamples=20))


def test_two_models() -> None:
    rows = scored(instructions=150)
    planned = plan(rows, budget=120, models=("a", "b"))
    ids = {row["id"] for row in planned.planned}
    assert len(ids) == 120
    assert len({row["instruction"] for row in planned.planned}) == 60  # both answers to each
    given = [
        row | {"inclusion": p["inclusion"]}
        for p in planned.planned
        for row in labels(rows, {p["id"]})
    ]
    found = estimate(rows, ratings=given, models=("a", "b"))
    difference, wins = found.estimates
    by_model = {m: np.mean([r["truth"] for r in rows if r["model"] == m]) for m in TRUTH}
    assert difference.quantity == "difference"
    assert difference.combined.interval is not None
    low, high = difference.combined.interval[:2]
    assert low < by_model["a"] - by_model["b"] < high
    assert low > 0
    pairs = zip(rows[::2], rows[1::2], strict=True)
    rate = np.mean([(math.copysign(1, d) + 1) / 2 if (d := a["truth"] - b["truth"]) else 0.5
                    for a, b in pairs])  # fmt: skip
    assert wins.combined.interval is not None
    assert wins.combined.interval.low < rate < wins.combined.interval.high
    back = estimate(rows, ratings=given, models=("b", "a")).estimates
    assert back[0].combined.value == pytest.approx(-(difference.combined.value or 0))
    assert back[1].combined.value == pytest.approx(1 - (wins.combined.value or 0))


def test_several_columns_are_used_where_they_predict_better() -> None:
    """Ratings here follow the answering model far more than the score does."""
    rows = scored(noise=30.0, instructions=200)
    for row in rows:
        row["truth"] = 8.0 if row["model"] == "a" else 2.0
        row["truth"] += float(len(row["response"]) % 3 == 0)
    given = labels(rows, every(rows, 1))[::2] + labels(rows, every(rows, 1))[1::4]
    found = estimate(rows, ratings=given)
    assert "model" in found.predictors
    alone = estimate(rows, ratings=given, predictors="score")
    assert alone.predictors == ["score"]
    better, worse = (e.estimates[0].combined.effective_labels for e in (found, alone))
    assert better is not None
    assert worse is not None
    assert better > 1.2 * worse
    few = estimate(rows, ratings=given[:60])
    assert few.predictors == ["score"]


def test_the_judges_distribution_predicts_where_its_mean_does_not(tmp_path: Path) -> None:
    """A judge that is sure of 4 or 5 for poor answers, and torn between 0 and 9 for good ones."""
    rows = scored(instructions=200)
    random = np.random.default_rng(3)
    for row in rows:
        torn = np.clip(row["truth"] / 9 + random.normal(0, 0.1), 0.02, 0.98)
        row["probabilities"] = [torn / 2, *[0.0] * 3, *[(1 - torn) / 2] * 2, *[0.0] * 3, torn / 2]
        row["score"] = 4.5 + random.normal(0, 0.1)
    given = labels(rows, every(rows, 3))
    file = tmp_path / "scores.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for scores in (rows, iter(rows), file):
        found = estimate(scores, ratings=given)
        assert "distribution" in found.predictors
        alone = estimate(rows, ratings=given, predictors="score")
        better, worse = (e.estimates[0].combined.effective_labels for e in (found, alone))
        assert better is not None
        assert worse is not None
        assert better > 1.5 * worse
    rows[5]["probabilities"] = None
    assert "distribution" not in estimate(rows, ratings=given).predictors
    rows[5]["probabilities"] = [0.5, 0.2]
    found = estimate(rows, ratings=given)
    assert "distribution" not in found.predictors
    assert any("distributions are not used" in warning for warning in found.warnings)
    with pytest.raises(DataError, match="add up to 1"):
        estimate(rows, ratings=given, predictors="all")


def test_columns_that_predict_nothing_are_not_used() -> None:
    """What is fitted to them goes against the ratings that were left out."""
    taken = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        columns, rating = random.normal(size=(400, 4)), random.normal(5, 2, 400)
        rating[100:] = np.nan
        found = from_columns(columns, rating, np.arange(400), "auto")
        taken += found is not None
    assert taken <= 3


def test_the_order_of_rows_changes_nothing() -> None:
    rows = scored(instructions=120)
    given = labels(rows, every(rows, 2))
    found = estimate(rows, ratings=given, predictors="all")
    other = estimate(rows[::-1], ratings=given[::-1], predictors="all")
    assert json.dumps(other.to_dict()["estimates"]) == json.dumps(found.to_dict()["estimates"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: {"ratings": [{"id": "nobody", "rating": 7}]}, "no id in common"),
        (lambda rows: {"ratings": labels(rows, {"a1"}), "models": ("a",)}, "two different"),
        (lambda rows: {"ratings": labels(rows, {"a1"}), "models": ("a", "c")}, "by 'c'"),
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
def test_wrong_input(change: Callable[[Rows], dict[str, Any]], message: str) -> None:
    rows = scored()
    with pytest.raises(DataError, match=message):
        estimate(rows, **change(rows))


def test_what_speaks_against_an_estimate() -> None:
    rows = scored()
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
    assert any("the judge says nothing" in w for w in found.warnings)
    assert found.estimates[0].combined.value == pytest.approx(found.estimates[0].ratings_only.value)
    best = sorted(rows, key=lambda r: -r["score"])[:40]
    found = estimate(rows, ratings=labels(rows, {r["id"] for r in best}))
    assert any("are not like the others in score" in w for w in found.warnings)
    random = estimate(rows, ratings=labels(rows, every(rows, 3)))
    assert not any("not like the others" in w for w in random.warnings)


def test_two_models_where_some_answers_are_rated_alone() -> None:
    """Rating stopped within a pair, or the plan was not for pairs: pairs are used where whole."""
    rows = scored(instructions=150)
    planned = plan(rows, budget=120, models=("a", "b")).planned
    given = [row | {"inclusion": p["inclusion"]} for p in planned[:61]
             for row in labels(rows, {p["id"]})]  # fmt: skip
    wins = estimate(rows, ratings=given, models=("a", "b")).estimates[1].combined
    assert wins.labels == 30
    assert wins.interval is not None
    both = plan(rows, budget=200).planned
    given = [row | {"inclusion": p["inclusion"]} for p in both for row in labels(rows, {p["id"]})]
    wins = estimate(rows, ratings=given, models=("a", "b")).estimates[1].combined
    assert wins.undefined is None


def test_a_constant_score_without_texts() -> None:
    rows = [{"id": str(k), "score": 5.0} for k in range(300)]
    given = [{"id": str(k), "rating": k % 10, "rating_min": 0, "rating_max": 9}
             for k in range(120)]  # fmt: skip
    found = estimate(rows, ratings=given)
    assert found.predictors == ["score"]
    assert any("the judge says nothing" in w for w in found.warnings)


def test_good_at_must_lie_on_the_scale() -> None:
    rows = scored()
    given = labels(rows, every(rows, 3))
    with pytest.raises(DataError, match="`good_at` is 12"):
        estimate(rows, ratings=given, good_at=12)
    unknown = [{"id": r["id"], "rating": r["rating"]} for r in given]
    bare = [{k: v for k, v in r.items() if not k.startswith("rating")} for r in rows]
    found = estimate(bare, ratings=unknown)
    assert any("scale of the ratings is not known" in w for w in found.warnings)


def test_no_share_where_the_scale_is_unknown_and_no_rating_could_be_good() -> None:
    """Stars from 1 to 5: the default of 6 is above all of them. The mean is about right."""
    rows = scored()
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


def test_no_interval_where_all_ratings_are_equal() -> None:
    rows = scored()
    given = [{**row, "rating": 3} for row in labels(rows, every(rows, 2))]
    found = estimate(rows, ratings=given)
    assert found.estimates[0].combined.value == pytest.approx(3)
    assert found.estimates[0].combined.interval is None
    assert found.conclusion == "All 60 ratings are 3, so no interval can be given."
    assert "3.00 to 3.00" not in str(found)


def test_the_models_are_named() -> None:
    rows = scored(instructions=150)
    given = labels(rows, every(rows, 1))[:200]
    for models in (("a", "b"), ("b", "a")):
        found = estimate(rows, ratings=given, models=models)
        low, high = sorted(map(abs, found.estimates[0].combined.interval[:2]))
        value = abs(found.estimates[0].combined.value)
        start = f"a is rated higher than b, by {value:.2f} ({low:.2f} to {high:.2f}). That is as "
        assert found.conclusion.startswith(start)
        assert found.to_dict()["models"] == list(models)
    same = [{**row, "truth": 5.0 + (k // 2) % 3} for k, row in enumerate(rows)]
    found = estimate(same, ratings=labels(same, every(same, 1))[:200], models=("a", "b"))
    start = "These ratings do not show whether a or b is rated higher: the difference is "
    assert found.conclusion.startswith(start)


def test_why_there_is_no_win_rate() -> None:
    rows = scored(instructions=100)
    apart = {f"a{k}" for k in range(30)} | {f"b{k}" for k in range(50, 80)}
    found = estimate(rows, ratings=labels(rows, apart), models=("a", "b"))
    reason = "no instruction has ratings for both models' answers"
    assert found.estimates[1].combined.undefined == reason
    assert f"\n  win rate: {reason}\n" in f"{found}\n"
    for k, only, need in (
        (1, "1 instruction has", "9 more are"),
        (9, "9 instructions have", "1 more is"),
    ):
        some = apart | {f"b{n}" for n in range(k)}
        found = estimate(rows, ratings=labels(rows, some), models=("a", "b"))
        assert found.estimates[1].combined.undefined == (
            f"only {only} ratings for both models' answers; an interval takes at least 10: "
            f"{need} needed"
        )


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
