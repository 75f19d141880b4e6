"""Measure a model that was never trained to judge, with the shipped templates, as Markdown.

Each answer is judged with its reference and without. Judgments are kept in the work folder, and
the same command goes on where it was ended.

examples:
  python benchmarks/zero_shot.py --work zero-shot
  python benchmarks/zero_shot.py --work zero-shot --model ./my-chat-model --dtype bfloat16
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

from rated_sets import read_set, sample

from selfj_eval import Record, metrics, score

SETS = ("arena_bench", "mtbench", "vicuna_blog")
TEMPLATES = ("chat", "rubric", "yes-no")
PROMPTS = {"with": True, "without": False}


def main() -> None:
    """Judge, and print a row per set, template and prompt."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the scores")
    parser.add_argument("--model", default="small-base", help="default: %(default)s")
    parser.add_argument("--dtype", default="auto", help="default: %(default)s")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--answers", type=int, default=300, help="of a set (default: %(default)s)")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    print("| set | template | reference | label mass | Pearson | Spearman | unscored |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.sets:
        referred = [r for r in read_set(name) if r.reference is not None]
        chosen = sample(referred, options.answers, seed=1)
        for template in TEMPLATES:
            for prompt in PROMPTS:
                print(row(options, name, template, prompt, chosen), flush=True)


def row(
    options: argparse.Namespace, name: str, template: str, prompt: str, records: list[Record]
) -> str:
    """A line of the table."""
    run = score(
        records, judge=options.model, template=template, reference=PROMPTS[prompt],
        dtype=options.dtype, output=options.work / f"{name}.{template}.{prompt}.jsonl",
    )  # fmt: skip
    scored = [(j, r) for j, r in zip(run.judgments, records, strict=True) if j.score is not None]
    scores = [j.score or 0.0 for j, _ in scored]
    ratings = [r.rating or 0.0 for _, r in scored]
    cells = [f"{mean(j.digit_mass or 0.0 for j, _ in scored):.3f}"]
    for metric in (metrics.pearson, metrics.spearman):
        found = metric(scores, ratings)
        cells.append(f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]")
    cells.append(str(len(records) - len(scored)))
    return f"| {name} | {template} | {prompt} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
