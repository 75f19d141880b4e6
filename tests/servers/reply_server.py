"""A chat server whose replies the prompts dictate, as a process of its own; it ends with its stdin.

    python reply_server.py LOG

A prompt holds <<{...}>>: JSON with "content", "finish", "refusal", "choices" (their number), and
"fail": statuses of its first requests, such as [500, 429], or "rest", a 429 that asks for a second
of rest. "always": a status each time. An object in place of a status is an error in a reply with
status 200. "seconds": how long it takes. "newer": max_tokens is refused. "named": the model's name
in the reply. "moved": a redirect to that port. "huge": a reply of 300 MiB. Every request is a line
of JSON in LOG, written before the answer is sent.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPT = re.compile(r"<<(\{.*?\})>>", re.S)
LOCK = threading.Lock()
SEEN: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        found = SCRIPT.search(prompt)
        script = json.loads(found[1]) if found else {}
        with LOCK, Path(sys.argv[1]).open("a", encoding="utf-8") as log:
            SEEN[prompt] += 1
            attempt = SEEN[prompt]
            line = {"path": self.path, "authorization": self.headers["Authorization"], **body}
            log.write(json.dumps(line) + "\n")
        time.sleep(script.get("seconds", 0))
        failures = script.get("fail", [])
        status = script.get("always") or (failures[attempt - 1 :] or [200])[0]
        if script.get("newer") and "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'; it is 'max_completion_tokens' here."
            self.reply(400, {"error": {"message": message, "param": "max_tokens"}})
            return
        if "moved" in script:
            to = f"http://127.0.0.1:{script['moved']}{self.path}"
            self.reply(308, {}, ("Location", to))
            return
        if script.get("huge"):
            self.send_response(200)
            self.send_header("Content-Length", str(300 << 20))
            self.end_headers()
            for _ in range(300):
                self.wfile.write(b" " * (1 << 20))
            return
        if isinstance(status, dict):
            self.reply(200, {"error": status})
            return
        if status != 200:
            error = {"message": f"no luck: {self.headers['Authorization']}", "type": "error"}
            headers = (("Retry-After", "1"),) if status == "rest" else ()
            self.reply(429 if status == "rest" else status, {"error": error}, *headers)
            return
        message = {"role": "assistant", "content": script.get("content")}
        if "refusal" in script:
            message["refusal"] = script["refusal"]
        choice = {"index": 0, "finish_reason": script.get("finish", "stop"), "message": message}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 10}
        reply = {
            "id": "x",
            "object": "chat.completion",
            "model": script.get("named", body["model"]),
            "usage": usage,
        }
        self.reply(200, reply | {"choices": [choice] * script.get("choices", 1)})

    def reply(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        """Send JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Says nothing when a client goes away."""

    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that went away."""


def end_with_stdin() -> None:
    """So that it never outlives the test that started it."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.serve_forever()
