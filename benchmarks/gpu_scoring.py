"""Scoring on a device: one by one, padded, and packed in two ways, with a random Llama."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_device import Device
from gpu_findings import Findings, finite
from gpu_models import llama_config, parameters, random_llama
from scoring import best_of, mix, write_tokenizer
from transformers import LlamaConfig

from selfj_eval.engines.base import longest_first
from selfj_eval.engines.local.batching import Batcher, Rows
from selfj_eval.engines.local.prefix_tree import ATTENTION, pack, register, tree_batches
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.loading import choose_dtype
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.errors import brief
from selfj_eval.prompts.labels import expected_score

ALONE = "one by one"
BY_NODE, KERNEL = "packed, node by node", "packed, FlexAttention"
WAYS = (ALONE, "padded", BY_NODE, KERNEL)
ROUNDS = 5


class RandomJudge(TransformersBackend):
    """The engine with a model that comes from no folder."""

    def __init__(self, folder: Path, config: LlamaConfig, device: str) -> None:
        config.save_pretrained(folder)
        self._tokenizer = JudgeTokenizer(str(folder))
        self.device, self.dtype = device, choose_dtype("auto", device)
        self.identity = {}
        load = partial(random_llama, config, device, getattr(torch, self.dtype))
        self._set_up(load, "the random Llama", None)

    def _speed_up(self) -> bool:
        """Keep the layers of a GPU on a CPU, too."""
        return True


class Ways:
    """The ways of running a judge's forward passes.

    Args:
        judge: The judge, as it was set up. All ways but the first take its number of tokens a
            batch.

    Attributes:
        chosen: The way that the engine chose itself.
    """

    def __init__(self, judge: TransformersBackend) -> None:
        self._judge = judge
        register()
        tokens, device = judge._batcher.tokens, judge.device
        self._batchers = {
            ALONE: Batcher(longest_first, 1, device),
            "padded": Batcher(longest_first, tokens, device),
            BY_NODE: Batcher(tree_batches, tokens, device),
            KERNEL: Batcher(tree_batches, tokens, device),
        }
        packed = dict.fromkeys((BY_NODE, KERNEL), judge._forward_tree)
        self._forward = dict.fromkeys(WAYS, judge._forward) | packed

        kind = KERNEL if judge._packs and judge._in_one_kernel else BY_NODE
        self.chosen = kind if judge._packs else "padded"

    def choose(self, way: str) -> None:
        """Make the model ready for a way."""
        packs = way in (BY_NODE, KERNEL)
        self._judge._model.set_attn_implementation(ATTENTION if packs else "sdpa")
        self._judge._in_one_kernel = way == KERNEL

    def run(self, way: str, rows: Rows) -> np.ndarray:
        """Log-probabilities of the digits, in the order of the rows."""
        found = np.empty((len(rows), 10))
        for batch in self._batchers[way].run(rows, self._forward[way]):
            found[batch.indices] = batch.log_probabilities
        if way == KERNEL and not self._judge._in_one_kernel:
            raise RuntimeError("FlexAttention failed; the log says why")
        return found

    def shape(self, way: str, rows: Rows) -> dict[str, int]:
        """Batches, and the tokens that are computed in them: with padding, or the distinct ones."""
        batcher = self._batchers[way]
        batches = [[rows[at] for at in batch] for batch in batcher._split(rows, batcher.tokens)]
        if way in (BY_NODE, KERNEL):
            computed = sum(len(pack(batch).ids) for batch in batches)
        else:
            computed = sum(len(batch) * max(map(len, batch)) for batch in batches)
        return {"batches": len(batches), "computed_tokens": computed}


def score(findings: Findings, device: Device, tiny: bool, *, size: str) -> None:
    """Measure both sets of prompts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = write_tokenizer(folder)
        config = llama_config(size, tiny)
        judge = RandomJudge(folder, config, device.name)
    ways = Ways(judge)
    findings.save(
        dtype=judge.dtype,
        **parameters(config),
        held_bytes=device.held(),
        batch_tokens=judge._batcher.tokens,
        runs_by_itself=ways.chosen,
    )
    prompts = {
        "mix": mix(tokenizer, 0, 16 if tiny else 128),
        "best-of-32": best_of(tokenizer, 1, 1 if tiny else 8),
    }
    findings.save(sets={})
    for place, (name, texts) in enumerate(prompts.items(), 1):
        start = time.perf_counter()
        rows = tokenizer(texts).input_ids
        own = findings.values["sets"][name] = {
            "prompts": len(rows),
            "tokens": sum(map(len, rows)),
            "tokenizing_seconds": time.perf_counter() - start,
            "product_rates": [],
            "ways": first_runs(device, ways, rows),
        }
        findings.save()
        last, dtype = 0.0, getattr(torch, judge.dtype)
        for done in range(2 if tiny else ROUNDS):
            if done and not findings.room(0.9 * place / len(prompts), last):
                break
            start = findings.elapsed
            own["product_rates"].append(device.product_rate(dtype))
            for way, found in own["ways"].items():
                if "failed" not in found:
                    ways.choose(way)
                    found["seconds"].append(device.seconds(partial(ways.run, way, rows)))
            last = findings.elapsed - start
            findings.save()


def first_runs(device: Device, ways: Ways, rows: Rows) -> dict[str, Any]:
    """Run each way once, untimed, for its scores and its peak memory."""
    found: dict[str, Any] = {}
    alone = np.empty(0)
    for way in WAYS:
        ways.choose(way)
        device.start_peak()
        try:
            said = ways.run(way, rows)
        except Exception as error:  # the other ways go on
            if way == ALONE:
                raise
            found[way] = {"failed": brief(error)}
            continue
        if way == ALONE:
            alone = said
        scores, reference = (expected_score(values).score for values in (said, alone))
        found[way] = {
            "peak_bytes": device.peak(),
            **ways.shape(way, rows),
            "not_finite": int((~np.isfinite(said)).any(1).sum()),
            "largest_difference": finite(np.abs(said - alone).max()),
            "largest_score_difference": finite(np.abs(scores - reference).max()),
            "score_deviation": finite(scores.std()),
            "seconds": [],
        }
    return found
