"""A registry of three made-up sets, with their files in a folder and on a server."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

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
def files(upstream: Path) -> Path:
    """The folder of the one repository's files, ``a`` to ``d``."""
    return upstream / "owner" / "name" / COMMIT


@pytest.fixture(scope="session")
def converter() -> str:
    """Python code that puts the sets' converter where it is looked for."""
    return CONVERTER


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
        self.url = f"http://127.0.0.1:{self.server_port}/"
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
