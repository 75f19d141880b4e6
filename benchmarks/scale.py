"""What 5.75 million instructions with eight answers each cost a judge of 13 billion parameters.

Without an option: counts the tokens of real prompts, eight answers to an instruction, and computes
the time on GPUs from their makers' rates. Nothing is run on a GPU. `--parts` measures what else
`selfj score` does with a record, each part alone, on this machine. `--ray` runs `selfj score` in
one process, on Ray's workers, and on Ray's workers of which one is killed with SIGKILL, and
compares the scores.

examples:
  python benchmarks/scale.py --tokenizer llama-2/tokenizer.json
  python benchmarks/scale.py --parts --tokenizer llama-2/tokenizer.json
  python benchmarks/scale.py --ray
  python benchmarks/scale.py --ray --judge ./small-merged --records 600 --files 2
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rated_sets import read_set
from scale_parts import measured

from selfj_eval import Record, ladder, write_records
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.local.batching import MOST
from selfj_eval.engines.local.prefix_tree import pack, tree_batches
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.prompts.templates import fit_prompt

SETS = ("arena_bench", "mtbench")
ANSWERS, INSTRUCTIONS = 8, 5_750_000
LAYERS, WIDTH, INNER = 40, 5120, 13824
"""The shape of Llama-2-13B, on which Self-J's judge is a LoRA adapter; merged, it costs nothing."""
WEIGHTS = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER)
"""That every token is multiplied with; the vocabulary's are used at one token a prompt."""
CONTEXT, BLOCK = 4096, 16
"""Longest prompt, and the tokens of a block that vLLM shares on a GPU."""
RATES = {"A100": 312e12, "H100": 989e12}
"""Dense bfloat16 operations a second, as the maker publishes them."""
GPUS = (1, 8, 64)


def tokenizer_of(file: Path, folder: Path) -> JudgeTokenizer:
    """The tokenizer in a file, as of a judge with the context of Self-J's."""
    about = {"model_type": "llama", "max_position_embeddings": CONTEXT}
    (folder / "config.json").write_text(json.dumps(about))
    shutil.copyfile(file, folder / "tokenizer.json")
    return JudgeTokenizer(str(folder))


def groups(name: str) -> list[list[Record]]:
    """Eight different answers to each instruction of a rated set that has so many."""
    by_question: dict[str, dict[str, Record]] = {}
    for record in read_set(name):
        if record.reference is not None:
            by_question.setdefault(record.question, {})[record.response] = record
    random = Random(0)
    found = [[*own.values()] for own in by_question.values() if len(own) >= ANSWERS]
    return [random.sample(own, ANSWERS) for own in found]


def prompts(tokenizer: JudgeTokenizer, records: Sequence[Record], reference: bool) -> list[Any]:
    """Token ids of the records' prompts, cut to the context as the judge does."""
    texts = [
        fit_prompt(
            tokenizer.template,
            record.question,
            record.response,
            record.reference if reference else None,
            tokenize=tokenizer.offsets,
            max_tokens=CONTEXT,
        ).text
        for record in records
    ]
    return tokenizer.rows(texts)


def in_tree(rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Tokens that the engine transformers computes, and how many tokens these see in all."""
    tokens = seen = 0
    for batch in tree_batches(rows, MOST):
        for node in (tree := pack([rows[at] for at in batch])).nodes:
            own = node.end - node.start
            seen += own * (node.keys - own) + own * (own + 1) // 2
        tokens += len(tree.ids)
    return tokens, seen


def in_blocks(rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The same of vLLM with prefix caching, which shares whole blocks."""
    tokens = seen = 0
    before: Sequence[int] = []
    for row in sorted(rows):
        most = min(len(before), len(row) - 1)
        shared = next((at for at in range(most) if before[at] != row[at]), most)
        shared -= shared % BLOCK
        tokens += len(row) - shared
        seen += (len(row) * (len(row) + 1) - shared * (shared + 1)) // 2
        before = row
    return tokens, seen


def operations(tokens: float, seen: float) -> float:
    """Multiplications and additions of the layers."""
    return 2 * WEIGHTS * tokens + 4 * LAYERS * WIDTH * seen


def counted(tokenizer: JudgeTokenizer, name: str, reference: bool) -> dict[str, Any]:
    """Tokens and operations of an answer in a set."""
    chosen = groups(name)
    rows = prompts(tokenizer, [record for own in chosen for record in own], reference)
    count, lengths = len(rows), [len(row) for row in rows]
    tree, blocks = in_tree(rows), in_blocks(rows)
    alone = [in_tree(rows[at : at + ANSWERS])[0] / ANSWERS for at in range(0, count, ANSWERS)]
    return {
        "set": name,
        "reference": reference,
        "answers": count,
        "prompt": sum(lengths) / count,
        "prompt_spread": np.percentile(lengths, [10, 90]).tolist(),
        "tree": tree[0] / count,
        "tree_spread": np.percentile(alone, [10, 90]).tolist(),
        "blocks": blocks[0] / count,
        "operations": operations(*blocks) / count,
        "attention": 1 - operations(blocks[0], 0) / operations(*blocks),
    }


def cost(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Tokens of each set, and the computed time on GPUs."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer = tokenizer_of(options.tokenizer, Path(name))
        found = [counted(tokenizer, own, ref) for own in options.sets for ref in (True, False)]
    for own in found:
        work = INSTRUCTIONS * ANSWERS * own["operations"] / options.utilisation / 3600
        own["gpu_hours"] = {gpu: work / rate for gpu, rate in RATES.items()}
    return found


def show_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    for cells in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows):
        print(f"| {' | '.join(cells)} |")


def show_cost(found: Sequence[dict[str, Any]]) -> None:
    """Two tables."""
    rows = []
    for own in found:
        spread, distinct = own["prompt_spread"], own["tree_spread"]
        rows.append([
            own["set"], "yes" if own["reference"] else "no", f"{own['answers']:,}",
            f"{own['prompt']:.0f} ({spread[0]:.0f} to {spread[1]:.0f})",
            f"{own['tree']:.0f} ({distinct[0]:.0f} to {distinct[1]:.0f})",
            f"{own['blocks']:.0f}", f"{own['attention']:.1%}",
        ])  # fmt: skip
    heads = [
        "set", "reference", "answers", "tokens of a prompt (10 to 90 %)",
        "distinct, by transformers (10 to 90 %)", "distinct, by vLLM", "attention",
    ]  # fmt: skip
    show_table(heads, rows)
    print()
    rows = []
    for own in found:
        hours = [own["gpu_hours"][gpu] / count for gpu in RATES for count in GPUS]
        shown = [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in hours]
        rows.append([f"{own['set']}, {'with' if own['reference'] else 'no'} reference", *shown])
    show_table(["hours, computed", *(f"{gpu}, {count}" for gpu in RATES for count in GPUS)], rows)


def stored(file: Path, folder: Path) -> int:
    """How many judgments a store has that a worker holds open."""
    with suppress(OSError, sqlite3.Error):
        for part in file.parent.glob(f"{file.name}*"):
            shutil.copyfile(part, folder / f"copy{part.name.removeprefix(file.name)}")
        store = sqlite3.connect(folder / "copy")
        try:
            return int(store.execute("SELECT count(*) FROM judgments").fetchone()[0])
        finally:
            store.close()
    return 0


def holder(file: Path) -> int | None:
    """The process that has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == file:
                return int(link.parts[2])
    return None


def kill_worker(process: subprocess.Popen[str], output: Path) -> int:
    """Kill the first worker that has stored judgments of an unfinished file.

    Returns:
        How many judgments its store had; 0 if none was killed.
    """
    while process.poll() is None:
        for file in output.glob(".*.store"):
            with tempfile.TemporaryDirectory() as copy:
                count = stored(file, Path(copy))
            if count and (worker := holder(file.resolve())) is not None:
                os.kill(worker, signal.SIGKILL)
                return count
        time.sleep(0.02)
    return 0


def one_run(
    inputs: Path, output: Path, options: argparse.Namespace, kind: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run `selfj score` once, and return its summary and the scores by id."""
    engine = ["--engine", options.worker_engine]
    if kind != "one process":
        engine = ["--engine", "ray", "--workers", "2", "--worker-engine", options.worker_engine]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "selfj_eval", "score", str(inputs), "--judge", options.judge]
            + ["--output", str(output), "--json", *engine],
            stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        killed = kill_worker(process, output) if kind.endswith("killed") else 0
        out, _ = process.communicate()
        if process.returncode not in (0, 1):  # 1: some are not judged
            said.seek(0)
            raise RuntimeError(said.read()[-1000:])
    summary = json.loads(out)
    rows = [row for file in sorted(output.glob("*.parquet")) for row in pq.read_table(
        file, columns=["id", "score"]).to_pylist()]  # fmt: skip
    row = {
        "run": kind,
        "records": len(rows),
        "unscored": sum(row["score"] is None for row in rows),
        "from_store": summary["from_store"],
        "killed": killed,
        "seconds": time.monotonic() - start,
    }
    return row, {row["id"]: row["score"] for row in rows if row["score"] is not None}


def runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The three runs, compared with the first.

    Raises:
        RuntimeError: If a run fails, or no worker could be killed.
    """
    records = (
        ladder("test", instructions=-(-options.records // 10))
        if options.set == "ladder"
        else [own for group in groups(options.set) for own in group]
    )[: options.records]
    found, first = [], dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "answers"
        inputs.mkdir()
        size = -(-len(records) // options.files)
        for part, start in enumerate(range(0, len(records), size)):
            write_records(inputs / f"part-{part}.parquet", records[start : start + size])
        for at, kind in enumerate(("one process", "Ray", "Ray, a worker killed")):
            row, scores = one_run(inputs, Path(name) / f"scores-{at}", options, kind)
            first = first or scores
            same = first.keys() == scores.keys()
            row["difference"] = (
                max(abs(scores[key] - first[key]) for key in first) if same else float("nan")
            )
            found.append(row)
    if not found[-1]["killed"]:
        raise RuntimeError("the run ended before a worker could be killed; give more records.")
    return found


def show_runs(found: Sequence[dict[str, Any]]) -> None:
    """A table."""
    heads = [
        "run", "records", "unscored", "largest difference of a score",
        "stored by the worker when it was killed", "found in its store", "seconds",
    ]  # fmt: skip
    rows = [
        [row["run"], f"{row['records']}", f"{row['unscored']}",
         "" if row is found[0] else f"{row['difference']:.1e}",
         f"{row['killed']}" if row["killed"] else "none was killed",
         f"{row['from_store']}", f"{row['seconds']:.0f}"]
        for row in found
    ]  # fmt: skip
    show_table(heads, rows)


def show_parts(found: Sequence[dict[str, Any]]) -> None:
    """A table."""
    heads = ["part", "records a second of the processor (range)", "records a second",
             "tokens a second of the processor", "hours for all, one core, computed"]  # fmt: skip
    rows = []
    for row in found:
        low, middle, high = np.percentile(row["processor"], [0, 50, 100])
        elapsed = float(np.median(row["elapsed"]))
        tokens = f"{middle * row['tokens']:,.0f}" if row["tokens"] else ""
        rows.append([
            row["part"], f"{middle:,.0f} ({low:,.0f} to {high:,.0f})", f"{elapsed:,.0f}",
            tokens, f"{INSTRUCTIONS * ANSWERS / middle / 3600:.1f}",
        ])  # fmt: skip
    show_table(heads, rows)


def main() -> None:
    """Count, measure or run, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--parts", action="store_true", help="measure the parts of selfj score")
    what.add_argument("--ray", action="store_true", help="run with Ray, and kill a worker")
    parser.add_argument("--json", action="store_true", help="print everything that was measured")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=JUDGE_DIR / "tokenizer.json",
        help="a tokenizer.json (default: the demo judge's, which makes far more tokens)",
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="of judge_bench")
    parser.add_argument("--utilisation", type=float, default=0.4, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="--parts (default: %(default)s)")
    parser.add_argument("--judge", default="demo", help="--ray (default: %(default)s)")
    parser.add_argument(
        "--set", default="ladder", help="--ray: judged answers, a rated set or %(default)s"
    )
    parser.add_argument("--records", type=int, default=1800, help="--ray (default: %(default)s)")
    parser.add_argument("--files", type=int, default=4, help="--ray (default: %(default)s)")
    parser.add_argument("--worker-engine", default="vllm", choices=["vllm", "transformers"])
    options = parser.parse_args()
    if options.ray:
        found, show = runs(options), show_runs
    elif options.parts:
        records = [own for name in options.sets for own in read_set(name) if own.reference]
        with tempfile.TemporaryDirectory() as name:
            tokenizer = tokenizer_of(options.tokenizer, Path(name))
            found, show = measured(tokenizer, records, options.rounds), show_parts
    else:
        found, show = cost(options), show_cost
    print(json.dumps(found)) if options.json else show(found)


if __name__ == "__main__":
    main()
