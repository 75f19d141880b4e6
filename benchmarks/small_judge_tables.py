"""Agreement with the ratings on sets that a judge has not learned from, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, pvariance

from scipy.stats import zscore
from small_judge_data import HALVES, NEVER_TRAINED, RUNS, Run, Sets, unseen
from small_judge_runs import samples, score_file

from selfj_eval import Record, metrics, score
from selfj_eval.raters.specs import SUMS
from selfj_eval.records.reading import read_rows

Scores = Mapping[str, float]

SOURCES = (*HALVES[0], *HALVES[1], *NEVER_TRAINED)
COLUMNS = (
    "without",
    "with",
    "log-length",
    "trigrams",
    "cosine",
    "without + trigrams",
    "with + trigrams",
    "small-ref",
)


def tables(work: Path, recipes: Sequence[str], sets: Sets, most: int, embedder: str | None) -> str:
    """A table of each recipe that is trained, and of each run."""
    text = []
    for recipe in recipes:
        found: dict[str, dict[str, float]] = {}
        for name in ("fold1", "fold2"):
            found |= _of_run(work / recipe / name, RUNS[name], sets, most, embedder)
        if found:
            text += ["", f"### {recipe}", "", *_table(found), ""]
            text += _scales(work / recipe / "all", sets)
        shipped = _of_run(work / recipe / "all", RUNS["all"], sets, most, embedder)
        if shipped:
            text += ["", f"### {recipe}, the judge that is shipped", "", *_table(shipped), ""]
    return "\n".join(text)


def _of_run(
    judge: Path, run: Run, sets: Sets, most: int, embedder: str | None
) -> dict[str, dict[str, float]]:
    return {
        source: _agreements(judge, source, records, most, embedder)
        for source, records in unseen(sets, run).items()
        if records and score_file(judge, source, "without").exists()
    }


def _scales(judge: Path, sets: Sets) -> list[str]:
    """Mean and standard deviation of judge and trigrams, for sums that are fitted to no records.

    Over the answers with a reference in the sets that no judge learns from, each set counting the
    same.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for source in NEVER_TRAINED:
        files = {prompt: score_file(judge, source, prompt) for prompt in ("with", "without")}
        if all(file.exists() for file in files.values()):
            scored = {prompt: _scores(file) for prompt, file in files.items()}
            referred = {r.id: r for r in sets[source] if r.id in scored["with"]}
            if referred:
                scored["without"] = {i: scored["without"][i] for i in referred}
                scored["trigrams"] = _rated(referred, "trigrams")
                for rater, scores in scored.items():
                    values = list(scores.values())
                    found.setdefault(rater, []).append((mean(values), pvariance(values)))
    lines = []
    for rater, of_sets in found.items():
        middle = mean(m for m, _ in of_sets)
        deviation = mean(v for _, v in of_sets) ** 0.5
        lines.append(f"{rater}: mean {middle:.3f}, standard deviation within a set {deviation:.3f}")
    return lines


def _table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [f"| set | n | {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * (len(COLUMNS) + 1)]
    for source in SOURCES:
        if source in found:
            row = found[source]
            cells = [f"{row[c]:.2f}" if c in row else "-" for c in COLUMNS]
            lines.append(f"| {source} | {row['n']:.0f} | {' | '.join(cells)} |")
    means = []
    for column in COLUMNS:
        values = [row[column] for row in found.values() if column in row]
        means.append(f"**{mean(values):.3f}** ({len(values)})" if values else "-")
    return [*lines, f"| mean (sets) | | {' | '.join(means)} |"]


def _agreements(
    judge: Path, source: str, records: list[Record], most: int, embedder: str | None
) -> dict[str, float]:
    chosen, referred = ({r.id: r for r in part} for part in samples(records, most))
    raters = {name: _scores(score_file(judge, source, name)) for name in ("without", "with")}
    raters["log-length"] = _rated(chosen, "log-length")
    if referred:
        raters["trigrams"] = _rated(referred, "trigrams")
        if embedder is not None:
            raters["cosine"] = _rated(referred, f"cosine:{embedder}")
        for name in ("without", "with"):
            raters[f"{name} + trigrams"] = _sum(raters[name], raters["trigrams"])
        raters["small-ref"] = _small_ref(raters["without"], raters["trigrams"])
    raters["without"] = {i: s for i, s in raters["without"].items() if i in chosen}
    rating = {i: r.rating or 0.0 for i, r in (chosen | referred).items()}
    found = {"n": float(len(chosen))}
    for name, scores in raters.items():
        ratings = [rating[i] for i in scores]
        value = metrics.pearson(list(scores.values()), ratings).value if len(scores) > 2 else None
        if value is not None:
            found[name] = value
    return found


def _scores(file: Path) -> dict[str, float]:
    return {row["id"]: row["score"] for _, row in read_rows(file) if row["score"] is not None}


def _rated(records: Mapping[str, Record], judge: str) -> dict[str, float]:
    judged = score(list(records.values()), judge=judge).judgments
    return {j.id: j.score for j in judged if j.score is not None}


def _small_ref(small: Scores, trigrams: Scores) -> dict[str, float]:
    fixed = SUMS["small-ref"].fixed
    assert fixed is not None
    (middle, deviation), (share, spread) = fixed
    return {
        i: (small[i] - middle) / deviation + (value - share) / spread
        for i, value in trigrams.items()
        if i in small
    }


def _sum(one: Scores, other: Scores) -> dict[str, float]:
    """Of two raters of the same answers, each standardised."""
    ids = [i for i in one if i in other]
    parts = (zscore([rater[i] for i in ids]) for rater in (one, other))
    return {i: float(a + b) for i, a, b in zip(ids, *parts, strict=True)}
