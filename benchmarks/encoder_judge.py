"""Train the small encoder judge on GPT-4's ratings and measure it on what it never saw.

The rated sets of judge_bench fall into five groups; each group is scored by a judge that was
trained on the others, without any instruction of the scored group. From the sets it is trained
on, every tenth instruction is kept back too. All of it with distillation 2 and 0. Finished parts
are kept in the work folder, so the same command goes on.

example: python benchmarks/encoder_judge.py --encoder ./all-MiniLM-L6-v2 --work work
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from rated_sets import read_set, sample
from scipy.stats import zscore

from selfj_eval import Judge, Record, metrics
from selfj_eval.engines.models.embedder import Embedder
from selfj_eval.files.atomic import write_json
from selfj_eval.metrics import Metric
from selfj_eval.records.reading import read_rows
from selfj_eval.records.writing import write_rows
from selfj_eval.training.judge import train_judge
from selfj_eval.training.labelling.rules import LabelRule, in_validation
from selfj_eval.training.pairs import Pair, write_pairs

GROUPS = (
    ("qlora_vicuna", "vicuna_blog", "prometheus_vicuna", "selfeval_vicuna"),
    ("arena_bench", "llms_from_scratch", "roscoe_human"),
    ("mtbench", "llmbar_gpt4", "llmbar_gpt4_noref"),
    ("cje_arena", "autoj_single_train", "shepherd_human"),
    ("just_eval", "cherry"),
)
"""Sets with the same instructions stand together: none of a scored group is trained on."""
HUMAN = ("shepherd_human", "roscoe_human")  # measured, never trained on
KEPT_BACK = 0.1
DISTILLATION = (2.0, 0.0)
Measure = Callable[..., Metric]


def main() -> None:
    """Train, score, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", required=True, help="pretrained encoder, for the cosine too")
    parser.add_argument("--work", type=Path, required=True, help="folder for judges and scores")
    parser.add_argument("--answers", type=int, default=300, help="of a set in training")
    parser.add_argument("--scored", type=int, default=500, help="of a set, at most")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument(
        "--distillation", type=float, nargs="+", default=DISTILLATION, help="only these, no tables"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sets = {name: read_set(name) for group in GROUPS for name in group}
    for kl_weight in options.distillation:
        for number, held_out in enumerate(GROUPS):
            score_group(options, sets, number, held_out, kl_weight)
    if tuple(options.distillation) == DISTILLATION:
        write_cosine(options, sets)
        print(tables(options.work, sets))


def training_pairs(
    sets: dict[str, list[Record]], held_out: Iterable[str], answers: int
) -> list[Pair]:
    """Labelled answers of the other sets, equally frequent labels within each."""
    pairs = []
    for usable, _ in split(sets, held_out).values():
        chosen = sample(usable, answers, seed=0)
        ratings = {"rating": [r.rating or 0.0 for r in chosen]}
        labels = LabelRule.fit(ratings, source="rating").apply(ratings).label
        pairs += [
            Pair(r.id, r.instruction, r.response, r.reference, int(label))
            for r, label in zip(chosen, labels, strict=True)
        ]
    return pairs


def split(
    sets: dict[str, list[Record]], held_out: Iterable[str]
) -> dict[str, tuple[list[Record], list[Record]]]:
    """Of each set in training, what may be trained on and what is kept back.

    Without the instructions of the scored group; a set all whose instructions are there is none.
    """
    held = {r.instruction for name in held_out for r in sets[name]}
    found = {}
    for name, records in sets.items():
        if name in held_out or name in HUMAN:
            continue
        parts: tuple[list[Record], list[Record]] = [], []
        for record in records:
            if record.instruction not in held:
                parts[in_validation(record.instruction, KEPT_BACK)].append(record)
        if parts[0]:
            found[name] = parts
    return found


def score_group(
    options: argparse.Namespace,
    sets: dict[str, list[Record]],
    number: int,
    held_out: tuple[str, ...],
    kl_weight: float,
) -> None:
    """Train without a group and score: the group, and kept-back instructions of the others."""
    work: Path = options.work
    name = f"kl{kl_weight:g}-{number}"
    done = work / f"{name}.scores.parquet"
    if done.exists():
        return
    files = work / f"{number}.ref.jsonl", work / f"{number}.noref.jsonl"
    write_pairs(*files, training_pairs(sets, held_out, options.answers))
    if not (work / name).exists():
        result = train_judge(
            base=options.encoder, train_ref=str(files[0]), train_noref=str(files[1]),
            output=str(work / name), allow_unpaired=True, architecture="encoder",
            max_tokens=options.max_tokens, kl_weight=kl_weight, label_spread=1.0, lora_r=0,
            freeze_layers=3, dtype="bfloat16", epochs=options.epochs, learning_rate=2e-4,
            warmup_steps=20, weight_decay=0.01, batch_size=16, gradient_accumulation=1,
            student_weight=1.0,
        )  # fmt: skip
        write_json(work / f"{name}.json", {"seconds": result.seconds, "loss": result.loss})
    rows, known = [], split(sets, held_out)
    for with_reference in (True, False):
        judge = Judge.load(
            str(work / name), reference=with_reference, max_tokens=options.max_tokens,
            dtype="bfloat16",
        )  # fmt: skip
        for source, records in sets.items():
            unseen = source in held_out
            if unseen:
                chosen = sample(records, options.scored, seed=1)
            elif source not in known:
                continue
            else:
                chosen = sample(known[source][1], options.scored // 4, seed=1)
            if with_reference:
                chosen = [r for r in chosen if r.reference is not None]
            for record, judgment in zip(chosen, judge.judge(chosen), strict=True):
                rows.append({
                    "id": record.id, "source": source,
                    "kind": "source" if unseen else "instructions",
                    "prompt": "with" if with_reference else "without",
                    "score": judgment.score, "error": judgment.error,
                })  # fmt: skip
    write_rows(done, rows)
    print(f"{name} done", flush=True)


def write_cosine(options: argparse.Namespace, sets: dict[str, list[Record]]) -> None:
    """Similarity of answer and reference; without one, of answer and instruction."""
    done = options.work / "cosine.json"
    if done.exists():
        return
    embedder, found = Embedder(options.encoder), {}
    for records in sets.values():
        chosen = sample(records, options.scored, seed=1)
        pairs = [(r.response, r.reference or r.instruction) for r in chosen]
        cosine = embedder.similarity(pairs).cosine
        found |= {r.id: float(c) for r, c in zip(chosen, cosine, strict=True)}
    write_json(done, found)


def tables(work: Path, sets: dict[str, list[Record]]) -> str:
    """Pooled and within-model correlations, as Markdown."""
    cosine = json.loads((work / "cosine.json").read_text(encoding="utf-8"))
    scored: dict[tuple[float, str, str], dict[str, dict[str, float]]] = {}
    for kl_weight in DISTILLATION:
        for group, held_out in enumerate(GROUPS):
            kept = {r.id for _, back in split(sets, held_out).values() for r in back}
            for _, row in read_rows(work / f"kl{kl_weight:g}-{group}.scores.parquet"):
                unseen = row["kind"] == "source" or row["id"] in kept
                if row["score"] is None or not unseen:
                    continue
                part = scored.setdefault((kl_weight, row["kind"], row["prompt"]), {})
                # Several judges have not seen an instruction: the first counts.
                part.setdefault(row["source"], {}).setdefault(row["id"], row["score"])
    text = []
    for title, measure in (("Pearson", metrics.pearson), ("Spearman", metrics.spearman)):
        head = [f"{title}, unseen source", "n", "with (2)", "without (2)", "with (0)",
                "without (0)", "within model (2)", "length", "cosine", "both"]  # fmt: skip
        text += ["", f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
        for source, records in sets.items():
            known = {r.id: r for r in records}
            parts = [
                scored.get((kl, "source", prompt), {}).get(source, {})
                for kl in DISTILLATION
                for prompt in ("with", "without")
            ]
            best = parts[1] | parts[0]  # with a reference where there is one
            baseline = {i: known[i] for i in parts[1]}
            similar = {i: cosine[i] for i in baseline}
            row = [source, str(len(parts[1])), *(cell(p, known, measure) for p in parts)]
            row += [within(best, known, measure)]
            lengths = {i: float(len(r.response)) for i, r in baseline.items()}
            row += [cell(lengths, known, measure)]
            row += [cell(similar, known, measure)]
            row += [cell(added(best, similar), known, measure)]
            text.append(f"| {' | '.join(row)} |")
    head = ["Pearson, unseen instructions", "n", "with (2)", "without (2)", "with (0)",
            "without (0)"]  # fmt: skip
    text += ["", f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    for source, records in sets.items():
        if source in HUMAN:
            continue
        rating = {r.id: r.rating or 0.0 for r in records}
        row = [source, str(len(scored[2.0, "instructions", "without"].get(source, {})))]
        for kl in DISTILLATION:
            for prompt in ("with", "without"):
                part = scored[kl, "instructions", prompt].get(source, {})
                found = metrics.pearson(list(part.values()), [rating[i] for i in part])
                row.append(number(found))
        text.append(f"| {' | '.join(row)} |")
    return "\n".join(text)


def cell(scores: dict[str, float], known: dict[str, Record], measure: Measure) -> str:
    """Agreement with the ratings."""
    ids = sorted(scores)
    ratings = [known[i].rating or 0.0 for i in ids]
    return number(measure([scores[i] for i in ids], ratings)) if ids else "-"


def added(scores: dict[str, float], others: dict[str, float]) -> dict[str, float]:
    """Sum of two raters of the same answers, each standardised."""
    one, other = (zscore([rater[i] for i in sorted(scores)]) for rater in (scores, others))
    return dict(zip(sorted(scores), map(float, one + other), strict=True))


def within(scores: dict[str, float], known: dict[str, Record], measure: Measure) -> str:
    """Mean over models with at least ten scored answers, of the correlation within each."""
    groups: dict[str, list[str]] = {}
    for i in scores:
        groups.setdefault(known[i].model or "", []).append(i)
    groups.pop("", None)
    values = [
        measure([scores[i] for i in ids], [known[i].rating or 0.0 for i in ids]).value
        for ids in groups.values()
        if len(ids) >= 10
    ]
    defined = [value for value in values if value is not None]
    return f"{np.mean(defined):.2f} ({len(defined)})" if defined else "-"


def number(metric: Metric) -> str:
    """Value and 95 % interval."""
    if metric.value is None:
        return "-"
    if metric.interval is None:
        return f"{metric.value:.2f}"
    return f"{metric.value:.2f} [{metric.interval.low:.2f}, {metric.interval.high:.2f}]"


if __name__ == "__main__":
    main()
