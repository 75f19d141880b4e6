"""The paper's table, and a row of it made all the way: real generation, a real chat server."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from selfj_eval.alpaca.gpt4 import cache_of

pytest.importorskip("alpaca_eval", reason="the extra alpaca is not installed")

Run = Callable[..., subprocess.CompletedProcess[str]]
KEY = "sk-not-to-be-written-down"
N = 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Path]]]:
    """Start the chat server; gives its address and its log of requests."""
    started: list[subprocess.Popen[str]] = []

    def start(*broken: str, port: int = 0) -> tuple[str, Path]:
        log = tmp_path / f"requests_{len(started)}.jsonl"
        program = Path(__file__).parents[1] / "servers" / "chat_server.py"
        process = subprocess.Popen(
            [sys.executable, str(program), str(log), *broken],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PORT": str(port)},
        )
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", log

    yield start
    for process in started:
        process.kill()
        process.wait()


def _table(command: Run, data: Path, *arguments: object) -> dict[str, dict[str, Any]]:
    done = command("selfj", "alpaca", "table", "--json", *arguments, SELFJ_DATA=str(data))
    assert done.returncode == 0, done.stderr
    return {row["row"]: row["cells"] for row in json.loads(done.stdout)}


def test_stored_preferences_replayed(in_process: Run, data: Path) -> None:
    rows = _table(in_process, data)
    vicuna, llama = rows["vicuna-13b-v1.5"], rows["llama-2-13b-chat"]
    assert vicuna["v2"]["obtained"] == pytest.approx(6.722122, abs=1e-6)
    assert llama["v1"]["obtained"] == pytest.approx(81.094527, abs=1e-6)
    assert llama["v1"]["n"] == 804
    assert "804 of 805" in llama["v1"]["how"]
    assert vicuna["v2_lc"]["obtained"] == pytest.approx(vicuna["v2_lc"]["leaderboard"], abs=0.15)
    for row, name in (("vicuna-13b-v1.5", "v2"), ("llama-2-13b-chat", "v1")):
        cell = rows[row][name]
        assert cell["obtained"] == pytest.approx(cell["leaderboard"], abs=1e-9)
        assert cell["difference"] == pytest.approx(cell["obtained"] - cell["published"])
        assert abs(cell["difference"]) < 0.05  # the paper rounds
    published = {
        ("llama-2-13b-87k", "v1"): 79.13,
        ("llama-2-13b-87k", "v2"): 7.33,
        ("wizardlm-13b", "v1"): 89.17,
        ("wizardlm-13b-best-of-32", "v2"): 15.9,
    }
    for (row, name), value in published.items():
        cell = rows[row][name]
        assert (cell["published"], cell["obtained"]) == (value, None)
        assert cell["how"].startswith("not run: ")
    assert rows["wizardlm-13b"]["v2"]["leaderboard"] == pytest.approx(12.027480, abs=1e-6)


@pytest.mark.long
def test_a_row_from_a_model_folder(
    command: Run, data: Path, tiny_judge: Path, tmp_path: Path, server: Any
) -> None:
    url, log = server()
    runs = tmp_path / "runs"
    line = ("selfj", "alpaca", "run", "llama-2-13b-87k", "--model", tiny_judge, "--judge", "demo")
    line += ("--gpt4", "--output", runs, "--limit", N, "--generate=--max-new-tokens 24")
    where = {"SELFJ_DATA": str(data), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
    done = command(*line, **where)
    assert done.returncode == 1, done.stderr  # most instructions have no answer
    requests = [json.loads(text) for text in log.read_text().splitlines()]
    assert [r["model"] for r in requests] == ["gpt-4"] * N + ["gpt-4-1106-preview"] * N
    assert {r["authorization"] for r in requests} == {f"Bearer {KEY}"}

    rows = json.loads((runs / "llama-2-13b-87k" / "gpt4_v2.annotations.json").read_text())
    assert len(rows) == N
    for row in rows:  # what the server says, whichever output it was shown first
        better = 1 / (1 + math.exp((len(row["output_1"]) - len(row["output_2"])) / 1000))
        assert row["preference"] == pytest.approx(1 + better, abs=1e-6)
    mean = 100 * sum(row["preference"] - 1 for row in rows) / N
    cells = _table(command, data, "--results", runs)["llama-2-13b-87k"]
    assert cells["v2"]["obtained"] == pytest.approx(mean)
    assert cells["v2"]["difference"] == pytest.approx(mean - 7.33)
    assert f"({N} of 805)" in cells["v2"]["how"]
    assert " at 127.0.0.1:" in cells["v2"]["how"]
    assert cells["v1"]["obtained"] == 0  # the long answers win
    judged = cells["v1"]["by_judge"]["demo"]
    assert 0 < judged.pop("value") < 100
    assert judged == {"n": N, "n_unscored": 0, "n_missing": 805 - N}

    again = command(*line, **where)
    assert again.returncode == 1, again.stderr
    assert f"{N} answers to {N} instructions, {N} of them from the store" in again.stdout
    assert len(log.read_text().splitlines()) == 2 * N  # nothing was asked twice
    written = [file for file in runs.rglob("*") if file.is_file()]
    assert not [file for file in written if KEY.encode() in file.read_bytes()]
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("what", ["nonsense", "refusal"])
def test_answers_without_an_annotation_are_counted_and_asked_about_once(
    in_process: Run, data: Path, tiny_judge: Path, tmp_path: Path, server: Any, what: str
) -> None:
    # In the first instruction.
    url, log = server("Broadway" if what == "nonsense" else "refuse:Broadway")
    line = ("selfj", "alpaca", "run", "llama-2-13b-87k", "--model", tiny_judge, "--gpt4")
    line += ("--output", tmp_path, "--limit", 2, "--generate=--max-new-tokens 4")
    where = {"SELFJ_DATA": str(data), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
    done = in_process(*line, **where)
    assert done.returncode == 1, done.stderr
    refused = done.stderr.count("unscored: the server refused the request (400: The prompt was")
    assert refused == (0 if what == "nonsense" else 2)
    for cache in (tmp_path / "llama-2-13b-87k").glob("*.cache.json"):  # as it was called in 0.1.0
        cache.rename(cache.with_name(f"{cache.name[:7]}.cache.json"))
    again = in_process(*line, **where)
    assert again.returncode == 1, again.stderr
    assert "cache.json" not in again.stderr
    assert len(log.read_text().splitlines()) == 4
    for version in ("v1", "v2"):
        result = json.loads((tmp_path / "llama-2-13b-87k" / f"gpt4_{version}.json").read_text())
        assert (result["row"]["n_total"], result["row"]["n_unscored"]) == (1, 1)
        assert result["row"]["n_missing"] == 803


@pytest.mark.parametrize("asked", ["OpenAI", "localhost:1", None])
def test_a_cache_of_an_older_version_is_used_for_its_own_server_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: str | None
) -> None:
    result, old = tmp_path / "gpt4_v1.json", tmp_path / "gpt4_v1.cache.json"
    old.write_text("[1]")
    if asked is not None:
        result.write_text(json.dumps({"endpoint": asked}))
    cache = cache_of(result, "OpenAI")
    assert cache == tmp_path / "gpt4_v1.OpenAI.cache.json"
    assert (cache.is_file(), old.is_file()) == (asked == "OpenAI", asked != "OpenAI")
    said = caplog.text
    note = f"annotations of {asked or 'an unknown server'} and is not used"
    assert (note in said) if asked != "OpenAI" else said == ""
    cache.touch()
    caplog.clear()
    assert cache_of(result, "OpenAI") == cache and not caplog.text


def test_best_of_n_row(in_process: Run, data: Path, tiny_judge: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "table.yaml"
    cells = "{v1: {missing: not run}, v2: {missing: not run}}"
    settings = "{n: 3, temperature: 1.0, prompt: plain}"
    manifest.write_text(f"- {{row: best, title: Best of 3, run: {settings}, cells: {cells}}}\n")
    line = ("selfj", "alpaca", "run", "best", "--manifest", manifest, "--model", tiny_judge)
    line += ("--output", tmp_path, "--limit", 4, "--generate=--max-new-tokens 8")
    refused = in_process(*line, "--gpt4", SELFJ_DATA=str(data))
    assert refused.returncode == 2
    assert "give --judge" in refused.stderr
    done = in_process(*line, "--judge", "demo", SELFJ_DATA=str(data))
    assert done.returncode == 1, done.stderr
    candidates = json.loads((tmp_path / "best" / "candidates.json").read_text())
    chosen = json.loads((tmp_path / "best" / "model_outputs.json").read_text())
    assert (len(candidates), len(chosen)) == (12, 4)
    pairs = {(c["instruction"], c["output"]) for c in candidates}
    assert all((c["instruction"], c["output"]) in pairs for c in chosen)
    table = _table(in_process, data, "--manifest", manifest, "--results", tmp_path)
    assert set(table["best"]["v2"]["by_judge"]) == {"demo"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("llama-2-13b-87k", "--model", "x"), "give --judge MODEL, --gpt4 or both"),
        (("vicuna-13b-v1.5", "--model", "x", "--gpt4"), "no row 'vicuna-13b-v1.5' that a run can"),
        (("llama-2-13b-87k", "--model", "./nothing", "--judge", "demo"), "no folder './nothing'"),
        (("llama-2-13b-87k", "--model", "x", "--gpt4"), "OPENAI_API_KEY"),
        (
            ("llama-2-13b-87k", "--model", "x", "--judge", "demo", "--judge-options='"),
            "--judge-options=': No closing quotation",
        ),
    ],
)
def test_wrong_runs(
    in_process: Run, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = in_process(
        *("selfj", "alpaca", "run", *arguments, "--output", tmp_path),
        SELFJ_DATA=str(data),
        OPENAI_API_KEY="",
    )
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.long
def test_a_server_that_dies_loses_little(
    command: Run, data: Path, tiny_judge: Path, tmp_path: Path, server: Any
) -> None:
    """What was paid for is kept, and only the rest is asked when it goes on."""
    many = 24
    line = ("selfj", "alpaca", "run", "llama-2-13b-87k", "--model", tiny_judge, "--gpt4")
    line += ("--output", tmp_path / "runs", "--limit", many, "--generate=--max-new-tokens 2")
    url, log = server("no such text", "15")  # dies at the 15th request
    where = {"SELFJ_DATA": str(data), "OPENAI_API_KEY": KEY}
    first = command(*line, OPENAI_BASE_URL=url, **where)
    assert first.returncode == 2
    assert "run it again to continue" in first.stderr
    port = urlsplit(url).port
    assert port is not None
    cache = tmp_path / "runs" / "llama-2-13b-87k" / f"gpt4_v1.127.0.0.1_{port}.cache.json"
    assert len(json.loads(cache.read_text())) == 10
    url, log = server(port=port)
    again = command(*line, OPENAI_BASE_URL=url, **where)
    assert again.returncode == 1, again.stderr
    assert len(log.read_text().splitlines()) == 2 * many - 10
    url, log = server()  # another one, whose answers nobody has
    assert command(*line, OPENAI_BASE_URL=url, **where).returncode == 1
    assert len(log.read_text().splitlines()) == 2 * many
    assert not list(cache.parent.glob("*.tmp"))


@pytest.mark.long
def test_answers_of_another_model_forget_the_old_numbers(
    command: Run, data: Path, tiny_judge: Path, tmp_path: Path, server: Any
) -> None:
    url, _ = server()
    line = ("selfj", "alpaca", "run", "llama-2-13b-87k", "--output", tmp_path, "--limit", 2)
    line += ("--generate=--max-new-tokens 2 --name x --output y.json",)  # not for them to say
    where = {"SELFJ_DATA": str(data), "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}
    assert command(*line, "--model", tiny_judge, "--gpt4", **where).returncode == 1
    cells = _table(command, data, "--results", tmp_path)["llama-2-13b-87k"]
    assert cells["v2"]["n"] == 2
    assert command(*line, "--model", "demo", "--judge", "demo", **where).returncode == 1
    cells = _table(command, data, "--results", tmp_path)["llama-2-13b-87k"]
    assert cells["v2"]["obtained"] is None
    assert cells["v2"]["by_judge"]["demo"]["n"] == 2
    assert not Path("y.json").exists()


@pytest.mark.parametrize(
    "rows",
    [
        "- {row: ../x, title: T, cells: {v1: {missing: m}}}",
        "- {row: a, title: T, cells: []}",
        "- {row: a, title: T, run: yes, cells: {v1: {missing: m}}}",
        "- {row: a, title: T, cells: {v3: {missing: m}}}",
        "- &r {row: a, title: T, cells: {v1: {missing: m}}}\n- *r",
        "- !!python/object/apply:os.getcwd []",
        "rows: 3",
    ],
)
def test_manifests_that_are_none(in_process: Run, data: Path, tmp_path: Path, rows: str) -> None:
    (tmp_path / "table.yaml").write_text(rows)
    line = ("selfj", "alpaca", "table", "--manifest", tmp_path / "table.yaml")
    done = in_process(*line, SELFJ_DATA=str(data))
    assert done.returncode == 2
    assert done.stderr.startswith("selfj: error: ") and "table.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_endpoint_that_is_not_there(
    in_process: Run, data: Path, tiny_judge: Path, tmp_path: Path
) -> None:
    done = in_process(
        *("selfj", "alpaca", "run", "llama-2-13b-87k", "--model", tiny_judge, "--gpt4"),
        *("--output", tmp_path, "--limit", 1, "--generate=--max-new-tokens 4"),
        **{"SELFJ_DATA": str(data), "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
        **{"OPENAI_API_KEY": KEY},
    )
    assert done.returncode == 2
    assert "alpaca_eval_gpt4 failed" in done.stderr.splitlines()[-1]
    assert "OPENAI_BASE_URL" in done.stderr.splitlines()[-1]
    assert KEY not in done.stdout + done.stderr
