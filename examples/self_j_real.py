"""The whole of Self-J on a real language model, with real instructions; hours on two CPU cores.

`small-base` (135 million parameters) is tuned on answers by stronger models, answers FLASK's
shorter instructions four times each, and evaluates its answers against FLASK's references. The
judge learns from that. Ratings only choose the answers that the model is tuned on, and measure how
good the labels and the judge are. The judge is trained as the recipe `unspoiled` of
benchmarks/small_judge.py, so that the two differ in their labels only. After an interruption the
same command continues. docs/results.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.stats import zscore

from selfj_eval import Record, metrics, score
from selfj_eval.files.atomic import write_json
from selfj_eval.records.reading import read_records
from selfj_eval.records.writing import write_rows
from selfj_eval.registry.folder import data_file
from selfj_eval.training.judge import train_judge
from selfj_eval.training.labelling.label import label
from selfj_eval.training.merge import merge
from selfj_eval.training.pairs import read_pairs, write_pairs
from selfj_eval.training.sft import train_sft

EXAMPLES = """\
example:
  selfj data get judge_bench
  python examples/self_j_real.py --output real --embedder sentence-transformers/all-MiniLM-L6-v2
"""
TUNED_ON = ("just_eval", "cje_arena")
"""Sets whose best rated answers the model is tuned on."""
MEASURED = ("arena_bench", "mtbench", "qlora_vicuna", "vicuna_blog", "llmbar_gpt4")
"""Sets whose ratings the scores are compared with; none is trained on."""
ADAPTER: dict[str, Any] = {
    "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "dtype": "bfloat16",
    "lora_modules": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "learning_rate": 5e-4, "warmup_ratio": 0.05, "batch_size": 8, "gradient_accumulation": 2,
    "save_steps": 10,
}  # fmt: skip
FAST = {"dtype": "bfloat16", "max_tokens": 768}
"""How the judges are asked."""


def main() -> None:
    """Tune, answer, label, train, measure."""
    args = parse_args()
    work: Path = args.output
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    write_rows(work / "tuning.jsonl", tuning_rows(args.tuned_on))
    tuned = train_sft(
        base=args.base, train=work / "tuning.jsonl", output=work / "tuned", max_tokens=512,
        epochs=1, **ADAPTER,
    )  # fmt: skip
    print(tuned, flush=True)
    model = work / "model"
    if not model.exists():
        print(merge(adapter=tuned.output, base=args.base, output=model), flush=True)
    labels = label(
        questions(args.instructions), model=model, embedder=args.embedder, n=4, temperature=0.7,
        max_new_tokens=args.max_new_tokens, batch_size=128, validation=0, output=work / "pairs",
        store=work / "pairs.store", **FAST,
    )  # fmt: skip
    print(labels, flush=True)
    files = work / "chosen.ref.jsonl", work / "chosen.noref.jsonl"
    pairs = read_pairs(Path(labels.files.ref), Path(labels.files.noref))
    write_pairs(*files, Random(0).sample(pairs, min(args.pairs, len(pairs))))
    judge = train_judge(
        base=model, train_ref=files[0], train_noref=files[1], output=work / "judge",
        max_tokens=384, epochs=3, freeze_layers=args.freeze_layers, cache_frozen=True,
        label_spread=1.0, student_weight=1.0, **ADAPTER,
    )  # fmt: skip
    print(judge, flush=True)
    found = measure(work, args.base, model, args.embedder, args.measured)
    write_json(work / "report.json", found)
    print(json.dumps(found, indent=2))
    print(f"{time.monotonic() - start:.0f} s")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder to make, or to go on in")
    add("--embedder", required=True, help="folder or hub id, for the cosine")
    add("--base", default="small-base", help="default: %(default)s")
    add("--tuned-on", type=int, default=800, help="answers, at most (default: %(default)s)")
    add("--instructions", type=int, default=1000, help="the shortest (default: %(default)s)")
    add("--max-new-tokens", type=int, default=96, help="of an answer (default: %(default)s)")
    add("--pairs", type=int, default=720, help="that the judge learns from (default: %(default)s)")
    add("--freeze-layers", type=int, default=22, help="of the judge (default: %(default)s)")
    add("--measured", type=int, default=100, help="answers per set (default: %(default)s)")
    return parser.parse_args()


def tuning_rows(most: int) -> list[dict[str, str]]:
    """The best rated answer to each instruction of the sets that the model is tuned on."""
    best: dict[str, Record] = {}
    held = held_out()
    for name in TUNED_ON:
        for record in read_set(name):
            if record.instruction in held:
                continue
            other = best.get(record.instruction)
            if other is None or (record.rating or 0) > (other.rating or 0):
                best[record.instruction] = record
    rows = [{"instruction": r.instruction, "output": r.response} for r in best.values()]
    return Random(0).sample(rows, min(most, len(rows)))


def questions(most: int) -> list[dict[str, str | None]]:
    """FLASK's shortest instructions with their references; none of those that measure."""
    held = held_out()
    file = data_file("judge_bench", "unrated_flask_responses.parquet")
    known = {r.instruction: r for r in read_records(file) if r.instruction not in held}
    return [
        {"id": r.id, "instruction": r.instruction, "reference": r.reference}
        for r in sorted(known.values(), key=lambda r: len(r.instruction))[:most]
    ]


def held_out() -> set[str]:
    """The instructions of the sets that measure."""
    return {r.instruction for name in MEASURED for r in read_set(name)}


def read_set(name: str) -> list[Record]:
    """A rated set."""
    return read_records(data_file("judge_bench", f"pointwise_{name}.parquet"))


def measure(
    work: Path, base: str, model: Path, embedder: str, most: int
) -> dict[str, dict[str, float | None]]:
    """Pearson with the ratings of other models' answers, by rater and set.

    ``z1`` (self-evaluation) and ``z2`` (similarity) are what the labels are made of, ``z1+z2`` is
    their sum: on answers that GPT-4 rated, they say how good labels of such a model are.
    """
    judge = {"adapter": str(work / "judge"), **FAST}
    raters: Mapping[str, tuple[str, dict[str, Any]]] = {
        "base, self-evaluation": (base, FAST),
        "z1": (str(model), FAST),
        "z2": (f"cosine:{embedder}", {}),
        "judge with reference": (str(model), judge),
        "judge without": (str(model), {**judge, "reference": False}),
        "log-length": ("log-length", {}),
    }
    found: dict[str, dict[str, float | None]] = {name: {} for name in (*raters, "z1+z2")}
    for source in MEASURED:
        rated = [r for r in read_set(source) if r.reference is not None]
        chosen = Random(1).sample(rated, min(most, len(rated)))
        scores = {}
        for name, (rater, options) in raters.items():
            kept = work / "scores" / f"{source}.{name.replace(' ', '_')}.jsonl"
            kept.parent.mkdir(exist_ok=True)
            run = score(chosen, judge=rater, output=kept, **options)
            scores[name] = [j.score for j in run.judgments]
            found[name][source] = pearson(scores[name], chosen)
        both = [(a, b) for a, b in zip(scores["z1"], scores["z2"], strict=True)]
        found["z1+z2"][source] = pearson(added(both), chosen)
    return found


def added(scores: Sequence[tuple[float | None, float | None]]) -> list[float | None]:
    """Sums of two raters' scores, each standardised; None where one has none."""
    whole = [(a, b) for a, b in scores if a is not None and b is not None]
    sums = iter(zscore(np.array(whole)).sum(axis=1).tolist())
    return [None if None in pair else next(sums) for pair in scores]


def pearson(scores: Sequence[float | None], records: Sequence[Record]) -> float | None:
    """Agreement with the ratings of the answers that have a score."""
    pairs = [(s, r.rating or 0.0) for s, r in zip(scores, records, strict=True) if s is not None]
    value = metrics.pearson([s for s, _ in pairs], [r for _, r in pairs]).value
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    main()
