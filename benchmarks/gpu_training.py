"""Training on a device: a step beside the original's, and a LoRA training with its loss curve."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_device import Device
from gpu_findings import Findings, finite
from gpu_models import llama_config, parameters, random_llama
from scoring import TEMPLATE, write_tokenizer
from torch.utils.data import Dataset
from training_step import VARIANTS, Steps, pairs
from transformers import TrainerCallback, TrainingArguments, set_seed

from selfj_eval.demo import ladder
from selfj_eval.engines.models.loading import choose_dtype
from selfj_eval.training.base import with_new_adapter
from selfj_eval.training.encoding import PairCollator, label_tokens
from selfj_eval.training.run_folder import arguments
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.training.trainer import JudgeTrainer

ROUNDS, BATCHES = 5, 4
STEPS = 200


def train_step(findings: Findings, device: Device, tiny: bool) -> None:
    """Time and memory of forward and backward passes of the 1b model, all weights trained."""
    batch, longest = (2, 128) if tiny else (8, 1024)
    config = llama_config("1b", tiny)
    steps = Steps(random_llama(config, device.name, torch.float32), batch)
    steps.run("ours", pairs(0, 1, batch, longest))
    findings.save(
        **parameters(config),
        dtype="bfloat16 over float32 weights" if device.is_cuda else "float32",
        batch=batch,
        held_bytes=device.held(),
        variants={name: {"seconds_a_pair": []} for name in VARIANTS},
    )
    found: dict[str, Any] = findings.values["variants"]
    for name, own in found.items():
        device.start_peak()
        try:
            steps.run(name, pairs(0, BATCHES, batch, longest))
        except torch.OutOfMemoryError:
            own["failed"] = "out of memory"
        own["peak_bytes"] = device.peak()
        findings.save()
    last = 0.0
    for done in range(2 if tiny else ROUNDS):
        if done and not findings.room(0.9, last):
            break
        start, rows = findings.elapsed, pairs(done, BATCHES, batch, longest)
        for name, own in found.items():
            if "failed" not in own:
                seconds = device.seconds(partial(steps.run, name, rows))
                own["seconds_a_pair"].append(seconds / len(rows))
        last = findings.elapsed - start
        findings.save()
    if all("failed" in own for own in found.values()):
        raise RuntimeError("out of memory with each of them")


class Pairs(Dataset[dict[str, Any]]):
    """Encoded pairs of the quality ladder, as ``PairCollator`` and ``JudgeTrainer`` take them.

    Like ``training.encoding.encode_pairs``, but for a machine without ``datasets``.
    """

    def __init__(self, tokenizer: Any, digits: list[int], instructions: int) -> None:
        self._rows = []
        for record in ladder("train", instructions=instructions):
            if not record.response.strip():
                continue
            asked, label = (record.instruction, record.response), int(record.rating or 0)
            ref, free = (
                tokenizer(TEMPLATE.render(*asked, reference)).input_ids + [digits[label]]
                for reference in (record.reference, None)
            )
            row = {"ref": ref, "free": free, "label": label, "length": len(ref) + len(free)}
            self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int | str) -> Any:
        """A row, or a column."""
        return [row[at] for row in self._rows] if isinstance(at, str) else self._rows[at]


class Curve(TrainerCallback):
    """Saves the loss of each step, and ends the training before the part is ended."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.seconds: list[float] = []
        self.ended = "all steps"
        findings.save(curve=[])

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._start)
        if not self._findings.room(0.9, self.seconds[-1]):
            self.ended = f"out of time after {state.global_step} steps"
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        names = ("loss", "ce_ref", "ce_free", "kl")
        line = {"step": state.global_step} | {name: finite(logs[name]) for name in names}
        self._findings.values["curve"].append(line)
        if state.global_step % 10 == 0:
            self._findings.save()
        if line["loss"] is None:
            raise RuntimeError(f"the loss of step {state.global_step} is not finite")


def lora(findings: Findings, device: Device, tiny: bool) -> None:
    """A LoRA training of 200 steps on the quality ladder."""
    dtype = choose_dtype("auto", device.name)
    with tempfile.TemporaryDirectory() as name:
        tokenizer = write_tokenizer(Path(name))
        label = label_tokens(tokenizer, TEMPLATE, "the random Llama")
        config = JudgeConfig(
            base="", train_ref="", train_noref="", output=str(Path(name) / "adapter"),
            dtype=dtype, batch_size=2 if tiny else 8, gradient_accumulation=1, max_steps=STEPS,
            learning_rate=1e-2 if tiny else 1e-3, warmup_steps=20, logging_steps=1,
        )  # fmt: skip
        settings = TrainingArguments(
            **arguments(config, validate=False)
            | {"use_cpu": not device.is_cuda, "save_strategy": "no", "disable_tqdm": True,
               "logging_nan_inf_filter": False},
            remove_unused_columns=False,
            label_names=["labels"],
        )  # fmt: skip
        set_seed(config.seed)
        rows = Pairs(tokenizer, label.digits, STEPS * config.batch_size // 9)
        base = random_llama(llama_config("1b", tiny), device.name, getattr(torch, dtype))
        curve = Curve(findings)
        trainer = JudgeTrainer(
            config=config,
            label=label,
            model=with_new_adapter(base, config),
            args=settings,
            data_collator=PairCollator(tokenizer.pad_token_id, left=True),
            train_dataset=rows,
            callbacks=[curve],
        )
        model = trainer.model
        findings.save(
            parameters=sum(weight.numel() for weight in model.parameters()),
            trained=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
            dtype=dtype,
            pairs=len(rows),
            batch=config.batch_size,
            held_bytes=device.held(),
        )
        device.start_peak()
        done = trainer.train()
    findings.save(
        ended=curve.ended,
        steps=done.global_step,
        step_seconds=curve.seconds,
        peak_bytes=device.peak(),
    )
