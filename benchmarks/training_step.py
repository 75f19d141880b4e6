"""One training step of the judge beside the original's, written out: seconds a pair, peak memory.

The original's step runs two full forward passes, with float32 logits over the vocabulary at all
positions. Both do the same arithmetic on the same pairs, alternating, so that a busy machine slows
both. Peak memory is that of a process of its own, above what it held before its first step.

example: python benchmarks/training_step.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from process_memory import status
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from selfj_eval.training.encoding import Label, PairCollator
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.training.trainer import JudgeTrainer

VOCABULARY, LONGEST, BATCH, END = 32_000, 1024, 8, 2
LABEL = Label(list(range(100, 110)), END)
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY, hidden_size=416, intermediate_size=1120, num_hidden_layers=4,
    num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=LONGEST,
)  # fmt: skip
VARIANTS = ("original", "ours", "ours, grouped by length")
Rows = list[dict]


def main() -> None:
    """Time the variants side by side, then measure each one's memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4, help="of 8 pairs, a round")
    parser.add_argument("--memory", choices=VARIANTS, help="only this one's memory, as JSON")
    options = parser.parse_args()
    torch.manual_seed(0)
    steps = Steps(LlamaForCausalLM(CONFIG))
    if options.memory:
        print(json.dumps(steps.memory(options.memory, options.batches)))
        return
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    steps.run("ours", pairs(0, 1))  # warm-up
    for round_ in range(options.rounds):
        rows = pairs(round_, options.batches)
        for variant in VARIANTS:
            start = time.perf_counter()
            steps.run(variant, rows)
            times[variant].append((time.perf_counter() - start) / len(rows))
    print(f"{sum(w.numel() for w in steps.model.parameters()):,} parameters")
    print("| step | seconds a pair | times faster: median (range) | peak memory, MB |")
    print("| --- | ---: | ---: | ---: |")
    for variant in VARIANTS:
        ratios = [a / b for a, b in zip(times["original"], times[variant], strict=True)]
        command = [sys.executable, __file__, "--memory", variant, "--batches", "2"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        faster = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        seconds = statistics.median(times[variant])
        print(
            f"| {variant} | {seconds:.3f} | {faster} | {json.loads(found.stdout):,} |", flush=True
        )


def pairs(seed: int, batches: int, batch: int = BATCH, longest: int = LONGEST) -> Rows:
    """Random token ids with lengths as of real answers, some as long as is allowed."""
    rng = random.Random(seed)
    rows = []
    for _ in range(batches * batch):
        free = min(longest - 2, int(rng.lognormvariate(5.6, 0.7)) + 60)
        ref = min(longest - 2, free + int(rng.lognormvariate(5.0, 0.8)))
        label = rng.randrange(10)
        ids = {
            name: [rng.randrange(200, VOCABULARY) for _ in range(n)] + [LABEL.digits[label]]
            for name, n in (("ref", ref), ("free", free))
        }
        rows.append({**ids, "label": label, "length": ref + free})
    return rows


class Steps:
    """A step of either kind on a model.

    On a GPU its arithmetic is in bfloat16 and its weights in float32, as in a training of all
    weights.

    Args:
        model: The model, on its device.
        batch: Pairs a batch.
    """

    def __init__(self, model: LlamaForCausalLM, batch: int = BATCH) -> None:
        self.model, self.batch = model.train(), batch
        self.folder = tempfile.TemporaryDirectory()
        self.trainer = JudgeTrainer(
            config=JudgeConfig(base="", train_ref="", train_noref="", output=""),
            label=LABEL,
            model=self.model,
            args=TrainingArguments(
                self.folder.name, use_cpu=model.device.type == "cpu", report_to="none"
            ),
        )
        for weight in self.model.parameters():
            weight.grad = torch.zeros_like(weight)

    def run(self, variant: str, rows: Rows) -> None:
        """Forward and backward over all pairs, in batches."""
        if variant.endswith("length"):
            rows = sorted(rows, key=lambda row: -row["length"])
        kind = self.model.device.type
        for start in range(0, len(rows), self.batch):
            batch = rows[start : start + self.batch]
            with torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu"):
                if variant == "original":
                    loss = original_loss(self.model, batch)
                else:
                    inputs = self.trainer._prepare_inputs(PairCollator(0, left=True)(batch))
                    loss = self.trainer.compute_loss(self.model, inputs)
            loss.backward()

    def memory(self, variant: str, batches: int) -> int:
        """Most memory above the start, in MB."""
        before = status("VmRSS")
        self.run(variant, pairs(0, batches))
        return (status("VmHWM") - before) // 1024


def original_loss(model: LlamaForCausalLM, rows: Rows) -> torch.Tensor:
    """Two full forward passes and losses over all positions; the formula as first published."""
    logits, labels = {}, {}
    for name in ("ref", "free"):
        ids = [row[name] + [END] for row in rows]
        width = max(map(len, ids))
        batch = torch.zeros(len(rows), width, dtype=torch.long)
        mask, target = torch.zeros_like(batch), torch.full_like(batch, -100)
        for at, row in enumerate(ids):
            batch[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = 1
            target[at, len(row) - 2 : len(row)] = torch.tensor(row[-2:])
        batch, mask, target = (t.to(model.device) for t in (batch, mask, target))
        found = model(input_ids=batch, attention_mask=mask).logits.float()
        logits[name] = found[:, :-1].reshape(-1, VOCABULARY)
        labels[name] = target[:, 1:].reshape(-1)
    ce = {name: functional.cross_entropy(logits[name], labels[name]) for name in logits}
    at = {name: (labels[name] >= 0) & (labels[name] != END) for name in logits}
    p, q = (logits[name].softmax(-1)[at[name]] for name in ("ref", "free"))
    p = p.detach()
    kl = (p * (p.log() - q.log())).sum() / len(p)
    return ce["ref"] + 0.3 * ce["free"] + 2 * kl


if __name__ == "__main__":
    main()
