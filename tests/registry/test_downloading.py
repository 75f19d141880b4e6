"""Downloads from a real server: whole, checked, and never outside of their folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from selfj_eval.errors import DataError, StoreError
from selfj_eval.registry.cache import opened
from selfj_eval.registry.downloading import CountedOnce, Folder, UnreachableError, Web, origin_from
from selfj_eval.registry.sets import SourceFile

COMMIT = "0123456789abcdef" * 2 + "01234567"
CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves ``contents`` by path, with what ``faults`` has for the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.requests: list[str] = []

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what is tested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        content = self.server.contents.get(unquote(self.path))
        if fault.isdecimal() or content is None:
            self._answer(int(fault or 404), b"<html>no</html>", {"Retry-After": "0"})
            return
        cut = {"cut": len(content) // 2, "cut late": 3 * len(content) // 4}.get(fault, 0)
        if fault == "short, no length":
            self._answer(200, content[:-1], {"Connection": "close"}, length=None)
        else:
            self._answer(200, content[:cut] or content, {}, length=len(content))
        if cut or fault == "short, no length":
            self.close_connection = True

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str], length: int | None = 0
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / ".upstream"
    folder.mkdir(parents=True)
    return folder


def file(path: str = "data copy/a#1.json", content: bytes = CONTENT) -> SourceFile:
    digest = hashlib.sha256(content).hexdigest()
    return SourceFile("owner/name", COMMIT, path, len(content), digest)


def served(server: Server, content: bytes = CONTENT) -> Web:
    server.contents[f"/owner/name/{COMMIT}/data copy/a#1.json"] = content
    return Web(server.url, pauses=(0, 0), timeout=(5, 5))


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_file_is_fetched_once_and_checked(server: Server, cache: Path) -> None:
    web, steps = served(server), list[int]()
    path = web.fetch(file(), cache, steps.append)
    assert path == cache / "owner" / "name" / COMMIT / "data copy" / "a#1.json"
    assert path.read_bytes() == CONTENT
    assert sum(steps) == len(CONTENT)
    assert web.fetch(file(), cache, steps.append) == path
    assert len(server.requests) == 1
    path.write_bytes(CONTENT[:-1] + b"x")  # damaged on the disk: seen, and fetched again
    assert web.fetch(file(), cache, steps.append).read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert files_in(cache) == [f"owner/name/{COMMIT}/data copy/a#1.json"]


def test_a_broken_connection_is_tried_again(server: Server, cache: Path) -> None:
    web, steps = served(server), list[int]()
    server.faults = ["cut", "cut late"]
    assert web.fetch(file(), cache, steps.append).read_bytes() == CONTENT
    assert len(server.requests) == 3
    assert sum(steps) == len(CONTENT)  # what came in vain is taken back


def test_nothing_is_left_of_a_file_that_did_not_come(server: Server, cache: Path) -> None:
    web, steps = Web(served(server)._base, pauses=()), list[int]()
    server.faults = ["cut"]
    with pytest.raises(DataError, match=r"ended after 524,288 of 1,048,576 bytes.*command again"):
        web.fetch(file(), cache, steps.append)
    assert files_in(cache) == [] and sum(steps) == 0
    assert web.fetch(file(), cache, steps.append).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "path", ["data/set=one,model=gpt-4o.jsonl", "LLMEval^2/all in one.json", "50%25 & more?.json"]
)
def test_paths_arrive_as_they_are(server: Server, cache: Path, path: str) -> None:
    server.contents[f"/owner/name/{COMMIT}/{path}"] = CONTENT
    server.faults = ["cut"]
    found = Web(server.url, pauses=(0,)).fetch(file(path), cache, lambda _: None)
    assert found == cache / "owner" / "name" / COMMIT / path
    assert found.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_file_that_several_sets_need_counts_once(server: Server, cache: Path) -> None:
    origin, steps = CountedOnce(Web(served(server)._base, pauses=())), list[int]()
    server.faults = ["cut"]
    with pytest.raises(DataError, match="ended after"):
        origin.fetch(file(), cache, steps.append)
    assert sum(steps) == 0
    for _ in range(3):
        origin.fetch(file(), cache, steps.append)
        assert sum(steps) == len(CONTENT)
    next(cache.rglob("a#1.json")).unlink()
    origin.fetch(file(), cache, steps.append)
    assert sum(steps) == len(CONTENT)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (CONTENT[:-1] + b"x", r"its sha256 is [0-9a-f]{64}, the registry says [0-9a-f]{64}"),
        (CONTENT[:-1], "it has 1,048,575 bytes, the registry says 1,048,576"),
        (CONTENT + b"x", "it has 1,048,577 bytes, the registry says 1,048,576"),
        (b"<html>sign in</html>", "it has 20 bytes, the registry says 1,048,576"),
    ],
)
def test_another_content_is_refused_and_removed(
    server: Server, cache: Path, content: bytes, found: str
) -> None:
    steps = list[int]()
    with pytest.raises(DataError, match=f"{found}. It was removed; .* `origin`") as raised:
        served(server, content).fetch(file(), cache, steps.append)
    assert raised.value.path == f"owner/name@{COMMIT[:12]}/data copy/a#1.json"
    assert files_in(cache) == []
    assert sum(steps) == 0


def test_an_answer_without_a_length_that_is_too_short(server: Server, cache: Path) -> None:
    web = served(server)
    server.faults = ["short, no length"]
    assert web.fetch(file(), cache, lambda _: None).read_bytes() == CONTENT
    server.faults = ["short, no length"] * 9
    next(cache.rglob("a#1.json")).unlink()
    with pytest.raises(DataError, match="ended after 1,048,575 of 1,048,576 bytes"):
        web.fetch(file(), cache, lambda _: None)
    assert not list(cache.rglob("a#1.json"))


def test_passing_failures_are_tried_again_and_others_are_not(server: Server, cache: Path) -> None:
    web = served(server)
    server.faults = ["503", "429"]
    assert web.fetch(file(), cache, lambda _: None).read_bytes() == CONTENT
    assert len(server.requests) == 3
    server.faults = ["503"] * 9
    other = file("b.json")
    with pytest.raises(DataError, match="status 503 again and again"):
        web.fetch(other, cache, lambda _: None)
    assert len(server.requests) == 6
    server.faults = []
    with pytest.raises(DataError, match=r"status 404 \(Not Found\)\. If you have .* `origin`"):
        web.fetch(other, cache, lambda _: None)
    assert len(server.requests) == 7


def test_no_network_is_an_error_of_its_own(server: Server, cache: Path) -> None:
    web = served(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(
        UnreachableError, match=r"cannot be reached .*name their folder with `origin`"
    ):
        web.fetch(file(), cache, lambda _: None)


def test_git_blob_ids_are_checked(server: Server, cache: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    known = SourceFile(
        *("owner/name", COMMIT, "data copy/a#1.json", 6),
        blob="ce013625030ba8dba906f756967f9e9ca394464a",
    )
    with pytest.raises(DataError, match=r"git blob id is [0-9a-f]{40}, the registry says ce0136"):
        served(server, b"jello\n").fetch(known, cache, lambda _: None)
    assert served(server, b"hello\n").fetch(known, cache, lambda _: None).read_bytes() == b"hello\n"


def test_links_do_not_lead_downloads_out_of_the_folder(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (cache / "owner").symlink_to(outside)
    with pytest.raises(DataError, match="through a link; nothing is written there"):
        served(server).fetch(file(), cache, lambda _: None)
    with pytest.raises(DataError, match="nothing is written there"):
        served(server).fetch(file("../../../../../x"), cache, lambda _: None)
    assert list(outside.iterdir()) == []
    (cache.parent / ".upstream").rename(tmp_path / "elsewhere")
    cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="through a link"), opened(cache.parent):
        pass
    assert server.requests == []


def test_a_folder_has_files_by_commit_or_in_checkouts(tmp_path: Path) -> None:
    wanted = file("sub/a.json", b"right")
    folder = Folder(tmp_path)
    with pytest.raises(DataError, match=f"looked for .*{COMMIT}/sub/a.json or .*name/sub/a.json"):
        folder.fetch(wanted, tmp_path, lambda _: None)
    checkout = tmp_path / "owner" / "name" / "sub" / "a.json"
    checkout.parent.mkdir(parents=True)
    checkout.write_bytes(b"wrong")
    with pytest.raises(DataError, match=f"its sha256 is .* Check out commit {COMMIT}"):
        folder.fetch(wanted, tmp_path, lambda _: None)
    assert checkout.read_bytes() == b"wrong"  # the user's own file stays
    pinned = tmp_path / "owner" / "name" / COMMIT / "sub" / "a.json"
    pinned.parent.mkdir(parents=True)
    pinned.write_bytes(b"right")
    assert folder.fetch(wanted, tmp_path, lambda _: None) == pinned
    checkout.write_bytes(b"right")
    pinned.unlink()
    assert folder.fetch(wanted, tmp_path, lambda _: None) == checkout


@pytest.mark.parametrize(
    "given",
    [
        "https://me:secret@host/x",
        "https://host/x?token=secret",
        "https://",
        "file:///x",
        "/nowhere",
    ],
)
def test_origins_that_are_none(given: str) -> None:
    with pytest.raises(DataError) as raised:
        origin_from(given)
    assert "`origin`" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_one_process_at_a_time_fills_a_folder(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "data"),
        pytest.raises(StoreError, match="another `selfj data get` is running there"),
        opened(tmp_path / "data"),
    ):
        pass
    with opened(tmp_path / "data"):
        pass
