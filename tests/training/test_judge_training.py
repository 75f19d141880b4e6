"""``selfj train judge`` as its users run it: it learns, goes on, and refuses bad data."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, EvalPrediction, LlamaConfig, LlamaForCausalLM

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.training.pairs import Pair, write_pairs
from selfj_eval.training.run_folder import last_whole_checkpoint, mean_loss
from selfj_eval.training.trainer import LengthBatches, agreement

Train = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("--lora-r=0", "--max-tokens=256", "--learning-rate=1e-3", "--warmup-ratio=0.1",
         "--adam-beta2=0.98",
         "--gradient-accumulation=1", "--batch-size=32", "--epochs=1")  # fmt: skip


SEEN = ("red", "blue", "green", "yellow", "purple", "brown")
HIDDEN = ("lion", "tiger", "bear", "wolf", "rabbit")


def split_pairs(count: int, seed: int) -> list[Pair]:
    """Five points can be seen in the answer, four only in the reference."""
    rng = random.Random(seed)
    pairs = []
    for number in range(count):
        seen, hidden = rng.randrange(6), rng.randrange(5)
        fill = " ".join(rng.choice(("door", "cake", "song", "boat")) for _ in range(3))
        response, reference = f"{SEEN[seen]} {fill}", f"{HIDDEN[hidden]} {fill}"
        pairs.append(Pair(str(number), "Name two words.", response, reference, seen + hidden))
    return pairs


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with random weights and the demo judge's tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(JUDGE_DIR)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
        tie_word_embeddings=False, initializer_range=0.05,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and validation pairs of the split task."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "ref.jsonl", folder / "noref.jsonl", split_pairs(6400, 1))
    few = split_pairs(96, 3)
    write_pairs(folder / "few.ref.jsonl", folder / "few.noref.jsonl", few)
    write_pairs(folder / "val.ref.jsonl", folder / "val.noref.jsonl", split_pairs(300, 2))
    return folder


@pytest.fixture
def train(
    base: Path, data: Path, tmp_path: Path, in_process: Train, monkeypatch: pytest.MonkeyPatch
) -> Train:
    """Runs the command in ``tmp_path``, in a process of its own where ``start`` says how."""
    monkeypatch.chdir(tmp_path)

    def run(
        output: str, *flags: str, ref: str = "few.ref.jsonl", noref: str = "few.noref.jsonl",
        start: tuple[str, ...] = (), status: int = 0,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        line = ["train", "judge", "--base", str(base), "--train-ref", str(data / ref),
                "--train-noref", str(data / noref), "--output", output, *QUICK, *flags]  # fmt: skip
        if start:
            done = subprocess.run(
                [*start, "selfj_eval", *line], capture_output=True, text=True, check=False
            )
        else:
            done = in_process("selfj", *line)
        assert done.returncode == status, done.stderr[-2000:]
        return done

    return run


def test_teacher_and_student_learn_what_each_can_see(
    train: Train, data: Path, tmp_path: Path, in_process: Train
) -> None:
    done = train(
        "judge", "--json", f"--validation-ref={data / 'val.ref.jsonl'}",
        f"--validation-noref={data / 'val.noref.jsonl'}", ref="ref.jsonl", noref="noref.jsonl",
    )  # fmt: skip
    metrics = json.loads(done.stdout)["metrics"]
    teacher, student = metrics["teacher_spearman"], metrics["student_spearman"]
    assert teacher >= 0.8 and student >= 0.6 and teacher > student + 0.08, metrics
    # The folder is a judge, and what stands beside it says how it was made.
    records = tmp_path / "records.jsonl"
    rows = [
        {"id": pair.id, "instruction": pair.instruction, "response": pair.response,
         "reference": pair.reference, "rating": pair.label}
        for pair in split_pairs(40, 4)
    ]  # fmt: skip
    records.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = in_process("selfj", "score", records, "--judge", "judge", "--output", "scores.jsonl")
    assert done.returncode == 0, done.stderr
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").open()]
    apart = [abs(row["score"] - row["rating"]) for row in scores]
    assert sum(apart) / len(apart) < 1.5
    assert not list((tmp_path / "judge").glob("*.bin"))
    about = json.loads((tmp_path / "judge" / "training.json").read_text())
    assert about["data"]["train"]["labels"] == [
        sum(pair.label == label for pair in split_pairs(6400, 1)) for label in range(10)
    ]
    assert len(about["files"]["train_ref"]["sha256"]) == 64


def weights(folder: Path) -> dict[str, torch.Tensor]:
    name = "model.safetensors" if (folder / "model.safetensors").exists() else "adapter_model"
    loaded: dict[str, torch.Tensor] = load_file(folder / Path(name).with_suffix(".safetensors"))
    return loaded


AFTER_A_CHECKPOINT = """
import os, signal
from transformers import Trainer
old = Trainer._save_checkpoint
def new(self, *a, **k):
    old(self, *a, **k)
    if self.state.global_step == 8: os.kill(os.getpid(), signal.SIGKILL)
Trainer._save_checkpoint = new
"""
WHILE_IT_IS_WRITTEN = """
import os, signal
from transformers import TrainerState
old = TrainerState.save_to_json
def new(self, *a, **k):
    if self.global_step == 10: os.kill(os.getpid(), signal.SIGKILL)
    old(self, *a, **k)
TrainerState.save_to_json = new
"""


def killed(train: Train, tmp_path: Path, when: str, *flags: str) -> None:
    """Start the training of ``output`` b and kill it in its second pass over the data."""
    stop = tmp_path / "sitecustomize.py"
    stop.write_text(when)
    try:
        path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
        train("b", *flags, start=("env", f"PYTHONPATH={path}", sys.executable, "-m"),
              status=-9)  # fmt: skip
    finally:
        stop.unlink()


@pytest.mark.long
@pytest.mark.parametrize(
    ("when", "kind"),
    [
        (AFTER_A_CHECKPOINT, ()),
        (WHILE_IT_IS_WRITTEN, ("--lora-r=4", "--lora-dropout=0.1", "--gradient-checkpointing")),
    ],
    ids=["whole", "LoRA"],
)
def test_killed_and_resumed_is_never_killed(
    train: Train, tmp_path: Path, when: str, kind: tuple[str, ...]
) -> None:
    flags = ("--batch-size=16", "--save-steps=2", "--epochs=2", *kind)
    train("a", *flags)
    killed(train, tmp_path, when, *flags)
    assert not (tmp_path / "b").exists()
    if not kind:
        other = train("b", *flags, "--learning-rate=2e-3", status=2).stderr
        assert "learning_rate" in other and "Traceback" not in other
        other = train("b", *flags, ref="val.ref.jsonl", noref="val.noref.jsonl", status=2).stderr
        assert "the contents of train_noref, train_ref have changed" in other
    assert "continuing from b.checkpoints/checkpoint-8" in train("b", *flags).stderr
    one, two = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not (tmp_path / "b.checkpoints").exists()


@pytest.mark.long
def test_two_processes_train_as_one(train: Train, tmp_path: Path) -> None:
    flags = ("--logging-steps=1",)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
                "-m")  # fmt: skip
    found = []
    for output, batch, start in (("one", 8, (sys.executable, "-m")), ("two", 4, launcher)):
        train(output, f"--batch-size={batch}", *flags, start=start)
        history = json.loads((tmp_path / output / "training.json").read_text())["history"]
        found.append([line["loss"] for line in history if "loss" in line])
    assert len(found[0]) == 12
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 160, 165, 2000])
def test_batches_of_like_lengths_come_in_an_order_of_seed_and_epoch(rows: int) -> None:
    lengths = [(7 * n) % 401 + 1 for n in range(rows)]
    epoch = 0
    sampler = LengthBatches(lengths, 16, seed=0, epoch=lambda: epoch)
    torch.manual_seed(1)
    found = list(sampler)
    torch.manual_seed(2)
    assert list(sampler) == found and sorted(found) == list(range(rows)) and len(sampler) == rows
    assert lengths[found[0]] == max(lengths)
    batches = [[lengths[n] for n in found[at : at + 16]] for at in range(0, rows, 16)]
    if rows == 2000:
        assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 20
        means = [sum(batch) / len(batch) for batch in batches]
        ups = sum(after > before for before, after in itertools.pairwise(means))
        assert ups > 40  # not from long to short
        epoch = 1
        assert list(sampler) != found


def test_gradient_accumulation_changes_nothing(train: Train, tmp_path: Path) -> None:
    flags = ("--no-group-by-length", "--max-steps=4")
    train("whole", "--batch-size=16", *flags)
    train("parts", "--batch-size=4", "--gradient-accumulation=4", *flags)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4


def test_data_is_refused_before_anything_is_loaded(
    train: Train, data: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (data / "few.noref.jsonl").open()]
    rows[4]["output"] = "10"
    bad = tmp_path / "bad.jsonl"
    bad.write_text("".join(json.dumps(row) + "\n" for row in rows))
    error = train("x", "--base=/nowhere", noref=str(bad), status=2).stderr
    assert f"{bad}, line 5, field 'output'" in error and "0 to 9" in error
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    assert "x exists; name a new folder" in train("x", status=2).stderr
    error = train("y", "--report-to=nowhere", status=2).stderr
    assert "no tracker 'nowhere' here" in error and "Traceback" not in error
    assert not (tmp_path / "y.checkpoints").exists()


def test_what_is_too_long_is_named_before_the_training(train: Train, tmp_path: Path) -> None:
    pairs = split_pairs(20, 5)
    pairs[6] = replace(pairs[6], response="word " * 500)
    write_pairs(tmp_path / "long.ref.jsonl", tmp_path / "long.noref.jsonl", pairs)
    files = {"ref": str(tmp_path / "long.ref.jsonl"), "noref": str(tmp_path / "long.noref.jsonl")}
    done = train("x", "--max-steps=1", **files)
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("note: 2 of 40")]
    assert "line 7: " in note and "longer than 256 tokens" in note
    about = json.loads((tmp_path / "x" / "training.json").read_text())["data"]["train"]
    assert about["trimmed"] == 2 and about["longest"][0]["tokens"] > 200
    error = train("y", "--max-tokens=20", **files, status=2).stderr
    assert "long." in error and "line 7, field 'max_tokens'" in error
    assert not (tmp_path / "y.checkpoints").exists()


def test_a_score_that_is_no_number_is_counted() -> None:
    scores = np.array([[1, 1, 1], [np.nan, 2, 1], [3, 3, 1], [0, np.nan, 0], [4, 4.5, 1]])
    found = agreement(EvalPrediction(scores, np.array([1, 2, 3, 4, 5])))
    assert found["teacher_unscored"] == found["student_unscored"] == 1
    assert found["teacher_mae"] == pytest.approx(1 / 3)
    assert found["student_mae"] == pytest.approx(0.5 / 4)


def test_checkpoints_that_were_cut_off_do_not_count(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path) is None
    whole = '{"global_step": 10, "max_steps": 20}'
    for step, state in ((2, whole), (10, whole), (12, whole[:20]), (13, "{}"), (14, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_the_mean_loss_is_that_of_all_steps() -> None:
    history = [{"loss": 4.0, "step": 1}, {"eval_loss": 9.0, "step": 1}, {"loss": 2.0, "step": 4}]
    assert mean_loss(history) == pytest.approx((4 + 3 * 2) / 4)
