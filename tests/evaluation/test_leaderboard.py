"""Results of judges as rows of one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.evaluation.leaderboard_table import (
    COLUMNS,
    markdown,
    merge,
    read_csv,
    read_results,
    write_csv,
)
from selfj_eval.metrics import Headline

Make = Callable[..., Path]
HOME = "/home/someone/models"


RUN = {
    "judge": {"model": f"{HOME}/Self-J", "adapter": "/tmp/lora", "reference": False},
    "input": "/home/someone/answers.jsonl",
    "command": f"selfj score /home/someone/answers.jsonl --judge {HOME}/Self-J --adapter=/tmp/lora",
    "made": "2026-11-23T12:15:21+00:00",
    "versions": {"torch": "2.13.0"},
}


def rows_of(*paths: Path) -> list[Any]:
    return merge([], read_results(paths)[0])


def test_a_task_of_lm_eval_is_a_row(lm_eval: Make) -> None:
    (row,) = rows_of(lm_eval())
    assert tuple(row) == COLUMNS
    wanted = {
        "judge": "judge", "dataset": "selfj_judge_demo", "reference": "yes", "n": "58",
        "unscored": "2", "pearson": "0.772043", "pearson_low": "", "ece": "0.142136",
        "good_at": "6", "source": "lm-eval", "versions": "lm-eval 0.4.13, transformers 5.23.0",
        "command": "lm_eval --model hf --model_args pretrained=judge,dtype=float32 "
        "--tasks selfj_judge_demo",
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert all(row[name] for name in Headline._fields)


def test_an_evaluation_is_a_row(evaluation: Make) -> None:
    path = evaluation(RUN)
    (row,) = rows_of(path)
    document = json.loads(path.read_text())
    wanted = {
        "judge": "Self-J+lora", "dataset": "answers", "reference": "no", "n": "40",
        "unscored": "1", "good_at": "6", "source": "selfj-eval",
        "command": "selfj score answers.jsonl --judge Self-J --adapter=lora",
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    for name, metric in document["headline"].items():
        for column, part in ((name, "value"), (f"{name}_low", "low"), (f"{name}_high", "high")):
            if part in metric:
                assert float(row[column]) == pytest.approx(metric[part], rel=1e-5), column
            else:  # the ECE has no interval
                assert row[column] == ""
    assert "torch 2.13.0" in row["versions"]
    assert f"python {document['provenance']['versions']['python']}" in row["versions"]


def test_an_evaluation_without_a_run_file_has_empty_cells(evaluation: Make) -> None:
    (row,) = rows_of(evaluation())
    assert (row["judge"], row["dataset"], row["reference"]) == ("s", "s", "")
    assert (row["n"], row["command"]) == ("40", "")


def test_missing_fields_are_empty_cells(tmp_path: Path, lm_eval: Make) -> None:
    path = tmp_path / "e.json"
    path.write_text('{"kind": "selfj-evaluation", "judge": "j", "provenance": null}')
    (row,) = rows_of(path)
    assert {name for name in COLUMNS if row[name]} == {"judge", "source"}
    nothing = {"model": None, "model_args": None}
    none: dict[str, Any] = {"date": None, "lm_eval_version": None, "configs": {}, "n-samples": {}}
    (row,) = rows_of(lm_eval(config=nothing, **none))
    assert (row["judge"], row["n"], row["command"]) == ("judge", "", "")
    assert row["versions"] == "transformers 5.23.0"


def test_settings_of_a_task(lm_eval: Make) -> None:
    metadata = {"selfj_source": "pointwise_x", "selfj_reference": False, "selfj_good_at": 4.5}
    args = f"pretrained={HOME}/base,peft={HOME}/my lora,token=hf_abc,max_length=2048"
    (row,) = rows_of(lm_eval(metadata=metadata, config={"model_args": args}))
    assert (row["judge"], row["dataset"], row["reference"]) == ("base+my lora", "pointwise_x", "no")
    assert row["good_at"] == "4.5"
    assert "--model_args 'pretrained=base,peft=my lora,max_length=2048'" in row["command"]


def test_undefined_metrics_are_empty(lm_eval: Make, tmp_path: Path) -> None:
    path = lm_eval(metrics={"pearson,none": float("nan"), "prr,none": None})
    assert "NaN" in path.read_text()
    (row,) = rows_of(path)
    assert row["pearson"] == row["prr"] == ""
    assert row["spearman"]
    assert "| - | 0.717 |" in markdown([row])


@pytest.mark.parametrize(("limit", "shown"), [(60.0, "60"), (0.25, "0.25"), (2e6, "2000000")])
def test_a_limited_run_is_visible(lm_eval: Make, limit: float, shown: str) -> None:
    (row,) = rows_of(lm_eval(config={"limit": limit}))
    assert row["command"].endswith(f"--tasks selfj_judge_demo --limit {shown}")
    assert "| 58 (limited) |" in markdown([row])
    assert "limited" not in markdown(rows_of(lm_eval()))


def test_no_path_of_the_machine_gets_in(lm_eval: Make, evaluation: Make, tmp_path: Path) -> None:
    command = (
        f"/opt/bin/selfj score '{HOME}/my answers.jsonl' --output={HOME}/o.jsonl --judge ./a/b "
        '--field x=C:\\\\someone\\\\y --store ~someone/s \'{"data": "/home/someone/d"}\' http://h/v1'
    )
    run = RUN | {"command": command, "versions": {"torch": "2 (/home/someone/torch)"}}
    args = {
        "pretrained": HOME,
        "max_memory": {"offload": "/home/someone/x"},
        "l": "file:///home/someone/b",
    }
    rows = rows_of(evaluation(run), lm_eval(config={"model_args": args}))
    assert "someone" not in json.dumps(rows)
    assert rows[0]["command"] == (
        "selfj score 'my answers.jsonl' --output=o.jsonl --judge ./a/b --field x=y --store s "
        '\'{"data": "d"}\' http://h/v1'
    )
    assert rows[1]["judge"] == "models"
    run = RUN | {"command": "selfj score '/home/someone/x"}
    assert "someone" not in json.dumps(rows_of(evaluation(run)))


def test_rows_are_sorted_whatever_the_order_of_the_arguments(
    lm_eval: Make, evaluation: Make, tmp_path: Path
) -> None:
    files = [
        evaluation(RUN),
        lm_eval(task="b"),
        lm_eval(task="b", metadata={"selfj_reference": False}),
        lm_eval(task="b", config={"model_args": {"pretrained": "a judge"}}),
        lm_eval(task="a", metrics={"pearson,none": 0.25}),
        lm_eval(task="a", metrics={"pearson,none": 0.75}, date=1795436263.5),
        lm_eval(task="a", metrics={"pearson,none": 0.5}),
        tmp_path / "ev",
    ]
    texts = set()
    for order in (files, files[::-1], files[3:] + files[:3]):
        write_csv(tmp_path / "o.csv", rows_of(*order))
        texts.add((tmp_path / "o.csv").read_bytes())
    assert len(texts) == 1
    rows = read_csv(tmp_path / "o.csv")
    keys = [(row["dataset"], row["reference"], row["judge"]) for row in rows]
    assert keys == [
        ("a", "yes", "judge"), ("answers", "no", "Self-J+lora"),
        ("b", "no", "judge"), ("b", "yes", "a judge"), ("b", "yes", "judge"),
    ]  # fmt: skip
    assert rows[0]["pearson"] == "0.75", "the newest counts"
    assert read_results(files)[1] == ["a: another result of judge"] * 2


def test_the_best_judge_of_a_data_set_comes_first(lm_eval: Make) -> None:
    values = {"a": -0.5, "b": 0.1, "c": 0.62}
    rows = rows_of(
        *(lm_eval(task="t", config={"model_args": {"pretrained": name}},
                  metrics={"pearson,none": value}) for name, value in values.items()),
        lm_eval(task="t", config={"model_args": {"pretrained": "d"}},
                metrics={"pearson,none": float("nan")}),
    )  # fmt: skip
    judges = [line.split(" | ")[2] for line in markdown(rows).splitlines()[2:]]
    assert judges == ["c", "b", "a", "d"]


def test_the_table_is_kept_and_its_rows_replaced_by_key(
    command: Any, lm_eval: Make, tmp_path: Path
) -> None:
    output, view = tmp_path / "judges.csv", tmp_path / "judges.md"
    first = lm_eval(task="a")
    lm_eval(task="b")
    done = command("selfj", "leaderboard", first.parent, "--output", output, "--markdown", view)
    assert done.returncode == 0, done.stderr
    assert "2 rows: 2 added, 0 replaced" in done.stdout
    assert f"written to  {output} and {view}" in done.stdout
    changed = lm_eval(task="b", metrics={"pearson,none": 0.125})
    new = lm_eval(task="c")
    done = command("selfj", "leaderboard", changed, new, "--output", output, "--json")
    summary = json.loads(done.stdout)
    assert summary == {
        "rows": 3, "added": 1, "replaced": 1, "left_out": [], "written": [str(output)]
    }  # fmt: skip
    rows = read_csv(output)
    assert [(r["dataset"], r["pearson"]) for r in rows] == [
        ("a", "0.772043"), ("b", "0.125"), ("c", "0.772043")
    ]  # fmt: skip
    assert len(view.read_text(encoding="utf-8").splitlines()) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judges.csv", "judges.md", "lm"]


NAMES = ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "a,b", 'a"b', "a\nb", "a\r\nb", "a|b", "é\ud800"]


def test_round_trip_of_names_that_spreadsheets_take_for_formulas(
    lm_eval: Make, tmp_path: Path
) -> None:
    files = [lm_eval(metadata={"selfj_source": name}) for name in NAMES]
    negative = lm_eval(metadata={"selfj_source": "-1"}, metrics={"pearson,none": -0.5})
    rows = rows_of(*files, negative)
    assert len(rows) == len(NAMES) + 1
    write_csv(tmp_path / "o.csv", rows)
    assert read_csv(tmp_path / "o.csv") == rows
    assert merge(read_csv(tmp_path / "o.csv"), rows_of(*files, negative)) == rows
    cells = {cell for row in rows for cell in row.values()}
    assert {"'=1+1", "'+x", "'-x", "'@x", "'\tx", "' x", "-1", "-0.5"} <= cells
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in cells)
    table = markdown(rows).splitlines()
    assert len(table) == len(rows) + 2
    assert {line.replace("\\|", "").count("|") for line in table} == {16}
