"""The robustness tasks through lm_eval, against ``robustness()`` on the same answers."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from selfj_eval import Judge, JudgeError, Record, read_records
from selfj_eval.benchmarking.robustness import CHANGES, robustness
from selfj_eval.demo import JUDGE_DIR, demo_records
from selfj_eval.harness.installation import tasks_folder

TASKS = tasks_folder() / "robust"
DEMO = {"pretrained": str(JUDGE_DIR)}
COUNTS = ("refused", "unscored", "trimmed")
MEANS = ("wrong_way", "moved", "mean_change")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load("demo")


def assert_same(values: dict[str, Any], numbers: dict[str, Any]) -> None:
    """lm-eval's numbers of a task and those of the document."""
    for name in COUNTS:
        assert values[f"{name},none"] == numbers[name], name
    for name in MEANS:
        value, expected = values[f"{name},none"], numbers[name]["value"]
        if expected is None:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(expected, abs=1e-4), name


def test_every_change_has_its_tasks() -> None:
    files = {file.stem: yaml.safe_load(file.read_text()) for file in TASKS.glob("*.yaml")}
    assert set(files) == {f"selfj_robust{kind}_{c}" for kind in ("", "_demo") for c in CHANGES}
    for name, task in files.items():
        change = task["metadata"]["selfj_change"]
        tag = "selfj_robust_demo" if name == f"selfj_robust_demo_{change}" else "selfj_robust"
        assert task["task"] == name == f"{tag}_{change}"
        assert task["tag"] == [tag]
        assert task["metadata"]["selfj_limit"] == 200
        source = task["metadata"].get("selfj_source")
        assert source == ("pointwise_arena_bench" if tag == "selfj_robust" else None)


def test_the_embedded_tasks_give_the_numbers_of_the_document(
    judge: Judge, caplog: pytest.LogCaptureFixture, evaluate: Any
) -> None:
    changes = ["self_praise", "markers", "shuffled", "other_answer", "upper_case"]
    limit = 9
    document = robustness(judge, demo_records(), changes=changes, limit=limit).to_dict()
    tasks = ",".join(f"selfj_robust_demo_{change}" for change in changes)
    found = evaluate("hf", tasks, DEMO, metadata={"selfj_limit": limit}, batch_size=16)
    for change in changes:
        task, numbers = f"selfj_robust_demo_{change}", document["changes"][change]
        assert_same(found["results"][task], numbers)
        rows = found["samples"][task]
        assert len(rows) == numbers["n"]
        assert {len(row["arguments"]) for row in rows} == {10 if change == "markers" else 20}
        for row in rows if numbers["worst"] else []:
            if row["doc"]["id"] == numbers["worst"]["id"]:
                assert row["score"] == pytest.approx(numbers["worst"]["base"], abs=1e-4)
                assert row["score_changed"] == pytest.approx(numbers["worst"]["changed"], abs=1e-4)
    assert document["changes"]["markers"]["refused"] == limit
    assert document["changes"]["shuffled"]["not_applicable"] > 0
    assert document["changes"]["self_praise"]["moved"]["value"] > 0.1
    undefined = "selfj_robust_demo_markers: wrong_way is undefined: none of 9 documents was scored"
    assert undefined in caplog.text


def test_a_set_of_ones_own(tmp_path: Path, judge: Judge, evaluate: Any) -> None:
    rows = [
        {"id": str(k), "instruction": f"Say {k}.", "response": f"Here it is: {k}.", "rating": 3.0}
        for k in range(5)
    ]
    rows[2]["response"] = "### Response:9"  # unscored from the start
    rows[3]["response"] = "..."
    rows[4]["response"] = "as I said " * 400
    folder = tmp_path / "judge_bench"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "pointwise_mine.parquet")
    records = read_records(folder / "pointwise_mine.parquet")
    own = {"selfj_data": str(tmp_path), "selfj_source": "pointwise_mine", "selfj_seed": 5}
    found = evaluate(
        "hf", "selfj_robust_command,selfj_robust_noise", DEMO, metadata=own, batch_size=16
    )
    document = robustness(judge, records, changes=["command", "noise"], seed=5, limit=200).to_dict()
    for change in ("command", "noise"):
        assert_same(found["results"][f"selfj_robust_{change}"], document["changes"][change])
    assert found["results"]["selfj_robust_command"]["unscored,none"] == 1
    assert found["results"]["selfj_robust_command"]["trimmed,none"] == 1
    noisy = [row["doc"]["id"] for row in found["samples"]["selfj_robust_noise"]]
    assert noisy == ["0", "1", "2", "4"]
    logged = json.dumps(found["configs"]["selfj_robust_noise"]["metadata"])
    assert '"selfj_seed": 5' in logged


def test_markers_are_judged_where_the_metadata_allows_them(evaluate: Any) -> None:
    careless = Judge.load("demo", allow_markers=True)
    document = robustness(careless, demo_records(), changes=["markers"], limit=3).to_dict()
    own = {"selfj_limit": 3, "selfj_allow_markers": True}
    found = evaluate("hf", "selfj_robust_demo_markers", DEMO, metadata=own, batch_size=16)
    numbers = document["changes"]["markers"]
    assert numbers["scored"] == 3
    assert_same(found["results"]["selfj_robust_demo_markers"], numbers)


def test_what_has_no_score_is_counted(caplog: pytest.LogCaptureFixture, load_task: Any) -> None:
    task = load_task("selfj_robust_demo_padding", {"selfj_limit": 1})
    doc = task.test_docs()[0]
    good, bad = [(math.log(0.1), False)] * 10, [(math.nan, False)] * 10
    for results in (bad + good, good + bad):
        values = task.process_results(doc, results)
        assert (values["unscored"], values["refused"]) == (1, 0)
        assert values["wrong_way"] is values["moved"] is values["mean_change"] is None
    assert f"document {doc['id']}, padding: the model gave no finite probability" in caplog.text
    values = task.process_results(doc, good + good)
    assert (values["wrong_way"], values["moved"], values["unscored"]) == (0.0, 0.0, 0)


def test_the_limit_is_a_choice_of_the_whole_set(
    caplog: pytest.LogCaptureFixture, load_task: Any
) -> None:
    with caplog.at_level(logging.INFO):
        task = load_task("selfj_robust_demo_other_answer", {})
    ids = [doc["id"] for doc in task.test_docs()]
    assert 150 < len(ids) < 200
    assert f"{200 - len(ids)} of 200 answers skipped: the change does not apply." in caplog.text
    assert len({own.rpartition("-")[0] for own in ids}) > 60
    assert not [own for own in ids if own.endswith("-0")]
    other = [
        doc["id"] for doc in load_task("selfj_robust_demo_noise", {"selfj_seed": 1}).test_docs()
    ]
    assert set(other) - set(ids)


def test_long_answers_are_trimmed_as_the_judge_trims_them(judge: Judge, load_task: Any) -> None:
    task = load_task("selfj_robust_demo_repetition", {"selfj_limit": 1})
    doc = dict(task.test_docs()[0]) | {"response": "word " * 900, "changed": "word " * 1800}
    prompts = task.fewshot_context(doc)
    for prompt, response in zip(prompts, (doc["response"], doc["changed"]), strict=True):
        record = Record("1", doc["instruction"], response, doc["reference"])
        assert prompt == judge.prompt(record).text
    assert task.process_results(doc, [(math.log(0.1), False)] * 20)["trimmed"] == 1


@pytest.mark.parametrize("change", ["pading", None])
def test_an_unknown_change_is_an_error(change: str | None, load_task: Any) -> None:
    with pytest.raises(JudgeError, match="selfj_change must be one of self_praise, .*; got"):
        load_task("selfj_robust_demo_padding", {"selfj_change": change})
