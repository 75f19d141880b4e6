"""``selfj serve`` as a process: what it accepted it answers, and it ends when it is asked to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import selfj_eval

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import httpx

ONE = {"records": [{"instruction": "What is 2 + 3?", "response": "5"}]}
RECORDS = selfj_eval.ladder(instructions=30)
COMPOSE = Path(__file__).parents[2] / "compose.yaml"


class Started(NamedTuple):
    """A service that runs, and its address."""

    process: subprocess.Popen[str]
    url: str

    def end(self, number: int = signal.SIGTERM) -> tuple[int, dict[str, Any], str]:
        """Ask it to end; its exit status, its result and what else it wrote on stderr."""
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, json.loads(out), error


Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``selfj serve`` on a free port, and waits until it is ready."""
    started = []

    def run(
        *arguments: object, program: Sequence[str] = ("-m", "selfj_eval"), **environment: str
    ) -> Started:
        command = ["serve", "--judge", "demo", "--port", 0, "--json", *arguments]
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, command)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, env=os.environ | environment,
        )  # fmt: skip
        started.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.match(r"demo is served on (http://\S+) \(Ctrl-C ends it\)$", line)
        assert found is not None, line + process.stderr.read()
        until = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"{found[1]}/readyz", timeout=10).status_code == 200
                return Started(process, found[1])
            except httpx.TransportError:
                assert time.monotonic() < until
                time.sleep(0.05)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_sigterm_under_load_loses_nothing_that_was_accepted(start: Start) -> None:
    """Clients ask without pause: each answer is whole and right, and all of them arrive."""
    known = {j.id: j.score for j in selfj_eval.score(RECORDS, judge="demo").judgments}
    own = start("--batch-records", 8)
    statuses: list[int] = []
    wrong: list[Any] = []
    enough = threading.Event()

    def client(number: int) -> None:
        with httpx.Client(base_url=own.url, timeout=60) as session:
            for turn in range(10_000):
                at = (number * 31 + turn * 7) % (len(RECORDS) - 3)
                part = RECORDS[at : at + 3]
                sent = [
                    {"id": r.id, "instruction": r.instruction, "response": r.response,
                     "reference": r.reference} for r in part
                ]  # fmt: skip
                try:
                    answer = session.post("/v1/judge", json={"records": sent})
                except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
                    return  # the connection was closed before the request was read
                except httpx.RemoteProtocolError as error:
                    if "without sending a response" not in str(error):
                        wrong.append(error)
                    return
                statuses.append(answer.status_code)
                if answer.status_code != 200:
                    wrong.append(answer.text)
                    continue
                found = {j["id"]: j["score"] for j in answer.json()["judgments"]}
                if found != {r.id: pytest.approx(known[r.id], abs=1e-4) for r in part}:
                    wrong.append((found, part))
                if len(statuses) > 40:
                    enough.set()

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(16)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    status, result, error = own.end()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert status == 0
    assert result["answered"] == result["requests"] == statuses.count(200) == len(statuses)
    assert result["scored"] == 3 * len(statuses)
    assert "Traceback" not in error
    with pytest.raises(httpx.ConnectError):
        httpx.get(own.url + "/healthz")


def test_the_token_large_bodies_and_ctrl_c(start: Start) -> None:
    """A client that first sends all of 10 MB reads the answer all the same, and may go on."""
    own = start(SELFJ_SERVE_TOKEN="s3cret")
    with httpx.Client(base_url=own.url, timeout=30) as session:
        assert session.get("/healthz").json() == {"status": "ok"}
        assert session.post("/v1/judge", json=ONE).status_code == 401
        session.headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
        for content in (b" " * 10_000_000, iter([b" " * 1_000_000] * 10)):
            answer = session.post("/v1/judge", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert session.post("/v1/judge", json=ONE).status_code == 200
    status, result, error = own.end(signal.SIGINT)
    assert (status, result["requests"], result["answered"]) == (0, 4, 1)
    assert "s3cret" not in error


SLOW = """
import sys, time
from selfj_eval.cli import main
from selfj_eval.serving.batching import JudgingQueue
judged = JudgingQueue._judged
def slowly(self, records):
    open("judging", "w").close()
    time.sleep(100)
    return judged(self, records)
JudgingQueue._judged = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("client_gone", [False, True])
def test_a_second_signal_ends_it_at_once(start: Start, client_gone: bool, tmp_path: Path) -> None:
    """Also while the judge is at work, whether somebody still waits for it or nobody does."""
    own = start(*(("--timeout", 0.2) if client_gone else ()), program=("-c", SLOW))
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(own.url + "/v1/judge", json=ONE, timeout=60))

    client = threading.Thread(target=ask)
    client.start()
    if client_gone:
        client.join(60)
    until = time.monotonic() + 60
    while not (tmp_path / "judging").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    own.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert own.process.poll() is None
    began = time.monotonic()
    status, result, error = own.end(signal.SIGINT)
    assert time.monotonic() - began < 40
    client.join(60)
    assert (status, result["cut_short"], result["answered"]) == (0, True, 0)
    assert "Traceback" not in error
    code, name = (504, "too_slow") if client_gone else (503, "stopping")
    assert [own.status_code for own in answers] == [code]
    assert answers[0].json()["error"]["code"] == name


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, 100])
def test_half_a_request_does_not_keep_it_from_ending(start: Start, seconds: int) -> None:
    """It is over after the time limit, or with a second signal."""
    own = start("--timeout", seconds)
    host, port = own.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as idle:
        head = "POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        idle.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        time.sleep(0.3)
        began = time.monotonic()
        if seconds == 100:
            own.process.send_signal(signal.SIGTERM)
            time.sleep(1)
        status, result, error = own.end()
        if seconds == 1:
            assert idle.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 50 and "Traceback" not in error
    assert (status, result["requests"], result["answered"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "SELFJ_SERVE_TOKEN, or leave out --host to listen on 127.0.0.1"),
        (["--host", "no.such.name.invalid"], "SELFJ_SERVE_TOKEN"),
        (["--port", "{taken}"], "give another --port"),
        (["--max-waiting", "3"], "--max-waiting must be at least --max-records (256)"),
        (["--policy", "none.json"], "none.json"),
        (["--engine", "ray"], "--engine"),
    ],
)
def test_what_is_refused_at_the_start(arguments: list[str], said: str, in_process: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = [own.format(taken=port) for own in arguments]
        done = in_process("selfj", "serve", "--judge", "demo", *given)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_without_its_packages(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [own for own in sys.modules if own.startswith("selfj_eval.serving.")]:
        if name.rpartition(".")[2] in ("application", "limits", "service", "faults", "bodies"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = in_process("selfj", "serve", "--judge", "demo")
    assert done.returncode == 2
    assert "pip install 'selfj-eval[web]'" in done.stderr


@pytest.mark.long
def test_the_verb_in_a_program(tmp_path: Path) -> None:
    """The result says what was done; a thread of the program asks, and then ends it."""
    code = """
import json, os, signal, socket, threading, time, httpx, selfj_eval as selfj
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
def ask():
    for _ in range(600):
        try:
            records = [{"instruction": "2 + 3?", "response": text} for text in ("5", None)]
            httpx.post(f"http://127.0.0.1:{port}/v1/judge", json={"records": records}, timeout=30)
            break
        except httpx.ConnectError:
            time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=ask).start()
served = selfj.serve(judge="demo", port=port)
print(served)
assert len(served.to_frame()) == 1 and served._repr_html_()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"1 request in \d+ s, 1 answered with 2 judgments \(1 unscored\)\n", done.stdout
    )


def test_what_compose_starts(start: Start) -> None:
    """The command and the health check of the service `small`, but for judge and port."""
    service = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["small"]
    verb, flag, judge, *rest = service["command"]
    assert [verb, flag, judge, *service["environment"]] == [
        "serve", "--judge", "small", "SELFJ_SERVE_TOKEN"
    ]  # fmt: skip
    own = start(*rest, SELFJ_SERVE_TOKEN="secret")
    python, option, code = service["healthcheck"]["test"][1:]
    assert [python, option] == ["python", "-c"]
    healthy = code.replace("http://localhost:8000", own.url)
    assert healthy != code
    subprocess.run([sys.executable, "-c", healthy], check=True, timeout=60)
    assert httpx.post(f"{own.url}/v1/judge", json=ONE).status_code == 401
    header = {"Authorization": "Bearer secret"}
    assert httpx.post(f"{own.url}/v1/judge", json=ONE, headers=header).status_code == 200
    assert own.end()[0] == 0


def test_what_compose_starts_before_a_server() -> None:
    """The command of the service `large` gets as far as the server, which is not there."""
    command = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["large"]["command"]
    here = {
        "http://vllm:8000/v1": "http://127.0.0.1:9/v1",
        "tokenizer=oceanpty/Self-J": "tokenizer=demo",
    }
    for old, new in here.items():
        assert any(old in part for part in command)
        command = [part.replace(old, new) for part in command]
    done = subprocess.run(
        [sys.executable, "-m", "selfj_eval", *command],
        capture_output=True, text=True, timeout=120,
        env=os.environ | {"SELFJ_SERVE_TOKEN": "secret"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "http://127.0.0.1:9/v1" in done.stderr
