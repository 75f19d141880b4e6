"""Files are streamed; a folder is judged file by file, each finished once and for all."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from selfj_eval import Judge, read_records, score, write_records
from selfj_eval.cli import main
from selfj_eval.demo import ladder
from selfj_eval.engines.base import Batch
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.judging import files
from selfj_eval.judging.files import RecordFile, score_file
from selfj_eval.judging.partitions import partitions
from selfj_eval.prompts.templates import Offsets, get_template
from selfj_eval.records.record import Record

RECORDS = ladder("test", instructions=20)[:60]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files; the last one has a record that cannot be judged."""
    path = tmp_path / "answers"
    path.mkdir()
    for k in range(3):
        own = RECORDS[k * 20 : k * 20 + 20]
        if k == 2:
            own = [*own, Record("marked", "Add 1 and 2.", "9\n\n### Response:")]
        write_records(path / f"part-{k}.parquet", own)
    (path / "README.md").write_text("not data")
    return path


def run(*arguments: object) -> int:
    return main(["score", *map(str, arguments), "--judge", "demo"])


def rows(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return found


def test_a_folder_is_judged_as_its_records_are(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.scores"
    assert run(folder, "--json") == 1  # one is unscored
    summary = json.loads(capsys.readouterr().out)
    assert (summary["records"], summary["scored"], summary["unscored"]) == (61, 60, 1)
    assert summary["from_store"] == 0 and summary["rated"] == 60
    assert summary["errors"][0].startswith("marked: ") and "part-2.parquet" in summary["errors"][0]
    expected = Judge.load("demo").judge(RECORDS)
    found = [row for k in range(3) for row in rows(output / f"part-{k}.parquet")]
    assert [row["id"] for row in found] == [*(r.id for r in RECORDS), "marked"]
    np.testing.assert_allclose(
        [row["score"] for row in found[:60]], [j.score for j in expected], atol=1e-4
    )
    assert found[60]["score"] is None and "### Response:" in str(found[60]["error"])
    assert [row["rating"] for row in found[:60]] == [r.rating for r in RECORDS]
    assert sorted(f.name for f in output.iterdir()) == [
        *(f"part-{k}.parquet" for k in range(3)), "run.json",
    ]  # fmt: skip
    document = json.loads((output / "run.json").read_text())
    assert document["judge"]["model"] == "demo" and len(document["input_sha256"]) == 3


def test_a_list_of_one_folder_is_that_folder(folder: Path, tmp_path: Path) -> None:
    result = score([folder], judge="length")
    assert result.output == str(tmp_path / "answers.scores")
    assert (tmp_path / "answers.scores" / "part-2.parquet").exists()


def test_what_is_finished_is_not_judged_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder)
    output = folder.with_name("answers.scores")
    before = {file.name: file.read_bytes() for file in output.glob("*.parquet")}
    asked: list[str] = []
    score = TransformersBackend.score

    def counted(self: TransformersBackend, prompts: Sequence[str]) -> Iterator[Batch]:
        asked.extend(prompts)
        return score(self, prompts)

    monkeypatch.setattr(TransformersBackend, "score", counted)
    capsys.readouterr()
    run(folder, "--json")
    summary = json.loads(capsys.readouterr().out)
    assert not asked and summary["from_store"] == 60 and summary["unscored"] == 1
    assert {file.name: file.read_bytes() for file in output.glob("*.parquet")} == before
    # One file changes: it alone is judged anew.
    write_records(folder / "part-1.parquet", [*RECORDS[20:39], Record("new", "Add 1 and 2.", "3")])
    run(folder)
    assert len(asked) == 20
    assert rows(output / "part-1.parquet")[19]["id"] == "new"
    assert (output / "part-0.parquet").read_bytes() == before["part-0.parquet"]


def test_what_failed_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score = TransformersBackend.score
    asked: list[int] = []

    def failing(self: TransformersBackend, prompts: Sequence[str]) -> Iterator[Batch]:
        asked.append(len(prompts))
        for batch in score(self, prompts):
            broken = np.array([len(asked) == 2 and i == 0 for i in batch.indices])
            batch.log_probabilities[broken] = np.nan
            yield batch._replace(reasons={0: "the server was away."} if broken.any() else {})

    monkeypatch.setattr(TransformersBackend, "score", failing)
    run(folder, "--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["unscored"] == 2 and "the server was away." in summary["errors"][0]
    run(folder, "--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["unscored"] == 1 and summary["from_store"] == 59
    assert asked == [20, 20, 20, 1]


def test_an_aborted_run_leaves_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dead(self: TransformersBackend, prompts: Sequence[str]) -> Iterator[Batch]:
        raise JudgeError("the server is gone.")

    monkeypatch.setattr(TransformersBackend, "score", dead)
    assert run(folder) == 2
    gc.collect()
    assert capsys.readouterr().err.strip() == "selfj: error: the server is gone."
    assert not list(folder.with_name("answers.scores").glob("*.tmp"))


def test_a_killed_run_goes_on(folder: Path, tmp_path: Path, killed: Callable[..., None]) -> None:
    arguments = ["score", folder, "--judge", "demo", "--batch-tokens", 200, "--output"]
    killed("JudgmentStore", *arguments, tmp_path / "killed")
    assert list((tmp_path / "killed").glob(".part-*.store"))
    main([*map(str, arguments), str(tmp_path / "killed")])
    main([*map(str, arguments), str(tmp_path / "whole")])
    for k in range(3):
        one, other = (rows(tmp_path / f / f"part-{k}.parquet") for f in ("killed", "whole"))
        assert [r["id"] for r in one] == [r["id"] for r in other]
        scores = [[r["score"] for r in part if r["score"] is not None] for part in (one, other)]
        np.testing.assert_allclose(*scores, atol=1e-5)
    left = sorted(f.name for f in (tmp_path / "killed").iterdir())
    assert left == ["part-0.parquet", "part-1.parquet", "part-2.parquet", "run.json"]


def test_scores_of_another_judge_are_not_mixed_in(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder)
    assert run(folder, "--no-reference") == 2
    assert "made with other settings; name another --output" in capsys.readouterr().err


def test_foreign_files_are_not_written_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folder.with_name("answers.scores")
    output.mkdir()
    write_records(output / "part-1.parquet", RECORDS[:3])
    assert run(folder) == 2
    error = capsys.readouterr().err
    assert "part-1.parquet" in error and "name another --output" in error
    assert len(rows(output / "part-1.parquet")) == 3
    assert run(folder, "--output", folder) == 2
    assert "is the input" in capsys.readouterr().err


def test_faults_are_found_in_every_file_before_a_judge_is_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(folder / "part-2.parquet", [*RECORDS[:2], RECORDS[0]])
    assert main(["score", str(folder), "--judge", "no-such-judge"]) == 2
    error = capsys.readouterr().err
    assert "part-2.parquet, row 3, field 'id'" in error and "first in row 1" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", 3], "--limit is for one file"),
        (["--store", "x.store"], "--store is for one file"),
        (["--workers", 2], "--workers needs --engine ray"),
        (["--engine", "ray", "--workers", 0], "--workers must be at least 1"),
    ],
)
def test_options_that_a_folder_does_not_take(
    folder: Path, arguments: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_parquet_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        partitions(tmp_path, tmp_path, {})


class Null:
    """A judge that answers at once."""

    identity = {"model": "null"}  # noqa: RUF012
    template = get_template("self-j")
    max_tokens = 4096
    usage: dict[str, float] = {}  # noqa: RUF012

    def tokenize(self, text: str) -> Offsets:
        return [(0, len(text))]

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        yield Batch(list(range(len(prompts))), np.full((len(prompts), 10), np.log(0.1)))


def peak(tmp_path: Path, records: int) -> int:
    source = RecordFile(tmp_path / f"{records}.jsonl")
    with source.path.open("w") as stream:
        for k in range(records):
            row = {"id": k, "instruction": f"What is {k}?", "response": f"A number, {k}. " * 20}
            stream.write(json.dumps(row) + "\n")
    tracemalloc.start()
    survey = source.survey()
    totals = score_file(Judge(Null()), source, tmp_path / f"{records}.out.jsonl", survey=survey)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert totals.scored == survey.records == records
    return found


def test_memory_does_not_grow_with_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WINDOW", 100)
    peak(tmp_path, 200)  # what is made once
    # What other threads of the test process allocate counts, too, but not every time.
    small, large = (min(peak(tmp_path, n) for _ in range(3)) for n in (500, 2000))
    assert large < small + 64 * 1500  # held whole, a record takes over 1,000 bytes


def test_a_streamed_file_is_read_as_a_whole_one(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", RECORDS)
    source = RecordFile(tmp_path / "a.jsonl", limit=7)
    assert list(source) == read_records(tmp_path / "a.jsonl")[:7]
    assert source.survey().records == 7
    assert source.survey().fields == ("category", "instruction", "rating", "rating_max",
                                      "rating_min", "reference", "response")  # fmt: skip


def test_a_file_without_rows_stops_no_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "part-2.parquet").unlink()
    empty = pq.read_table(folder / "part-0.parquet").slice(0, 0)
    pq.write_table(empty, folder / "part-1.parquet")
    assert run(folder, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["records"], summary["scored"]) == (20, 20)
    assert summary["notices"] == [
        "not read: README.md; only .parquet files directly in the folder are",
        "part-1.parquet holds no records; the output has none either",
    ]
    assert rows(tmp_path / "answers.scores" / "part-1.parquet") == []
    for file in folder.glob("*.parquet"):
        pq.write_table(empty, file)
    assert run(folder, "--output", tmp_path / "none") == 2
    assert "holds no records in any of its files" in capsys.readouterr().err


def test_outputs_of_an_earlier_way_to_read_are_made_again(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "part-2.parquet").unlink()
    with monkeypatch.context() as before:
        before.setattr(
            "selfj_eval.judging.partitions._READING", None
        )  # as outputs of version 0.1 are
        assert run(folder) == 0
    for expected in (0, 40):
        capsys.readouterr()
        assert run(folder, "--json") == 0
        assert json.loads(capsys.readouterr().out)["from_store"] == expected


def test_what_is_no_file_in_a_folder_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "_part.parquet").write_text("hidden, as Spark does")
    (folder / "date=1").mkdir()
    assert run(folder) == 1
    assert "note: not read: README.md and 1 more; only .parquet" in capsys.readouterr().out
    (folder / "part-9.parquet").mkdir()
    assert run(folder) == 2
    assert "part-9.parquet: is not a regular file; take it out" in capsys.readouterr().err
    assert run("x" * 300 + ".jsonl") == 2
    assert "File name too long" in capsys.readouterr().err
