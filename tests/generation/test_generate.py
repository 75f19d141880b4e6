from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import read_records
from selfj_eval.cli import main
from selfj_eval.errors import DataError
from selfj_eval.generation.instructions import read_instructions
from selfj_eval.generation.options import Sampling
from selfj_eval.storage.store import AnswerStore

Jsonl = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
Killed = Callable[..., None]

ROWS = [
    {"id": f"q{i}", "instruction": f"Add {i} and {i * i}.", "reference": str(i + i * i)}
    | ({"category": "sums"} if i else {})
    for i in range(5)
]


def run(*arguments: object) -> int:
    return main(["generate", *map(str, arguments), "--device", "cpu"])


def summary_of(capsys: Capture, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_run_without_an_answer_says_so_first(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture
) -> None:
    # A model that ends each answer at once, and one with no room for any.
    mute = shutil.copytree(tiny_judge, tmp_path / "mute")
    (mute / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(600))}))
    asked = [jsonl(*ROWS), "--max-new-tokens", 6, "--output"]
    assert run(*asked, tmp_path / "empty.jsonl", "--model", mute) == 1
    assert capsys.readouterr().out.startswith("NOTHING WAS ANSWERED: all answers are empty; 5 ")
    long = jsonl({"instruction": "seven " * 900}, name="long.jsonl")
    assert run(long, "--output", tmp_path / "none.jsonl", "--model", tiny_judge) == 1
    assert capsys.readouterr().out.startswith("NOTHING WAS ANSWERED: 0 answers to 1 instructions")


def test_records_in_every_format_and_nothing_generated_twice(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture
) -> None:
    source, store = jsonl(*ROWS), tmp_path / "shared.store"
    common = [source, "--model", tiny_judge, "--max-new-tokens", 6, "--store", store]
    outputs = []
    for number, suffix in enumerate(("jsonl", "csv", "parquet", "json")):
        outputs.append(tmp_path / f"out.{suffix}")
        summary = summary_of(capsys, *common, "--output", outputs[-1])
        assert (summary["answers"], summary["unanswered"], summary["cut"]) == (5, 0, 5)
        assert summary["from_store"] == (5 if number else 0)
        with AnswerStore(store) as kept:
            assert len(kept) == 5
    records = [read_records(output) for output in outputs]
    assert records[0] == records[1] == records[2]
    for record, row in zip(records[0], ROWS, strict=True):
        assert (record.id, record.instruction) == (row["id"], row["instruction"])
        assert (record.reference, record.category) == (row["reference"], row.get("category"))
        assert record.model == "judge"
        assert record.response == record.response.strip() != ""
    answers = json.loads(outputs[3].read_text())
    assert [row["output"] for row in answers] == [record.response for record in records[0]]
    assert set(answers[0]) == {"instruction", "output", "generator"}
    assert set(answers[1]) == {"dataset", "instruction", "output", "generator"}
    assert answers[1]["dataset"] == "sums"
    assert [record.id for record in records[3]] == ["0", "1", "2", "3", "4"]


def test_samples_stand_side_by_side(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture
) -> None:
    common = [jsonl(*ROWS), "--model", tiny_judge, "--n", 2, "--temperature", 1, "--limit", 3]
    common += ["--max-new-tokens", 8, "--name", "me", "--store", tmp_path / "s"]
    summary = summary_of(capsys, *common, "--output", tmp_path / "o.jsonl")
    assert (summary["instructions"], summary["answers"]) == (3, 6)
    records = read_records(tmp_path / "o.jsonl")
    assert [record.id for record in records] == ["q0-0", "q0-1", "q1-0", "q1-1", "q2-0", "q2-1"]
    summary = summary_of(capsys, *common, "--output", tmp_path / "o.json")
    assert summary["from_store"] == 6
    rows = json.loads((tmp_path / "o.json").read_text())
    assert [row["sample"] for row in rows] == [0, 1] * 3
    assert [row["output"] for row in rows] == [record.response for record in records]
    assert {row["generator"] for row in rows} == {"me"} == {record.model for record in records}


def test_what_gets_no_answer_is_counted_and_named(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture
) -> None:
    long = {"id": "long\x1b", "instruction": "7" * 800}
    source, output = jsonl(ROWS[0], long, *ROWS[1:]), tmp_path / "o.jsonl"
    assert run(source, "--model", tiny_judge, "--output", output, "--max-new-tokens", 5) == 1
    shown = capsys.readouterr().out
    assert "5 answers to 6 instructions; this run took" in shown
    assert "cut at limit    5" in shown
    assert "UNANSWERED      1\n    long\\x1b: its prompt of 8" in shown
    assert [record.id for record in read_records(output)] == [row["id"] for row in ROWS]
    made = json.loads((tmp_path / "o.jsonl.run.json").read_text())
    assert made["counts"]["unanswered"] == len(made["counts"]["errors"]) == 1


def test_a_run_file_says_how_the_answers_were_made(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path
) -> None:
    source, output = jsonl(*ROWS), tmp_path / "o.json"
    arguments = ["--model", tiny_judge, "--output", output, "--max-new-tokens", 3]
    assert run(source, *arguments, "--prompt", "plain") == 0
    made = json.loads(Path(f"{output}.run.json").read_text())
    assert made["generator"]["prompt"] == "plain"
    assert made["generator"]["identity"]["engine"] == "transformers"
    assert made["sampling"]["max_new_tokens"] == 3
    assert made["input_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert made["command"].startswith(f"selfj generate {source} --model ")
    assert {"torch", "transformers", "selfj-eval", "python"} <= set(made["versions"])
    assert made["counts"]["answers"] == 5


def test_a_killed_run_goes_on_to_the_same_samples(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture, killed: Killed
) -> None:
    rows = [{"instruction": f"Add {i} and {i * 37}{' and then' * (i % 5)}."} for i in range(24)]
    common = [jsonl(*rows), "--model", tiny_judge, "--n", 2, "--temperature", 1]
    common += ["--max-new-tokens", 60, "--batch-size", 4]
    undisturbed, output = tmp_path / "u.json", tmp_path / "o.json"
    assert run(*common, "--output", undisturbed) == 0
    killed("AnswerStore", "generate", *common, "--output", output, "--device", "cpu")
    assert not output.exists()
    with AnswerStore(f"{output}.store") as store:
        kept = len(store)
    assert 6 <= kept < 24
    assert kept % 2 == 0, "a batch was kept in part"
    summary = summary_of(capsys, *common, "--output", output)
    assert summary["from_store"] == 2 * kept
    assert output.read_bytes() == undisturbed.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "{source}"], "is an input and would be overwritten"),
        (["--output", "{folder}/o.jsonl", "--store", "{folder}/o.jsonl"], "must be different"),
        (["--output", "{folder}/o.jsonl", "--store", "{source}"], "must be different files"),
        (["--store", "{folder}/out.jsonl.run.json"], "must be different files"),
        (["--output", "{model}/o.json"], "must not be in the model's folder"),
        (["--store", "{model}/store"], "must not be in the model's folder"),
        (["--output", "{folder}/no/out.jsonl"], "there is no folder"),
        (["--output", "{folder}/out.txt"], "unknown format; end the name in one of"),
        (["--limit", "0"], "--limit must be at least 1, got 0"),
        (["--n", "2"], "2 answers per instruction at temperature 0 would all be the same"),
        (["--top-p", "0"], "--top-p must be above 0"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--prompt", "chat"], "has no chat template; use --prompt wizardlm or plain"),
        (["--engine", "vllm"], "--batch-size and --device are for --engine transformers"),
        (["--adapter", "{model}"], "is not a LoRA adapter folder"),
        (["--model", "{source}"], "is a file; give the model's folder"),
    ],
)
def test_wrong_options(
    jsonl: Jsonl,
    tiny_judge: Path,
    tmp_path: Path,
    capsys: Capture,
    arguments: list[str],
    message: str,
) -> None:
    source = jsonl(*ROWS)
    model = shutil.copytree(tiny_judge, tmp_path / "judge")
    found = sorted(model.iterdir())
    given = [a.format(source=source, folder=tmp_path, model=model) for a in arguments]
    before = source.read_bytes()
    assert run(source, "--model", model, "--output", tmp_path / "out.jsonl", *given) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""
    assert not (tmp_path / "out.jsonl").exists()
    assert source.read_bytes() == before
    assert sorted(model.iterdir()) == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "`n` must be at least 1, got 0"),
        ({"n": 2}, "2 answers per instruction at temperature 0 would all be the same"),
        ({"temperature": -1.0}, "`temperature` must be at least 0"),
        ({"temperature": float("nan")}, "`temperature` must be a finite number"),
        ({"top_p": 0.0}, "`top_p` must be above 0 and at most 1"),
        ({"top_p": 1.5}, "`top_p` must be above 0 and at most 1"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_sampling_that_makes_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Sampling(**settings)


def test_wrong_instructions_are_refused_before_the_model_is_loaded(
    jsonl: Jsonl, tmp_path: Path, capsys: Capture
) -> None:
    source = jsonl(*ROWS, {"id": "x"})
    assert run(source, "--model", tmp_path / "none", "--output", tmp_path / "o.json") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"selfj: error: {source}, line 6, field 'instruction': missing")
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


def test_help_has_examples(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    assert "selfj generate alpaca_eval --model" in capsys.readouterr().out


def test_instructions_are_read_with_what_is_known(jsonl: Jsonl) -> None:
    rows = [
        {"instruction": "a", "dataset": "d", "response": 7, "rating": "ignored"},
        {"instruction": "b", "category": "c", "dataset": "d", "reference": "r"},
    ]
    first, second = read_instructions(jsonl(*rows))
    assert (first.id, first.text, first.reference, first.category) == ("0", "a", None, "d")
    assert (second.id, second.text, second.reference, second.category) == ("1", "b", "r", "c")
    assert [i.id for i in read_instructions(jsonl({"id": 7, "instruction": "a"}))] == ["7"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no instructions"),
        ([{"text": "a"}], "line 1, field 'instruction': missing; the fields here are: text"),
        ([{"instruction": "a"}, {"instruction": " "}], "line 2, field 'instruction': is empty"),
        ([{"instruction": None}], "line 1, field 'instruction': is null"),
        ([{"instruction": [5]}], "line 1, field 'instruction': expected text, got list"),
        ([{"id": "1", "instruction": "a"}, {"instruction": "b"}], "line 2, field 'id': missing"),
        ([{"id": "1", "instruction": "a"}] * 2, "line 2, field 'id': '1' occurs twice"),
        (
            [{"instruction": "a", "dataset": [3]}],
            "line 1, field 'dataset': expected text, got list",
        ),
    ],
)
def test_rows_that_are_no_instructions(jsonl: Jsonl, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_instructions(jsonl(*rows))


def test_a_limit_beyond_the_context_is_said(
    in_process: Any, tiny_judge: Path, jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    source = jsonl({"instruction": "Say nothing."})
    line = ("selfj", "generate", source, "--model", tiny_judge, "--output", tmp_path / "a.json")
    done = in_process(*line, "--max-new-tokens", 768)
    assert done.returncode == 0, done.stderr
    assert "context of 768 tokens has no room for answers of 768" in done.stderr
    done = in_process(*line, "--max-new-tokens", 4)
    assert "context" not in done.stderr
