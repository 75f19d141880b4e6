"""Encoder judges: trained by the same command, usable wherever a judge is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from selfj_eval import Judge, PairJudge, Record, bench
from selfj_eval.errors import JudgeError
from selfj_eval.training.pairs import Pair, write_pairs


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A small random encoder with ten classes in an order of its own."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    digits = "3071592648"
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, initializer_range=0.5,
        num_labels=10, id2label=dict(enumerate(digits)),
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


RECORDS = [
    Record("1", "What is 2 + 3?", "5"),
    Record("2", "What is 2 + 3?", "It is 5.", "5"),
    Record("3", "Tell me a story.", "word " * 400, "Once upon a time " * 100),
    Record("4", "Say nothing.", ""),
]


def test_scores_are_the_expectation_over_its_classes(judge_folder: Path) -> None:
    judge = Judge.load(str(judge_folder))
    assert (judge.template.name, judge.max_tokens) == ("sections", 128)
    model = AutoModelForSequenceClassification.from_pretrained(judge_folder).double().eval()
    tokenizer = AutoTokenizer.from_pretrained(judge_folder)
    values = torch.tensor([float(model.config.id2label[at]) for at in range(10)]).double()
    for record, judgment in zip(RECORDS, judge.judge(RECORDS), strict=True):
        text = judge.prompt(record).text
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        assert judgment.score == pytest.approx((logits.softmax(-1) @ values).item(), abs=1e-4)
        assert judgment.digit_mass == pytest.approx(1)
        assert (judgment.trimmed_tokens > 0) == (record.id == "3")
    alone = [judge.judge([record])[0].score for record in RECORDS]
    together = [judgment.score for judgment in judge.judge(RECORDS[::-1])][::-1]
    assert np.allclose(alone, together, atol=1e-5)


def test_what_is_no_encoder_judge_is_refused(judge_folder: Path, tmp_path: Path) -> None:
    for file in judge_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {str(at): f"LABEL_{at}" for at in range(10)}
    config["label2id"] = {f"LABEL_{at}": at for at in range(10)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(JudgeError, match="not a judge: its classes must be the ten digits"):
        Judge.load(str(tmp_path))
    with pytest.raises(JudgeError, match="takes no adapter"):
        Judge.load(str(judge_folder), template="self-j")
    (tmp_path / "config.json").write_bytes((judge_folder / "config.json").read_bytes())
    weights = AutoModelForSequenceClassification.from_pretrained(judge_folder).state_dict()
    del weights["classifier.weight"]
    from safetensors.torch import save_file

    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(JudgeError, match="missing"):
        Judge.load(str(tmp_path))


def test_an_encoder_cannot_compare_two_answers(
    judge_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "is an encoder judge, which rates one answer; it cannot compare two"
    with pytest.raises(JudgeError, match=said):
        PairJudge.load(str(judge_folder))
    row = {"id": "1", "instruction": "q", "response_a": "a", "response_b": "b", "label": "A"}
    ran: list[str] = []
    monkeypatch.setattr("selfj_eval.benchmarking.pair_bench.alone", lambda *_: ran.append("alone"))
    with pytest.raises(JudgeError, match=said):
        bench(
            {"mine": [row]}, judge=f"length,{judge_folder}", pairs=True, pairwise="pairwise",
            output=tmp_path / "t",
        )  # fmt: skip
    assert not ran  # said before the first rater runs


def selfj(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "selfj_eval", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.long
def test_a_pretrained_encoder_becomes_a_judge(minilm: Path, tmp_path: Path) -> None:
    """Trained with and without reference, it tells good from bad, and scores from the shell."""
    words = {0: "no idea whatsoever", 9: "the answer is forty two"}
    pairs = []
    for n in range(64):
        label = 9 * (n % 2)
        pairs.append(Pair(str(n), f"Question number {n}?", words[label], words[9], label))
    names = tmp_path / "ref.jsonl", tmp_path / "noref.jsonl"
    write_pairs(*names, pairs)
    selfj(
        tmp_path, "train", "judge", "--architecture=encoder", f"--base={minilm}", "--lora-r=0",
        "--train-ref=ref.jsonl", "--train-noref=noref.jsonl", "--output=judge", "--epochs=4",
        "--max-tokens=64", "--batch-size=8", "--gradient-accumulation=1", "--warmup-steps=2",
        "--freeze-layers=4", "--learning-rate=1e-3",
    )  # fmt: skip
    rows = [
        {"id": p.id, "instruction": p.instruction, "response": p.response, "rating": p.label}
        for p in pairs[:6]
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    selfj(tmp_path, "score", "a.jsonl", "--judge", "judge", "--output", "scores.jsonl")
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").open()]
    good = [row["score"] for row in scores if row["rating"] == 9]
    bad = [row["score"] for row in scores if row["rating"] == 0]
    assert min(good) > max(bad) + 2
    again = selfj(tmp_path, "score", "a.jsonl", "--judge", "judge", "--output", "scores.jsonl",
                  "--json")  # fmt: skip
    assert json.loads(again)["from_store"] == 6
    run = json.loads((tmp_path / "scores.jsonl.run.json").read_text())
    assert run["judge"]["template"] == "sections"
