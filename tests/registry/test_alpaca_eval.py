"""From AlpacaEval's repository to the columns that `selfj alpaca` reads."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.records.writing import row_writer
from selfj_eval.registry.alpaca_pack import leaderboard
from selfj_eval.registry.converters import alpaca_eval
from selfj_eval.registry.sets import load_sets
from selfj_eval.registry.upstream import UpstreamFile

BASELINE = "gpt4_1106_preview"
QUESTIONS = ("Name a colour.", "What is 2 + 3?", "Reverse: lamp.")


def outputs(*answers: str, questions: tuple[str, ...] = QUESTIONS) -> list[dict[str, Any]]:
    return [
        {"dataset": "koala", "instruction": q, "output": a, "generator": "any name"}
        for q, a in zip(questions, answers, strict=True)
    ]


def annotation(
    question: str, first: str, second: str, value: object, **more: Any
) -> dict[str, Any]:
    row = {"instruction": question, "output_1": first, "output_2": second, "preference": value}
    return row | {"generator_1": "text_davinci_003", "annotator": "alpaca_eval_gpt4"} | more


@pytest.fixture
def baseline(upstream: Any) -> UpstreamFile:
    path = f"results/{BASELINE}/model_outputs.json"
    return upstream(path, outputs("Blue, or green.", "It is 5.", "pmal"))


@pytest.fixture
def first_version(upstream: Any) -> UpstreamFile:
    answers = {"Name a colour.": "red", "What is 2 + 3?": "6", "Reverse: lamp.": ""}
    rows = [annotation(q, a, "x", 2) for q, a in reversed(answers.items())]
    return upstream(f"results/{BASELINE}/alpaca_eval_gpt4/annotations.json", rows)


def test_instructions_keep_their_order_and_get_both_baselines(
    baseline: UpstreamFile, first_version: UpstreamFile
) -> None:
    rows = list(alpaca_eval.instructions([baseline, first_version]))
    assert [row["instruction_id"] for row in rows] == [0, 1, 2]
    assert rows[1] == {
        "instruction_id": 1,
        "dataset": "koala",
        "instruction": "What is 2 + 3?",
        "output_text_davinci_003": "6",
        "output_gpt4_1106_preview": "It is 5.",
    }
    assert rows[2]["output_text_davinci_003"] == ""  # an empty answer is one


def test_baselines_of_different_instructions_are_refused(
    baseline: UpstreamFile, first_version: UpstreamFile, upstream: Any
) -> None:
    fewer = upstream(first_version.path, first_version.json()[1:])
    with pytest.raises(DataError, match="no row for the instruction at row 3 of") as raised:
        list(alpaca_eval.instructions([baseline, fewer]))
    assert str(raised.value.path).endswith("alpaca_eval_gpt4/annotations.json")


def test_an_instruction_that_comes_twice_has_no_position(upstream: Any) -> None:
    rows = outputs("red", "5", "blue", questions=(*QUESTIONS[:2], QUESTIONS[0]))
    with pytest.raises(DataError, match="a second row") as raised:
        list(alpaca_eval.model_outputs([upstream("results/s/model_outputs.json", rows)]))
    assert (raised.value.place, raised.value.field) == ("row 3", "instruction")


def test_outputs_are_known_by_position_and_models_by_their_folder(
    baseline: UpstreamFile, upstream: Any
) -> None:
    rows = outputs("  pmal \n", "5", questions=(QUESTIONS[2], QUESTIONS[1]))
    small = upstream("results/small-1b/model_outputs.json", rows)
    found = list(alpaca_eval.model_outputs([baseline, small]))
    assert [(row["instruction_id"], row["model"]) for row in found[:3]] == [
        (k, BASELINE) for k in range(3)
    ]
    assert found[3:] == [  # untouched, and no row where the model has no answer
        {"instruction_id": 2, "model": "small-1b", "output": "  pmal \n"},
        {"instruction_id": 1, "model": "small-1b", "output": "5"},
    ]


def test_files_are_read_one_at_a_time(baseline: UpstreamFile) -> None:
    gone = UpstreamFile("a/b", "c" * 40, "results/gone/model_outputs.json", Path("not there"))
    rows = alpaca_eval.model_outputs([baseline, gone])
    assert [next(rows)["model"] for _ in range(3)] == [BASELINE] * 3
    with pytest.raises(FileNotFoundError):
        next(rows)


def test_preferences_say_whether_they_are_about_the_stored_texts(
    baseline: UpstreamFile, first_version: UpstreamFile, upstream: Any
) -> None:
    answers = outputs("red", "five", questions=QUESTIONS[:2])
    second = {"generator_1": BASELINE, "annotator": "weighted"}
    one = [
        annotation(QUESTIONS[0], "red", "red", 0),  # an old tie
        annotation(QUESTIONS[1], "7", "five", None),  # another baseline's text
        annotation(QUESTIONS[2], "", "pmal", 1),  # an answer that is not stored
    ]
    two = [annotation(QUESTIONS[1], "It is 5.", "5!", 1.25, **second)]
    files = [
        baseline,
        first_version,
        upstream("results/small/model_outputs.json", answers),
        upstream("results/small/alpaca_eval_gpt4/annotations.json", one),
        upstream("results/small/weighted/annotations.json", two),
    ]
    rows = list(alpaca_eval.preferences(files))
    assert [row["model"] for row in rows] == [BASELINE] * 3 + ["small"] * 4
    columns = ("instruction_id", "preference", "output_matches", "baseline_matches")
    assert [tuple(row[name] for name in columns) for row in rows[3:]] == [
        (0, 1.5, True, True),
        (1, None, True, False),
        (2, 1.0, False, True),
        (1, 1.25, False, True),
    ]
    assert [row["annotator"] for row in rows[-2:]] == ["alpaca_eval_gpt4", "weighted"]
    assert [row["baseline"] for row in rows[-2:]] == ["text_davinci_003", BASELINE]
    assert all(type(row["preference"]) in (float, type(None)) for row in rows)


def test_preferences_need_the_outputs_of_their_model_before_them(
    baseline: UpstreamFile, first_version: UpstreamFile, upstream: Any
) -> None:
    rows = [annotation(QUESTIONS[0], "red", "red", 1)]
    stray = upstream("results/small/alpaca_eval_gpt4/annotations.json", rows)
    with pytest.raises(DataError, match=f"stands after the outputs of {BASELINE}") as raised:
        list(alpaca_eval.preferences([baseline, first_version, stray]))
    assert str(raised.value.path).endswith("small/alpaca_eval_gpt4/annotations.json")


def test_a_leaderboard_is_read_as_it_was(
    upstream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ",win_rate,n_total,mode,avg_length\n"
    text += "small,12.340000000000001,805,minimal,\nlarge,50.0,804,,3\n"
    rows = list(alpaca_eval.leaderboard([upstream("boards/one.csv", text)]))
    assert rows[0] == {"": "small", "win_rate": "12.340000000000001"} | {
        "n_total": "805",
        "mode": "minimal",
        "avg_length": "",
    }
    path = tmp_path / "alpaca_eval/leaderboards/v1_alpaca_eval_gpt4_leaderboard.csv"
    path.parent.mkdir(parents=True)
    with row_writer(path, list(rows[0])) as writer:
        writer.write(rows)
    assert list(csv.DictReader(io.StringIO(path.read_text()))) == rows
    monkeypatch.setenv("SELFJ_DATA", str(tmp_path))
    assert leaderboard("v1") == {
        "small": {"win_rate": 12.340000000000001, "n_total": 805.0},
        "large": {"win_rate": 50.0, "n_total": 804.0, "avg_length": 3.0},
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model,win_rate\nsmall,1\n", "has no column ''"),
        (",rate\nsmall,1\n", "has no column 'win_rate'"),
        (",win_rate\nsmall,1\nlarge\n", "line 3"),
        (",win_rate\nsmall,1,2\n", "line 2"),
    ],
)
def test_a_table_that_is_no_leaderboard_is_refused(
    content: str, message: str, upstream: Any
) -> None:
    with pytest.raises(DataError, match=message):
        list(alpaca_eval.leaderboard([upstream("boards/one.csv", content)]))


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != field}


@pytest.mark.parametrize("field", ["instruction", "output"])
def test_an_output_without_a_field_is_refused_with_its_place(
    field: str, baseline: UpstreamFile, upstream: Any
) -> None:
    rows = outputs("red", "5", "pmal")
    broken = upstream("results/s/model_outputs.json", [*rows[:2], without(rows[2], field)])
    with pytest.raises(DataError) as raised:
        list(alpaca_eval.model_outputs([baseline, broken]))
    assert (raised.value.place, raised.value.field) == ("row 3", field)
    assert str(raised.value.path) == f"someone/set@{'c' * 12}/results/s/model_outputs.json"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"preference": "1"}, "preference"),
        ({"preference": True}, "preference"),
        ({"preference": 2.5}, "preference"),
        ({"preference": math.nan}, "preference"),
        ({"generator_1": "another"}, "generator_1"),
        ({"instruction": "Who?"}, "instruction"),
        ({"output_2": None}, "output_2"),
        ({"annotator": 3}, "annotator"),
    ],
)
def test_an_annotation_of_another_layout_is_refused_with_its_place(
    change: dict[str, Any],
    field: str,
    baseline: UpstreamFile,
    first_version: UpstreamFile,
    upstream: Any,
) -> None:
    good = annotation(QUESTIONS[0], "red", "red", 1)
    for broken in (good | change, without(good, field)):
        annotations = upstream(f"results/{BASELINE}/more/annotations.json", [good, broken])
        with pytest.raises(DataError) as raised:
            list(alpaca_eval.preferences([baseline, first_version, annotations]))
        assert (raised.value.place, raised.value.field) == ("row 2", field)
        assert str(raised.value.path).endswith("more/annotations.json")


@pytest.mark.parametrize("content", ['{"instruction": "x"}', "[3]", "[{]"])
def test_what_is_no_list_of_objects_is_refused(content: str, upstream: Any) -> None:
    with pytest.raises(DataError, match="not the file that the converter was written for"):
        list(alpaca_eval.model_outputs([upstream("results/s/model_outputs.json", content)]))


def test_the_registry_lists_the_files_in_the_order_that_the_converters_take() -> None:
    sets = {item.name: item for item in load_sets() if item.pack == "alpaca_eval"}
    assert sorted(sets) == [
        *("instructions", "leaderboard_v1", "leaderboard_v2", "leaderboard_v2_release"),
        *("length_control", "model_outputs", "preferences"),
    ]
    models = [file.path.split("/")[1] for file in sets["model_outputs"].files]
    assert models[0] == BASELINE and len(set(models)) == len(models) == 182
    listed = [file.path for file in sets["preferences"].files]
    first = f"results/{BASELINE}"
    assert listed[:2] == [
        f"{first}/model_outputs.json",
        f"{first}/alpaca_eval_gpt4/annotations.json",
    ]
    assert [file.path for file in sets["instructions"].files] == listed[:2]
    model = ""
    for path in listed:  # annotations follow the outputs of their model
        if path.endswith("/model_outputs.json"):
            model = path.split("/")[1]
        assert path.split("/")[1] == model
    assert set(listed) >= {f"results/{m}/model_outputs.json" for m in ("phi-2", "vicuna-13b-v1.5")}
