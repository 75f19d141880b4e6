"""One judge, rater, store or model in several threads: right answers, and no exception."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import Judge, JudgmentStore, Record
from selfj_eval.engines.server.openai import OpenAIBackend
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.raters.cosine import CosineRater
from selfj_eval.raters.perplexity import PerplexityRater
from selfj_eval.raters.vro import VroRater
from selfj_eval.storage.store import MeasureStore, Stored

THREADS = 2


def records(k: int, n: int = 6) -> list[Record]:
    """Some records share what their prompts begin with, and some do not."""
    more = " Please explain." * (k % 4)
    return [
        Record(f"{k}-{i}", f"What is {i} times {k}?{more}", f"{i * k}{' words' * (k % 5)}", "42")
        for i in range(n)
    ]


SETS = [records(k) for k in range(2, 10)]


def together(work: Callable[[int], None]) -> None:
    """Run it in threads that start at once; an exception of any is the test's."""
    barrier, errors = threading.Barrier(THREADS), list[BaseException]()

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:  # pytest sees only its own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    assert errors == []


def assert_right(rater: Any, expected: list[list[Any]], calls: int) -> None:
    """Each thread rates all sets in an order of its own, again and again."""

    def work(number: int) -> None:
        for call in range(calls):
            at = (3 * number + call) % len(SETS)
            found = [judgment.score for judgment in rater.judge(SETS[at])]
            assert found == pytest.approx(expected[at], abs=1e-6)

    together(work)


@pytest.fixture(scope="module")
def backend() -> Any:
    return Judge.load("demo").backend


@pytest.fixture(scope="module")
def expected(backend: Any) -> list[list[Any]]:
    return [[j.score for j in Judge(backend).judge(part)] for part in SETS]


def test_a_judge(backend: Any, expected: list[list[Any]]) -> None:
    judge = Judge(backend)
    assert_right(judge, expected, calls=40)
    assert (judge.from_store, judge.failed) == (0, 0)
    assert [j.score for j in judge.judge(SETS[0])] == expected[0]


def test_a_judge_with_a_store(backend: Any, expected: list[list[Any]], tmp_path: Path) -> None:
    with JudgmentStore(tmp_path / "store") as store:
        judge = Judge(backend, store=store)
        assert_right(judge, expected, calls=1200)
        distinct = {judge.key(record) for part in SETS for record in part}
        assert len(store) == len(distinct)
        # What both threads have asked for at the same time is judged twice, and nothing else.
        rated = THREADS * 1200 * len(SETS[0])
        assert rated - THREADS * sum(map(len, SETS)) <= judge.from_store <= rated - len(distinct)


def test_two_judges_share_a_model(backend: Any, expected: list[list[Any]]) -> None:
    judges = [Judge(backend), Judge(backend, reference=False)]
    alone = [[j.score for j in judges[1].judge(part)] for part in SETS]

    def work(number: int) -> None:
        for at, part in enumerate(SETS):
            found = [j.score for j in judges[number].judge(part)]
            assert found == pytest.approx([expected, alone][number][at], abs=1e-6)

    together(work)


def test_a_judge_behind_a_server(
    judge_server: str, expected: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    judge = Judge(OpenAIBackend("demo", base_url=judge_server, tokenizer="demo"))
    alone = [[j.score for j in judge.judge(part)] for part in SETS]
    before = dict(judge.backend.usage)
    assert_right(judge, alone, calls=8)
    sent = {name: number - before[name] for name, number in judge.backend.usage.items()}
    assert sent["requests"] == sent["completion_tokens"] == THREADS * 8 * len(SETS[0])


def test_a_store_filled_and_read_at_once(tmp_path: Path) -> None:
    with JudgmentStore(tmp_path / "store") as store:

        def work(number: int) -> None:
            for i in range(150):
                key, value = f"{number}-{i}".encode(), Stored((-float(i),) * 10, number)
                store.put({key: value})
                assert store.get([key, b"none"]) == {key: value}
                assert len(store) > i

        together(work)
        assert len(store) == THREADS * 150


def test_raters_with_models(tmp_path: Path, minilm: Path) -> None:
    from selfj_eval.engines.models.embedder import Embedder

    embedder = Embedder(str(minilm))
    sampling = Sampling(n=2, temperature=1.0, max_new_tokens=3)
    with MeasureStore(tmp_path / "store") as store:
        makers: dict[str, Callable[[Any], Any]] = {
            "ppl": lambda kept: PerplexityRater("demo", store=kept),
            "cosine": lambda kept: CosineRater(Embedder(str(minilm)), store=kept),
            "vro": lambda kept: VroRater(
                TransformersGenerator("demo"), embedder, sampling=sampling, store=kept
            ),
        }
        for make in makers.values():
            alone = [[j.score for j in make(None).judge(part)] for part in SETS[:1]]
            alone += [[j.score for j in make(None).judge(part)] for part in SETS[1:2]]
            for rater in (make(None), make(store)):

                def work(number: int, rater: Any = rater, alone: Any = alone) -> None:
                    for call in range(3):
                        at = (number + call) % 2
                        found = [j.score for j in rater.judge(SETS[at])]
                        assert found == pytest.approx(alone[at], abs=1e-5)

                together(work)


def test_drawn_answers_are_those_of_one_thread() -> None:
    models = [TransformersGenerator("demo") for _ in range(THREADS)]
    sampling = Sampling(n=4, temperature=1.0, max_new_tokens=6)
    texts = [record.instruction for record in SETS[0]]
    alone = answers_to(models[0], texts, sampling)

    def work(number: int) -> None:
        for _ in range(3):
            assert answers_to(models[number], texts, sampling) == alone

    together(work)
