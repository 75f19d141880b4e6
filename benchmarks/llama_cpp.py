"""Scoring beside llama.cpp: the same model, the same token ids, the same number format.

The model's weights are written as a GGUF file. llama.cpp runs in a process of its own, by
llama-cpp-python in any environment (`--python`); both sides judge the same prompts in turn, on as
many threads. llama.cpp keeps the common beginning of prompts in its cache, and takes the fastest
of flash attention on and off, and of one or several prompts at a time, tried before. Two sets of
real prompts of judge_bench: a mix of lengths, and best-of-32, whose prompts share instruction and
reference. Differences are those of log-probabilities from ours in float32.

examples:
  python benchmarks/llama_cpp.py --python llama/bin/python
  python benchmarks/llama_cpp.py --python llama/bin/python --dtype bfloat16 --json
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quants
from rated_sets import read_set
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.weights import resolve_folder

LONGEST, MIXED = 1000, 16
LONGEST_OF_MANY, INSTRUCTIONS, ANSWERS = 400, 3, 32
WAYS = [(flash, width) for flash in (False, True) for width in (1, 4)]
TRIED = {"mix": 4, "best-of-32": 16}
"""Of a set, the prompts that each way is tried on."""
KINDS = {"float32": GGMLQuantizationType.F32, "bfloat16": GGMLQuantizationType.BF16}
INSTALL = (
    "llama-cpp-python is not installed in the environment of {python}. Install it there, with a "
    'compiler: CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_OPENMP=ON" {python} -m pip install '
    "llama-cpp-python\n"
)
Seconds = tuple[float, float]
"""Elapsed time, and time of the processor."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has llama-cpp-python"
    )
    parser.add_argument("--model", default="small-base", help="default: %(default)s")
    parser.add_argument("--dtype", choices=tuple(KINDS), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    disable_progress_bar()
    if not has_llama_cpp(options.python):
        parser.exit(1, INSTALL.format(python=options.python))
    torch.set_num_threads(options.threads)
    exact = TransformersBackend(options.model, device="cpu", dtype="float32")
    ours = exact
    if options.dtype != "float32":
        ours = TransformersBackend(options.model, device="cpu", dtype=options.dtype)
    sets = {"mix": mix(exact), "best-of-32": best_of(exact)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        write_gguf(resolve_folder(options.model), options.dtype, file)
        job = {
            "file": str(file), "threads": options.threads, "dtype": options.dtype,
            "labels": list(exact._tokenizer.labels.asked),
            "sets": {name: exact._tokenizer.rows(prompts) for name, prompts in sets.items()},
        }  # fmt: skip
        with LlamaCpp(options.python, Path(folder), job) as theirs:
            report = {"dtype": options.dtype, "threads": options.threads, **theirs.about}
            for name, prompts in sets.items():
                report[name] = {
                    "tokens": sum(map(len, job["sets"][name])),
                    **measure(theirs, ours, exact, name, prompts, options.rounds),
                }
    print(json.dumps(report) if options.json else tables(report, list(sets)))


def has_llama_cpp(python: str) -> bool:
    """Whether an interpreter finds llama-cpp-python (-P: not this file, which has its name)."""
    try:
        done = subprocess.run([python, "-P", "-c", "import llama_cpp"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def mix(backend: TransformersBackend) -> list[str]:
    """Prompts of arena_bench, with and without their references."""
    records = read_set("arena_bench")
    Random(0).shuffle(records)
    render = backend.template.render
    prompts = [
        render(r.instruction, r.response, r.reference if n % 2 else None)
        for n, r in enumerate(records[: 8 * MIXED])
    ]
    return fitting(backend, prompts, LONGEST)[:MIXED]


def best_of(backend: TransformersBackend) -> list[str]:
    """Instructions of mtbench with their references, and 32 answers to each."""
    groups = defaultdict(list)
    for r in read_set("mtbench"):
        text = backend.template.render(r.instruction, r.response, r.reference)
        groups[r.instruction, r.reference].append(text)
    enough, found = list(groups.values()), []
    Random(0).shuffle(enough)
    for group in enough:
        if len(found) == INSTRUCTIONS * ANSWERS:
            break
        short = fitting(backend, group, LONGEST_OF_MANY)
        if len(short) >= ANSWERS:
            found += short[:ANSWERS]
    return found


def fitting(backend: TransformersBackend, prompts: list[str], most: int) -> list[str]:
    """The prompts of at most so many tokens."""
    rows = backend._tokenizer.rows(prompts)
    return [text for text, ids in zip(prompts, rows, strict=True) if len(ids) <= most]


def write_gguf(folder: Path, dtype: str, file: Path) -> None:
    """Write the weights of a Llama without its tokenizer: both sides get the same token ids."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    if config.model_type != "llama" or config.rope_parameters["rope_type"] != "default":
        raise SystemExit(f"{folder} is not a plain Llama.")
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    for name, values in tensors(model):
        kind = KINDS[dtype] if values.ndim > 1 else GGMLQuantizationType.F32
        writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(model: PreTrainedModel) -> list[tuple[str, np.ndarray]]:
    """A Llama's weights under llama.cpp's names, and in its order of the rows of q and k."""
    config, found = model.config, []
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if count := heads.get(name.split(".")[-2]):
            # Rotated pairs are next to each other there; here they are half a head apart.
            halves = weight.reshape(count, 2, config.head_dim // 2, -1)
            weight = halves.transpose(1, 2).reshape(weight.shape)
        there = names.get_name(name, try_suffixes=(".weight",))
        if there is None:
            raise SystemExit(f"llama.cpp has no name for {name}.")
        found.append((there, weight.float().contiguous().numpy()))
    return found


class LlamaCpp:
    """llama.cpp in a process of its own, which answers when it is asked."""

    def __init__(self, python: str, folder: Path, job: dict[str, Any]) -> None:
        (folder / "job.json").write_text(json.dumps(job))
        worker = Path(__file__).with_name("llama_cpp_worker.py")
        self._log = (folder / "worker.log").open("w+")
        self._process = subprocess.Popen(
            [python, "-P", str(worker), str(folder / "job.json")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self.about = self._answer()

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._log.close()

    def run(
        self, name: str, way: tuple[bool, int], most: int | None = None
    ) -> tuple[Seconds, np.ndarray]:
        """Judge a set, or only its first prompts."""
        asked = {"set": name, "flash": way[0], "width": way[1], "most": most}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return tuple(answer["seconds"]), np.array(answer["found"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return dict(json.loads(line))
        self._log.seek(0)
        raise SystemExit(f"llama.cpp ended:\n{self._log.read()[-2000:]}")


def measure(
    theirs: LlamaCpp, ours: TransformersBackend, exact: TransformersBackend, name: str,
    prompts: list[str], rounds: int,
) -> dict[str, Any]:  # fmt: skip
    """Seconds of both sides in each round, llama.cpp in the way that was fastest on a part."""
    tried = {way: theirs.run(name, way, TRIED[name])[0][0] for way in WAYS}
    best = min(WAYS, key=tried.__getitem__)
    reference = None if ours is exact else timed(exact, prompts)[1]
    timed(ours, prompts[:2])
    sides: dict[str, Callable[[], tuple[Seconds, np.ndarray]]] = {
        "selfj": lambda: timed(ours, prompts),
        "llama.cpp": lambda: theirs.run(name, best),
    }
    seconds: dict[str, list[Seconds]] = {side: [] for side in sides}
    differences = dict.fromkeys(sides, 0.0)
    for _ in range(rounds):
        for side, run in sides.items():
            spent, found = run()
            seconds[side].append(spent)
            print(f"{name}, {side}: {spent[0]:.1f} s", file=sys.stderr, flush=True)
            reference = found if reference is None else reference  # ours comes first
            differences[side] = max(differences[side], float(np.abs(found - reference).max()))
    return {
        "prompts": len(prompts),
        "best": {"flash": best[0], "width": best[1]},
        "tried": [[*way, round(spent, 2)] for way, spent in tried.items()],
        "seconds": seconds,
        "largest_difference": differences,
    }


def timed(backend: TransformersBackend, prompts: list[str]) -> tuple[Seconds, np.ndarray]:
    """Our side, with the time for tokenizing; log-probabilities in the order of the prompts."""
    found = np.empty((len(prompts), len(backend._tokenizer.labels.asked)))
    elapsed, processor = time.perf_counter(), time.process_time()
    for batch in backend.score(prompts):
        found[batch.indices] = batch.log_probabilities
    return (time.perf_counter() - elapsed, time.process_time() - processor), found


def tables(report: dict[str, Any], sets: list[str]) -> str:
    """Markdown."""
    lines = [f"{report['dtype']}, {report['threads']} threads, "
             f"llama-cpp-python {report['version']}: {report['system']}"]  # fmt: skip
    for name in sets:
        part = report[name]
        flash, width = part["best"]["flash"], part["best"]["width"]
        lines += ["", f"{name}: {part['prompts']} prompts, {part['tokens']:,} tokens; llama.cpp "
                  f"with flash attention {'on' if flash else 'off'}, {width} at a time", "",
                  "| way | tokens a second | elapsed time relative to selfj: median (range) | "
                  "processor time | largest difference |",
                  "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
        for side, spent in part["seconds"].items():
            shown = []
            for kind in (0, 1):
                pairs = zip(spent, part["seconds"]["selfj"], strict=True)
                ratios = [mine[kind] / own[kind] for mine, own in pairs]
                middle = statistics.median(ratios)
                shown.append(f"{middle:.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
            rate = part["tokens"] / statistics.median(elapsed for elapsed, _ in spent)
            difference = part["largest_difference"][side]
            lines.append(f"| {side} | {rate:,.0f} | {' | '.join(shown)} | {difference:.0e} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
