"""Downloads from a real server: resumed, checked, and never outside of their folder."""

from __future__ import annotations

import hashlib
import re
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
        self.requests: list[tuple[str, str | None]] = []

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what is tested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.requests.append((self.path, wanted))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        content = self.server.contents.get(unquote(self.path))
        if fault.isdecimal() or content is None:
            self._answer(int(fault or 404), b"<html>no</html>", {"Retry-After": "0"})
            return
        start = 0
        if wanted and fault != "no range":
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
        if start >= len(content):
            self._answer(416, b"", {})
            return
        shift = 7 if fault == "other range" else 0
        size = len(content)
        headers = {"Content-Range": f"bytes {start + shift}-{size - 1}/{size}"} if start else {}
        body = content[start:]
        cut = len(body) // 2 if fault == "cut" else 3 * len(body) // 4 if fault == "cut late" else 0
        if fault == "short, no length":
            self._answer(200, content[:-1], {"Connection": "close"}, length=None)
        else:
            self._answer(206 if start else 200, body[:cut] or body, headers, length=len(body))
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


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, cache: Path) -> None:
    web, steps = served(server), list[int]()
    server.faults = ["cut", "cut"]
    assert web.fetch(file(), cache, steps.append).read_bytes() == CONTENT
    half = len(CONTENT) // 2
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert sum(steps) == len(CONTENT)
    assert min(steps) > 0  # nothing was fetched twice


def test_a_later_run_resumes_too(server: Server, cache: Path) -> None:
    web = Web(served(server)._base, pauses=())
    server.faults = ["cut"]
    with pytest.raises(DataError, match=r"ended after 524,288 of 1,048,576 bytes.*again to go on"):
        web.fetch(file(), cache, lambda _: None)
    assert files_in(cache) == [f"owner/name/{COMMIT}/data copy/a#1.json.part"]
    assert web.fetch(file(), cache, lambda _: None).read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=524288-"


@pytest.mark.parametrize("fault", ["no range", "other range", "416"])
def test_a_server_that_does_not_honour_the_range_is_asked_anew(
    server: Server, cache: Path, fault: str
) -> None:
    web, steps = served(server), list[int]()
    server.faults = ["cut", fault]
    assert web.fetch(file(), cache, steps.append).read_bytes() == CONTENT
    assert sum(steps) == len(CONTENT)
    assert server.requests[1][1] == "bytes=524288-"
    assert len(server.requests) == (2 if fault == "no range" else 3)


@pytest.mark.parametrize(
    "path", ["data/set=one,model=gpt-4o.jsonl", "LLMEval^2/all in one.json", "50%25 & more?.json"]
)
def test_paths_arrive_as_they_are(server: Server, cache: Path, path: str) -> None:
    server.contents[f"/owner/name/{COMMIT}/{path}"] = CONTENT
    server.faults = ["cut"]
    found = Web(server.url, pauses=(0,)).fetch(file(path), cache, lambda _: None)
    assert found == cache / "owner" / "name" / COMMIT / path
    assert found.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=524288-"]


def test_a_file_that_several_sets_need_counts_once(server: Server, cache: Path) -> None:
    origin, steps = CountedOnce(Web(served(server)._base, pauses=())), list[int]()
    server.faults = ["cut"]
    with pytest.raises(DataError, match="ended after"):  # what is there stays, and is counted
        origin.fetch(file(), cache, steps.append)
    assert sum(steps) == len(CONTENT) // 2
    for _ in range(3):
        origin.fetch(file(), cache, steps.append)
        assert sum(steps) == len(CONTENT)
    next(cache.rglob("a#1.json")).unlink()
    origin.fetch(file(), cache, steps.append)
    assert sum(steps) == len(CONTENT)


def test_what_an_earlier_run_left_of_another_file_is_thrown_away(
    server: Server, cache: Path
) -> None:
    web = served(server)
    part = cache / "owner" / "name" / COMMIT / "data copy" / "a#1.json.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    assert web.fetch(file(), cache, lambda _: None).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=14-", None]


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
        pytest.raises(StoreError, match="another `selfj data get` is at work there"),
        opened(tmp_path / "data"),
    ):
        pass
    with opened(tmp_path / "data"):
        pass
