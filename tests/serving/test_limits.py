"""Token, time limit, overload, and what becomes of errors that nobody foresaw."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import httpx
import pytest

from selfj_eval.errors import DataError
from selfj_eval.jobs.options import OptionError
from selfj_eval.records.record import Judgment, Record

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from selfj_eval.serving.access import is_allowed, refuse_open, token_from_environment
from selfj_eval.serving.application import make_application
from selfj_eval.serving.options import ApplicationOptions
from selfj_eval.serving.service import Service

Asker = Callable[[Any], Callable[..., httpx.Response]]
ONE = {"records": [{"instruction": "What is 2 + 3?", "response": "5"}]}


class Held:
    """A rater that waits until it is let, and breaks at an answer that says so."""

    from_store = failed = 0
    description: ClassVar[dict[str, Any]] = {"rater": "Held"}

    def __init__(self) -> None:
        self.go = threading.Event()

    def judge(self, records: Iterable[Record], *, progress: Any = None) -> list[Judgment]:
        assert self.go.wait(30)
        given = list(records)
        if any(record.response == "a hidden breaks" for record in given):
            raise ValueError(f"cannot read {given[0].response}")
        if any(record.response == "times out" for record in given):
            raise TimeoutError
        return [Judgment(record.id, 5.0, None, None) for record in given]


@pytest.fixture
def held() -> Iterator[Held]:
    rater = Held()
    yield rater
    rater.go.set()


def test_a_token_is_needed_but_for_probes(
    asker: Asker, options: ApplicationOptions, service: Service
) -> None:
    ask = asker(make_application(options, service=service, token="s3cret-token"))
    for headers, said in (
        ({}, "no token was sent"),
        ({"Authorization": "Bearer wrong"}, "the token is wrong"),
        ({"Authorization": "Bearer s3cret-toke"}, "the token is wrong"),
        ({"Authorization": "Bearer s3cret-token2"}, "the token is wrong"),
        ({"Authorization": "s3cret-token"}, "the token is wrong"),
        ({"Authorization": "Basic s3cret-token"}, "the token is wrong"),
        ({"Authorization": "Bearer "}, "the token is wrong"),
        ({"Authorization": "Bearer \xe9".encode("latin-1")}, "the token is wrong"),
    ):
        for path in ("/v1/judge", "/v1/decide", "/metrics", "/openapi.json", "/nowhere"):
            answer = ask(path, ONE if path.startswith("/v1") else None, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.json()["error"]["code"] == "wrong_token"
            assert said in answer.json()["error"]["message"]
            assert answer.headers["www-authenticate"] == "Bearer"
        assert ask("/healthz", headers=headers).status_code == 200
        assert ask("/readyz", headers=headers).status_code == 200
    right = {"Authorization": "bearer s3cret-token"}
    assert ask("/v1/judge", ONE, headers=right).status_code == 200
    assert ask("/metrics", headers=right).status_code == 200


def test_tokens_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFJ_SERVE_TOKEN", raising=False)
    assert token_from_environment() is None
    monkeypatch.setenv("SELFJ_SERVE_TOKEN", "abc-123_+/=")
    assert token_from_environment() == "abc-123_+/="
    assert is_allowed(b"Bearer abc-123_+/=", "abc-123_+/=")
    for wrong in ("", "two words", "line\n", "é"):
        monkeypatch.setenv("SELFJ_SERVE_TOKEN", wrong)
        with pytest.raises(DataError, match="SELFJ_SERVE_TOKEN must hold a token"):
            token_from_environment()


def test_other_machines_need_a_token() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1"):
        refuse_open(host, None)
    for host in ("0.0.0.0", "::", "192.168.1.5", "judge.example", ""):
        with pytest.raises(DataError, match="SELFJ_SERVE_TOKEN"):
            refuse_open(host, None)
        refuse_open(host, "token")


def test_without_a_token_a_page_of_another_site_cannot_ask(
    asker: Asker, options: ApplicationOptions, service: Service
) -> None:
    """By a name of its own that leads here (DNS rebinding)."""

    def statuses(host: str, **more: Any) -> set[int]:
        ask = asker(make_application(options, service=service, **more))
        headers = {"Host": host} | more.get("headers", {})
        found = [ask("/v1/judge", ONE, headers=headers), ask("/v1/decide", ONE, headers=headers)]
        found += [ask(path, headers=headers) for path in ("/metrics", "/openapi.json", "/nowhere")]
        probes = [ask(path, headers=headers).status_code for path in ("/healthz", "/readyz")]
        assert probes == [200, 200]
        for answer in found:
            if answer.status_code == 421:
                assert answer.json()["error"]["code"] == "wrong_host"
                assert "ask it by localhost, or start it with a token" in answer.text
        return {answer.status_code for answer in found}

    for host in ("localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "LOCALHOST"):
        assert statuses(host) == {200, 404}, host
    for host in ("evil.example", "localhost.evil.example:8000", "192.0.2.1", "", "[", "judge"):
        assert statuses(host) == {421}, host
    assert statuses("judge:80", hosts=["Judge", "127.0.0.2"]) == {200, 404}
    assert statuses("127.0.0.2", hosts=["127.0.0.2"]) == {200, 404}
    assert statuses("evil.example", hosts=["judge"]) == {421}
    assert statuses("anything.example", hosts=["*"]) == {200, 404}
    assert statuses("anything.example", token="t0ken") == {401}  # nobody else has the token


def test_limits_that_contradict_each_other() -> None:
    with pytest.raises(OptionError, match=r"`max_waiting` must be at least `max_records` \(50\)"):
        ApplicationOptions(judge="demo", max_records=50, max_waiting=49)


def test_a_judge_that_is_too_slow(asker: Asker, held: Held) -> None:
    options = ApplicationOptions(judge=held, timeout=0.3)
    service = Service(options)
    ask = asker(make_application(options, service=service))
    answer = ask("/v1/judge", ONE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "too_slow")
    assert "within 0.3 s" in answer.json()["error"]["message"]
    assert service.measures.total("requests", path="/v1/judge", status="504") == 1
    assert 'selfj_requests_total{path="/v1/judge",status="504"} 1.0' in ask("/metrics").text
    held.go.set()  # and it goes on
    assert ask("/v1/judge", ONE).json()["judgments"][0]["score"] == 5
    service.close()


def test_a_timeout_of_the_judges_own_is_a_failure_of_the_judge(
    asker: Asker, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    """Fewer records would not help, as 504 says."""
    held.go.set()
    ask = asker(make_application(ApplicationOptions(judge=held)))
    answer = ask("/v1/judge", {"records": [{"instruction": "a", "response": "times out"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "TimeoutError in " in caplog.text


def test_a_body_that_is_too_slow(asker: Asker, held: Held) -> None:
    options = ApplicationOptions(judge=held, timeout=0.3)

    async def dripping() -> Any:
        for byte in b'{"records": [{"instruction": "a", "response": "b"}]}':
            yield bytes([byte])
            await asyncio.sleep(0.05)

    ask = asker(make_application(options))
    answer = ask("/v1/judge", content=dripping(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "slow_body")


def test_overload_is_refused_at_once_and_the_rest_is_answered(held: Held) -> None:
    options = ApplicationOptions(
        judge=held, max_records=2, max_waiting=6, batch_records=2, batch_wait_ms=0
    )
    service = Service(options)
    application = make_application(options, service=service)

    async def crowd() -> tuple[list[httpx.Response], httpx.Response]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            tasks = [asyncio.create_task(client.post("/v1/judge", json=ONE)) for _ in range(20)]
            while sum(task.done() for task in tasks) < 12:
                await asyncio.sleep(0.01)
            refused = [task.result() for task in tasks if task.done()]
            assert {answer.status_code for answer in refused} == {429}
            ready = await client.get("/readyz")
            while ready.status_code != 503:  # a batch has just been taken: others may wait
                tasks.append(asyncio.create_task(client.post("/v1/judge", json=ONE)))
                await asyncio.sleep(0.01)
                ready = await client.get("/readyz")
            held.go.set()
            return await asyncio.gather(*tasks), ready

    answers, ready = asyncio.run(crowd())
    statuses = [answer.status_code for answer in answers]
    # Six wait, and up to two batches of one or two have been taken.
    assert 7 <= statuses.count(200) <= 10
    assert statuses.count(429) == len(statuses) - statuses.count(200)
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "busy"
        else:
            assert answer.json()["judgments"][0]["score"] == 5
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
    service.close()


def test_after_it_is_closed(asker: Asker, held: Held) -> None:
    options = ApplicationOptions(judge=held)
    service = Service(options)
    ask = asker(make_application(options, service=service))
    assert (ask("/healthz").status_code, ask("/readyz").status_code) == (200, 200)
    service.close()
    answer = ask("/v1/judge", ONE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
    assert (ask("/healthz").status_code, ask("/readyz").status_code) == (503, 503)


def test_a_fault_that_nobody_foresaw(
    asker: Asker, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    held.go.set()
    broken = {"records": [{"instruction": "a", "response": "a hidden breaks"}]}
    for texts in (False, True):
        caplog.clear()
        options = ApplicationOptions(judge=held, log_texts=texts)
        ask = asker(make_application(options))
        with caplog.at_level(logging.INFO, logger="selfj_eval"):
            answer = ask("/v1/judge", broken)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
        assert "hidden" not in answer.text
        assert "ValueError" in caplog.text and "judge" in caplog.text
        assert ("a hidden breaks" in caplog.text) is texts
        assert ask("/v1/judge", ONE).status_code == 200
