"""``selfj bench``: sets, raters, what is refused, and the files that it writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import bench
from selfj_eval.benchmarking.bench_sets import read_set, read_sets
from selfj_eval.benchmarking.result import Bench
from selfj_eval.errors import DataError
from selfj_eval.judging.scored import read_scores
from selfj_eval.records.reading import read_records


def test_sets(rated: Path, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(data))
    arena = read_set("arena_bench")
    assert (arena.name, len(arena.columns), len(arena.records)) == ("arena_bench", 16, 3734)
    assert read_set("pointwise_arena_bench", limit=20).columns == []
    assert arena.records[0].where == "arena_bench, row 1"
    only = read_sets([str(rated)], models=["few", "b_model"])
    assert only[0].columns == ["few", "b_model"]
    with pytest.raises(DataError, match="no rated answer is by 'gpt'; the models are: A model"):
        read_sets([str(rated)], models=["gpt"])
    with pytest.raises(DataError, match="called 'arena_bnch'. Did you mean arena_bench?"):
        read_set("arena_bnch")
    monkeypatch.setenv("SELFJ_DATA", str(tmp_path))
    with pytest.raises(DataError, match="selfj data get"):
        read_set("arena_bench")
    with pytest.raises(DataError, match="neither a set of judge_bench"):
        read_set(str(tmp_path))
    with pytest.raises(DataError, match="two sets are called 'rated'"):
        read_sets([str(rated), str(rated)])


def test_the_command(in_process: Callable[..., Any], rated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "--judge", "length,tfidf,demo,2*demo+tfidf", "--data", rated]
    arguments += ["--output", out, "--resamples", 50, "--json"]
    first = in_process("selfj", *arguments)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    rows = document["sets"][0]["rows"]
    assert [(r["rater"], r["reference"]) for r in rows] == [
        ("tfidf", True),
        ("demo", True),
        ("2*demo+tfidf", True),
        ("length", False),
        ("demo", False),
    ]
    for row in rows:  # each is a scores file like any other
        shown = in_process("selfj", "eval", out / row["scores"], "--json", "--resamples", 20)
        found = json.loads(shown.stdout)["correlation"]["pearson"]["value"]
        assert found == pytest.approx(row["pooled"]["value"])
    lines = list(csv.DictReader((out / "table.csv").open(encoding="utf-8")))
    assert len(lines) == 5 * 4
    assert (out / "table.md").read_text("utf-8").count("| length |") == 1
    assert "\\toprule" in (out / "table.tex").read_text("utf-8")
    again = in_process("selfj", *arguments)
    same = json.loads(again.stdout)
    assert same["sets"] == document["sets"]


def test_an_answering_models_own_view(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path
) -> None:
    arguments = ["bench", "--judge", "self-eval,self-eval+tfidf", "--data", rated, "--output"]
    arguments += [tmp_path / "out", "--resamples", 20, "--json", "--answering", "b_model=demo"]
    done = in_process("selfj", *arguments)
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)["sets"][0]["rows"]
    assert [(r["rater"], r["reference"]) for r in rows] == [
        ("self-eval", True),
        ("self-eval+tfidf", True),
        ("self-eval", False),
    ]
    for row in rows:
        assert (row["scored"], row["unscored"]) == (40, 43)
        assert "name the model to load: `answering` A model=MODEL" in row["first_error"]
        assert row["cells"]["A model"]["value"] is None
        assert row["cells"]["b_model"]["n"] == 40
        # A mean over one of two models would pass for one over both.
        assert row["average"]["value"] is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--judge", "nobody"], "no rater 'nobody'"),
        (["--judge", "ppl"], "the rater ppl needs"),
        (["--resamples", 1], "--resamples must lie between"),
        (["--confidence", 2], "--confidence must be above 0 and below 1"),
        (["--limit", 0], "--limit must be at least 1"),
        (["--data", ","], "no set is named"),
        (["--judge", ","], "no rater is named"),
        (["--models", ","], "--models names no model"),
        (["--robust", "--metric", "spearman"], "--metric is for the table"),
    ],
)
def test_wrong_usage(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path, more: list[object], message: str
) -> None:
    arguments = ["bench", "--judge", "length", "--data", rated, "--output", tmp_path / "o", *more]
    done = in_process("selfj", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_sets_without_references(
    in_process: Callable[..., Any], jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [
        {"id": str(k), "instruction": f"Q{k}?", "response": "a" * (k + 1), "rating": k}
        for k in range(6)
    ]
    none = jsonl(*rows, name="none.jsonl")
    half = jsonl(*(r | {"reference": "aa" if k % 2 else None} for k, r in enumerate(rows)))
    judges = ["bench", "--judge", "tfidf,demo,demo+length", "--resamples", 20, "--json"]
    done = in_process("selfj", *judges, "--data", none, "--output", tmp_path / "a")
    (table,) = json.loads(done.stdout)["sets"]
    assert [(r["rater"], r["reference"]) for r in table["rows"]] == [
        ("demo", False),
        ("demo+length", False),
    ]
    assert table["not_run"] == ["tfidf"] and done.returncode == 1
    assert (
        "NOT RUN, because there are no references: tfidf."
        in (tmp_path / "a" / "table.md").read_text()
    )
    done = in_process("selfj", *judges, "--data", half, "--output", tmp_path / "b")
    rows_of = {(r["rater"], r["reference"]): r for r in json.loads(done.stdout)["sets"][0]["rows"]}
    for rater in ("tfidf", "demo"):  # all with reference, or unscored
        assert (rows_of[rater, True]["scored"], rows_of[rater, True]["unscored"]) == (3, 3)
    assert rows_of["demo", False]["unscored"] == 0


def test_the_output_may_be_called_as_the_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arena_bench").mkdir()
    assert len(read_set("arena_bench").records) == 3734


def test_what_is_missing_is_said_before_anything_is_rated(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path
) -> None:
    arguments = ["bench", "--judge", "demo,cosine", "--data", rated, "--output", tmp_path / "o"]
    done = in_process("selfj", *arguments, "--embedder", tmp_path / "no")
    assert done.returncode == 2
    assert "the rater cosine: no folder" in done.stderr and "--embedder" in done.stderr
    assert not (tmp_path / "o").exists()


def test_scores_of_other_answers_do_not_stay(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path
) -> None:
    base = ["bench", "--data", rated, "--output", tmp_path / "out", "--resamples", 20, "--judge"]
    folder = tmp_path / "out" / "scores" / "rated"
    assert in_process("selfj", *base, "tfidf").returncode == 0
    assert in_process("selfj", *base, "length").returncode == 0
    assert len(list(folder.glob("*.parquet"))) == 2  # of the same answers
    rated.write_text(rated.read_text().replace("Question 3?", "Question three?"))
    assert in_process("selfj", *base, "length").returncode == 0
    assert [p.name for p in folder.glob("*.parquet")] == ["length.free.parquet"]


def test_answers_in_memory_by_the_name_of_their_set(rated: Path, tmp_path: Path) -> None:
    in_memory = bench(
        {rated.stem: read_records(rated)}, judge="length", output=tmp_path / "m", resamples=20
    )
    file = bench(rated, judge="length", output=tmp_path / "f", resamples=20)
    assert isinstance(in_memory, Bench) and isinstance(file, Bench)
    (mine,), (other,) = in_memory.sets, file.sets
    assert mine.path is None and mine.rows[0].cells == other.rows[0].cells
    with pytest.raises(DataError, match="'../x' cannot be the name of a set"):
        bench({"../x": read_records(rated)}, judge="length", output=tmp_path / "o")
    with pytest.raises(TypeError, match="by the name of their set"):
        bench(read_records(rated), judge="length", output=tmp_path / "o")  # type: ignore[arg-type]


def test_a_file_is_read_as_it_is_told(in_process: Callable[..., Any], tmp_path: Path) -> None:
    """A European spreadsheet: its own names, no ids, no scale, and -1 for "not rated"."""
    source = tmp_path / "mine.csv"
    rows = [f"Frage {k}?;Antw\u00f6rt {'a' * k};{-1 if k == 3 else 1 + k % 5};m" for k in range(40)]
    source.write_text("query;reply;stars;model\n" + "\n".join(rows) + "\n", encoding="cp1252")
    given = ["--field", "instruction=query", "--field", "response=reply", "--field", "rating=stars"]
    base = ["bench", "--judge", "length", "--data", source, "--output", tmp_path / "o", *given]
    told = [*base, "--encoding", "cp1252", "--scale", 1, 5]
    done = in_process("selfj", *told)
    assert done.returncode == 2
    assert "mine.csv, row 5, field 'stars': -1 lies outside its scale" in done.stderr
    assert "give it as --missing-rating" in done.stderr
    done = in_process("selfj", *told, "--missing-rating", -1, "--resamples", 20)
    assert done.returncode == 0, done.stderr
    assert "ratings of -1, read as no rating: 1" in done.stderr
    (scores,) = (tmp_path / "o" / "scores" / "mine").glob("*.parquet")
    found = read_scores(scores).answers
    assert len(found) == 39 and "3" not in {a.id for a in found}
    assert {(a.rating_min, a.rating_max) for a in found} == {(1.0, 5.0)}
