"""``selfj data`` as a user runs it, from a folder and from a server, also when it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from selfj_eval import read_records

COMMIT = "fedcba98" * 5
CONVERTER = """
import sys
from types import ModuleType

def rated(files):
    names = ("reference", "model", "category")
    for file in files:
        for place, line in file.jsonl():
            texts = {"id": f"{file.path}, {place}", "instruction": line["q"], "response": line["a"]}
            scale = {"rating": 1, "rating_min": 0, "rating_max": 1}
            yield texts | scale | dict.fromkeys(names)

module = ModuleType("made_up")
module.rated = rated
sys.modules["selfj_eval.registry.converters.made_up"] = module
"""
SETS = {"pointwise_one": ["a", "b"], "pointwise_two": ["b", "c"], "pairwise_three": ["d"]}


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a mirror's layout; the registry is made up, and of three sets."""
    files = tmp_path / "upstream" / "owner" / "name" / COMMIT
    files.mkdir(parents=True)
    for name in "abcd":
        lines = [{"q": f"{name} {k}?", "a": "yes"} for k in range(10)]
        (files / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, parts in SETS.items():
        path = tmp_path / "registry" / "judge_bench" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = [
            {
                "path": part,
                "bytes": (files / part).stat().st_size,
                "sha256": hashlib.sha256((files / part).read_bytes()).hexdigest(),
            }
            for part in parts
        ]
        source = {"repository": "owner/name", "commit": COMMIT, "files": known}
        source["licence"] = "CC BY 4.0" if name == "pointwise_one" else "none stated"
        document = {"summary": "Made up.", "converter": "made_up:rated", "sources": [source]}
        path.write_text(yaml.safe_dump(document | {"rows": 10 * len(parts)}))
    monkeypatch.setattr("selfj_eval.registry.sets.SETS", tmp_path / "registry")
    monkeypatch.setitem(sys.modules, "selfj_eval.registry.converters.made_up", None)  # put back
    exec(CONVERTER, {})
    return tmp_path / "upstream"


@pytest.fixture
def data(in_process: Any, tmp_path: Path) -> Any:
    """``selfj data`` with SELFJ_DATA set."""
    return partial(_data, in_process, tmp_path / "data")


def _data(run: Any, folder: Path, *arguments: object) -> Any:
    return run("selfj", "data", *arguments, SELFJ_DATA=str(folder))


class Mirror(ThreadingHTTPServer):
    """Serves a folder; file ``stuck`` is answered when the server ends, not before."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.stuck = ""
        self.reached = threading.Event()


class Handler(SimpleHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        if name == self.server.stuck:
            self.server.reached.set()
            time.sleep(60)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(upstream: Path) -> Iterator[Mirror]:
    with Mirror(upstream) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def url(server: Mirror) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def test_get_list_path_verify(data: Any, mirror: Mirror, tmp_path: Path) -> None:
    listed = json.loads(data("list", "--json").stdout)["sets"]
    assert [(row["set"], row["rows"], row["state"]) for row in listed] == [
        ("pairwise_three", 10, "missing"),
        ("pointwise_one", 20, "missing"),
        ("pointwise_two", 20, "missing"),
    ]
    done = data("path", "one")
    assert (done.returncode, done.stderr) == (1, "it is not there: selfj data get one\n")
    assert data("verify").returncode == 1

    done = data("get", "one", "pointwise_two", "--from", url(mirror))
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

    done = data("get", "one", "--from", url(mirror))
    assert (done.returncode, done.stdout) == (0, "judge_bench/pointwise_one: is here already\n")
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
    assert f"{path}: is there already and was not made by `selfj data get`" in done.stderr
    assert path.read_text() == "mine"
    assert (path.parent / "pointwise_two.parquet").exists()
    done = data("verify")
    assert done.returncode == 1
    assert "it cannot be read" in done.stdout
    assert "(not made by selfj data get)" in done.stdout
    assert json.loads(data("list", "--json").stdout)["sets"][1]["state"] == "by hand"


def test_one_set_that_fails_does_not_stop_the_others(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    (upstream / "owner" / "name" / COMMIT / "a").write_text("another")
    done = data("get", "all", "--from", upstream)
    assert done.returncode == 1
    assert "its sha256" in done.stderr or "it has 7 bytes" in done.stderr
    assert "pairwise_three: the converter gave no column 'response_a'" in done.stderr
    assert "2 of 3 sets could not be made" in done.stderr
    made = sorted(path.name for path in (tmp_path / "data" / "judge_bench").iterdir())
    assert made == ["pointwise_two.parquet", "registry.json"]


def test_without_a_network_it_stops_at_once_and_says_from(
    data: Any, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    mirror.shutdown()
    mirror.server_close()
    done = data("get", "all", "--from", url(mirror))
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "cannot be reached" in line]) == 1
    assert "Without a network, get the files elsewhere and name their folder" in done.stderr
    assert not (tmp_path / "data" / "judge_bench").exists()


def test_killed_between_files_it_goes_on(data: Any, mirror: Mirror, tmp_path: Path) -> None:
    mirror.stuck = "c"
    program = f"""{CONVERTER}
from pathlib import Path
from selfj_eval.registry import sets
sets.SETS = Path({str(tmp_path / "registry")!r})
from selfj_eval.cli import main
main(["data", "get", "two", "--from", {url(mirror)!r}])
"""
    environment = os.environ | {"SELFJ_DATA": str(tmp_path / "data")}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        reached = mirror.reached.wait(60)
        process.send_signal(signal.SIGKILL)
    assert reached
    assert not (tmp_path / "data" / "judge_bench").exists()
    mirror.stuck = ""
    mirror.asked.clear()
    assert data("get", "two", "--from", url(mirror)).returncode == 0
    assert mirror.asked == ["c"]
    assert data("verify", "two").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "nothing"], "no pack or set 'nothing'"),
        (["get", "one", "--from", "ftp://host"], "--from"),
        (["get"], "required: NAME"),
        (["get", "one", "--to", "{file}/data"], "Name another folder with --to"),
        (["path", "nothing"], "no pack or set 'nothing'"),
        (["verify", "nothing"], "no pack or set 'nothing'"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_usage(
    data: Any, upstream: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    done = data(*[argument.format(file=file) for argument in arguments])
    assert done.returncode == 2
    assert message in done.stderr


def test_the_progress_ends_where_it_said_although_sets_share_a_file(
    data: Any, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.jobs.progress import Bar, size

    monkeypatch.setattr("selfj_eval.cli.command._bar", Bar(seconds=0))  # every step
    done = data("get", "one", "two", "--from", upstream)
    files = [upstream / "owner" / "name" / COMMIT / name for name in "abc"]
    whole = size(sum(file.stat().st_size for file in files))
    assert f"upstream files: 3 ({whole})" in done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"fetching {whole} of {whole}, ")


def test_doctor_sees_the_users_folder(in_process: Any, tmp_path: Path) -> None:
    def data() -> dict[str, Any]:
        done = in_process("selfj", "doctor", "--json", XDG_DATA_HOME=str(tmp_path))
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}["data"]

    missing = data()
    assert missing["ok"] is None
    assert "`selfj data get judge_bench` gets it" in missing["detail"]
    folder = tmp_path / "selfj-eval" / "judge_bench"
    folder.mkdir(parents=True)
    (folder / "pointwise_one.parquet").touch()
    found = data()
    assert found["ok"] is True
    assert f"{folder.parent} has 1 files of judge_bench" in found["detail"]


def test_to_another_folder_says_how_it_is_found(data: Any, upstream: Path, tmp_path: Path) -> None:
    done = data("get", "one", "--to", tmp_path / "else", "--from", upstream)
    assert done.returncode == 0
    assert f"export SELFJ_DATA={tmp_path / 'else'}" in done.stdout
    assert (tmp_path / "else" / "judge_bench" / "pointwise_one.parquet").is_file()


def test_how_to_find_another_folder_is_said_when_something_is_there(
    data: Any, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = (upstream / "owner" / "name" / COMMIT / "a").read_bytes()
    (upstream / "owner" / "name" / COMMIT / "a").write_text("another")
    done = data("get", "one", "--to", "my data", "--from", upstream)
    assert (done.returncode, "export" in done.stdout) == (1, False)
    (upstream / "owner" / "name" / COMMIT / "a").write_bytes(content)
    for _ in ("got", "is here already"):
        done = data("get", "one", "--to", "my data", "--from", upstream)
        assert f"export SELFJ_DATA='{tmp_path / 'my data'}'\n" in done.stdout


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
    assert "is here already" in data("get", "one", "--from", upstream).stdout
    assert sorted(p.name for p in folder.iterdir()) == ["pointwise_one.parquet", "registry.json"]


def test_files_of_the_users_own_are_listed_and_verified(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "judge_bench"
    folder.mkdir(parents=True)
    rated = {"id": ["1"], "instruction": ["Why?"], "response": ["So."], "rating": [1.0]}
    mine = folder / "pointwise_my_ratings.parquet"
    pq.write_table(pa.table(rated), mine)
    assert len(read_records(mine)) == 1  # these columns do
    assert f"{mine}: not in the registry\n" in data("list").stdout
    assert json.loads(data("list", "--json").stdout)["own"] == [str(mine)]
    done = data("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ok   {mine}: 1 rows (not in the registry)\n"
    found = json.loads(data("verify", "judge_bench", "--json").stdout)["sets"][-1]
    assert (found["set"], found["problems"]) == ("judge_bench/pointwise_my_ratings", [])
    assert str(mine) not in data("verify", "one").stdout

    del rated["rating"]
    pq.write_table(pa.table(rated), mine)
    done = data("verify")
    assert done.returncode == 1
    assert f"FAIL {mine}: it has no column 'rating' (not in the registry)" in done.stdout
    mine.rename(folder / "unrated_my_answers.parquet")
    assert data("verify").returncode == 0
    (folder / "pairwise_mine.parquet").write_text("damaged")
    assert "it cannot be read" in data("verify").stdout


def test_a_file_by_hand_with_fewer_rows_says_how_many_there_could_be(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    assert data("get", "one", "--from", upstream).returncode == 0
    path = tmp_path / "data" / "judge_bench" / "pointwise_one.parquet"
    (path.parent / "registry.json").unlink()
    assert f"ok   {path}: 20 rows (not made by selfj data get)" in data("verify").stdout
    pq.write_table(pq.read_table(path).slice(0, 13), path)
    done = data("verify")
    assert done.returncode == 0
    assert f"ok   {path}: 13 of 20 rows (not made by selfj data get)" in done.stdout
    [found] = json.loads(data("verify", "--json").stdout)["sets"]
    assert (found["rows"], found["registry_rows"]) == (13, 20)


def test_with_nothing_set_the_users_folder_is_filled_and_read(
    in_process: Any, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.errors import DataError
    from selfj_eval.registry.folder import data_file

    monkeypatch.delenv("SELFJ_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    name = "pointwise_one.parquet"
    with pytest.raises(DataError, match="get it: `selfj data get judge_bench/pointwise_one`"):
        data_file("judge_bench", name)
    with pytest.raises(DataError) as raised:
        data_file("judge_bench", "pointwise_my_own.parquet")
    assert "selfj data get" not in str(raised.value)
    with pytest.raises(DataError, match="`SELFJ_DATA=x selfj data get judge_bench/pointwise_one`"):
        data_file("judge_bench", name, "x")
    assert in_process("selfj", "data", "get", "one", "--from", upstream).returncode == 0
    found = data_file("judge_bench", name)
    assert found == tmp_path / "share" / "selfj-eval" / "judge_bench" / name
    assert len(read_records(found)) == 20

    with pytest.raises(DataError) as raised:
        data_file("judge_bench", "pointwise_two.parquet")
    message = str(raised.value)
    assert f"is not in your data folder, {tmp_path / 'share' / 'selfj-eval'}" in message
    assert "`selfj data get judge_bench/pointwise_two`" in message
    assert "metadata" not in message
    with pytest.raises(DataError, match=r"SELFJ_DATA \(or --metadata X\) to a folder"):
        data_file("judge_bench", "pointwise_two.parquet", second_way="--metadata X")


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
