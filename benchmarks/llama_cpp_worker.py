"""The side of llama.cpp in `llama_cpp.py`: it runs in an environment with llama-cpp-python alone.

It reads a job from the file that is named on the command line, then a set and a way to run it from
each line of standard input, and answers with seconds and log-probabilities. Prompts are judged in
alphabetical order of their tokens, so that what neighbours have in common stays in the cache.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

BATCH = 512
Ids = list[int]


class Scorer:
    """A context of llama.cpp, with or without flash attention.

    Args:
        job: The model's file, the number of threads, the labels and the number format.
        flash: Whether to use flash attention.
        width: How many prompts are in the cache at once. Their common beginning is computed once.
        longest: Tokens of the longest prompt.
    """

    def __init__(self, job: dict[str, Any], flash: bool, width: int, longest: int) -> None:
        self._labels, self._width = job["labels"], width
        settings = llama.llama_model_default_params()
        settings.n_gpu_layers = 0
        self._model = llama.llama_model_load_from_file(os.fsencode(job["file"]), settings)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {job['file']}")
        context = llama.llama_context_default_params()
        context.n_ctx = -(-(longest * width) // 256) * 256
        context.n_batch = context.n_ubatch = BATCH
        context.n_seq_max = width + 1
        context.n_threads = context.n_threads_batch = job["threads"]
        context.flash_attn_type = int(flash)
        context.kv_unified = True
        context.no_perf = True
        kind = "GGML_TYPE_F32" if job["dtype"] == "float32" else "GGML_TYPE_F16"
        context.type_k = context.type_v = getattr(llama, kind)
        self._context = llama.llama_init_from_model(self._model, context)
        if not self._context:
            raise SystemExit("llama.cpp cannot make a context")
        self._memory = llama.llama_get_memory(self._context)
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._batch = llama.llama_batch_init(BATCH, 0, 1)
        self._held: Ids = []

    def close(self) -> None:
        """Free the memory."""
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def score(self, prompts: list[Ids]) -> np.ndarray:
        """Log-probabilities of the labels, of shape (n, k). Nothing is kept from the last call."""
        llama.llama_memory_clear(self._memory, False)
        self._held = []
        order = sorted(range(len(prompts)), key=prompts.__getitem__)
        found = np.empty((len(prompts), len(self._labels)))
        for start in range(0, len(order), self._width):
            group = order[start : start + self._width]
            found[group] = self._group([prompts[at] for at in group])
        return found

    def _group(self, prompts: list[Ids]) -> np.ndarray:
        common = min(shared(prompts[0], prompts[-1]), *(len(ids) - 1 for ids in prompts))
        kept = min(shared(self._held, prompts[0]), common)
        llama.llama_memory_seq_rm(self._memory, 0, kept, -1)
        if len(prompts) == 1:
            self._held = prompts[0]
            return self._decode([(0, kept, prompts[0])])
        self._held = prompts[0][:common]
        self._decode([(0, kept, self._held)], asked=False)
        rows = []
        for number, ids in enumerate(prompts, 1):
            llama.llama_memory_seq_cp(self._memory, 0, number, 0, common)
            rows.append((number, common, ids))
        found = self._decode(rows)
        for number in range(1, len(prompts) + 1):
            llama.llama_memory_seq_rm(self._memory, number, -1, -1)
        return found

    def _decode(self, rows: list[tuple[int, int, Ids]], asked: bool = True) -> np.ndarray:
        """Compute each row's tokens from a position on, and read its last position."""
        tokens = [
            (ids[at], at, row, asked and at == len(ids) - 1)
            for row, start, ids in rows
            for at in range(start, len(ids))
        ]
        found = []
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            self._batch.n_tokens = len(part)
            for n, (token, position, row, last) in enumerate(part):
                self._batch.token[n], self._batch.pos[n] = token, position
                self._batch.n_seq_id[n], self._batch.seq_id[n][0] = 1, row
                self._batch.logits[n] = last
            if status := llama.llama_decode(self._context, self._batch):
                raise SystemExit(f"llama_decode ended with status {status}")
            found += [self._read(n) for n, (*_, last) in enumerate(part) if last]
        return np.array(found)

    def _read(self, n: int) -> np.ndarray:
        pointer = llama.llama_get_logits_ith(self._context, n)
        logits = np.ctypeslib.as_array(pointer, (self._vocabulary,)).astype(np.float64)
        top = logits.max()
        return logits[self._labels] - top - np.log(np.exp(logits - top).sum())


def shared(one: Ids, other: Ids) -> int:
    """How many tokens two prompts begin with in common; at most all but the last."""
    most = max(min(len(one), len(other)) - 1, 0)
    return next((n for n in range(most) if one[n] != other[n]), most)


def main() -> None:
    """Answer until the input ends."""
    job = json.loads(Path(sys.argv[1]).read_text())
    longest = max(len(ids) for prompts in job["sets"].values() for ids in prompts)
    scorer, last = None, None
    print(json.dumps({"system": llama.llama_print_system_info().decode(),
                      "version": llama.__version__}), flush=True)  # fmt: skip
    for line in sys.stdin:
        asked = json.loads(line)
        way = (asked["flash"], asked["width"])
        if way != last:
            if scorer is not None:
                scorer.close()
            scorer, last = Scorer(job, *way, longest), way
            scorer.score(job["sets"][asked["set"]][:2])
        assert scorer is not None
        prompts = job["sets"][asked["set"]][: asked["most"]]
        elapsed, processor = time.perf_counter(), time.process_time()
        found = scorer.score(prompts)
        seconds = time.perf_counter() - elapsed, time.process_time() - processor
        print(json.dumps({"seconds": seconds, "found": found.tolist()}), flush=True)


if __name__ == "__main__":
    main()
