"""The correlation table: its numbers, its forms, and the command that makes it."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from selfj_eval import bench
from selfj_eval.benchmarking import rendering
from selfj_eval.benchmarking.bench_sets import read_set, read_sets
from selfj_eval.benchmarking.published import published, published_row
from selfj_eval.benchmarking.rate_sets import Rated, Result, key
from selfj_eval.benchmarking.result import Bench, Intervals
from selfj_eval.benchmarking.table import tabulate
from selfj_eval.errors import DataError, StoreError
from selfj_eval.judging.scored import read_scores
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import Judgment
from selfj_eval.records.writing import write_records


@pytest.fixture
def rated(jsonl: Callable[..., Path]) -> Path:
    """Two models with 40 answers each, and one with three."""
    draw = random.Random(5)
    rows = []
    for k in range(40):
        for model in ("b_model", "A model", *(["few"] if k < 3 else [])):
            rating = draw.randint(1, 10)
            words = " ".join(draw.choices(["word", "other"], k=rating + draw.randint(0, 8)))
            row = {"id": f"{k}-{model}", "instruction": f"Question {k}?", "response": words}
            row |= {"reference": "word other", "rating": rating, "rating_min": 1}
            rows.append(row | {"rating_max": 10, "model": model})
    rows.append({"id": "u", "instruction": "Q", "response": "R", "model": "few"})
    return jsonl(*rows, name="rated.jsonl")


def result_of(path: Path, *, unscored: int = 0) -> tuple[list[Any], Result, dict[str, str]]:
    sets = read_sets([str(path)])
    judgments = [
        Judgment(r.id, len(r.response) if k >= unscored else None, None, None, "no")
        for k, r in enumerate(sets[0].records)
    ]
    name = sets[0].name
    result = {name: [Rated("length", False, judgments, {})]}
    return list(sets), result, {key(name, "length", False): "scores/x.parquet"}


def bench_of(
    sets: list[Any],
    result: Result,
    files: dict[str, str],
    *,
    metric: str = "pearson",
    resamples: int,
) -> Bench:
    intervals = Intervals(resamples=resamples)
    tables = tabulate(sets, result, files, metric=metric, intervals=intervals)
    return Bench(metric, intervals, tables, {"command": "selfj bench <b>", "made": "now"})


@pytest.mark.parametrize(("metric", "scipy"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_cells_against_scipy(rated: Path, metric: str, scipy: Callable[..., Any]) -> None:
    sets, result, files = result_of(rated, unscored=2)
    document = bench_of(sets, result, files, metric=metric, resamples=200).to_dict()
    (row,) = document["sets"][0]["rows"]
    used = [r for r in read_records(rated) if r.rating is not None][2:]
    expected = {}
    for model in ("A model", "b_model"):
        own = [r for r in used if r.model == model]
        expected[model] = scipy([len(r.response) for r in own], [r.rating for r in own])[0]
        assert row["cells"][model]["n"] == len(own)
        assert row["cells"][model]["value"] == pytest.approx(expected[model])
    pooled = scipy([len(r.response) for r in used], [r.rating for r in used])[0]
    assert row["pooled"]["value"] == pytest.approx(pooled)
    assert row["average"]["value"] == pytest.approx(np.mean(list(expected.values())))
    assert (row["scored"], row["unscored"], row["first_error"]) == (81, 2, "no")
    assert [cell["unscored"] for cell in row["cells"].values()] == [1, 1]
    for metric_of in (*row["cells"].values(), row["average"], row["pooled"]):
        assert metric_of["low"] < metric_of["value"] < metric_of["high"]
        assert metric_of["method"] == "bca"
    table = document["sets"][0]
    assert table["columns"] == ["A model", "b_model"]
    assert (table["too_few"], table["unrated"]) == ({"few": 3}, 1)


def test_intervals_do_not_depend_on_the_order_of_the_file(rated: Path, tmp_path: Path) -> None:
    shuffled = tmp_path / "other" / "rated.jsonl"
    shuffled.parent.mkdir()
    records = read_records(rated)
    random.Random(0).shuffle(records)
    write_records(shuffled, records)
    rows = []
    for path in (rated, shuffled):
        sets, result, files = result_of(path)
        rows.append(bench_of(sets, result, files, resamples=50).to_dict()["sets"][0]["rows"])
    assert rows[0] == rows[1]


def test_the_interval_of_the_average_is_that_of_joint_resamples(rated: Path) -> None:
    """Instructions are drawn for all models together: against a bootstrap written out here."""
    sets, result, files = result_of(rated)
    row = bench_of(sets, result, files, resamples=4000).to_dict()["sets"][0]["rows"][0]
    records = [r for r in read_records(rated) if r.model in ("A model", "b_model")]
    groups: dict[str, list[Any]] = {}
    for record in records:
        groups.setdefault(record.instruction, []).append(record)
    draw, means = np.random.default_rng(1), []
    for _ in range(4000):
        drawn = [r for k in draw.integers(0, 40, 40) for r in list(groups.values())[k]]
        values = []
        for model in ("A model", "b_model"):
            own = [r for r in drawn if r.model == model]
            lengths = [len(r.response) for r in own]
            values.append(np.corrcoef(lengths, [r.rating for r in own])[0, 1])
        means.append(np.mean(values))
    low, high = np.quantile(means, [0.025, 0.975])
    # BCa moves the ends a little; drawing models apart would widen or narrow them by more.
    assert row["average"]["low"] == pytest.approx(low, abs=0.03)
    assert row["average"]["high"] == pytest.approx(high, abs=0.03)


def test_a_constant_rater_has_no_correlation(jsonl: Callable[..., Path]) -> None:
    rows = [
        {"id": str(k), "instruction": f"Q{k}", "response": "same", "rating": k, "model": "m"}
        for k in range(30)
    ]
    sets, result, files = result_of(jsonl(*rows))
    document = bench_of(sets, result, files, resamples=20).to_dict()
    row = document["sets"][0]["rows"][0]
    assert row["cells"]["m"]["value"] is None
    assert "all 30 scores are equal" in row["cells"]["m"]["undefined"]
    reason = "there is no correlation for m"
    assert row["average"] == {"value": None, "n": 0, "undefined": reason}
    table = bench_of(sets, result, files, resamples=20).sets[0]
    assert any("no correlation for m: all 30 scores" in note for note in rendering.notes(table))


def test_the_published_table_is_the_papers() -> None:
    table = published()
    for row in table["rows"]:
        assert len(row["values"]) == len(table["columns"])
        assert np.mean(row["values"]) == pytest.approx(row["average"], abs=0.006)
    found = published_row("VRO", False, ["vicuna-13b", "other", "Llama-2-70b-chat"])
    assert found is not None
    assert found.cells == {"vicuna-13b": 40.03, "Llama-2-70b-chat": 41.47}
    assert published_row("vro", True, []) is None
    assert published_row("length", False, []) is None


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
        assert "say what to load: `answering` A model=MODEL" in row["first_error"]
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
        (["--confidence", 2], "--confidence must lie between"),
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
    assert "NOT RUN, for want of references: tfidf." in (tmp_path / "a" / "table.md").read_text()
    done = in_process("selfj", *judges, "--data", half, "--output", tmp_path / "b")
    rows_of = {(r["rater"], r["reference"]): r for r in json.loads(done.stdout)["sets"][0]["rows"]}
    for rater in ("tfidf", "demo"):  # all with reference, or unscored
        assert (rows_of[rater, True]["scored"], rows_of[rater, True]["unscored"]) == (3, 3)
    assert rows_of["demo", False]["unscored"] == 0


def test_models_with_the_names_of_our_columns(jsonl: Callable[..., Path]) -> None:
    rows = [
        {"id": f"{m}{k}", "instruction": f"Q{k}", "response": "x" * k, "rating": k % 7, "model": m}
        for k in range(30)
        for m in ("average", "pooled")
    ]
    sets, result, files = result_of(jsonl(*rows))
    document = bench_of(sets, result, files, resamples=20)
    lines = list(csv.DictReader(rendering.csv_text(document).splitlines()))
    assert [(line["kind"], line["column"]) for line in lines] == [
        ("model", "average"),
        ("model", "pooled"),
        ("average", ""),
        ("pooled", ""),
    ]


def test_published_numbers_stand_beside_pearson_only(jsonl: Callable[..., Path]) -> None:
    rows = [
        {"id": str(k), "instruction": f"Q{k}", "response": "x" * k, "rating": k % 7,
         "model": "vicuna-13b"} for k in range(30)
    ]  # fmt: skip
    sets, result, _ = result_of(jsonl(*rows))
    result = {"records": [Rated("ppl", False, result["records"][0].judgments, {})]}
    files = {key("records", "ppl", False): "x"}
    found = {
        metric: bench_of(sets, result, files, metric=metric, resamples=20).to_dict()["sets"][0][
            "rows"
        ][0]
        for metric in ("pearson", "spearman")
    }
    assert found["pearson"]["published"]["cells"] == {"vicuna-13b": 13.46}
    assert found["spearman"]["published"] is None


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


def test_long_and_odd_names_of_raters(rated: Path, tmp_path: Path) -> None:
    from selfj_eval.benchmarking.rate_sets import write_scores

    sets, result, _ = result_of(rated)
    judgments = result["rated"][0].judgments
    names = ["x" * 300, "a/b", "a b", "a_b", "../up", "..."]
    result = {"rated": [Rated(name, False, judgments, {}) for name in names]}
    files = write_scores(tmp_path / "out", sets, result, {})
    assert len(set(files.values())) == len(names)
    for file in files.values():
        assert (tmp_path / "out" / file).resolve().parent == tmp_path / "out" / "scores" / "rated"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scores").touch()
    with pytest.raises(StoreError, match="cannot be made: Not a directory; name another"):
        write_scores(tmp_path / "other", sets, result, {})


class Tags(HTMLParser):
    """The tags of a page, and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(v) for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_names_from_the_data_do_no_harm(jsonl: Callable[..., Path]) -> None:
    from selfj_eval.benchmarking.page import page

    evil = "=1+1<script>alert(1)</script>|_$&%#{}\\"
    rows = [
        {
            "id": str(k),
            "instruction": f"Q{k}",
            "response": "x" * (k % 7),
            "rating": k,
            "model": evil,
        }
        for k in range(30)
    ]
    sets, result, files = result_of(jsonl(*rows))
    document = bench_of(sets, result, files, resamples=20)
    html = page(document)
    assert html is not None
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.tags and "b" not in tags.tags
    assert not [link for link in tags.links if not link.startswith(("data:", "#"))]
    text = rendering.csv_text(document)
    assert "'=1+1" in text and ",=1+1" not in text
    assert "\\|\\_$&%#{}" in rendering.markdown(document)
    assert "\\_\\$\\&\\%\\#\\{\\}\\textbackslash{}" in rendering.latex(document)


def test_answers_in_memory_by_the_name_of_their_set(rated: Path, tmp_path: Path) -> None:
    in_memory = bench(
        {rated.stem: read_records(rated)}, judge="length", output=tmp_path / "m", resamples=20
    )
    file = bench(rated, judge="length", output=tmp_path / "f", resamples=20)
    assert isinstance(in_memory, Bench) and isinstance(file, Bench)
    (mine,), (other,) = in_memory.sets, file.sets
    assert mine.path is None and mine.rows[0].cells == other.rows[0].cells
    with pytest.raises(DataError, match="'../x' is no name of a set"):
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
    assert "say so with --missing-rating" in done.stderr
    done = in_process("selfj", *told, "--missing-rating", -1, "--resamples", 20)
    assert done.returncode == 0, done.stderr
    assert "ratings of -1, taken as no rating: 1" in done.stderr
    (scores,) = (tmp_path / "o" / "scores" / "mine").glob("*.parquet")
    found = read_scores(scores).answers
    assert len(found) == 39 and "3" not in {a.id for a in found}
    assert {(a.rating_min, a.rating_max) for a in found} == {(1.0, 5.0)}
