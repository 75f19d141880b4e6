"""A model hub for tests: it takes commits, and gives the data sets of a folder.

Prints its port, and each commit as a line of JSON. The folder holds ``OWNER/NAME/COMMIT/PATH`` and
``OWNER/NAME/refs.json`` (branch to commit); a data set with a file ``gated`` beside it is given to
nobody but who has the token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "Bearer hf_right"
FOLDER = Path(sys.argv[1])


class RefusedError(Exception):
    """The answer is an error, by the name that the hub gives it."""


class Hub(BaseHTTPRequestHandler):
    """Knows the requests of a commit and of a download; whose token is 'hf_right' may write."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "/paths-info/" in self.path:
            self._paths_info(parse_qs(body.decode()))
        elif self.headers.get("authorization") != TOKEN:
            self._answer({"error": "Invalid username or password."}, status=401)
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            print(json.dumps({"create": wanted}), flush=True)
            kind = "datasets/" if wanted.get("type") == "dataset" else ""
            place = f"{kind}{wanted['organization']}/{wanted['name']}"
            self._answer({"url": f"http://{self.headers['host']}/{place}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            kinds = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": path} | kinds for path in files]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            sent = {f["path"]: len(base64.b64decode(f["content"])) for f in files}
            texts = {
                f["path"]: base64.b64decode(f["content"]).decode()
                for f in files
                if f["path"].endswith((".jsonl", ".run.json"))
            }
            print(json.dumps({"commit": self.path, "sent": sent, "texts": texts}), flush=True)
            url = f"http://{self.headers['host']}/datasets/me/scores/commit/1"
            made = {"commitUrl": url, "commitOid": "1" * 40, "success": True}
            self._answer(made)
        else:
            self._answer({"error": f"nothing at {self.path}"}, status=404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        place = urlsplit(self.path).path
        try:
            if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", place):
                repository, revision, path = map(unquote, found.groups())
                folder = self._commit(repository, revision, whole=False)
                if not (folder / path).is_file():
                    self._refuse("EntryNotFound", commit=folder.name)
                self._send((folder / path).read_bytes(), folder.name)
            elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/auth-check", place):
                self._commit(found[1], "main", whole=False)
                self._answer({})
            elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/(.+))?", place):
                folder = self._commit(found[1], unquote(found[2] or "main"))
                names = [{"rfilename": entry["path"]} for entry in _entries(folder, folder)]
                self._answer({"id": found[1], "sha": folder.name, "siblings": names, "tags": []})
            elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", place):
                folder = self._commit(found[1], unquote(found[2]))
                inside = folder / unquote(found[3])
                if not inside.is_dir():
                    self._refuse("EntryNotFound", commit=folder.name)
                deep = "recursive=True" in self.path or "recursive=true" in self.path
                self._answer(_entries(folder, inside, "**/*" if deep else "*"))
            else:
                self._refuse("EntryNotFound")
        except RefusedError:
            return

    def _paths_info(self, wanted: dict[str, list[str]]) -> None:
        found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/(.+)", self.path)
        try:
            assert found is not None
            folder = self._commit(found[1], unquote(found[2]))
        except RefusedError:
            return
        paths = [folder / path for path in wanted.get("paths", [])]
        self._answer([_entry(folder, path) for path in paths if path.exists()])

    def _commit(self, repository: str, revision: str, *, whole: bool = True) -> Path:
        """The folder of a commit; only files of a gated data set are refused, as by the hub."""
        own = FOLDER / repository
        if not own.is_dir():
            self._refuse("RepoNotFound")
        if not whole and (own / "gated").exists() and self.headers.get("authorization") != TOKEN:
            self._refuse("GatedRepo", status=403)
        name = json.loads((own / "refs.json").read_text()).get(revision, revision)
        if not (own / name).is_dir():
            self._refuse("RevisionNotFound")
        return own / name

    def _refuse(self, why: str, *, status: int = 404, commit: str | None = None) -> NoReturn:
        more = {} if commit is None else {"x-repo-commit": commit}
        self._answer({"error": why}, status, **{"x-error-code": why}, **more)
        raise RefusedError

    def _send(self, content: bytes, commit: str) -> None:
        about = {"etag": f'"{hashlib.sha256(content).hexdigest()}"', "x-repo-commit": commit}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if wanted is None:
            self._answer(content, **about)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        about["content-range"] = f"bytes {first}-{last}/{len(content)}"
        self._answer(content[first : last + 1], 206, **about)

    def _answer(self, value: Any, status: int = 200, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing on stderr."""


def _entries(folder: Path, inside: Path, pattern: str = "**/*") -> list[dict[str, Any]]:
    return [_entry(folder, path) for path in sorted(inside.glob(pattern))]


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    size = path.stat().st_size if path.is_file() else 0
    oid = hashlib.sha256(path.read_bytes()).hexdigest()[:40] if path.is_file() else "0" * 40
    kind = "file" if path.is_file() else "directory"
    return {"type": kind, "path": path.relative_to(folder).as_posix(), "oid": oid, "size": size}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    sys.stdin.close()
    server.serve_forever()
