"""``selfj eval``, ``compare`` and ``select`` as a user runs them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.cli import main

Jsonl = Callable[..., Path]


def scored(n: int, *, noise: float = 1.5, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        rating = int(rng.integers(1, 11))
        score = float(np.clip(0.9 * (rating - 1) + 0.5 + rng.normal(0, noise), 0, 9))
        row = {"id": str(k), "score": score, "rating": rating, "rating_min": 1, "rating_max": 10}
        rows.append(row | {"category": "ab"[k % 2]} | extra)
    return rows


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_eval_prints_a_table_and_writes_csv(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = jsonl(*scored(200), {"id": "x", "score": None, "error": "bad \x1b[31mred"})
    table = tmp_path / "t.csv"
    status, out, _ = run(capsys, "eval", path, "--resamples", 50, "--csv", table)
    assert status == 0
    assert "201 answers, 200 scored, 1 unscored, 200 with score and rating" in out
    assert "\x1b" not in out
    assert "note: 1 of 201 answers is unscored and skipped; first x: bad" in out
    for line in ("Spearman  ", "AUGRC (lower is better)", "share of good answers in the best 50%"):
        assert line in out
    rows = list(csv.DictReader(table.open()))
    status, out, _ = run(capsys, "eval", path, "--resamples", 50, "--json")
    document = json.loads(out, parse_constant=pytest.fail)
    found = {(r["scope"], r["name"], r["metric"]): r for r in rows}
    rho = document["headline"]["spearman"]
    row = found["headline", "", "spearman"]
    assert [float(row[k]) for k in ("value", "low", "high")] == [
        rho[k] for k in ("value", "low", "high")
    ]
    assert float(found["by_category", "a", "auroc"]["value"]) > 0.8
    assert ("calibration", "isotonic", "ece") in found
    assert len(found) == len(rows)


def test_eval_of_scores_without_ratings(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scored(40)
    bare = jsonl(*[{"id": r["id"], "score": r["score"]} for r in rows], name="bare.jsonl")
    status, out, _ = run(capsys, "eval", bare)
    assert status == 1
    assert "40 of 40 answers have no rating; give a file of them as --ratings" in out
    assert out.endswith("nothing to evaluate: no answer has a score and a rating\n")
    ratings = tmp_path / "r.csv"
    lines = [f"{r['id']},{r['rating']},1,10" for r in rows]
    ratings.write_text("\n".join(["id,rating,rating_min,rating_max", *lines]))
    status, out, _ = run(capsys, "eval", bare, "--ratings", ratings, "--resamples", 20, "--json")
    assert json.loads(out)["counts"]["used"] == 40
    strict = ["eval", bare, "--ratings", ratings, "--good-at", 9, "--resamples", 20, "--json"]
    _, out, _ = run(capsys, *strict)
    assert json.loads(out)["counts"]["good"] == sum(r["rating"] == 10 for r in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--confidence", "1"],
            "--confidence must be above 0 and below 1 (for 20 % give 0.2), got 1",
        ),
        (["--resamples", "0"], "--resamples must lie between 20 and 1,000,000, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--ratings", "none.csv"], "none.csv: cannot be read"),
        (["--csv", "no/such/folder.csv"], "there is no folder no/such; create it first"),
        (["--csv", "table.txt"], "unknown format; end the name in one of .csv"),
        (["--good-at", "nan"], "--good-at must be a finite number, got nan"),
    ],
)
def test_eval_refuses(
    jsonl: Jsonl, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, out, err = run(capsys, "eval", jsonl(*scored(5)), *arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_compare(jsonl: Jsonl, capsys: pytest.CaptureFixture[str]) -> None:
    good = jsonl(*scored(150), name="good.jsonl")
    rows = scored(150, noise=6)
    bad = jsonl(*rows, {"id": "extra", "score": 1}, name="bad.jsonl")
    status, out, _ = run(capsys, "compare", good, bad, "--resamples", 60)
    assert status == 0
    assert "A good\nB bad\n150 records compared" in out
    assert f"note: 1 record is only in {bad} and skipped" in out
    line = next(line for line in out.splitlines() if line.strip().startswith("Spearman"))
    assert line.endswith("100.0%")
    status, out, _ = run(capsys, "compare", good, bad, "--resamples", 60, "--json")
    assert json.loads(out)["metrics"]["auroc"]["difference"]["low"] > 0
    other = jsonl({"id": "z", "score": 1, "rating": 1}, name="other.jsonl")
    status, _, err = run(capsys, "compare", good, other)
    assert status == 2
    assert "shares no record with" in err


def test_select_chooses_and_applies(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = jsonl(*scored(800, seed=1), name="calibration.jsonl")
    policy = tmp_path / "policy.json"
    status, out, _ = run(capsys, "select", path, "--max-risk", 0.15, "--output", policy)
    assert status == 0
    assert "at most 15 % bad with confidence 0.95" in out
    saved = json.loads(policy.read_text())
    assert saved["calibration"]["n"] == 800
    assert "note" not in out

    fresh = [*scored(3000, seed=2), {"id": "u", "score": None, "error": "no digit"}]
    new = jsonl(*fresh, name="new.jsonl")
    decisions = tmp_path / "d.jsonl"
    status, out, _ = run(capsys, "select", new, "--policy", policy, "--output", decisions)
    assert status == 0
    rows = [json.loads(line) for line in decisions.read_text().splitlines()]
    assert [r["id"] for r in rows] == [r["id"] for r in fresh]
    accepted = [r["decision"] == "accept" for r in rows]
    assert accepted == [r["score"] is not None and r["score"] >= saved["threshold"] for r in fresh]
    assert f"{sum(accepted):,} of 3,001 answers accepted" in out
    assert "1 of them unscored" in out
    bad = [r["rating"] < 7 for r, a in zip(fresh, accepted, strict=True) if a]
    assert f"{len(bad):,} accepted answers have a rating: {sum(bad):,} bad" in out
    assert np.mean(bad) < 0.2 < 0.5 < np.mean([r["rating"] < 7 for r in fresh[:-1]])
    assert rows[-1]["p_good"] is None
    assert rows[-1]["error"] == "no digit"
    assert all(0 < r["p_good"] < 1 for r in rows[:-1])
    sure = [r["p_good"] for r in rows[:-1] if r["decision"] == "accept"]
    assert min(sure) > max(r["p_good"] for r in rows[:-1] if r["decision"] == "decline")
    assert "whether the same judge made" in out


def test_select_says_when_nothing_can_be_promised(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = jsonl(*scored(200, noise=500), name="noise.jsonl")
    policy = tmp_path / "p.json"
    status, out, _ = run(capsys, "select", noise, "--max-risk", 0.1, "--output", policy)
    assert status == 1
    assert "NO THRESHOLD CAN BE CERTIFIED" in out
    assert "the lowest risk that can be certified:" in out
    assert not policy.exists()
    few = jsonl(*scored(20), name="few.jsonl")
    status, out, _ = run(capsys, "select", few, "--max-risk", 0.1, "--json")
    found = json.loads(out)
    assert (status, found["certified"]) == (1, False)
    assert found["fewest_records"] > 20
    bare = jsonl({"id": "1", "score": 3}, name="bare.jsonl")
    status, _, err = run(capsys, "select", bare, "--max-risk", 0.1)
    assert status == 2
    assert "no answer has a score and a rating to calibrate on" in err
    for wrong in (0, 1, -1, 20):
        status, _, err = run(capsys, "select", noise, f"--max-risk={wrong}")
        assert status == 2
        assert "--max-risk must be above 0 and below 1 (for 20 % give 0.2), got" in err


def test_a_policy_of_another_judge_promises_nothing(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = jsonl(*scored(800), name="s.jsonl")
    judge = {"model": "a", "identity": {"model": "1"}, "template": "self-j", "reference": True}
    Path(f"{path}.run.json").write_text(json.dumps({"judge": judge}))
    policy = tmp_path / "p.json"
    run(capsys, "select", path, "--max-risk", 0.2, "--output", policy)
    _, out, _ = run(capsys, "select", path, "--policy", policy)
    assert "note" not in out
    Path(f"{path}.run.json").write_text(json.dumps({"judge": judge | {"reference": False}}))
    _, out, _ = run(capsys, "select", path, "--policy", policy)
    assert "the policy is for another judge (reference): the guarantee does not hold" in out


def test_no_command_writes_over_what_it_reads(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "s.csv"
    table.write_text("id,score,rating\n" + "".join(f"{k},{k % 9},{k % 7}\n" for k in range(400)))
    policy, page = tmp_path / "p.json", tmp_path / "r.html"
    assert run(capsys, "select", table, "--max-risk", 0.9, "--output", policy)[0] == 0
    page.write_text("a page")
    before = {path: path.read_bytes() for path in (table, policy, page)}
    for arguments in (
        ["eval", table, "--csv", table],
        ["eval", table, "--ratings", table, "--csv", tmp_path / "." / "s.csv"],
        ["select", table, "--policy", policy, "--output", table],
        ["select", table, "--policy", policy, "--output", policy],
        ["select", table, "--max-risk", 0.5, "--output", f"{table}.run.json"],
        ["select", policy, "--max-risk", 0.5, "--output", policy],
        ["report", page, "--output", page],
        ["leaderboard", policy, "--output", tmp_path / "l.csv", "--markdown", policy],
        ["leaderboard", table, "--output", table],
    ):
        status, _, err = run(capsys, *arguments)
        assert status == 2, arguments
        assert "would be overwritten" in err or "unknown format" in err
    assert {path: path.read_bytes() for path in before} == before


def test_a_policy_meets_scores_of_another_scale_and_other_options(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = jsonl(*scored(800), name="s.jsonl")
    policy = tmp_path / "p.json"
    run(capsys, "select", path, "--max-risk", 0.2, "--output", policy)
    percent = jsonl(*[r | {"score": 11 * r["score"]} for r in scored(50)], name="percent.jsonl")
    _, out, _ = run(capsys, "select", percent, "--policy", policy)
    assert "are not on the same scale: the guarantee does not hold" in out
    unscaled = jsonl(*[{k: r[k] for k in ("id", "score", "rating")} for r in scored(50)])
    _, out, _ = run(capsys, "select", unscaled, "--policy", policy)
    assert "the scale of the ratings was known for the policy, but is not known here" in out
    bare = tmp_path / "bare.json"
    run(capsys, "select", unscaled, "--max-risk", 0.9, "--good-at", 7, "--output", bare)
    _, out, _ = run(capsys, "select", path, "--policy", bare)
    assert "the scale of the ratings is known here, but was not for the policy" in out
    status, _, err = run(capsys, "select", path, "--policy", policy, "--max-risk", 0.2)
    assert (status, "give only one of --max-risk" in err) == (2, True)
    for option in ("--good-at", "--confidence"):
        status, _, err = run(capsys, "select", path, "--policy", policy, option, 0.5)
        assert status == 2
        assert f"{option} is for choosing a policy" in err


def test_what_speaks_against_a_promise_stands_in_the_policy(
    jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{k: r[k] for k in ("id", "score", "rating")} for r in scored(400)]
    policy = tmp_path / "p.json"
    _, out, _ = run(capsys, "select", jsonl(*rows), "--max-risk", 0.35, "--output", policy)
    kept = json.loads(policy.read_text())["calibration"]["warnings"]
    assert any("the scale of the ratings is not known" in w for w in kept)
    for name in ("good_at", "scale"):
        kept = [w.replace(f"`{name}`", f"--{name.replace('_', '-')}") for w in kept]
    assert all(f"note: {w}" in out for w in kept)


def test_json_is_strict_whatever_the_terminal(jsonl: Jsonl, command: Any) -> None:
    path = jsonl(*scored(30, model="caf\u00e9 \u6f22"), name="caf\u00e9.jsonl")
    for arguments in (["eval", path, "--json"], ["select", path, "--max-risk", 0.5, "--json"]):
        done = command("selfj", *arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        json.loads(done.stdout)
