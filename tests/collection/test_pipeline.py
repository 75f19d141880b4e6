"""The whole collection, from local files: counts, duplicates, interruptions, workers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfj_eval.collection.pipeline import assemble, prepare_all
from selfj_eval.collection.preparing import PreparedSource, Recipe
from selfj_eval.collection.sources import load_sources
from selfj_eval.errors import DataError, StoreError
from selfj_eval.jobs.options import OptionError

pytest.importorskip("datasketch", reason="the extra collect is not installed")
pytest.importorskip("py3langid", reason="the extra collect is not installed")

NAMES = ("quora", "quora_coding", "mbpp", "qasc")
SOURCES = [source for source in load_sources() if source.name in NAMES]


@pytest.fixture
def evaluation(jsonl: Callable[..., Path]) -> Path:
    rows = [{"instruction": "Name three primary colours of light"}]
    return jsonl(*rows, name="evaluation.jsonl")


def files_of(out: Path) -> dict[str, str]:
    """Digests of what a run leaves, by name; the work folder apart."""
    found = sorted(p for p in out.rglob("*") if p.is_file() and "work" not in p.parts)
    return {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in found
    }


def rows_of(file: Path) -> list[dict[str, str]]:
    return pq.read_table(file).to_pylist()


def test_a_run(
    in_process: Callable[..., Any], downloads: Path, evaluation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["collect", "run", "--output", out, "--from", downloads, "--workers", 1]
    arguments += ["--sources", ",".join(NAMES), "--evaluation", evaluation, "--json"]
    done = in_process("selfj", *arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    rows = {row["name"]: row for row in summary["sources"]}
    assert list(rows) == ["quora", "quora_coding", "mbpp", "qasc"]  # in the order of the sources
    quora = rows["quora"]
    assert quora["rows"] == 19
    assert quora["dropped"]["too_short"] == 1
    assert quora["dropped"]["broken_encoding"] == 1
    assert quora["dropped"]["language"] == 1
    assert quora["dropped"]["contaminated"] == 1
    assert quora["dropped"]["exact_duplicate"] == 1
    assert quora["dropped"]["near_duplicate"] == 1
    assert quora["kept"] == 30
    assert rows["quora_coding"]["kept"] == 2
    assert rows["mbpp"]["dropped"]["exact_duplicate"] == 1 and rows["mbpp"]["kept"] == 8
    for row in rows.values():
        assert row["instructions"] == row["kept"] + sum(row["dropped"].values())
    assert summary["kept"] == 30 + 2 + 8 + 5
    kept = rows_of(out / "Common" / "quora.parquet")
    assert set(kept[0]) == {"id", "instruction", "source", "category"}
    texts = [row["instruction"] for row in kept]
    given = (downloads / "quora" / "part-0.jsonl").read_text()
    assert all(json.dumps(text) in given for text in texts)  # in their own wording
    every = [row for file in out.glob("[CA]*/*.parquet") for row in rows_of(file)]
    assert len({row["id"] for row in every}) == len(every) == summary["kept"]
    written = json.loads((out / "summary.json").read_text())
    assert written["sources"] == summary["sources"]


def test_the_same_bytes_on_any_number_of_workers(downloads: Path, tmp_path: Path) -> None:
    found = []
    for workers in (1, 3):
        out = tmp_path / f"out{workers}"
        outcomes = prepare_all(SOURCES, Recipe(str(downloads)), out, workers=workers)
        assemble(SOURCES, outcomes, Recipe(str(downloads)), out)
        found.append(files_of(out))
    assert found[0] == found[1]
    assert len(found[0]) == 5


def test_a_source_that_fails_does_not_stop_the_others(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    rows = downloads / "mbpp" / "part-0.jsonl"
    rows.write_text(rows.read_text() + '{"prompt": "Write a function."}\n')
    (downloads / "qasc" / "part-0.jsonl").unlink()
    out = tmp_path / "out"
    arguments = ["collect", "run", "--output", out, "--from", downloads, "--workers", 2]
    arguments += ["--sources", ",".join(NAMES), "--evaluation", "none"]
    done = in_process("selfj", *arguments)
    assert done.returncode == 1
    assert "FAILED mbpp: mbpp, part-0.jsonl, line 10, field 'text'" in done.stdout
    assert "the schema has changed" in done.stdout
    assert "FAILED qasc: qasc: there is no file" in done.stdout
    assert (out / "Common" / "quora.parquet").exists()
    assert not (out / "Coding" / "mbpp.parquet").exists()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["failed"] == ["mbpp", "qasc"]
    rows.write_text(rows.read_text().replace('"prompt"', '"text"'))
    again = in_process("selfj", *arguments)
    assert "FAILED mbpp" not in again.stdout and (out / "Coding" / "mbpp.parquet").exists()


def test_nothing_of_a_folder_is_passed_over_in_silence(downloads: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    row = {"question": "What is it that falls as snow and melts as water?"}
    (tmp_path / "elsewhere" / "b.jsonl").write_text(json.dumps(row))
    (downloads / "qasc" / "more").symlink_to(tmp_path / "elsewhere")
    (downloads / "qasc" / "loop").symlink_to(downloads / "qasc")
    outcome = prepare_all(SOURCES, Recipe(str(downloads)), tmp_path / "out")["qasc"]
    assert isinstance(outcome, PreparedSource) and outcome.rows == 6
    (downloads / "mbpp" / "part-0.jsonl").write_text('{"\\ud800": 1}\n')
    out, recipe = tmp_path / "out", Recipe(str(downloads))
    summary = assemble(SOURCES, prepare_all(SOURCES, recipe, out), recipe, out)
    assert summary.failed == ("mbpp",)


def test_two_runs_at_once_are_refused(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    import filelock

    (tmp_path / "out" / "work").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "out" / "work" / "lock"):
        arguments = ["--output", tmp_path / "out", "--from", downloads, "--evaluation", "none"]
        done = in_process("selfj", "collect", "run", *arguments)
    assert done.returncode == 2 and "another `selfj collect run` is running" in done.stderr


def test_what_is_ready_is_not_read_again(downloads: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", Recipe(str(downloads))
    assemble(SOURCES, prepare_all(SOURCES, recipe, out), recipe, out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}
    assemble(SOURCES, prepare_all(SOURCES, recipe, out), recipe, out)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")} == before
    with (downloads / "qasc" / "part-0.jsonl").open("a") as file:
        file.write(json.dumps({"question": "What falls as rain, and what as snow?"}) + "\n")
    assemble(SOURCES, prepare_all(SOURCES, recipe, out), recipe, out)
    changed = {p.name for p, time_ in before.items() if p.stat().st_mtime_ns != time_}
    assert (out / "work" / "qasc.parquet").stat().st_mtime_ns != before[
        out / "work" / "qasc.parquet"
    ]
    assert (out / "work" / "quora.parquet").stat().st_mtime_ns == before[
        out / "work" / "quora.parquet"
    ]
    assert "qasc.parquet" in changed
    assert len(rows_of(out / "Academic" / "qasc.parquet")) == 6


KILLED = """
import os, signal, sys
left = int(sys.argv.pop(1))
replace = type(__import__("pathlib").Path()).replace
def counted(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return replace(self, target)
type(__import__("pathlib").Path()).replace = counted
from selfj_eval.cli import main
sys.exit(main())
"""


def test_killed_anywhere_and_resumed_gives_the_same_bytes(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    """Killed before each of the files appears that a run writes."""
    arguments = ["collect", "run", "--from", downloads, "--workers", 1, "--evaluation", "none"]
    arguments += ["--sources", ",".join(NAMES)]
    assert in_process("selfj", *arguments, "--output", tmp_path / "whole").returncode == 0
    expected = files_of(tmp_path / "whole")
    program = [sys.executable, "-c", KILLED]
    for files in (0, 3, 4, 6, 8):
        out = tmp_path / f"killed{files}"
        run = [*program, files, *arguments, "--output", out]
        done = subprocess.run([str(part) for part in run], capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert files_of(out) != expected
        assert in_process("selfj", *arguments, "--output", out).returncode == 0
        assert files_of(out) == expected
        assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]


def test_killed_at_any_moment(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    """Killed by the clock, with workers that are killed too, and resumed until it is done."""
    arguments = ["collect", "run", "--from", downloads, "--workers", 2, "--evaluation", "none"]
    arguments += ["--sources", ",".join(NAMES)]
    assert in_process("selfj", *arguments, "--output", tmp_path / "whole").returncode == 0
    out = tmp_path / "killed"
    program = [sys.executable, "-m", "selfj_eval", *arguments, "--output", out]
    for seconds in (1.5, 3.0):
        process = subprocess.Popen(
            [str(part) for part in program],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert in_process("selfj", *arguments, "--output", out).returncode == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_source_taken_out_leaves_nothing(downloads: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", Recipe(str(downloads))
    assemble(SOURCES, prepare_all(SOURCES, recipe, out), recipe, out)
    own = out / "Common" / "mine.parquet"
    pq.write_table(pa.table({"x": [1]}), own)
    fewer = SOURCES[:1]
    summary = assemble(fewer, prepare_all(fewer, recipe, out), recipe, out)
    assert own.exists()  # not ours to remove
    own.unlink()
    assert sorted(files_of(out)) == ["Common/quora.parquet", "summary.json"]
    removed = ("Coding/mbpp.parquet", "Coding/quora_coding.parquet", "Academic/qasc.parquet")
    assert summary.removed == removed


def test_no_source_at_all(tmp_path: Path) -> None:
    recipe = Recipe(str(tmp_path))
    outcomes = prepare_all(SOURCES, recipe, tmp_path / "out")
    with pytest.raises(DataError, match="no source is ready: quora: there is no folder"):
        assemble(SOURCES, outcomes, recipe, tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sources", "nobody"], "no source 'nobody'; there are: embedding-data_PAQ_pairs,"),
        (["--from", "/nowhere"], "is not a folder"),
        (["--threshold", 0.1], "--threshold must lie between"),
        (["--workers", 0], "must be at least 1"),
        (["--sources", ","], "--sources names no source"),
        (["--evaluation", ""], "--evaluation names nothing"),
        (["--max-tokens", 5_000_000_000], "--max-tokens must lie between 0 and 1,000,000"),
        (["--evaluation", "no.jsonl"], "is neither a file nor one of alpaca_eval"),
        (["--language", "xx"], "xx"),
        (["--min-tokens", 9, "--max-tokens", 3], "--min-tokens must be at most --max-tokens, 3"),
    ],
)
def test_wrong_usage(
    in_process: Callable[..., Any], tmp_path: Path, more: list[Any], message: str
) -> None:
    base = ["collect", "run", "--output", tmp_path / "out", "--evaluation", "none"]
    done = in_process("selfj", *base, *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value"), [("name", "../../x"), ("name", "/x"), ("name", ".x"), ("hub", "../../x")]
)
def test_names_of_sources_are_no_paths(
    in_process: Callable[..., Any], tmp_path: Path, field: str, value: str
) -> None:
    own = {"name": "x", "category": "Common", "expected": 1, "hub": "x/y", "split": "train",
           "licence": "none", "fields": ["text"], "converter": "single"}  # fmt: skip
    (tmp_path / "sources.yaml").write_text(json.dumps([own | {field: value}]))
    arguments = ["collect", "run", "--output", tmp_path / "a" / "b", "--evaluation", "none"]
    done = in_process("selfj", *arguments, "--source-file", tmp_path / "sources.yaml")
    assert done.returncode == 2
    assert f"entry 1, field '{field}': expected letters" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["sources.yaml"]


def test_without_the_evaluation_sets_it_says_what_to_do(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    done = in_process("selfj", "collect", "run", "--output", tmp_path / "out", "--from", downloads)
    assert done.returncode == 2
    assert "selfj data get alpaca_eval" in done.stderr


def test_an_evaluation_set_that_changes_counts_as_it_is_now(
    downloads: Path, tmp_path: Path
) -> None:
    held_out, out = tmp_path / "held_out.jsonl", tmp_path / "out"
    recipe = Recipe(str(downloads), evaluation=(str(held_out),))
    lines = (downloads / "qasc" / "part-0.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for question in (rows[0]["question"], rows[1]["question"]):
        held_out.write_text(json.dumps({"instruction": question}), "utf-8")
        done = prepare_all(SOURCES, recipe, out)["qasc"]
        assert isinstance(done, PreparedSource) and done.dropped["contaminated"] == 1
        kept = pq.read_table(out / "work" / "qasc.parquet")["instruction"].to_pylist()
        assert question not in kept


def test_from_python_one_result_goes_into_the_next(
    downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from selfj_eval import collection as collect

    made = collect.run(
        output=tmp_path / "out",
        origin=downloads,
        sources=["quora", "qasc", "mbpp", "quora_coding"],
        evaluation=(),
        max_tokens=400,
        workers=1,
    )
    assert (made.kept, made.failed, made.settings.filters.max_tokens) == (46, (), 400)
    assert {s.name: s.kept for s in made.sources}["qasc"] == 5
    first = collect.sample(made, n=20)
    second = collect.sample(made, n=20, exclude=[first])
    assert not {r["id"] for r in first.instructions} & {r["id"] for r in second.instructions}
    assert (second.excluded, second.output) == (20, None)
    assert set(first.to_frame().columns) == {"id", "instruction", "source", "category"}
    found = collect.stats(made, sample=0, output=tmp_path / "stats")
    assert {c.name: c.kept for c in found.categories} == made.to_frame().groupby("category")[
        "kept"
    ].sum().to_dict()
    assert found.lengths["words"].by_category["Academic"].n == 5
    assert (tmp_path / "stats" / "stats.md").is_file()
    assert capsys.readouterr() == ("", "")


def test_from_python_errors_name_options(tmp_path: Path) -> None:
    from selfj_eval import collection as collect

    with pytest.raises(OptionError, match="`threshold` must lie between 0.75 and 1, got 0.5"):
        collect.run(output=tmp_path / "out", threshold=0.5)
    with pytest.raises(OptionError, match="`sources` must be a list"):
        collect.run(output=tmp_path / "out", sources="quora")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="name another `output`"):
        collect.run(output=tmp_path / "file", origin=tmp_path, evaluation=())


def test_the_former_flag_of_the_output(
    in_process: Callable[..., Any], downloads: Path, tmp_path: Path
) -> None:
    arguments = ["--from", downloads, "--sources", "qasc", "--evaluation", "none", "--workers", 1]
    done = in_process("selfj", "collect", "run", "--out", tmp_path / "out", *arguments)
    assert done.returncode == 0
    assert done.stderr.startswith("note: --out is called --output now.\n")
    assert (tmp_path / "out" / "Academic" / "qasc.parquet").exists()
    assert "--output is missing" in in_process("selfj", "collect", "run", *arguments).stderr
