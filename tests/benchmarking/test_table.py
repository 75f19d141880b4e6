"""The correlation table's numbers and forms."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from selfj_eval.benchmarking import rendering
from selfj_eval.benchmarking.bench_sets import read_sets
from selfj_eval.benchmarking.published import published, published_row
from selfj_eval.benchmarking.rate_sets import Rated, Result, key
from selfj_eval.benchmarking.result import Bench, Intervals
from selfj_eval.benchmarking.table import tabulate
from selfj_eval.errors import StoreError
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import Judgment
from selfj_eval.records.writing import write_records


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
