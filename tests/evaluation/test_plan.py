"""What to rate: is the choice fair, what does the plan promise, and does it keep ratings safe?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate, plan, score
from selfj_eval.demo import ladder
from selfj_eval.errors import DataError, StoreError
from selfj_eval.evaluation.plan import PlanOptions
from selfj_eval.jobs.options import OptionError
from selfj_eval.judging.scored import read_scores
from selfj_eval.records.reading import read_rows
from selfj_eval.records.writing import write_rows

Rows = list[dict[str, Any]]
SURE, UNSURE = [0.0] * 5 + [1.0] + [0.0] * 4, [0.1] * 10


def scored(instructions: int = 60, seed: int = 0, models: str = "ab", **more: Any) -> Rows:
    """Answers of models with scores, and the ratings that people would give as ``truth``."""
    random = np.random.default_rng(seed)
    rows = []
    for k in range(instructions):
        level = random.normal(0, 1)
        for at, model in enumerate(models):
            truth = float(np.clip(round(6 - at + level + random.normal(0, 1.5)), 0, 9))
            rows.append(
                {
                    "id": f"{model}{k}",
                    "model": model,
                    "instruction": f"Question {k}?",
                    "response": f"Answer {k} by {model}.",
                    "score": float(np.clip(truth - 1 + random.normal(0, 1), 0, 9)),
                    "truth": truth,
                }
                | more
            )
    return rows


def rated(rows: Rows, step: int, **more: Any) -> Rows:
    """Ratings of every so many-th answer."""
    return [{"id": r["id"], "rating": r["truth"], **more} for r in rows[::step]]


def fill_in(path: Path, rows: Rows) -> None:
    """Rate all rows of a plan's file."""
    truth = {r["id"]: r["truth"] for r in rows}
    planned = [dict(row) for _, row in read_rows(path)]
    write_rows(path, [row | {"rating": truth[row["id"]]} for row in planned])


def test_a_pilot_is_kept_and_says_what_to_expect() -> None:
    rows = scored(instructions=300)
    pilot = rated(rows, 13)
    found = plan(rows, ratings=pilot, width=0.4)
    assert found.piloted
    assert found.rated == len(pilot) == 47
    assert found.planned[0]["rating"] is not None
    assert found.expected[0].width <= 0.4
    assert len(found.planned) == found.rated + found.chosen
    assert plan(rows, ratings=pilot, width=0.45).chosen < found.chosen
    # All of it in one file: the chance of an answer is that of either choice.
    truth = {r["id"]: r["truth"] for r in rows}
    whole = [row | {"rating": truth[row["id"]]} for row in found.planned]
    result = estimate(rows, ratings=whole).estimates[0].combined
    assert result.interval is not None
    assert result.interval.high - result.interval.low == pytest.approx(0.4, rel=0.3)


def test_a_pilot_must_be_a_random_part(tmp_path: Path) -> None:
    """Each round of ``random`` may be the pilot of the next; one of ``active`` may not."""
    rows = scored(instructions=100)
    for at, row in enumerate(rows):
        row["probabilities"] = UNSURE if at % 4 == 0 else SURE
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    plan(rows, budget=40, output=first)
    fill_in(first, rows)
    found = plan(rows, budget=30, ratings=first, output=second)
    assert [row["inclusion"] for row in found.planned] == pytest.approx([70 / 200] * 70)
    fill_in(second, rows)
    third = plan(rows, budget=20, ratings=second)
    assert [row["inclusion"] for row in third.planned] == pytest.approx([90 / 200] * 90)

    active = tmp_path / "active.csv"
    plan(rows, budget=40, design="active", output=active)
    fill_in(active, rows)
    for design in ("random", "active"):
        with pytest.raises(DataError) as raised:
            plan(rows, budget=20, ratings=active, design=design)
        assert str(raised.value).startswith(f"{active}, field 'inclusion': is 0.1 to 0.5 for")
        assert "a pilot must be a random part" in str(raised.value)
    some = [{**row, "inclusion": 0.2 if k else None} for k, row in enumerate(rated(rows, 10))]
    with pytest.raises(DataError, match="1 of 20 rated answers have none, but a pilot must be"):
        plan(rows, budget=20, ratings=some)


def test_who_may_stop_early(in_process: Any, jsonl: Callable[..., Path], tmp_path: Path) -> None:
    rows = scored()
    file = jsonl(*rows, name="s.jsonl")
    done = in_process("selfj", "plan", file, "--budget", "40")
    assert done.stdout.startswith("Rate 40 of 120 answers to 60 instructions (random).\n")
    assert "from the top. You may stop early" in done.stdout
    pilot = jsonl(*rated(rows, 10), name="pilot.jsonl")
    second = tmp_path / "second.csv"
    options = ("--budget", "40", "--ratings", pilot, "--output", second)
    done = in_process("selfj", "plan", file, *options)
    first = "Rate 40 more answers (12 of 120 answers to 60 instructions are rated; random).\n"
    assert done.stdout.startswith(first)
    assert "Rate all rows" in done.stdout
    assert "stop early" not in done.stdout


def test_ratings_are_never_overwritten(jsonl: Callable[..., Path], tmp_path: Path) -> None:
    rows = scored()
    file = jsonl(*rows, name="s.jsonl")
    sheet = tmp_path / "s.jsonl.plan.csv"
    plan(file, budget=40)
    plan(file, budget=30)  # nobody has rated yet
    assert len(read_rows(sheet)) == 30
    fill_in(sheet, rows)
    before = sheet.read_bytes()
    with pytest.raises(StoreError, match=r"plan\.csv holds ratings. Name another `output`"):
        plan(file, budget=20)
    sheet.write_bytes(before.replace(b",inclusion", b",inclusion,rating"))  # a slip of the hand
    with pytest.raises(StoreError, match="cannot be read to check whether it has ratings"):
        plan(file, budget=20)
    words = jsonl({"id": "a1", "rating": "very good"}, name="words.jsonl")
    with pytest.raises(StoreError, match="holds ratings"):
        plan(file, budget=20, output=words)
    assert json.loads(words.read_text())["rating"] == "very good"


def test_the_scale_is_assumed_and_written() -> None:
    rows = scored()
    for row in rows:
        row["truth"] = 1 + row["truth"] * 4 / 9
    found = plan(rows, budget=40, scale=(1, 5))
    assert found.deviation == 1.0  # a quarter of the scale
    assert {(r["rating_min"], r["rating_max"]) for r in found.planned} == {(1, 5)}
    assert {(r["rating_min"], r["rating_max"]) for r in plan(rows, budget=40).planned} == {
        (None, None)
    }
    own = [row | {"rating_min": 0, "rating_max": 10} for row in rows]
    for options in ({}, {"scale": (1, 5)}):
        kept = plan(own, budget=40, **options)
        assert kept.deviation == 2.5
        assert {(r["rating_min"], r["rating_max"]) for r in kept.planned} == {(0, 10)}
    # A pilot must not take the scale away from the answers that are not in it.
    for pilot, answers in (
        (rated(own, 10, rating_min=0, rating_max=10), own),
        (rated(rows, 10, rating_min=1, rating_max=5), rows),
    ):
        planned = plan(answers, budget=40, ratings=pilot).planned
        expected = (pilot[0]["rating_min"], pilot[0]["rating_max"])
        assert len(planned) == 52
        assert {(r["rating_min"], r["rating_max"]) for r in planned} == {expected}


def uncertain(rows: Rows) -> Rows:
    """The judge is unsure of every fourth answer."""
    return [r | {"probabilities": SURE if k % 4 else UNSURE} for k, r in enumerate(rows)]


def test_an_active_plan_prefers_what_the_judge_is_unsure_of() -> None:
    rows = uncertain(scored(instructions=200))
    found = plan(rows, budget=100, design="active")
    unsure = {r["id"] for r in rows[::4]}
    chosen = sum(row["id"] in unsure for row in found.planned)
    assert 60 <= chosen <= 75  # five times the chance of the others: 62.5 expected
    with pytest.raises(DataError, match="has no probabilities of the digits"):
        plan(scored(), budget=10, design="active")


def samples(rows: Rows) -> Rows:
    """As lm-eval writes them: log-probabilities of the ten digits, as texts, some below 0."""
    with np.errstate(divide="ignore"):
        return [
            {
                "doc_id": k,
                "doc": {n: r[n] for n in ("instruction", "response")},
                "filtered_resps": [
                    [str(float(np.log(p) - 0.1)), "False"] for p in r["probabilities"]
                ],
                "score": r["score"],
            }
            for k, r in enumerate(rows)
        ]


def test_distributions_are_read_from_wherever_scores_are(
    jsonl: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    rows = uncertain(scored())
    for number, row in enumerate(rows):
        row["id"] = str(number)
        del row["truth"]
    wanted = plan(rows, budget=40, design="active").planned

    def chosen(scores: Any) -> list[tuple[str, float]]:
        planned = plan(scores, budget=40, design="active", output=tmp_path / "out.csv").planned
        return [(row["id"], row["inclusion"]) for row in planned]

    expected = [(row["id"], pytest.approx(row["inclusion"])) for row in wanted]
    assert len({round(row["inclusion"], 6) for row in wanted}) == 2
    assert chosen(row for row in rows) == expected  # can be read only once
    for name in ("s.csv", "s.parquet", "s.json"):
        write_rows(tmp_path / name, rows)
        assert chosen(tmp_path / name) == expected
    assert chosen(read_scores(tmp_path / "s.csv")) == expected
    assert chosen(jsonl(*samples(rows), name="samples_task.jsonl")) == expected

    cache = tmp_path / "hub" / "datasets--me--answers"
    folder = cache / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("a" * 40)
    write_rows(folder / "scores.csv", rows)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # No run file: the client has noted that there is none.
    (cache / ".no_exist" / ("a" * 40)).mkdir(parents=True)
    (cache / ".no_exist" / ("a" * 40) / "scores.csv.run.json").touch()
    assert chosen("hf://datasets/me/answers/scores.csv") == expected


def test_distributions_of_what_score_returned(tmp_path: Path) -> None:
    unrated = [replace(r, rating=None, raters=None) for r in ladder("test", instructions=6)]
    in_memory = score(unrated, judge="demo")
    wanted = plan(in_memory.rows(), budget=10, design="active").planned
    assert len({row["inclusion"] for row in wanted}) > 2
    assert plan(in_memory, budget=10, design="active").planned == wanted
    with pytest.raises(DataError, match="has no probabilities"):
        plan(in_memory.scores, budget=10, design="active")
    write_rows(tmp_path / "a.jsonl", [r.row() for r in unrated])
    written = score(tmp_path / "a.jsonl", judge="demo", output=tmp_path / "s.csv")
    found = plan(written, budget=10, design="active", output=tmp_path / "p.csv").planned
    assert [row["id"] for row in found] == [row["id"] for row in wanted]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([0.5, "x"], "probabilities"),
        ([1.5, -0.5], "probabilities"),
        ([0.2] * 10, "probabilities"),
        ([float("nan")] * 10, "probabilities"),
        ("[0.1, ", "probabilities"),
        (0.5, "probabilities"),
        ([["nan", "False"]] * 10, "filtered_resps"),
        ([["high", "False"]] * 10, "filtered_resps"),
    ],
)
def test_wrong_distributions(value: Any, field: str, tmp_path: Path) -> None:
    rows = uncertain(scored())
    if field == "filtered_resps":
        rows = samples(rows)
    rows[1][field] = value
    file = tmp_path / "s.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as raised:
        plan(file, budget=10, design="active")
    if value == [["nan", "False"]] * 10:  # lm-eval has no score either
        assert "'1' has no probabilities" in str(raised.value)
    else:
        assert str(raised.value).startswith(f"{file}, line 2, field '{field}': expected ")


def test_two_models(in_process: Any, jsonl: Callable[..., Path]) -> None:
    rows = scored(instructions=50, models="abc")
    rows += [r | {"id": f"z{r['id']}", "score": 9.0} for r in rows if r["id"] in ("a1", "a2")]
    rows[0]["score"] = None  # a0: b has no partner there
    rows[2]["score"] = None  # c0 is not asked for
    file = jsonl(*rows, name="s.jsonl")
    options = ("--budget", "41", "--models", "a,b")
    done = in_process("selfj", "plan", file, *options)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert out.startswith("Rate 40 of 98 answers by a and b to 49 instructions (random).\n")
    assert "  1 answer skipped: no score.\n" in out
    assert "note: 2 answers skipped: the same model has another answer to the same instr" in out
    assert "note: 1 answer skipped: there is no scored answer to the same instruction" in out
    assert "interval of the difference of the mean ratings of a and b" in out
    assert "correlation of the differences in score and in rating" in out
    assert "interval of the mean rating" not in out
    found = plan(rows, budget=98, models=("a", "b"))
    assert found.unscored == 1
    assert not any(row["id"].startswith("z") for row in found.planned)
    # Whatever the order of the file, the same answers are chosen.
    assert plan(rows[::-1], budget=98, models=("a", "b")).planned == found.planned
    with pytest.raises(DataError, match="`budget` is 1; for two models it must be at least 2"):
        plan(rows, budget=1, models=("a", "b"))
    with pytest.raises(DataError, match="only 49 instructions that both models answered have no"):
        plan(rows, budget=100, models=("a", "b"))


def test_unscored_answers_are_counted() -> None:
    rows = scored()
    rows[5]["score"] = rows[6]["score"] = None
    found = plan(rows, budget=20)
    assert found.unscored == 2
    assert "  2 answers skipped: no score.\n" in str(found)


def test_a_plan_of_few_ratings_says_that_there_will_be_no_interval() -> None:
    found = plan(scored(), budget=5)
    assert found.expected == []
    assert "No interval is expected: it needs ratings of at least 10 answers." in str(found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either `budget`"),
        ({"budget": 10, "width": 1.0}, "give either `budget`"),
        ({"budget": 1000}, "only 120 answers have no rating"),
        ({"width": 0.001}, "wide even if all 120 answers are rated"),
        ({"width": -1.0}, "above 0"),
        ({"budget": 10, "models": ("a", "c")}, "no scored answer is by 'c'; the models are: a, b"),
        ({"budget": 10, "models": ("a", "a")}, "two different"),
    ],
)
def test_wrong_plans(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        plan(scored(), **settings)


def test_plans_for_a_width_need_ten_answers() -> None:
    with pytest.raises(DataError, match="there are only 2 answers; an interval needs ratings of 1"):
        plan(scored(instructions=1), width=1.0)
    rows = scored()
    with pytest.raises(DataError, match="40 answers are rated already, which should be enough"):
        plan(rows, ratings=rated(rows, 3), width=9.0)


def test_a_plan_has_no_option_that_it_does_not_read() -> None:
    assert "good_at" not in {option.name for option in PlanOptions.declared()}
    with pytest.raises(OptionError, match="`confidence` must be above 0 and below 1"):
        PlanOptions(budget=10, confidence=1.0)


def test_what_a_session_repeats_of_a_plan_are_not_its_texts() -> None:
    rows = [row | {"response": "an answer of some length" * 9} for row in scored()]
    found = plan(rows, budget=100)
    assert "an answer" in json.dumps(found.rows())
    assert "an answer" not in repr(found) and "chosen=100" in repr(found)
