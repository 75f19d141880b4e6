from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import Judge, Record
from selfj_eval.demo import ladder
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.server import endpoint
from selfj_eval.engines.server.openai import OpenAIBackend, estimated_offsets
from selfj_eval.engines.server.traffic import GIVE_UP
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import get_template

pytest.importorskip("openai", reason="the extra openai is not installed")

KEY = "sk-not-to-be-written-down"
Make = Callable[..., OpenAIBackend]


@pytest.fixture(scope="module")
def direct(tiny_judge: Path) -> dict[str, TransformersBackend]:
    """The server's judges without it."""
    demo = TransformersBackend("demo", device="cpu")
    return {"demo": demo, "tiny": TransformersBackend(str(tiny_judge), device="cpu")}


@pytest.fixture
def url(judge_server: str) -> str:
    return judge_server


@pytest.fixture
def make(url: str, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A backend on the server that does not wait long before it asks again."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def made(model: str, **options: Any) -> OpenAIBackend:
        return OpenAIBackend.with_args(model, "self-j", {"base_url": url, **options})

    return made


def prompts(*texts: str, n: int = 0) -> list[str]:
    """Prompts of some texts, and of n records."""
    records = [Record("x", text, "It is 5.") for text in texts] + ladder(
        "test", instructions=max(1, n)
    )[:n]
    return [get_template("self-j").render(r.instruction, r.response, r.reference) for r in records]


def score(backend: Any, texts: list[str]) -> tuple[np.ndarray, dict[int, str]]:
    rows, reasons, seen = np.zeros((len(texts), 10)), {}, []
    for batch in backend.score(texts):
        rows[batch.indices] = batch.log_probabilities
        reasons |= batch.reasons
        seen += batch.indices
    assert sorted(seen) == list(range(len(texts)))
    assert {i for i in seen if np.isnan(rows[i]).all()} == set(reasons)
    return rows, reasons


def stats(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=10) as reply:
        told: dict[str, int] = json.load(reply)
    return told


@pytest.mark.parametrize("name", ["demo", "tiny"])
def test_named_tokens_are_exact(
    make: Make, direct: dict[str, TransformersBackend], tiny_judge: Path, name: str
) -> None:
    tokenizer = "demo" if name == "demo" else str(tiny_judge)
    backend = make(f"{name}+vllm", tokenizer=tokenizer, price_in=2, price_out=10.0)
    got, reasons = score(backend, prompts(n=40))
    np.testing.assert_allclose(got, score(direct[name], prompts(n=40))[0], atol=1e-4)
    assert not reasons
    own = JudgeTokenizer(tokenizer)
    assert backend.identity == {
        "engine": "openai", "model": f"{name}+vllm", "adapter": "", "api": "completions",
        "tokenizer": own.fingerprint, "logprobs": "exact",
    }  # fmt: skip
    probe = get_template("self-j").probe()
    tokens = sum(len(own.encode(text)) for text in [probe, *prompts(n=40)])
    expected = {"requests": 41, "retries": 0, "prompt_tokens": tokens, "completion_tokens": 41}
    assert backend.usage == expected | {"cost": pytest.approx(tokens * 2e-6 + 41 * 1e-5)}


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("demo", "plain", {}),
        ("tiny", "plain", {}),
        ("demo", "vllm", {}),
        ("demo", "llama", {}),
        ("demo", "plain", {"api": "chat"}),
        ("demo", "ids", {"tokenizer": True}),
        ("tiny", "llama", {"tokenizer": True}),
        ("demo", "strict", {"tokenizer": True}),
        ("demo", "plain", {"tokenizer": True, "top_logprobs": 8}),
    ],
)
def test_the_likeliest_tokens_are_a_bound(
    make: Make,
    direct: dict[str, TransformersBackend],
    tiny_judge: Path,
    name: str,
    kind: str,
    options: dict[str, Any],
) -> None:
    if "tokenizer" in options:
        options = options | {"tokenizer": "demo" if name == "demo" else str(tiny_judge)}
    backend = make(f"{name}+{kind}", **options)
    got, reasons = score(backend, prompts(n=12))
    wanted = score(direct[name], prompts(n=12))[0]
    assert backend.identity["logprobs"] == f"top {options.get('top_logprobs', 20)}"
    listed = np.isfinite(got)
    np.testing.assert_allclose(got[listed], wanted[listed], atol=1e-4)
    assert (got[~listed & ~np.isnan(got)] == -np.inf).all()
    assert listed.any()
    for index in np.flatnonzero(~listed.all(axis=1) & listed.any(axis=1)):
        assert wanted[index][~listed[index]].max() <= wanted[index][listed[index]].min()
    assert all("no digit is among the tokens" in reason for reason in reasons.values())
    assert (len(reasons) == 0) == (name == "demo")


def test_a_server_that_lists_the_whole_vocabulary_is_exact(
    make: Make, direct: dict[str, TransformersBackend]
) -> None:
    got, _ = score(make("tiny+llama", top_logprobs=1000), prompts(n=8))
    np.testing.assert_allclose(got, score(direct["tiny"], prompts(n=8))[0], atol=1e-4)


@pytest.mark.parametrize("mark", ["429", "500", "502", "503", "504", "rest", "truncated", "dropped",
                                  "inside502", "inside429", "insidechoice", "insidehost",
                                  "insideload"])  # fmt: skip
def test_what_passes_is_asked_again(
    make: Make, direct: dict[str, TransformersBackend], mark: str
) -> None:
    texts = prompts(f"<<{mark} {1 if mark == 'rest' else 2}>> passes", "What is 2 + 3?")
    backend = make("demo+vllm", tokenizer="demo")
    start = time.monotonic()
    got, reasons = score(backend, texts)
    assert not reasons
    np.testing.assert_allclose(got, score(direct["demo"], texts)[0], atol=1e-4)
    assert backend.usage["retries"] == (1 if mark == "rest" else 2)
    assert backend.usage["requests"] == 3 + backend.usage["retries"]
    if mark == "rest":
        assert 1 <= time.monotonic() - start < 5  # as Retry-After says


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("<<500>>", r"failed \(500: no luck\)\. It was asked 3 times"),
        ("<<echo>>", r"failed \(500: headers were: .*Bearer \[key\]"),
        ("<<truncated>>", "not a JSON object, or is incomplete"),
        ("<<dropped>>", "no connection to the server, or it broke"),
        ("<<asleep>>", r"no answer within 1\.5 s\. It was asked once"),
        ("<<inside502>>", r"failed \(502: no provider\)\. It was asked 3 times"),
        ("<<insidesaid>>", r"refused the request \(403: Forbidden\)"),
        ("<<insideflag>>", r"refused the request \(403: .*your input was flagged\)"),
        ("<<huge>>", r"more than 1,\d{3},\d{3} bytes, far more than was asked for"),
        ("<<bomb>>", r"more than 1,\d{3},\d{3} bytes, far more than was asked for"),
        ("<<400>>", r"refused the request \(400: no luck\)"),
        ("<<bare>>", "no log-probabilities of the most likely tokens.*use a server that gives"),
        ("<<ended>>", "most likely token ends the judge's answer .* `engine` transformers give"),
        ("<<two>>", "gave 2 choices; expected one"),
        ("<<none>>", "gave 0 choices; expected one"),
        ("<<index>>", "answered prompt 1; expected 0"),
        ("<<nan>>", "gave nan as log-probability of '.'; expected a number of at most 0"),
        ("<<text>>", "gave '-0.5' as log-probability"),
        ("<<positive>>", "gave 0.5 as log-probability"),
        ("long " * 1200, "too long for the server .* lower `max_tokens`"),
    ],
)
def test_what_does_not_pass_is_unscored_and_the_others_go_on(
    make: Make, direct: dict[str, TransformersBackend], mark: str, reason: str
) -> None:
    texts = prompts(mark + " stays", "What is 1 + 3?", "Name a fruit.")
    retries, timeout = (0, 1.5) if mark == "<<asleep>>" else (2, 60)
    backend = make("demo+plain", timeout=timeout, retries=retries)
    got, reasons = score(backend, texts)
    assert set(reasons) == {0}
    assert re.search(reason, reasons[0]), reasons
    assert all(part not in reasons[0] for part in (KEY[:12], KEY[-10:], KEY.encode().hex()))
    assert base64.b64encode(f"Bearer {KEY}".encode())[12:20].decode() not in reasons[0]
    listed = np.isfinite(got)
    np.testing.assert_allclose(
        got[listed], score(direct["demo"], texts[1:])[0][listed[1:]], atol=1e-4
    )
    passing = mark in ("<<500>>", "<<inside502>>", "<<echo>>", "<<truncated>>", "<<dropped>>")
    assert backend.usage["retries"] == (2 if passing else 0)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("401", r"refuses the key in OPENAI_API_KEY \(401\)"),
        ("402", r"no requests with this key \(402: no luck\)"),
        ("403", r"no requests with this key \(403: no luck\)"),
        ("404", "does not know the model 'demo.plain' or this address"),
        ("broke", r"no requests with this key \(429: no credit\)"),
        ("hour", r"no more requests .* \(429: too many requests\)\. It asks to wait 3(599|600) s"),
        (
            "insideday",
            r"no more requests with this key for now \(429: limit of 50 requests per day",
        ),
        ("insidepath", r"this address \(404: Unexpected endpoint or method\)"),
        ("insidecode", r"this address \(404: no such thing\)"),
    ],
)
def test_what_is_hopeless_ends_the_run_at_once(make: Make, mark: str, message: str) -> None:
    texts = prompts("What is 3 + 3?", f"<<{mark}>>", *(f"Add 1 to {i}" for i in range(20)))
    backend = make("demo+plain", concurrency=1)
    batches = []
    with pytest.raises(JudgeError, match=message + ".* What was finished is kept"):
        for batch in backend.score(texts):
            batches.append(batch)
    assert [batch.indices for batch in batches] == [[0], [1]]
    assert backend.usage["requests"] == 3
    assert backend.usage["retries"] == 0


def test_a_warning_beside_an_answer_is_none(
    make: Make, direct: dict[str, TransformersBackend]
) -> None:
    texts = prompts("<<insidewarn>> What is 2 + 6?")
    got, reasons = score(make("demo+vllm", tokenizer="demo"), texts)
    assert not reasons
    np.testing.assert_allclose(got, score(direct["demo"], texts)[0], atol=1e-4)


def test_a_server_that_is_gone_ends_the_run(make: Make) -> None:
    texts = prompts("What is 4 + 4?", *(f"<<dropped>> {i}" for i in range(500)))
    backend = make("demo+plain", retries=1, concurrency=4)
    seen: list[int] = []
    with pytest.raises(JudgeError, match=r"in a row had no answer .* broke .* What was finished"):
        for batch in backend.score(texts):
            seen += batch.indices
    assert GIVE_UP <= len(seen) <= GIVE_UP + 8
    assert 0 in seen


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("demo+locked", {}, r"refuses the key in OPENAI_API_KEY \(401\)"),
        ("demo+forbidden", {}, r"\(403: no: Bearer \[key\]\)"),
        ("other+plain", {}, "does not know the model 'other.plain'.* listed at http.*/v1/models"),
        ("demo+bare", {}, "no log-probabilities of the most likely tokens"),
        ("demo+plain", {"top_logprobs": 30}, "more than max .* fewer .* top_logprobs=5"),
        ("tiny+vllm", {"tokenizer": "demo"}, r"as \d+ tokens, the tokenizer as \d+: it is not"),
        ("demo", {"base_url": "http://127.0.0.1:9/v1"}, "9/v1: no connection to the server"),
        ("demo", {"base_url": "localhost:8000"}, "base_url is no address such as http"),
        ("demo", {"base_url": f"http://u:{KEY}@localhost/v1"}, "holds a user name, a password"),
        ("demo", {"base_url": f"http://localhost/v1?k={KEY}"}, "or a query"),
        ("demo", {"base_url": None}, "no server is named; give its address, .* OPENAI_BASE_URL"),
        ("demo", {"api_key": KEY}, "no argument 'api_key'; there are: base_url, api, tokenizer"),
        ("demo", {"api": "rest"}, "no api 'rest'; there are: completions, chat"),
        ("demo", {"timeout": "1 s"}, "the engine argument timeout must be a number"),
        ("demo", {"retries": True}, "the engine argument retries must be a whole number"),
        ("demo", {"concurrency": 0}, r"concurrency must be in 1\.\.1000, got 0"),
        ("demo", {"timeout": float("nan")}, "timeout must be in"),
        ("demo", {"price_in": -1}, "price_in must be in 0"),
    ],
)
def test_what_cannot_work_is_said_before_the_first_record(
    make: Make, model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(JudgeError, match=message) as caught:
        make(model, **options)
    shown = caught.getrepr(chain=True, style="native")
    assert KEY not in str(caught.value)
    assert KEY not in str(shown).replace(f"'{KEY}'", "")


@pytest.mark.parametrize("key", ["sk-1\n2", "sk-ü"])
def test_a_key_that_is_none_is_refused_unseen(
    make: Make, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(JudgeError, match="OPENAI_API_KEY holds a blank or") as caught:
        make("demo+plain")
    assert "sk-" not in str(caught.value)


def test_the_package_is_named_where_it_is_missing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(JudgeError, match=r'pip install "selfj-eval\[openai\]"'):
        make("demo+plain")


def test_requests_under_way_are_limited_and_finished_ones_come_at_once(
    make: Make, url: str
) -> None:
    texts = prompts(*(f"<<slow>> {i}" for i in range(6)), *(f"Count to {i}" for i in range(9)))
    backend = make("demo+vllm", concurrency=3)
    stats(url)
    assert not score(backend, texts)[1]
    assert stats(url) == {"requests": 15, "most": 3}
    start = time.monotonic()
    batches = backend.score(prompts("<<asleep>>", "Count to 3"))
    assert next(batches).indices == [1]
    batches.close()  # leaves the one asleep behind
    assert time.monotonic() - start < 6


def test_works_where_an_event_loop_runs(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)

    async def inside() -> dict[int, str]:
        return score(make("demo+plain", base_url=None), prompts(n=3))[1]

    assert asyncio.run(inside()) == {}


def test_lengths_without_a_tokenizer_are_estimated(make: Make, url: str) -> None:
    text = "Ein Satz, 12 Wörter: 你好 🙂\n\nDone."
    spans = estimated_offsets(text)
    assert {i for start, end in spans for i in range(start, end)} == set(range(len(text)))
    assert [text[a:b] for a, b in spans[:4]] == ["Ein", " Sat", "z", ","]
    assert len(estimated_offsets("你🙂ö")) == 2 + 3 + 1
    assert make("demo+plain").max_tokens == 4095
    assert make("demo+plain", api="chat").max_tokens == 4095 - 128
    assert make("demo+plain", tokenizer="demo").max_tokens == 1023
    judge = Judge.load("demo+plain", engine="openai", engine_args={"base_url": url}, max_tokens=400)
    cut, whole = judge.judge([Record("1", "Add.", "word " * 900), Record("2", "Add.", "5")])
    assert cut.score is not None and cut.trimmed_tokens > 0
    assert whole.trimmed_tokens == 0


def test_selfj_score(
    command: Any,
    url: str,
    direct: dict[str, TransformersBackend],
    jsonl: Any,
    tmp_path: Path,
) -> None:
    source = jsonl(
        *[{"id": str(i), "instruction": f"Add {i} and 1.", "response": f"{i + 1}"}
          for i in range(5)],
        {"id": "echo", "instruction": "<<echo>>", "response": "x"},
    )  # fmt: skip
    output = tmp_path / "out.jsonl"
    command_line = ["selfj", "score", source, "--judge", "demo+llama", "--output", output]
    command_line += ["--engine", "openai", "--engine-arg", f"base_url={url}"]
    command_line += ["--engine-arg", "top_logprobs=1000", "--engine-arg", "retries=1"]
    stats(url)
    done = command(*command_line, OPENAI_API_KEY=KEY)
    assert done.returncode == 1, done.stderr
    assert "5 of 6 records judged" in done.stdout
    assert stats(url)["requests"] == 1 + 5 + 2
    rows = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    records = [Record(str(i), f"Add {i} and 1.", f"{i + 1}") for i in range(5)]
    for judgment in Judge(direct["demo"]).judge(records):
        assert rows[judgment.id]["score"] == pytest.approx(judgment.score, abs=1e-4)
    assert "Bearer [key]" in rows["echo"]["error"]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert all(
        KEY.encode() not in data for data in [*written, (done.stdout + done.stderr).encode()]
    )
    again = command(*command_line, OPENAI_API_KEY=KEY)
    assert "5 of 6 records judged, 5 of them from the store" in again.stdout
    assert stats(url)["requests"] == 1 + 2
