"""A model hub that takes commits, for tests: prints its port, and each commit as a line of JSON."""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Hub(BaseHTTPRequestHandler):
    """Knows the four requests of a commit; everybody whose token is 'hf_right' may write."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != "Bearer hf_right":
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

    def _answer(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing on stderr."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    sys.stdin.close()
    server.serve_forever()
