"""The whole of Self-J on a tiny model: tune, answer, label, train a judge, judge.

A model is tuned to answer instructions, answers new ones, evaluates its own answers against
references, and learns from that to judge without them. All by the calls that a real run uses
(docs/training.md; each is a command too), in a few minutes on two CPU cores. The model to start
from is the demo judge: as Llama-2 does, it brings along some ability to evaluate. No rating is
used in training; those of the embedded benchmark only measure how good the judge became.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from scipy.stats import spearmanr

from selfj_eval import Judge
from selfj_eval.demo import JUDGE_DIR, demo_records, ladder
from selfj_eval.prompts.templates import get_template
from selfj_eval.records.record import Record
from selfj_eval.records.writing import write_rows
from selfj_eval.training.judge import train_judge
from selfj_eval.training.labelling.label import label
from selfj_eval.training.merge import merge
from selfj_eval.training.sft import train_sft

EXAMPLES = """\
example:
  python examples/self_j_circle.py --output circle \\
      --embedder sentence-transformers/all-MiniLM-L6-v2
"""
QUICK: dict[str, Any] = {
    "batch_size": 32, "gradient_accumulation": 1, "epochs": 1, "dtype": "bfloat16"
}  # fmt: skip
EVALUATING = 0.5
"""Share of evaluations among the tuning data: a model this small keeps only what it repeats."""


def main() -> None:
    """Tune, label, train, merge; then measure."""
    args = parse_args()
    args.output.mkdir(parents=True)
    start = time.monotonic()
    records = ladder("train", instructions=args.instructions, seed=1)
    tuning = {r.instruction for r in records[: len(records) // 2]}
    write_rows(args.output / "tuning.jsonl", tuning_rows(records, tuning, Random(0)))
    asked = {r.instruction: r for r in records if r.instruction not in tuning}
    questions = [{"id": r.id, "instruction": r.instruction, "reference": r.reference}
                 for r in asked.values()]  # fmt: skip
    model = train_sft(
        base=JUDGE_DIR,
        train=args.output / "tuning.jsonl",
        output=args.output / "model",
        lora_r=0,
        max_tokens=512,
        learning_rate=1e-3,
        warmup_steps=20,
        **QUICK,
    )
    print(model)
    pairs = label(
        questions,
        model=model.output,
        embedder=args.embedder,
        n=4,
        temperature=1,
        max_new_tokens=96,
        batch_size=64,
        output=args.output / "pairs",
    )
    print(pairs)
    adapter = train_judge(
        base=model.output,
        train_ref=pairs.files.ref,
        train_noref=pairs.files.noref,
        validation_ref=pairs.files.validation_ref,
        validation_noref=pairs.files.validation_noref,
        output=args.output / "adapter",
        learning_rate=3e-4,
        warmup_steps=10,
        **QUICK,
    )
    print(adapter)
    judge = merge(adapter=adapter.output, output=args.output / "judge")
    print(judge)
    report = measure({"the model itself": model.output, "the judge": judge.output})
    (args.output / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    print("Spearman with the benchmark's ratings:")
    for name, found in report.items():
        print(f"  {name}: {found['with']:.3f} with reference, {found['without']:.3f} without")
    print(f"{time.monotonic() - start:.0f} s")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--embedder", required=True, help="sentence-transformers model: folder or hub id"
    )
    parser.add_argument("--instructions", type=int, default=1000, help="default: %(default)s")
    return parser.parse_args()


def tuning_rows(
    records: Sequence[Record], instructions: set[str], rng: Random
) -> list[dict[str, str]]:
    """Instructions with their references as answers, and evaluations of ladder answers."""
    chosen = [r for r in records if r.instruction in instructions]
    rows = [{"instruction": r.instruction, "output": r.response} for r in chosen
            if r.rating is not None and r.rating >= 8]  # fmt: skip
    prompt = get_template("self-j-unwrapped")
    graded = rng.sample(
        [r for r in chosen if r.response.strip()], int(len(rows) * EVALUATING / (1 - EVALUATING))
    )
    rows += [
        {"instruction": prompt.render(r.instruction, r.response, r.reference),
         "output": str(int(r.rating or 0))}
        for r in graded
    ]  # fmt: skip
    rng.shuffle(rows)
    return rows


def measure(judges: dict[str, str]) -> dict[str, dict[str, float]]:
    """Rank correlation with the ratings of the embedded benchmark, with reference and without."""
    records = demo_records()
    ratings, report = [r.rating for r in records], {}
    for name, folder in judges.items():
        report[name] = {}
        for prompt, reference in (("with", True), ("without", False)):
            scores = [j.score for j in Judge.load(folder, reference=reference).judge(records)]
            report[name][prompt] = float(spearmanr(scores, ratings)[0])
    return report


if __name__ == "__main__":
    main()
