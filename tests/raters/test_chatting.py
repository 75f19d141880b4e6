from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import Record
from selfj_eval.alpaca.annotating import Completions
from selfj_eval.engines.server import endpoint
from selfj_eval.engines.server.traffic import GIVE_UP
from selfj_eval.errors import JudgeError
from selfj_eval.raters.chatting import ChatAsker
from selfj_eval.raters.generative import GenerativeRater
from selfj_eval.raters.rating_formats import FORMATS, RatingFormat, read_format
from selfj_eval.storage.store import AnswerStore

KEY = "sk-not-to-be-written-down"


class Server:
    """A running ``reply_server.py``."""

    def __init__(self, log: Path) -> None:
        program = Path(__file__).parents[1] / "servers" / "reply_server.py"
        self.process = subprocess.Popen(
            [sys.executable, str(program), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}/v1"
        self.log = log

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("openai", reason="the extra openai is not installed")
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "log").touch()
    running = Server(tmp_path / "log")
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.fixture
def make(server: Server) -> Callable[..., GenerativeRater]:
    def made(
        format: RatingFormat = FORMATS["mt-bench"], answers: AnswerStore | None = None, **args: Any
    ) -> GenerativeRater:
        engine_args = {"base_url": server.url, "retries": 2, **args}
        asker = ChatAsker.with_args("gpt-4", max_new_tokens=77, engine_args=engine_args)
        return GenerativeRater(asker, format=format, answers=answers)

    return made


def scripted(name: str, **script: Any) -> Record:
    return Record(name, f"<<{json.dumps(script)}>>", name)


def test_a_chat_server_rates(
    server: Server, make: Callable[..., GenerativeRater], tmp_path: Path
) -> None:
    wanted: dict[str, Any] = {
        "plain": (scripted("plain", content="Good. [[7]]"), 6),
        "again": (scripted("again", content="[[10]]", fail=[500, 503]), 9),
        "inside": (scripted("inside", content="[[4]]", fail=[{"code": 502, "message": "?"}]), 3),
        "rest": (scripted("rest", content="[[1]]", fail=["rest"]), 0),
        "cut": (scripted("cut", content="It is", finish="length"), "cut at its limit"),
        "thought": (scripted("thought", finish="length"), "reply is empty: it was cut"),
        "gone": (
            scripted("gone", always={"message": "no GPU"}),
            "(500: no GPU). It was asked 3 ti",
        ),
        "long": (
            scripted("long", always={"message": "context length is 9"}),
            "is too long for the",
        ),
        "huge": (scripted("huge", huge=True), "far more than was asked for; it was not read"),
        "filter": (scripted("filter", finish="content_filter"), "ended by the engine (content_fil"),
        "refusal": (scripted("refusal", refusal="I must not."), "It ends: 'I must not.'"),
        "refused": (scripted("refused", always=400), "the server refused the request (400: no l"),
        "down": (scripted("down", always=500), "500: no luck: Bearer [key]). It was asked 3 times"),
        "null": (scripted("null"), "the server's reply holds no text"),
        "list": (scripted("list", content=["[[7]]"]), "the server's reply holds no text"),
        "two": (scripted("two", content="[[7]]", choices=2), "gave 2 choices; expected one"),
        "abort": (scripted("abort", content="[[7]]", finish="abort"), "ended its reply with 'abor"),
    }
    records = [record for record, _ in wanted.values()]
    path, finished = tmp_path / "answers", list[int]()
    with AnswerStore(path) as answers:
        rater = make(answers=answers, price_in=30, price_out=60.0)
        found = {j.id: j for j in rater.judge(records, progress=finished.append)}
        for name, (_, outcome) in wanted.items():
            if isinstance(outcome, str):
                assert found[name].score is None
                assert outcome in (found[name].error or ""), name
            else:
                assert (found[name].score, found[name].error) == (outcome, None)
        asked = server.requests()
        assert len(asked) == rater.usage["requests"] == len(records) + 2 + 1 + 1 + 2 + 2
        assert rater.usage["retries"] == 8
        assert rater.usage["cost"] > 0
        assert {line["path"] for line in asked} == {"/v1/chat/completions"}
        assert {line["authorization"] for line in asked} == {f"Bearer {KEY}"}
        assert {(line["model"], line["temperature"], line["max_tokens"]) for line in asked} == {
            ("gpt-4", 0, 77)
        }
        prompts = {rater.prompt(record) for record in records}
        assert {line["messages"][0]["content"] for line in asked} == prompts
        assert sum(finished) == len(records)
        assert rater.failed == 6  # gone, down, null, list, two, abort; refused stays refused
        assert len(answers) == len(records) - 9

        again = make(answers=answers)
        assert [j.score for j in again.judge(records)] == [found[r.id].score for r in records]
        assert again.from_store == len(records) - 9
        assert again.usage["requests"] == 9 + 2 + 2, "what was refused or broken, and no other"
    written = [file.read_bytes() for file in tmp_path.glob("answers*")]
    assert all(KEY.encode() not in data for data in written)
    assert KEY not in json.dumps([j.error for j in found.values()] + [rater.description])


def test_replies_are_read_anew_and_asked_once(
    make: Callable[..., GenerativeRater], server: Server, tmp_path: Path
) -> None:
    """A better reader needs no new requests."""
    own = tmp_path / "own.yaml"
    records = [scripted("a", content="Good. Rating: [[7]] [RESULT] 2")]
    scores = []
    for syntax in ("auto-j", "prometheus"):
        own.write_text(f"format: {syntax}\nwithout_reference: 'Rate {{instruction}}{{response}}'")
        with AnswerStore(tmp_path / "answers") as answers:
            scores += [j.score for j in make(read_format(own), answers).judge(records)]
    assert scores == [6, 2.25]
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"refuses the key in OPENAI_API_KEY \(401\)"),
        (404, "does not know the model 'gpt-4' or this address"),
        ({"code": "404", "message": "no route"}, r"or this address \(404: no route\)"),
        ({"code": 429, "message": "free requests per-day"}, "no more requests with this key for n"),
    ],
)
def test_what_is_hopeless_ends_the_run_and_keeps_what_was_finished(
    make: Callable[..., GenerativeRater], tmp_path: Path, status: object, message: str
) -> None:
    records = [scripted("good", content="[[7]]"), scripted("bad", always=status)]
    records += [scripted(f"later {i}", content="[[7]]") for i in range(20)]
    with AnswerStore(tmp_path / "answers") as answers:
        rater = make(answers=answers, concurrency=1)
        with pytest.raises(JudgeError, match=message + ".* What was finished is kept") as caught:
            rater.judge(records)
        assert len(answers) == 1
        assert rater.usage["requests"] == 2
    assert KEY not in str(caught.value)


def test_the_newer_name_of_the_limit_is_found_out_once(
    server: Server, make: Callable[..., GenerativeRater]
) -> None:
    records = [scripted(str(i), content="[[7]]", newer=True) for i in range(12)]
    rater = make(concurrency=8)
    assert [j.score for j in rater.judge(records)] == [6] * 12
    asked = server.requests()
    assert [line.get("max_tokens") for line in asked] == [77] + [None] * 12
    assert [line.get("max_completion_tokens") for line in asked] == [None] + [77] * 12


def test_redirects_are_not_followed(make: Callable[..., GenerativeRater]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        with pytest.raises(JudgeError, match=f"to http://127.0.0.1:{port}/v1/chat/.* not followed"):
            make().judge([scripted("moved", moved=port)])
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_another_models_name_is_noticed_once(
    make: Callable[..., GenerativeRater], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")  # to import alpaca_eval changes it
    records = [scripted("dated", content="[[7]]", named="gpt-4-0613")]
    records += [scripted(str(i), content="[[7]]", named=f"tiny-{i}") for i in range(3)]
    rater = make(concurrency=1)
    assert [j.score for j in rater.judge(records)] == [6] * 4
    (note,) = [record.getMessage() for record in caplog.records]
    assert "you asked for the model 'gpt-4', but the server says that 'tiny-0' answered" in note


@pytest.fixture
def annotate(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Ask as AlpacaEval's GPT-4 annotators do, with prompts that hold scripts."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    ask = Completions(lambda text: [{"role": "user", "content": text}])

    def annotated(*scripts: dict[str, Any]) -> dict[str, Any]:
        prompts = [f"<<{json.dumps(script)}>> {at}" for at, script in enumerate(scripts)]
        return ask(prompts, model_name="gpt-4", max_tokens=100, temperature=0)

    return annotated


def test_alpaca_evals_annotators_ask_alike(
    server: Server, annotate: Callable[..., dict[str, Any]]
) -> None:
    scripts: list[dict[str, Any]] = [{"content": f"m{i}", "newer": True} for i in range(12)]
    scripts[3]["fail"] = [{"code": 503, "message": "busy"}]
    found = annotate(*scripts, {"content": None, "finish": "length"})
    assert found["completions"] == [*(f"m{i}" for i in range(12)), ""]
    assert found["completions_all"][0]["message"]["content"] == "m0"
    asked = server.requests()
    assert ["max_tokens" in line for line in asked] == [True] + [False] * (len(scripts) + 2)
    assert {line.get("max_completion_tokens") for line in asked} == {None, 100}
    assert {line["authorization"] for line in asked} == {f"Bearer {KEY}"}
    assert (asked[0]["temperature"], asked[0]["top_p"]) == (0, 1.0)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"moved": 9}, "redirects to http://127.0.0.1:9/v1/chat/completions"),
        ({"always": {"code": 429, "message": "limit per day"}}, "429: limit per day"),
        ({"content": "m", "choices": 2}, "gave 2 choices; expected one"),
    ],
)
def test_alpaca_eval_keeps_nothing_that_a_server_did_not_answer(
    annotate: Callable[..., dict[str, Any]], script: dict[str, Any], message: str
) -> None:
    with pytest.raises(JudgeError, match=message) as caught:
        annotate({"content": "m"}, script)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"huge": True}, "far more than was asked for"),
        ({"always": 400}, r"refused the request \(400: no luck: Bearer \[key\]\)"),
        ({"always": {"code": 403, "message": "your input was flagged"}}, r"\(403: your input"),
    ],
)
def test_what_a_server_refuses_has_no_annotation(
    annotate: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    script: dict[str, Any],
    reason: str,
) -> None:
    caplog.set_level("WARNING")
    with pytest.raises(JudgeError, match=reason):  # all: it is not about the prompts
        annotate(script, script)
    found = annotate(script, {"content": "m"})
    assert found["completions"] == ["", "m"]
    assert found["completions_all"][0] == {"text": ""}
    (note,) = [record.getMessage() for record in caplog.records]
    assert re.match(f"unscored: .*{reason}", note) and KEY not in note
    assert annotate(script, script)["completions"] == ["", ""]


def test_a_server_that_stays_down_ends_the_run(make: Callable[..., GenerativeRater]) -> None:
    records = [scripted(str(i), always=502) for i in range(200)]
    rater = make(retries=0, concurrency=4)
    with pytest.raises(JudgeError, match="in a row had no answer from http.* What was finished"):
        rater.judge(records)
    assert GIVE_UP <= rater.usage["requests"] <= GIVE_UP + 8


def test_what_cannot_work_is_refused_unseen(make: Callable[..., GenerativeRater]) -> None:
    for args, message in (
        ({"api_key": KEY}, "takes no argument 'api_key'; there are: base_url, concurrency"),
        ({"concurrency": "9"}, "concurrency must be a whole number"),
        ({"concurrency": 0}, r"concurrency must be in 1\.\.1000, got 0"),
        ({"base_url": f"http://u:{KEY}@localhost/v1"}, "holds a user name, a password"),
    ):
        with pytest.raises(JudgeError, match=message) as caught:
            make(**args)
        assert KEY not in str(caught.value)


KILLED = """
import json, sys
from selfj_eval import Record
from selfj_eval.raters.chatting import ChatAsker
from selfj_eval.raters.generative import GenerativeRater
from selfj_eval.raters.rating_formats import FORMATS
from selfj_eval.storage.store import AnswerStore

url, store, records = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
asker = ChatAsker("gpt-4", max_new_tokens=77, base_url=url, concurrency=3)
rater = GenerativeRater(asker, format=FORMATS["mt-bench"], answers=AnswerStore(store))
rater.judge([Record(*record) for record in records])
"""


def test_a_killed_run_pays_for_no_stored_reply_again(
    server: Server, make: Callable[..., GenerativeRater], tmp_path: Path
) -> None:
    records = [scripted(str(i), content=f"[[{i % 9 + 1}]]", seconds=0.05) for i in range(40)]
    texts = json.dumps([[r.id, r.instruction, r.response] for r in records])
    path = tmp_path / "answers"
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(path), texts])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(server.requests()) < 12:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "finished too early: nothing was tested"
    with AnswerStore(path) as answers:
        kept = len(answers)
        rater = make(answers=answers)
        found = rater.judge(records)
    assert 0 < kept < len(records)
    assert [j.score for j in found] == [i % 9 for i in range(40)]
    assert (rater.from_store, rater.usage["requests"]) == (kept, len(records) - kept)
    asked = Counter(line["messages"][0]["content"] for line in server.requests())
    assert set(asked) == {rater.prompt(record) for record in records}
    twice = sum(count > 1 for count in asked.values())
    assert twice <= 3, "only what was under way when it was killed is asked again"
