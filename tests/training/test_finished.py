"""A training that is done is done once, and one that has done nothing does not say so."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Trainer

from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.errors import JudgeError
from selfj_eval.training import base
from selfj_eval.training.changes import check_trained, sums_of
from selfj_eval.training.pairs import Pair, write_pairs

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMON = ("--base", JUDGE_DIR, "--lora-r=4", "--max-tokens=200", "--gradient-accumulation=1",
          "--batch-size=4", "--learning-rate=1e-3")  # fmt: skip
# The end lies inside of an epoch, where a training that goes on would take a step more; the
# checkpoints lie between the lines of the log; the rate is not 0 in the end.
STEPS = ("--max-steps=8", "--save-steps=3", "--logging-steps=2", "--schedule=constant")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    records = [r for r in ladder("train", instructions=6, seed=0) if r.response.strip()][:28]
    pairs = [
        Pair(r.id, r.instruction, r.response, r.reference, int(r.rating or 0)) for r in records
    ]
    write_pairs(folder / "ref.jsonl", folder / "noref.jsonl", pairs[:20])
    write_pairs(folder / "val.ref.jsonl", folder / "val.noref.jsonl", pairs[20:])
    rows = [{"instruction": p.instruction, "output": p.response} for p in pairs]
    for name, some in (("sft.jsonl", rows[:20]), ("val.jsonl", rows[20:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    return folder


@pytest.fixture
def train(data: Path, tmp_path: Path, in_process: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``selfj train KIND --output OUTPUT ...`` in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)

    def run(kind: str, output: str, *flags: object) -> subprocess.CompletedProcess[str]:
        if kind == "sft":
            pytest.importorskip("trl", reason="trl is not installed")
            files = ["--train", data / "sft.jsonl", "--validation", data / "val.jsonl"]
        else:
            files = ["--train-ref", data / "ref.jsonl", "--train-noref", data / "noref.jsonl",
                     "--validation-ref", data / "val.ref.jsonl",
                     "--validation-noref", data / "val.noref.jsonl"]  # fmt: skip
        return in_process("selfj", "train", kind, *files, "--output", output, *COMMON, *flags)

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    return found


def notes(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log, without what is about time, or about what this start has read."""
    hidden = ("runtime", "per_second", "num_tokens")
    lines = notes(folder)["history"]
    return [{k: v for k, v in li.items() if not any(h in k for h in hidden)} for li in lines]


def die_at(moment: str, patch: pytest.MonkeyPatch) -> None:
    """Have the training end at a moment after its last checkpoint."""

    def dying(owner: Any, name: str, when: Callable[..., bool]) -> None:
        old = getattr(owner, name)

        def new(*given: Any, **more: Any) -> Any:
            done = old(*given, **more)
            if when(*given):
                raise KeyboardInterrupt
            return done

        patch.setattr(owner, name, new)

    if moment == "last checkpoint":
        dying(Trainer, "_save_checkpoint", lambda self, *_: self.state.global_step == 8)
    elif moment == "last evaluation":
        dying(Trainer, "evaluate", lambda self, *_: not self.is_in_train)
    elif moment == "model written":
        dying(Trainer, "save_model", lambda _, folder, *__: folder.endswith("finished"))
    else:
        patch.setattr("selfj_eval.training.run_folder.remove_checkpoints", _die)


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.long
@pytest.mark.parametrize("kind", ["judge", "sft"])
def test_finished_work_is_not_done_again(
    kind: str, train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(kind, "whole", *STEPS).returncode == 0
    whole = tmp_path / "whole"
    for moment in ("last checkpoint", "last evaluation", "model written", "folder made"):
        name = moment.replace(" ", "-")
        with monkeypatch.context() as patch:
            die_at(moment, patch)
            assert train(kind, name, *STEPS).returncode == 130, moment
        there = tmp_path / name
        assert there.exists() == (moment == "folder made")
        again = train(kind, name, *STEPS)
        assert again.returncode == 0, again.stderr[-2000:]
        assert notes(there)["steps"] == 8 and f"{name}: 8 steps" in again.stdout, moment
        assert log_of(there) == log_of(whole), moment
        assert notes(there)["loss"] == notes(whole)["loss"], moment
        one, two = weights(whole), weights(there)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[tensor], two[tensor]) for tensor in one), moment
        assert not Path(f"{there}.checkpoints").exists()
    before = (whole / "training.json").stat().st_mtime_ns
    done = train(kind, "whole", *STEPS, "--json")
    assert done.returncode == 0 and "nothing is left to do" in done.stderr
    assert json.loads(done.stdout)["steps"] == 8
    assert (whole / "training.json").stat().st_mtime_ns == before
    other = train(kind, "whole", *STEPS, "--seed=1")
    assert other.returncode == 2
    assert "whole exists, a training with another seed; name a new folder" in other.stderr


@pytest.mark.long
@pytest.mark.parametrize("kind", ["judge", "sft"])
def test_what_is_logged_does_not_tell_that_it_was_interrupted(
    kind: str, train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(kind, "whole", *STEPS).returncode == 0
    old = Trainer._save_checkpoint

    def dying(self: Any, *rest: Any, **more: Any) -> None:
        old(self, *rest, **more)
        if self.state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_checkpoint", dying)
        assert train(kind, "parts", *STEPS).returncode == 130
    assert "continuing from parts.checkpoints/checkpoint-3" in train(kind, "parts", *STEPS).stderr
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    assert [line["step"] for line in log_of(tmp_path / "parts") if "loss" in line] == [
        1, 2, 3, 4, 6, 8,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["judge", "sft"])
@pytest.mark.parametrize("lora", ["--lora-r=4", "--lora-r=0"])
def test_a_training_that_changes_no_weight_is_an_error(
    kind: str, lora: str, train: Run, tmp_path: Path
) -> None:
    # So small a rate is 0 in float32.
    steps = ("--max-steps=2", "--warmup-steps=1", "--learning-rate=1e-60")
    done = train(kind, "nothing", *steps, lora)
    assert done.returncode == 2 and done.stdout == ""
    assert "2 steps of training changed no weight" in done.stderr
    assert "remove nothing.checkpoints, and start again" in done.stderr
    assert not (tmp_path / "nothing").exists()
    again = train(kind, "nothing", *steps, lora)  # finished, and still no success
    assert again.returncode == 2 and "changed no weight" in again.stderr


def test_an_adapter_of_embeddings_counts_as_trained_by_what_is_0_when_new(tmp_path: Path) -> None:
    settings = LoraConfig(r=4, target_modules=["embed_tokens"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(JUDGE_DIR), settings)
    before = sums_of(model)
    model.save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="changed no weight"):
        check_trained(tmp_path, before, steps=3, advice="")
    (first,) = [p for name, p in model.named_parameters() if "lora_embedding_A" in name]
    first.data[0, 5] = 1e-3
    model.save_pretrained(tmp_path)
    check_trained(tmp_path, before, steps=3, advice="")


def test_weights_that_are_no_numbers_are_an_error(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = base.load_base

    def broken(*given: Any, **more: Any) -> Any:  # as an overflow in float16 would
        model = real(*given, **more)
        model.get_parameter("lm_head.weight").data[5] = torch.nan
        return model

    monkeypatch.setattr("selfj_eval.training.judge.load_base", broken)
    done = train("judge", "nan", "--lora-r=0", "--max-steps=2")
    assert done.returncode == 2 and "weights that are not finite numbers" in done.stderr
    assert "Lower learning_rate" in done.stderr and not (tmp_path / "nan").exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["judge", "sft"])
def test_a_warm_up_fits_into_the_training(kind: str, train: Run, tmp_path: Path) -> None:
    # 20 rows, 4 a step, 2 or 3 epochs.
    steps = 10 if kind == "judge" else 15
    long = train(kind, "a", "--warmup-steps=100")
    assert long.returncode == 2 and not (tmp_path / "a.checkpoints").exists()
    assert "field 'warmup_steps': 100 steps are too many" in long.stderr
    assert f"has {steps} (20 rows, 4 per step, {steps // 5} epochs)" in long.stderr
    short = train(kind, "a", "--logging-steps=1", "--schedule=constant", "--warmup-ratio=0.25")
    assert f"warning: only {steps} steps" in short.stderr and short.returncode == 0
    assert notes(tmp_path / "a")["steps"] == steps
    rates = [line["learning_rate"] for line in log_of(tmp_path / "a") if "learning_rate" in line]
    warm = steps // 4  # also with a constant rate
    assert rates == pytest.approx([min(1.0, k / warm) * 1e-3 for k in range(steps)])
    enough = train(
        kind, "b", "--epochs=4", "--no-group-by-length" if kind == "judge" else "--seed=0"
    )
    assert enough.returncode == 0 and "warning: only" not in enough.stderr


def test_the_distillation_too_is_warm_before_the_end(train: Run) -> None:
    done = train("judge", "a", "--kl-warmup-steps=10")
    assert done.returncode == 2 and "field 'kl_warmup_steps': 10 steps are too many" in done.stderr


def test_a_share_of_few_steps_wastes_none(train: Run, tmp_path: Path) -> None:
    assert train("judge", "a", "--max-steps=1").returncode == 0
    assert any(tensor.abs().max() > 0 for n, tensor in weights(tmp_path / "a").items() if "_B" in n)


def test_an_adapter_skips_the_frozen_layers(train: Run, tmp_path: Path) -> None:
    layers = json.loads((JUDGE_DIR / "config.json").read_text())["num_hidden_layers"]
    done = train("judge", "a", "--max-steps=1", f"--freeze-layers={layers - 1}")
    assert done.returncode == 0
    of = {name.split(".layers.")[1].partition(".")[0] for name in weights(tmp_path / "a")}
    assert of == {str(layers - 1)}
    refused = train("judge", "b", "--max-steps=1", f"--freeze-layers={layers}")
    assert refused.returncode == 2
    assert f"field 'freeze_layers': the base has {layers} layers" in refused.stderr


def test_frozen_layers_that_are_run_once_change_nothing(train: Run, tmp_path: Path) -> None:
    flags = ("--freeze-layers=1", "--epochs=2", "--save-steps=4", "--logging-steps=1")
    assert train("judge", "a", *flags).returncode == 0
    done = train("judge", "b", *flags, "--cache-frozen")
    assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
    losses = [[line["loss"] for line in log_of(tmp_path / n) if "loss" in line] for n in "ab"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert not (tmp_path / "b.checkpoints").exists()
    refused = train("judge", "c", "--cache-frozen")
    assert refused.returncode == 2 and "needs --freeze-layers and an adapter" in refused.stderr
