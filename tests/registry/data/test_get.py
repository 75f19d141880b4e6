"""``selfj data get`` as a user runs it, from a folder and from a server, also when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import read_records


def test_get_list_path_verify(data: Any, mirror: Any, tmp_path: Path) -> None:
    listed = json.loads(data("list", "--json").stdout)["sets"]
    assert [(row["set"], row["rows"], row["state"]) for row in listed] == [
        ("pairwise_three", 10, "missing"),
        ("pointwise_one", 20, "missing"),
        ("pointwise_two", 20, "missing"),
    ]
    done = data("path", "one")
    assert (done.returncode, done.stderr) == (1, "it is not on this machine: selfj data get one\n")
    assert data("verify").returncode == 1

    done = data("get", "one", "pointwise_two", "--from", mirror.url)
    assert done.returncode == 0, done.stderr
    assert "  CC BY 4.0: owner/name\n  none stated: owner/name\n" in done.stdout
    assert "judge_bench/pointwise_one: 20 rows" in done.stdout
    assert mirror.asked == ["a", "b", "c"]  # what two sets need is fetched once
    folder = tmp_path / "data" / "judge_bench"
    assert data("path", "two").stdout == f"{folder / 'pointwise_two.parquet'}\n"
    assert data("path", "judge_bench").stdout == f"{folder}\n"
    assert data("path").stdout == f"{folder.parent}\n"
    assert len(read_records(folder / "pointwise_one.parquet")) == 20
    assert [file.name for file in (tmp_path / "data" / ".upstream").rglob("*")] == ["lock"]
    assert "pointwise_one" in data("list").stdout
    states = [row["state"] for row in json.loads(data("list", "--json").stdout)["sets"]]
    assert states == ["missing", "got", "got"]

    done = data("get", "one", "--from", mirror.url)
    assert (done.returncode, done.stdout) == (0, "judge_bench/pointwise_one: already here\n")
    assert mirror.asked == ["a", "b", "c"]
    done = data("verify")
    assert done.returncode == 0
    assert done.stdout.count("ok ") == 2
    assert data("verify", "three").returncode == 1


def test_a_changed_byte_is_found_and_get_repairs_it(data: Any, upstream: Path) -> None:
    assert data("get", "one", "--from", upstream).returncode == 0
    path = Path(data("path", "one").stdout.strip())
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    done = data("verify", "--json")
    assert done.returncode == 1
    [found] = json.loads(done.stdout)["sets"]
    assert "its sha256 is" in found["problems"][0]
    assert data("get", "one", "--from", upstream).returncode == 0
    assert data("verify", "one").returncode == 0


def test_a_file_made_by_hand_is_left_alone_and_checked(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "judge_bench" / "pointwise_one.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    done = data("get", "one", "two", "--from", upstream)
    assert done.returncode == 1
    assert f"{path}: exists and was not made by `selfj data get`" in done.stderr
    assert path.read_text() == "mine"
    assert (path.parent / "pointwise_two.parquet").exists()
    done = data("verify")
    assert done.returncode == 1
    assert "it cannot be read" in done.stdout
    assert "(not made by selfj data get)" in done.stdout
    assert json.loads(data("list", "--json").stdout)["sets"][1]["state"] == "by hand"


def test_one_set_that_fails_does_not_stop_the_others(
    data: Any, upstream: Path, tmp_path: Path, files: Path
) -> None:
    (files / "a").write_text("another")
    done = data("get", "all", "--from", upstream)
    assert done.returncode == 1
    assert "its sha256" in done.stderr or "it has 7 bytes" in done.stderr
    assert "pairwise_three: the converter gave no column 'response_a'" in done.stderr
    assert "2 of 3 sets could not be made" in done.stderr
    made = sorted(path.name for path in (tmp_path / "data" / "judge_bench").iterdir())
    assert made == ["pointwise_two.parquet", "registry.json"]


def test_without_a_network_it_stops_at_once_and_says_from(
    data: Any, mirror: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    mirror.shutdown()
    mirror.server_close()
    done = data("get", "all", "--from", mirror.url)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "cannot be reached" in line]) == 1
    assert "Without a network, get the files elsewhere and name their folder" in done.stderr
    assert not (tmp_path / "data" / "judge_bench").exists()


def test_killed_between_files_it_goes_on(
    data: Any, mirror: Any, tmp_path: Path, converter: str
) -> None:
    mirror.stuck = "c"
    program = f"""{converter}
from pathlib import Path
from selfj_eval.registry import sets
sets.SETS = Path({str(tmp_path / "registry")!r})
from selfj_eval.cli import main
main(["data", "get", "two", "--from", {mirror.url!r}])
"""
    environment = os.environ | {"SELFJ_DATA": str(tmp_path / "data")}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        reached = mirror.reached.wait(60)
        process.send_signal(signal.SIGKILL)
    assert reached
    assert not (tmp_path / "data" / "judge_bench").exists()
    mirror.stuck = ""
    mirror.asked.clear()
    assert data("get", "two", "--from", mirror.url).returncode == 0
    assert mirror.asked == ["c"]
    assert data("verify", "two").returncode == 0


def test_the_progress_ends_where_it_said_although_sets_share_a_file(
    data: Any, upstream: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.jobs.progress import Bar, size

    monkeypatch.setattr("selfj_eval.cli.command._bar", Bar(seconds=0))  # every step
    done = data("get", "one", "two", "--from", upstream)
    whole = size(sum((files / name).stat().st_size for name in "abc"))
    assert f"upstream files: 3 ({whole})" in done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"fetching {whole} of {whole}, ")


def test_what_killed_runs_left_goes_also_of_sets_that_are_not_asked_for(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "judge_bench"
    program = f"""
import os, signal
from selfj_eval.records.writing import atomic_write
for name in ("pointwise_one.parquet", "pairwise_three.parquet", "registry.json"):
    writing = atomic_write({str(folder)!r} + "/" + name)
    writing.__enter__().write(b"half")
    globals()[name] = writing
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert data("get", "one", "--from", upstream).returncode == 0
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode < 0
    assert len(list(folder.glob(".*.tmp"))) == 3
    assert "already here" in data("get", "one", "--from", upstream).stdout
    assert sorted(p.name for p in folder.iterdir()) == ["pointwise_one.parquet", "registry.json"]


def test_from_python_licences_come_first_and_failures_are_in_the_result(
    upstream: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from selfj_eval import registry as data

    folder = tmp_path / "data"
    monkeypatch.setenv("SELFJ_DATA", str(folder))
    plans: list[tuple[Any, bool]] = []
    got = data.get(
        ["one", "three"],
        origin=upstream,
        announce=lambda plan: plans.append((plan, folder.exists())),
    )
    [(plan, begun)] = plans
    assert not begun
    assert plan.licences == {"CC BY 4.0": ("owner/name",), "none stated": ("owner/name",)}
    assert (plan.files, [item.set for item in got.made]) == (3, ["judge_bench/pointwise_one"])
    [failure] = got.failures
    assert failure.set == "judge_bench/pairwise_three" and "'response_a'" in failure.reason
    assert (got.left, got.found) == (1, True)
    assert len(read_records(data.path("one"))) == 20
    assert {item.set: item.state for item in data.list().sets}["pointwise_one"] == "got"
    [finding] = data.verify().sets
    assert (finding.rows, finding.problems, data.verify("three").wrong) == (20, (), 1)
    assert data.get("one", origin=upstream).plan.here == ("judge_bench/pointwise_one",)
    assert capsys.readouterr() == ("", "")
