"""Servers that do what they should not: count otherwise, redirect, reply without an end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.server import endpoint
from selfj_eval.engines.server.openai import OpenAIBackend
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import get_template

pytest.importorskip("openai", reason="the extra openai is not installed")

Make = Callable[..., OpenAIBackend]


@pytest.fixture(scope="module")
def demo() -> TransformersBackend:
    """The server's judge without it."""
    return TransformersBackend("demo", device="cpu")


@pytest.fixture
def make(judge_server: str, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A backend on the server that does not wait long before it asks again."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return lambda model, **options: OpenAIBackend(model, base_url=judge_server, **options)


def prompts(*texts: str) -> list[str]:
    return [get_template("self-j").render(text, "It is 5.", None) for text in texts]


def score(backend: Any, texts: list[str]) -> tuple[np.ndarray, dict[int, str]]:
    rows, reasons = np.full((len(texts), 10), np.nan), {}
    for batch in backend.score(texts):
        rows[batch.indices] = batch.log_probabilities
        reasons |= batch.reasons
    return rows, reasons


def requests(url: str) -> int:
    """How many have come since the last time."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=10) as reply:
        told: dict[str, int] = json.load(reply)
    return told["requests"]


@pytest.mark.parametrize("kind", ["cutting", "holding"])
def test_a_prompt_that_the_server_cuts_is_unscored(
    make: Make, demo: TransformersBackend, judge_server: str, kind: str
) -> None:
    backend = make(f"demo+{kind}", tokenizer="demo", concurrency=1)
    requests(judge_server)
    texts = prompts("What is 6 + 1?", *("rain " * n for n in range(1, 90)))
    by_length = {len(demo.tokenize(text)): text for text in texts}
    # 64 are read. With the 32 that the cache is said to hold, 96 are as many as were sent.
    some = [n for n in by_length if n <= 64 or n == 96]
    lengths = [next(n for n in by_length if 64 < n < 96), 110, 96, *some[:1]]
    got, reasons = score(backend, texts := [by_length[n] for n in lengths])
    assert set(reasons) == {0, 1, 2}
    assert re.search(r"has read 64 of about \d\d tokens, so it has cut", reasons[0])
    assert np.isfinite(got[3]).any()
    assert requests(judge_server) == len(texts) + 1, "it was asked once whether it cuts"


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("caching", 1, ""),  # asked once about a text that no cache holds
        ("telling", 0, ""),
        (
            "guessing",
            0,
            r"reads a prompt as \d+ tokens, the tokenizer as \d+\. The server may only est",
        ),
    ],
)
def test_a_low_count_alone_decides_nothing(
    make: Make,
    demo: TransformersBackend,
    judge_server: str,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    more: int,
    said: str,
) -> None:
    caplog.set_level("WARNING")  # to import alpaca_eval changes it
    make(f"demo+{kind}", tokenizer="demo")  # so that the cache holds the first prompt
    texts = prompts(*(f"Explain the rain of {i}. " * 12 for i in range(6)))
    backend = make(f"demo+{kind}", tokenizer="demo")
    requests(judge_server)
    got, reasons = score(backend, texts)
    assert not reasons
    listed = np.isfinite(got)
    np.testing.assert_allclose(got[listed], score(demo, texts)[0][listed], atol=1e-4)
    assert requests(judge_server) == len(texts) + more
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == 2 * bool(said)  # one a backend
    assert all(re.search(said, note) for note in notes)


def test_the_newer_name_of_the_limit_is_found_out_once(
    make: Make, demo: TransformersBackend, judge_server: str
) -> None:
    requests(judge_server)
    backend = make("demo+newer")
    texts = prompts(*(f"Add 1 to {i}." for i in range(12)))
    got, reasons = score(backend, texts)
    assert not reasons
    listed = np.isfinite(got)
    np.testing.assert_allclose(got[listed], score(demo, texts)[0][listed], atol=1e-4)
    assert requests(judge_server) == backend.usage["requests"] == 1 + 1 + 12


def test_a_prompt_that_is_too_long_renames_no_limit(make: Make, judge_server: str) -> None:
    backend = make("demo+strict")
    requests(judge_server)
    _, reasons = score(backend, prompts("What is 8 + 1?", "long " * 1200, *"abc"))
    assert set(reasons) == {1} and "too long for the server" in reasons[1]
    assert requests(judge_server) == 5


def test_another_models_name_is_noticed_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")  # to import alpaca_eval changes it
    assert not score(make("demo+other"), prompts(*"abcde"))[1]
    (note,) = [record.getMessage() for record in caplog.records]
    assert re.search("asked for the model 'demo.other', but .* 'a-wholly-other' answered", note)
    caplog.clear()
    assert not score(make("demo+plain"), prompts(*"abcde"))[1]
    assert not caplog.records


def test_redirects_are_not_followed(make: Make) -> None:
    """Prompts and key go to no address that nobody named."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        backend = make("demo+plain", concurrency=1)
        texts = prompts("What is 1 + 1?", f"<<moved {port}>>", "What is 1 + 2?")
        finished = []
        with pytest.raises(JudgeError, match="redirects are not followed") as caught:
            for batch in backend.score(texts):
                finished += batch.indices
        assert finished == [0, 1]
        assert f"redirects to http://127.0.0.1:{port}/v2/completions (307)" in str(caught.value)
        assert (
            str(caught.value).count(f"give `engine_args` base_url=http://127.0.0.1:{port}/v2") == 1
        )
        assert not any(word in str(caught.value) for word in ("pass", "secret"))
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


@pytest.fixture
def encrypted(judge_server: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address, without the scheme, of a TLS relay to the server, and its own certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here: apt-get install openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    plain = urlsplit(judge_server)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other = await asyncio.open_connection(plain.hostname, plain.port)
        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer), return_exceptions=True)

    async def end() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(relay, "127.0.0.1", 0, ssl=context))
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"localhost:{server.sockets[0].getsockname()[1]}{plain.path}", certificate
    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_server_s_certificate_is_checked(
    encrypted: tuple[str, Path],
    demo: TransformersBackend,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    address, certificate = encrypted
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(JudgeError, match="certificate verify failed"):
        OpenAIBackend("demo", base_url=f"{scheme}://{address}", retries=0)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    got, reasons = score(OpenAIBackend("demo", base_url=f"{scheme}://{address}"), prompts(*"ab"))
    assert not reasons
    np.testing.assert_allclose(got, score(demo, prompts(*"ab"))[0], atol=1e-4)


def test_no_certificate_is_read_for_http(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/none.pem")
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile="/there/is/none.pem")
    assert not score(make("demo+plain"), prompts("a"))[1]


FULL = """
import sys
from pathlib import Path
from selfj_eval.engines.server.openai import OpenAIBackend
backend = OpenAIBackend("demo+plain", base_url=sys.argv[1], retries=0)


def peak():  # of this process alone: that of getrusage is at least the parent's
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


base = peak()
prompts = [f"<<{mark}>> {i}" for i in range(16) for mark in ("huge", "bomb")]
reasons = {}
for batch in backend.score(prompts):
    reasons |= batch.reasons
assert len(reasons) == 32 and all("far more than" in r for r in reasons.values()), reasons
print(base, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="/proc tells the peak")
def test_huge_replies_take_no_memory(judge_server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, judge_server],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    base, peak = map(int, done.stdout.split())
    assert peak < 300, f"{base} MiB before, {peak} at most"
