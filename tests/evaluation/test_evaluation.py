"""``read_scores``, ``evaluate``, ``compare``: real answers, unfitting files, no value."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from selfj_eval import Policy, best_of, ladder, report, score, select
from selfj_eval.errors import DataError, StoreError
from selfj_eval.evaluation.compare import compare
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.judging.scored import distinct_names, read_scores
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.writing import write_judgments

FAST: dict[str, Any] = {"resamples": 20}
SCALE = {"rating_min": 1, "rating_max": 5}
Jsonl = Callable[..., Path]


def answers(n: int, **extra: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(n)
    rows = []
    for k in range(n):
        rating = int(rng.integers(1, 11))
        score = float(np.clip(rating * 0.8 + rng.normal(0, 2), 0, 9))
        rows.append({"id": str(k), "score": score, "rating": rating} | extra)
    return rows


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [x for item in value for x in numbers(item)]
    return [value] if isinstance(value, float) else []


def test_every_format_and_what_selfj_score_writes(tmp_path: Path) -> None:
    records = [
        Record(str(k), f"i{k // 2}", "word " * k, None, k % 10, 0, 9, "m", "c") for k in range(12)
    ]
    judgments = [
        Judgment(r.id, None, None, None, "too long")
        if k == 5
        else Judgment(r.id, k / 2, 1.0, (0.1,) * 10)
        for k, r in enumerate(records)
    ]
    documents = []
    for suffix in (".jsonl", ".json", ".csv", ".parquet"):
        path = tmp_path / f"s{suffix}"
        write_judgments(path, records, judgments)
        scores = read_scores(path)
        assert [a.id for a in scores.answers] == [r.id for r in records]
        assert scores.answers[5].score is None
        assert scores.answers[5].error == "too long"
        assert scores.answers[3].response == records[3].response
        document = evaluate(scores, **FAST).to_dict()
        assert document["counts"]["used"] == 11
        assert document["counts"]["unscored"] == 1
        assert document["settings"]["resampled"] == "instructions"
        documents.append(document | {"provenance": None})
    assert all(d == documents[0] for d in documents)


def test_ratings_from_another_file(jsonl: Jsonl) -> None:
    rows = answers(40)
    bare = [{"id": r["id"], "score": r["score"]} for r in rows]
    ratings = [
        {
            "id": r["id"],
            "rating": r["rating"],
            "rating_min": 1,
            "rating_max": 10,
            "response": "x" * k,
            "instruction": f"i{k % 7}",
        }
        for k, r in enumerate(rows)
    ]
    both = read_scores(jsonl(*bare, name="s.jsonl"), ratings=jsonl(*ratings, name="r.jsonl"))
    document = evaluate(both, **FAST).to_dict()
    wanted = spearmanr([r["score"] for r in rows], [r["rating"] for r in rows]).statistic
    assert document["headline"]["spearman"]["value"] == pytest.approx(wanted)
    assert document["counts"]["instructions"] == 7
    assert document["counts"]["good"] == sum(r["rating"] >= 7 for r in rows)  # 6 on 0..9
    assert document["length"]["score_length"]["value"] is not None
    assert document["warnings"] == ["only 7 instructions: too few for reliable intervals"]
    part = read_scores(
        jsonl(*bare, {"id": "new", "score": 3}, name="s.jsonl"),
        ratings=jsonl(*ratings[:30], {"id": "other", "rating": 1}, name="r.jsonl"),
    )
    assert list(part.warnings) == ["1 rating without an answer here"]
    found = evaluate(part, **FAST)
    assert found.counts.used == 30
    assert found.warnings[:2] == [*part.warnings, "11 of 41 answers have no rating"]
    with pytest.raises(DataError, match=r"r\.jsonl, field 'id': has no id in common with .*s\.js"):
        read_scores(
            jsonl(*bare, name="s.jsonl"), ratings=jsonl({"id": "x", "rating": 1}, name="r.jsonl")
        )


@pytest.mark.parametrize("name", ["response", "output"])
def test_ratings_of_other_answers_with_the_same_ids_are_not_these(jsonl: Jsonl, name: str) -> None:
    def rows(field: str, *texts: str) -> list[dict[str, Any]]:
        return [{"id": str(k), "instruction": "q", field: text} for k, text in enumerate(texts)]

    scored = [row | {"score": 3} for row in rows("response", "a  b", "c", "d")]
    rated = [row | {"rating": 5} for row in rows(name, "a b", "c", "another model's answer")]
    scores = read_scores(jsonl(*scored, name="s.jsonl"), ratings=jsonl(*rated, name="r.jsonl"))
    assert [a.rating for a in scores.answers] == [5, 5, None]
    assert scores.warnings[0].startswith("1 rating skipped: the id is that of an answer here")
    others = [row | {"rating": 5} for row in rows(name, "x", "y", "z")]
    with pytest.raises(
        DataError, match="none of the texts match: these are ratings of other answe"
    ):
        read_scores(jsonl(*scored, name="s.jsonl"), ratings=jsonl(*others, name="r.jsonl"))
    # The same of two judges' scores.
    mine = read_scores(jsonl(*[r | {"rating": k} for k, r in enumerate(scored)], name="a.jsonl"))
    theirs = [r | {"score": 4} for r in rows(name, "a b", "c", "other")]
    both = compare(mine, read_scores(jsonl(*theirs, name="b.jsonl")), good_at=1, **FAST)
    document = both.to_dict()
    assert document["counts"]["compared"] == 2
    assert "1 record has another text in the second file; skipped" in document["warnings"]


def test_samples_of_lm_eval(jsonl: Jsonl) -> None:
    rows = [
        {"doc_id": k, "doc": {"id": f"a{k}", "rating": k % 4, "response": "r"}, "score": k}
        for k in range(8)
    ]
    rows[2]["score"] = None
    scores = read_scores(jsonl(*rows, name="samples_selfj_judge_x.jsonl"))
    assert [a.id for a in scores.answers[:2]] == ["a0", "a1"]
    assert scores.answers[7].score == 7
    assert scores.answers[2].score is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        ([{"id": "1"}], "no row has a score; the first has: id. Make scores with `selfj score`"),
        ([{"score": 1}], "line 1, field 'id': missing"),
        ([{"id": "1", "score": "high"}], "line 1, field 'score': expected a number, got str"),
        ([{"id": "1", "score": 1e999}], "line 1, field 'score': is inf"),
        ([{"id": "1", "score": 1}] * 2, "'1' occurs twice, first in line 1"),
    ],
)
def test_files_that_are_no_scores(jsonl: Jsonl, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_scores(jsonl(*rows))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "warning", "undefined"),
    [
        (
            [{"id": str(k), "score": k} for k in range(5)],
            "5 of 5 answers have no rating; give a file of them as `ratings`",
            "only 0 scored records; at least 2 are needed",
        ),
        (
            [{"id": str(k), "score": k, "rating": 3, **SCALE} for k in range(5)],
            "only 5 answers: too few for reliable intervals",
            "all 5 ratings are equal (3)",
        ),
        (
            [{"id": "1", "score": 4.5, "rating": 3, "rating_min": 1, "rating_max": 5}],
            "only 1 answer: too few for reliable intervals",
            "only 1 scored record; at least 2 are needed",
        ),
        (
            [{"id": "1", "score": 3, "rating": 11, "rating_min": 1, "rating_max": 10}],
            "1 of 1 answer has no rating; give a file of them as `ratings`",
            "only 0 scored records; at least 2 are needed",
        ),
        (
            [{"id": "1", "score": None, "rating": 3, "error": "no digit"}],
            "1 of 1 answer is unscored and skipped; first 1: no digit",
            "only 0 scored records; at least 2 are needed",
        ),
    ],
    ids=["no rating", "equal ratings", "one record", "off its scale", "all unscored"],
)
def test_what_cannot_be_computed_says_why_and_the_rest_comes(
    jsonl: Jsonl, rows: list[Any], warning: str, undefined: str
) -> None:
    document = evaluate(read_scores(jsonl(*rows)), **FAST).to_dict()
    assert warning in document["warnings"]
    assert document["headline"]["pearson"]["value"] is None
    assert document["headline"]["pearson"]["undefined"] == undefined
    json.dumps(document, allow_nan=False)
    if document["counts"]["used"]:
        assert document["headline"]["ece"]["value"] is not None
        assert document["distribution"][0]["n"] == document["counts"]["used"]


def test_ratings_outside_their_scale_are_left_out_and_counted(jsonl: Jsonl) -> None:
    rows = answers(40, rating_min=1, rating_max=10)
    rows[5]["rating"], rows[6]["rating"] = 11, -1
    path = jsonl(*rows, name="s.jsonl")
    bare = [{"id": r["id"], "score": r["score"]} for r in rows]
    for scores in (read_scores(path), read_scores(jsonl(*bare, name="b.jsonl"), ratings=path)):
        document = evaluate(scores, **FAST).to_dict()
        assert document["counts"]["used"] == 38
        warning = "2 ratings outside the scale skipped; first "
        assert f"{warning}{path}, line 6: 11 is not in 1 to 10" in document["warnings"]
        assert document["headline"]["spearman"]["value"] > 0.5


def test_ratings_without_a_scale_and_scores_off_ours(jsonl: Jsonl) -> None:
    rows = [r | {"score": 10 * r["score"]} for r in answers(50)]
    document = evaluate(read_scores(jsonl(*rows)), **FAST).to_dict()
    assert any("scale of the ratings is not known" in w for w in document["warnings"])
    assert document["headline"]["pearson"]["value"] > 0.5
    assert "are not on 0..9" in document["headline"]["ece"]["undefined"]
    assert "are not on 0..9" in document["calibration"]["raw"]["ece"]["undefined"]
    assert document["calibration"]["isotonic"]["ece"]["value"] is not None
    assert document["selective"]["graded"] is None


def test_groups_models_and_their_means(jsonl: Jsonl) -> None:
    rows = answers(120, rating_min=1, rating_max=10)
    for k, row in enumerate(rows):
        row |= {"category": f"c{k % 3}", "model": f"m{k % 4}"}
        row["score"] = min(9, row["score"] + k % 4)
        row["rating"] = min(10, row["rating"] + k % 4)
    document = evaluate(read_scores(jsonl(*rows)), **FAST).to_dict()
    for key, group in document["by_category"].items():
        own = [(r["score"], r["rating"]) for r in rows if r["category"] == key]
        wanted = spearmanr(*zip(*own, strict=True)).statistic
        assert group["n"] == len(own) == 40
        assert group["spearman"]["value"] == pytest.approx(wanted)
        assert group["spearman"]["low"] < group["spearman"]["value"] < group["spearman"]["high"]
    mean = np.mean([g["spearman"]["value"] for g in document["by_model"].values()])
    assert document["mean_over_models"]["spearman"]["value"] == pytest.approx(mean)
    assert document["models"]["spearman"]["n"] == 4
    assert document["models"]["spearman"]["value"] > 0.5
    curve = document["selective"]["curve"]
    assert curve["coverage"][-1] == 1
    assert curve["risk"][-1] == pytest.approx(1 - document["counts"]["good"] / 120)


@pytest.mark.parametrize("texts", [True, False])
def test_nothing_depends_on_the_order_of_the_rows(jsonl: Jsonl, texts: bool) -> None:
    rows = answers(60, rating_min=1, rating_max=10, category="c")
    for k, row in enumerate(rows):
        row |= {"score": round(row["score"]), "model": f"m{k % 4}"}
        row |= {"instruction": f"i{k % 9}", "response": "x" * (k % 5)} if texts else {}
    one = evaluate(read_scores(jsonl(*rows, name="a.jsonl")), **FAST).to_dict()
    two = evaluate(read_scores(jsonl(*rows[::-1], name="a.jsonl")), **FAST).to_dict()
    assert one["models"]["spearman"]["low"] is not None
    for document in (one, two):
        del document["provenance"]
    assert numbers(one) == pytest.approx(numbers(two), abs=1e-9)


def test_ratings_of_several_scales_are_put_on_one(jsonl: Jsonl) -> None:
    rows = [
        {"id": str(k), "score": k % 9, "rating": 1 + (k % 9) * step, "rating_min": 1}
        | {"rating_max": 1 + 9 * step}
        for k, step in enumerate([1, 11] * 20)
    ]
    document = evaluate(read_scores(jsonl(*rows)), **FAST).to_dict()
    assert document["headline"]["pearson"]["value"] == pytest.approx(1)
    assert "the ratings have 2 different scales and were rescaled to 0 to 9" in document["warnings"]
    del rows[0]["rating_max"]
    document = evaluate(read_scores(jsonl(*rows)), **FAST).to_dict()
    assert document["headline"]["pearson"]["value"] < 0.9
    assert any("are used unchanged" in w for w in document["warnings"])
    assert document["settings"]["good_at_scale"] == "the ratings' own scale"


def test_gaps_in_ratings_and_missing_values_of_pandas(jsonl: Jsonl, tmp_path: Path) -> None:
    rows = answers(30)
    given = [dict(r) for r in rows]
    given[3]["rating"] = None
    del given[4]["rating"]
    bare = [{"id": r["id"], "score": r["score"]} for r in rows]
    scores = read_scores(jsonl(*bare, name="s.jsonl"), ratings=jsonl(*given, name="r.jsonl"))
    assert evaluate(scores, **FAST).to_dict()["counts"]["used"] == 28
    frame = pd.DataFrame(given).astype({"rating": float})  # pandas has NaN where one is missing
    assert frame["rating"].isna().sum() == 2
    frame.to_parquet(tmp_path / "p.parquet")
    assert evaluate(read_scores(tmp_path / "p.parquet"), **FAST).to_dict()["counts"]["used"] == 28
    wanted = "no row has a rating; the first has: id, score. Give the ratings in a column 'rating'"
    with pytest.raises(DataError, match=wanted):
        read_scores(jsonl(*bare, name="s.jsonl"), ratings=jsonl(*bare, name="r.jsonl"))


def test_compare_takes_what_both_have(jsonl: Jsonl) -> None:
    rows = answers(60, rating_min=1, rating_max=10)
    rng = np.random.default_rng(0)
    other = [r | {"score": float(rng.uniform(0, 9))} for r in rows]
    other[0]["score"] = None
    other[1]["rating"] = 10 if rows[1]["rating"] != 10 else 9
    one = read_scores(jsonl(*rows[:50], name="one.jsonl"))
    two = read_scores(jsonl(*other, name="two.jsonl"))
    document = compare(one, two, **FAST).to_dict()
    assert document["judges"] == ["one", "two"]
    counts = {"first": 50, "second": 60, "compared": 49, "instructions": 0, "unrated": 0}
    assert document["counts"] == counts
    assert len(document["warnings"]) == 3
    assert "10 records are only in" in document["warnings"][0]
    gap = document["metrics"]["spearman"]
    values = (gap["first"]["value"], gap["second"]["value"])
    assert gap["difference"]["value"] == pytest.approx(values[0] - values[1])
    assert gap["difference"]["low"] > 0
    assert gap["first_higher"] == 1
    back = compare(two, one, **FAST).to_dict()["metrics"]["spearman"]
    assert back["difference"]["value"] == pytest.approx(-gap["difference"]["value"], abs=0.1)
    json.dumps(document, allow_nan=False)
    copy = read_scores(jsonl(*rows[:50], name="copy.jsonl"))
    assert (
        "the two files have the same content" in compare(one, copy, **FAST).to_dict()["warnings"][0]
    )
    stranger = read_scores(jsonl({"id": "z", "score": 1, "rating": 1}, name="z.jsonl"))
    with pytest.raises(DataError, match="shares no record with .*z.jsonl"):
        compare(one, stranger, **FAST).to_dict()


def test_compare_counts_what_both_scored_and_nobody_rated() -> None:
    rows = answers(60)
    one = [r | {"rating": r["rating"] if k < 40 else None} for k, r in enumerate(rows)]
    two = [r | {"rating": r["rating"] if 39 < k < 45 else None} for k, r in enumerate(rows)]
    one[45]["score"] = None  # counted as unscored, not twice
    two = [r | {"score": 9 - r["score"]} for r in two]
    found = compare(one, two, **FAST)
    assert (found.counts.compared, found.counts.unrated) == (45, 14)
    assert "  note: 14 records that both scored have no rating; skipped\n" in str(found)
    full = compare(rows, two, **FAST)
    assert (full.counts.compared, full.counts.unrated) == (60, 0)
    assert "no rating" not in str(full)


def test_compare_notes_ratings_chosen_with_unequal_chances() -> None:
    rows = answers(60, rating_min=1, rating_max=10)
    other = [r | {"score": 9 - r["score"]} for r in rows]
    note = "not chosen with equal probabilities (`inclusion`)"
    for chances, noted in (((0.2, 0.5), True), ((0.2, 0.2), False), ((0.2, None), True)):
        one = [r | {"inclusion": chances[k % 2]} for k, r in enumerate(rows)]
        assert any(note in w for w in compare(one, other, **FAST).warnings) is noted


def test_names_that_tell_judges_apart(jsonl: Jsonl, tmp_path: Path) -> None:
    a, b = (jsonl(*answers(3), name=f"{n}.scores.jsonl") for n in "ab")
    assert distinct_names([read_scores(a), read_scores(b)]) == ["a", "b"]
    run = {"judge": {"model": "owner/judge", "adapter": None, "reference": False}}
    Path(f"{a}.run.json").write_text(json.dumps(run))
    assert read_scores(a).name == "judge, no reference"
    Path(f"{b}.run.json").write_text(json.dumps(run))
    assert distinct_names([read_scores(a), read_scores(b)]) == ["a", "b"]
    with pytest.raises(DataError, match="the same file is given twice"):
        distinct_names([read_scores(a)] * 2)
    for broken in ("{", '{"made": NaN}'):
        Path(f"{a}.run.json").write_text(broken)
        with pytest.raises(DataError, match=r"run\.json: is not JSON"):
            read_scores(a)


def test_the_file_behind_a_result_is_not_written_over(tmp_path: Path) -> None:
    path = "s.csv"
    scores = score(ladder(instructions=3), judge="length", output=tmp_path / path)
    before = (tmp_path / path).read_bytes()
    policy = Policy(1.0, 0.5, 0.9, 6.0, 1.0, 0.0, {})
    for call in (
        lambda: evaluate(scores, csv=tmp_path / path, resamples=20),
        lambda: select(scores, policy=policy, output=tmp_path / path),
        lambda: best_of(scores, name="x", output=tmp_path / "b.json", curve=tmp_path / path),
        lambda: score(scores, judge="demo", output=tmp_path / path),
        lambda: evaluate(scores.scores, csv=tmp_path / path, resamples=20),
    ):
        with pytest.raises(StoreError, match="is an input and would be overwritten"):
            call()
    for store in ("o.jsonl", "o.jsonl.run.json"):
        with pytest.raises(StoreError, match="must be three different files"):
            score(
                ladder(instructions=1),
                judge="demo",
                output=tmp_path / "o.jsonl",
                store=tmp_path / store,
            )
    assert (tmp_path / path).read_bytes() == before


def test_equal_scores_in_memory_keep_their_names_in_a_report() -> None:
    records = [replace(record, reference=None) for record in ladder(instructions=3)]
    pair = [score(records, judge="demo", reference=reference) for reference in (True, False)]
    page = report(pair, resamples=20).html
    assert "<bdi>demo</bdi> minus <bdi>demo, no reference</bdi>" in page
    assert "<td>None</td>" not in page
