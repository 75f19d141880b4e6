"""Print the Markdown tables of docs/results.md from a folder that lm_eval wrote.

example: python benchmarks/results_table.py lm-eval-output
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

JUDGE = ("pearson", "spearman", "kendall_tau_b", "auroc", "score", "digit_mass", "unscored")
PAIR = ("acc", "acc_with_ties", "digit_mass", "unscored")


def main() -> None:
    """Read the newest results file below the folder and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="lm_eval's --output_path")
    files = sorted(parser.parse_args().folder.glob("**/results_*.json"), key=lambda f: f.name)
    if not files:
        parser.error("no results_*.json below the folder")
    results = json.loads(files[-1].read_text(encoding="utf-8"))
    for prefix, metrics in (("selfj_judge_", JUDGE), ("selfj_pair_", PAIR)):
        tasks = sorted(name for name in results["results"] if name.startswith(prefix))
        if not tasks:
            continue
        print(f"\n| task | n | {' | '.join(metrics)} |")
        print(f"| --- |{' ---: |' * (len(metrics) + 1)}")
        for task in tasks:
            values = results["results"][task]
            cells = [cell(values.get(f"{metric},none"), metric) for metric in metrics]
            n = results["n-samples"][task]["effective"]
            print(f"| `{task}` | {n} | {' | '.join(cells)} |")


def cell(value: Any, metric: str) -> str:
    """One number as text; an undefined one is a dash."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if metric == "unscored" else f"{value:.3f}"


if __name__ == "__main__":
    main()
