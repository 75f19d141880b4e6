from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from selfj_eval import Record
from selfj_eval.engines.models.embedder import Embedder
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.base import Request
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.raters import vro
from selfj_eval.raters.vro import VroRater
from selfj_eval.storage.store import Answer, AnswerStore, MeasureStore

DRAWN = Sampling(n=3, temperature=1.0, max_new_tokens=8)
SAYS = {
    "Capital of France?": ("The capital of France is Paris.", "Paris.", "It is Paris."),
    "Name a thing.": ("A teapot.", "", "Quantum chromodynamics explains quarks."),
    "Hi.": ("", "", ""),
}


class Scripted:
    """Gives fixed answers, and remembers what it was asked."""

    identity: Mapping[str, str] = {"model": "scripted"}
    prompt = "plain"
    context = 40

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, instruction: str) -> list[int]:
        return [ord(c) for c in instruction]

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        return [list(requests[at : at + 2]) for at in range(0, len(requests), 2)]

    def run(self, batch: Sequence[Request], sampling: Sampling) -> list[tuple[Answer, ...]]:
        texts = ["".join(map(chr, request.tokens)) for request in batch]
        self.asked.append(texts)
        drawn = [SAYS.get(text, (text, text, "no")) for text in texts]
        return [tuple(Answer(text, "stop") for text in texts) for texts in drawn]


@pytest.fixture(scope="module")
def embedder(minilm: Path) -> Embedder:
    return Embedder(str(minilm), device="cpu")


def cosine(embedder: Embedder, one: str, other: str) -> float:
    """Without the rater's, and the embedder's, own way of doing it."""
    if not (one.strip() and other.strip()):
        return 0.0
    a, b = embedder._model.encode([one, other], convert_to_numpy=True).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_mean_similarity_to_what_the_model_says_again(embedder: Embedder) -> None:
    records = [
        Record("sure", "Capital of France?", "The capital is Paris."),
        Record("wrong", "Capital of France?", "Bananas grow in bunches."),
        Record("unsure", "Name a thing.", "A kettle."),
        Record("silent", "Hi.", "Hello."),
        Record("empty", "Hi.", " \n", where="f.jsonl, line 5"),
        Record("long", "x" * 40, "Hello.", where="f.jsonl, line 6"),
        Record("cut", "Name a thing.", "word " * 300),
    ]
    generator, finished = Scripted(), list[int]()
    rater = VroRater(generator, embedder, sampling=DRAWN)
    found = {j.id: j for j in rater.judge(records, progress=finished.append)}
    for record in records:
        if record.id in ("empty", "long"):
            continue
        wanted = np.mean([cosine(embedder, record.response, s) for s in SAYS[record.instruction]])
        assert found[record.id].score == pytest.approx(wanted, abs=1e-5)
    assert found["sure"].score > 0.8 > 0.3 > found["wrong"].score  # type: ignore[operator]
    assert found["silent"].score == 0
    assert found["cut"].trimmed_tokens == 302 - 256
    assert found["sure"].trimmed_tokens == 0
    assert found["empty"].score is None and found["long"].score is None
    assert found["empty"].error == (
        "f.jsonl, line 5, field 'response': is empty, so no other answer can be similar to it."
    )
    assert (found["long"].error or "").startswith(
        "f.jsonl, line 6: the model gave no other answers: its prompt of 40 tokens leaves no room"
    )
    assert sum(finished) == len(records)
    assert sorted(text for batch in generator.asked for text in batch) == sorted(SAYS)
    json.dumps(rater.description, allow_nan=False)


def test_kept_samples_serve_other_answers_of_the_same_model(
    embedder: Embedder, tmp_path: Path
) -> None:
    first = [Record("1", "Capital of France?", "Paris."), Record("2", "Name a thing.", "A pot.")]
    other = [Record("3", "Capital of France?", "Lyon."), Record("4", "Hi.", "Hello.")]
    generator = Scripted()
    with AnswerStore(tmp_path / "answers") as answers, MeasureStore(tmp_path / "m") as store:
        rater = VroRater(generator, embedder, sampling=DRAWN, answers=answers, store=store)
        scores = [j.score for j in rater.judge(first)]
        rater.judge(other)
        assert generator.asked == [["Capital of France?", "Name a thing."], ["Hi."]]
        again = VroRater(Scripted(), embedder, sampling=DRAWN, answers=answers, store=store)
        assert [j.score for j in again.judge(first + other)][:2] == scores
        assert again.from_store == 4
        drawn = Sampling(n=3, temperature=0.5, max_new_tokens=8)
        warmer = VroRater(Scripted(), embedder, sampling=drawn, answers=answers, store=store)
        warmer.judge(first)
        assert warmer.from_store == 0, "other samples give another number"


def test_what_is_sampled_together_does_not_depend_on_what_is_stored(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run that was killed draws the samples of one that was not."""
    monkeypatch.setattr(vro, "_TOGETHER", 3)
    records = [Record(str(i), f"Say {i % 7}.", f"I say {i}.") for i in range(20)]
    whole, part = Scripted(), Scripted()
    wanted = VroRater(whole, embedder, sampling=DRAWN).judge(records)
    with MeasureStore(tmp_path / "m") as store:
        VroRater(Scripted(), embedder, sampling=DRAWN, store=store).judge(records[:4])
        rater = VroRater(part, embedder, sampling=DRAWN, store=store)
        found = rater.judge(records)
    assert rater.from_store == 4
    assert [j.score for j in found] == pytest.approx([j.score for j in wanted], abs=1e-5)
    assert sorted(part.asked) == sorted(whole.asked) == [
        ["Say 0.", "Say 1."], ["Say 2."], ["Say 3.", "Say 4."], ["Say 5."], ["Say 6."],
    ]  # fmt: skip


def test_a_real_model_against_a_direct_computation(embedder: Embedder, tmp_path: Path) -> None:
    generator = TransformersGenerator("demo", device="cpu", batch_size=4)
    texts = ["Sort ascending: 7, 3, 9.", "What is 2 + 3?", "Name three colours."]
    records = [Record(f"{i}{k}", t, f"3, 7 {k}") for k in range(2) for i, t in enumerate(texts)]
    with AnswerStore(tmp_path / "answers") as answers:
        found = VroRater(generator, embedder, sampling=DRAWN, answers=answers).judge(records)
        assert len(answers) == 3
    drawn = answers_to(generator, texts, DRAWN)
    for record, judgment in zip(records, found, strict=True):
        samples = drawn[texts.index(record.instruction)].answers
        assert len({sample.text for sample in samples}) > 1
        wanted = np.mean([cosine(embedder, record.response, s.text) for s in samples])
        assert judgment.score == pytest.approx(wanted, abs=1e-5)
