"""Scoring side by side: the original's way, lm-eval's, a plain forward pass, and selfj-eval's.

Every way judges the same prompts with the same random Llama of about 60 million parameters, in
turn, so that a busy machine slows all of them; times are those of the processor, and what counts
is the ratio within a round. Each round has prompts of its own, as each batch of a real run has; one
round before them is not timed. Where vLLM is installed, it is one of the ways. Two sets of prompts:
a mix of lengths, and best-of-32, whose prompts share instruction and reference. The floor is what
the arithmetic of the prompts' distinct tokens takes at the rate of a large matrix product, measured
in the same rounds.

examples:
  python benchmarks/scoring.py
  python benchmarks/scoring.py --quick --json
  python benchmarks/scoring.py --dtype bfloat16 --ways vllm
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from selfj_eval.demo import ladder
from selfj_eval.engines.base import Backend, longest_first
from selfj_eval.engines.local.batching import CPU_BATCH_TOKENS, Batcher
from selfj_eval.engines.local.prefix_tree import pack, tree_batches
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, get_template

VOCABULARY, WIDTH, LAYERS, INNER = 32_000, 512, 8, 1376
ANSWER_TOKENS = (20, 60, 100, 150, 200, 300, 450, 650)
PRODUCT = 2048
WAYS = ["original", "lm-eval hf, batch 16", "lm-eval hf, batch 1", "plain forward, batch 16"]
if importlib.util.find_spec("vllm") is not None:
    WAYS.append("vllm")
TEMPLATE = get_template(DEFAULT_TEMPLATE)
Ways = dict[str, Callable[[list[str]], np.ndarray | None]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, without the original")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="only these, beside selfj")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = write_model(Path(folder))
        dtype = getattr(torch, options.dtype)
        chosen = options.ways or WAYS[options.quick :]
        ways = all_ways(folder, model.to(dtype), tokenizer, chosen)
        rounds = 1 if options.quick else options.rounds
        report = {
            "threads": torch.get_num_threads(),
            "dtype": options.dtype,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            **{
                name: measure(ways, partial(prompts, tokenizer), rounds, model, tokenizer)
                for name, prompts in (("mix", mix), ("best-of-32", best_of))
            },
        }
    print(json.dumps(report) if options.json else tables(report))


def write_model(folder: Path) -> tuple[LlamaForCausalLM, Any]:
    """A random Llama, with a tokenizer to which the judge's prompt is text like any other."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER,
        num_hidden_layers=LAYERS, num_attention_heads=8, num_key_value_heads=8,
        max_position_embeddings=2048, pad_token_id=1, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model, tokenizer


def write_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Byte pairs of the ladder and the template; a digit is a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    words = [f"{r.instruction} {r.response}" for r in ladder("train", instructions=200)]
    trainer = trainers.BpeTrainer(
        vocab_size=4000, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([*words, *[TEMPLATE.render("", "", "")] * 20], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>",
        model_max_length=2048,
    )  # fmt: skip
    fast.save_pretrained(folder)
    return fast


def text(tokenizer: Any, tokens: int, random: Random) -> str:
    """Words of the ladder, about so many tokens."""
    records, found = ladder("train", instructions=40), ""
    while len(tokenizer(found).input_ids) < tokens:
        found += random.choice(records).response + " "
    ids = tokenizer(found, add_special_tokens=False).input_ids[:tokens]
    return str(tokenizer.decode(ids))


def mix(tokenizer: Any, seed: int, prompts: int = 16) -> list[str]:
    """Prompts of very different lengths, half of them with a reference; others for each seed."""
    random = Random(seed)
    return [
        TEMPLATE.render(
            text(tokenizer, 40, random),
            text(tokenizer, round(ANSWER_TOKENS[n % 8] * random.uniform(0.8, 1.2)), random),
            text(tokenizer, 80, random) if n % 2 else None,
        )
        for n in range(prompts)
    ]


def best_of(tokenizer: Any, seed: int, instructions: int = 3) -> list[str]:
    """Instructions with references, 32 answers to each; others for each seed."""
    random, found = Random(seed), []
    for _ in range(instructions):
        asked, reference = text(tokenizer, 60, random), text(tokenizer, 60, random)
        found += [
            TEMPLATE.render(asked, text(tokenizer, random.randrange(40, 160), random), reference)
            for _ in range(32)
        ]
    return found


def all_ways(folder: str, model: LlamaForCausalLM, tokenizer: Any, chosen: list[str]) -> Ways:
    """By name; each returns (n, 10) log-probabilities, or None where it gives none."""
    dtype = str(model.dtype).removeprefix("torch.")
    ours = TransformersBackend(folder, device="cpu", dtype=dtype)
    unshared = TransformersBackend(folder, device="cpu", dtype=dtype)
    unshared._packs, unshared._batcher = False, Batcher(longest_first, 1, "cpu")
    digits = ours._tokenizer.labels.asked

    def generated(prompts: list[str]) -> None:
        tokenizer.padding_side = "left"
        for start in range(0, len(prompts), 16):
            batch = tokenizer(prompts[start : start + 16], return_tensors="pt", padding=True)
            model.generate(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, num_beams=2,
                max_new_tokens=10, min_new_tokens=10, do_sample=False, output_scores=True,
                return_dict_in_generate=True,
            )  # fmt: skip

    def plain(prompts: list[str]) -> np.ndarray:
        tokenizer.padding_side = "left"
        found = []
        for start in range(0, len(prompts), 16):
            batch = tokenizer(prompts[start : start + 16], return_tensors="pt", padding=True)
            positions = (batch.attention_mask.cumsum(-1) - 1).clamp(min=0)
            with torch.inference_mode():
                logits = model(
                    input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                    position_ids=positions, use_cache=False, logits_to_keep=1,
                ).logits  # fmt: skip
            found.append(logits[:, -1].float().log_softmax(-1)[:, digits].numpy())
        return np.concatenate(found)

    made: dict[str, Callable[[], Callable[[list[str]], np.ndarray | None]]] = {
        "original": lambda: generated,
        "lm-eval hf, batch 16": lambda: harness(folder, dtype, 16),
        "lm-eval hf, batch 1": lambda: harness(folder, dtype, 1),
        "plain forward, batch 16": lambda: plain,
        "vllm": lambda: in_vllm(folder, dtype),
    }
    return {
        "selfj, nothing shared": partial(scores_of, unshared),  # what the others are compared with
        **{name: made[name]() for name in chosen},
        "selfj": partial(scores_of, ours),
    }


def in_vllm(folder: str, dtype: str) -> Callable[[list[str]], np.ndarray]:
    """Our vLLM engine, which forgets the prompts of the rounds before."""
    from selfj_eval.engines.vllm.scoring import VllmBackend

    backend = VllmBackend(folder, dtype=dtype, engine_args={})

    def run(prompts: list[str]) -> np.ndarray:
        backend._llm.reset_prefix_cache()
        return scores_of(backend, prompts)

    return run


def scores_of(backend: Backend, prompts: list[str]) -> np.ndarray:
    """Log-probabilities in the order of the prompts."""
    found = np.empty((len(prompts), 10))
    for batch in backend.score(prompts):
        found[batch.indices] = batch.log_probabilities
    return found


def harness(folder: str, dtype: str, batch: int) -> Callable[[list[str]], np.ndarray]:
    """lm-eval's own model with ten choices."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(pretrained=folder, device="cpu", dtype=dtype, batch_size=batch)

    def run(prompts: list[str]) -> np.ndarray:
        asked = [
            Instance("loglikelihood", {}, (prompt, digit), 0)
            for prompt in prompts
            for digit in "0123456789"
        ]
        answers = judge.loglikelihood(asked, disable_tqdm=True)
        return np.array([value for value, _ in answers]).reshape(-1, 10)

    return run


def measure(
    ways: Ways,
    made: Callable[[int], list[str]],
    rounds: int,
    model: LlamaForCausalLM,
    tokenizer: Any,
) -> dict[str, Any]:
    """Processor seconds of each way in each round, and what the arithmetic would take."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens, distinct = list[int](), list[int]()
    floor, reordered, differences = [], [], dict.fromkeys(ways, 0.0)
    inner = sum(weight.numel() for weight in model.model.layers.parameters())
    for number in range(rounds + 1):
        prompts, timed = made(number), number > 0
        alone = None
        for name, way in ways.items():
            start = time.process_time()
            found = way(prompts)
            if timed:
                seconds[name].append(time.process_time() - start)
            alone = found if alone is None else alone
            if found is not None:
                differences[name] = max(differences[name], float(np.abs(found - alone).max()))
        if timed:
            ids = tokenizer(prompts).input_ids
            batches = tree_batches(ids, CPU_BATCH_TOKENS)
            tokens.append(sum(map(len, ids)))
            distinct.append(sum(len(pack([ids[at] for at in batch]).ids) for batch in batches))
            work = 2 * inner * distinct[-1]
            floor.append(work / product_rate(torch.mm, model.dtype))
            reordered.append(work / product_rate(one_dnn, model.dtype))
    return {
        "prompts": len(prompts),
        "tokens": tokens,
        "distinct_tokens": distinct,
        "seconds": seconds,
        "floor_seconds": floor,
        "reordered_floor_seconds": reordered,
        "largest_difference": differences,
    }


def product_rate(
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], dtype: torch.dtype
) -> float:
    """Operations a processor second of a large matrix product."""
    one, other = (torch.randn(PRODUCT, PRODUCT, dtype=dtype) for _ in range(2))
    if product is one_dnn:
        other = torch.ops.mkldnn._reorder_linear_weight(other, None)
    product(one, other)
    start = time.process_time()
    for _ in range(4):
        product(one, other)
    return 4 * 2 * PRODUCT**3 / (time.process_time() - start)


def one_dnn(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The product with a matrix that oneDNN has reordered."""
    return torch.ops.mkldnn._linear_pointwise(one, other, None, "none", [], "")


def tables(report: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"{report['parameters']:,} parameters in {report['dtype']}, {report['threads']} threads"
    ]
    for name in ("mix", "best-of-32"):
        part = report[name]
        tokens, distinct = (
            round(statistics.mean(part[of])) for of in ("tokens", "distinct_tokens")
        )
        lines += ["", f"{name}: {part['prompts']} prompts, {tokens:,} tokens on average, "
                  f"{distinct:,} of them distinct", "",
                  "| way | tokens a second | time relative to selfj: median (range) | "
                  "largest difference |", "| --- | ---: | ---: | ---: |"]  # fmt: skip
        ours = part["seconds"]["selfj"]
        for way, seconds in [
            *part["seconds"].items(),
            ("floor, torch's matrix product", part["floor_seconds"]),
            ("floor, oneDNN's", part["reordered_floor_seconds"]),
        ]:
            ratios = [mine / own for mine, own in zip(seconds, ours, strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            rate = statistics.median(
                number / taken for number, taken in zip(part["tokens"], seconds, strict=True)
            )
            difference = part["largest_difference"].get(way)
            shown = "" if difference is None or way == "original" else f"{difference:.0e}"
            lines.append(f"| {way} | {rate:,.0f} | {spread} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
