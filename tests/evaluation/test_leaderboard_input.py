"""Files that hold neither results nor a leaderboard are skipped or refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.evaluation import leaderboard_table as leaderboard
from selfj_eval.evaluation.leaderboard_table import (
    merge,
    read_csv,
    read_results,
    write_csv,
)

Make = Callable[..., Path]


def rows_of(*paths: Path) -> list[Any]:
    return merge([], read_results(paths)[0])


def test_tasks_without_our_metrics_and_groups_are_left_out(lm_eval: Make) -> None:
    document = json.loads(lm_eval().read_text())
    results = document["results"] | {"selfj_pair_x": {"acc,none": 1.0}, "group": {"alias": "g"}}
    configs = document["configs"] | {"selfj_pair_x": {}}
    rows, left_out = read_results([lm_eval(results=results, configs=configs)])
    assert len(rows) == 1
    assert left_out == ["selfj_pair_x: not all of the metrics"]
    with pytest.raises(DataError, match=r"no result of a judge in .*results_.*all of pearson"):
        read_results([lm_eval(results={"group": {"alias": "g"}})])


def test_other_json_in_a_folder_is_passed_over(lm_eval: Make, tmp_path: Path) -> None:
    lm_eval()
    for name, text in {"a.json": "[1]", "b.json": "{", "c.json": '{"results": 1}'}.items():
        (tmp_path / "lm" / name).write_text(text)
    assert len(rows_of(tmp_path)) == 1
    (tmp_path / "lm" / "results_half.json").write_text('{"results": {')
    with pytest.raises(DataError, match="results_half.json: is not readable"):
        rows_of(tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{", "", '{"kind": "other"}', "\x80", "[" * 100_000])
def test_a_named_file_that_holds_no_results(lm_eval: Make, tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.json: .*expected lm-eval's results_\*\.json or"):
        read_results([lm_eval(), path])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metrics": {"pearson,none": "N/A"}}, "results.selfj_judge_demo.pearson,none"),
        ({"metrics": {"pearson,none": float("inf")}}, "results.selfj_judge_demo.pearson,none"),
        ({"metrics": {"pearson,none": 10**400}}, "results.selfj_judge_demo.pearson,none"),
        ({"metrics": {"unscored,none": True}}, "results.selfj_judge_demo.unscored,none"),
        ({"results": [1]}, "results"),
        ({"results": {"selfj_judge_demo": 1}}, "results.selfj_judge_demo"),
        ({"metadata": {"selfj_reference": "no"}}, "metadata.selfj_reference"),
        ({"config": {"model_args": 5}}, "config.model_args"),
        ({"config": {"limit": "60"}}, "config.limit"),
        ({"date": "today"}, "date"),
    ],
)
def test_wrong_types_in_results_name_file_and_field(
    lm_eval: Make, changes: dict[str, Any], field: str
) -> None:
    path = lm_eval(**changes)
    with pytest.raises(DataError, match=r": expected .*, got .*; repair the file") as caught:
        read_results([path])
    assert caught.value.path == str(path)
    assert caught.value.field is not None and caught.value.field.endswith(field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"counts": {"used": "40"}}, "counts.used"),
        ({"headline": []}, "headline"),
        ({"headline": {"prr": {"value": 1, "low": "x"}}}, "headline.prr.low"),
        ({"provenance": {"run": "x"}}, "provenance.run"),
        ({"provenance": {"run": {"judge": {"model": 5}}}}, "provenance.run.judge.model"),
        ({"provenance": {"versions": ["x"]}}, "provenance.versions"),
    ],
)
def test_wrong_types_in_an_evaluation_name_file_and_field(
    evaluation: Make, changes: dict[str, Any], field: str
) -> None:
    path = evaluation(**changes)
    with pytest.raises(DataError, match="expected a") as caught:
        read_results([path])
    assert (caught.value.path, caught.value.field) == (str(path), field)


def test_a_file_that_is_no_leaderboard_is_left_alone(lm_eval: Make, tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    for text in ("a,b\n1,2\n", "", '"', "\x80"):
        output.write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=r"o\.csv: .*name another `output`"):
            read_csv(output)
    write_csv(output, rows_of(lm_eval()))
    with output.open(newline="", encoding="utf-8") as stream:
        header, line = list(csv.reader(stream))
    for wrong, message in (
        (line[:-1], r"row 2: expected 36 cells"),
        ([*line[:3], "many", *line[4:]], r"row 2, field 'n': expected a number"),
    ):
        with output.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, wrong])
        with pytest.raises(DataError, match=message):
            read_csv(output)


def test_wrong_options(command: Any, lm_eval: Make, tmp_path: Path) -> None:
    source = lm_eval()
    csv_file = tmp_path / "o.csv"
    for arguments, message in (
        ([source, "--output", tmp_path / "no" / "o.csv"], "there is no folder"),
        ([source, "--output", csv_file, "--markdown", csv_file], "end the name in one of .md"),
        ([source, "--output", csv_file, "--markdown", source], "end the name in one of .md"),
        ([tmp_path / "nowhere", "--output", csv_file], "is not readable"),
        ([source, "--output", tmp_path], "end the name in one of .csv"),
    ):
        done = command("selfj", "leaderboard", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not csv_file.exists()
    assert leaderboard.read_csv(csv_file) == []
