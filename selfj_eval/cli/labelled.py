"""What ``selfj label`` says at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.cli.measuring import Measured
    from selfj_eval.records import Record
    from selfj_eval.training.labelling import Labelled

PARTS = ("train", "validation")


def summary_of(data: Labelled, found: Measured) -> dict[str, Any]:
    """Counts, labels and correlations, as ``--json`` prints them."""
    from selfj_eval.metrics.correlation import spearman

    def rho(one: Any, other: Any) -> float | None:
        return spearman(one, other).value

    rated = [i for i, record in enumerate(data.records) if record.rating is not None]
    ratings = _ratings([data.records[i] for i in rated])
    both = "z1" in data.measures and "z2" in data.measures
    return {
        "answers": len(data.records) + len(found.left_out),
        "labelled": len(data.records),
        "left_out": len(found.left_out),
        "cut": found.models.get("generator", {}).get("cut", 0),
        "instructions": len({record.instruction for record in data.records}),
        "source": data.rule.source,
        "parts": {part: data.parts.count(part) for part in PARTS},
        "labels": {part: data.histogram(part) for part in PARTS},
        "z1_z2_spearman": rho(data.measures["z1"], data.measures["z2"]) if both else None,
        "z_rating_spearman": rho(data.labels.z[rated], ratings)
        if ratings and data.rule.source != "rating"
        else None,
        "errors": [f"{own}: {reason}" for own, reason in found.left_out],
    }


def _ratings(records: Sequence[Record]) -> list[float]:
    """The records' own ratings, on 0..9; none where some have a scale and others not."""
    from selfj_eval.records import rescaled

    if len({r.rating_min is None or r.rating_max is None for r in records}) > 1:
        return []
    return [rescaled(r.rating or 0.0, r.rating_min, r.rating_max) for r in records]


def print_summary(
    summary: dict[str, Any], models: dict[str, dict[str, Any]], *, asked: bool, given_rule: bool
) -> None:
    """For people.

    Args:
        summary: What ``summary_of`` returns, and ``written``.
        models: As ``measuring.Measured`` has them.
        asked: Whether a validation part was asked for.
        given_rule: Whether the labels follow a stored rule.
    """
    say(
        f"{summary['labelled']:,} of {summary['answers']:,} answers to "
        f"{summary['instructions']:,} instructions labelled ({summary['source']})"
    )
    for role, verb in (("generator", "answers"), ("judge", "judgments")):
        if models.get(role, {}).get("from_store"):
            say(f"  known before    {models[role]['from_store']:,} {verb}")
    if summary["cut"]:
        say(f"  CUT             {summary['cut']:,} answers had not ended (--max-new-tokens)")
    if cut := models.get("embedder", {}).get("cut"):
        limit = models["embedder"]["max_tokens"]
        say(f"  ends not seen   {cut:,} texts longer than the embedder's {limit} tokens")
    for name, title in (("z1_z2_spearman", "z1 and z2"), ("z_rating_spearman", "z and rating")):
        if summary[name] is not None:
            say(f"  {title:<15} Spearman {summary[name]:.3f}")
    train, validation = (summary["labels"][part] for part in PARTS)
    say(f"  label {'train':>7} {'valid.':>7}")
    for digit, counts in enumerate(zip(train, validation, strict=True)):
        bar = "#" * round(40 * counts[0] / max(*train, 1))
        say(f"  {digit:>5} {counts[0]:>7,} {counts[1]:>7,}  {bar}".rstrip())
    unused = [str(digit) for digit, count in enumerate(train) if not count]
    if unused and not given_rule:
        say(
            f"  note: no training answer has the label {', '.join(unused)}; where there are few "
            "distinct values, --scale min-max --bins equal-width keeps their distances"
        )
    if asked and not sum(validation):
        say("  note: no instruction fell into the validation part; there are too few")
    if summary["left_out"]:
        say(f"  NO LABEL        {summary['left_out']:,}")
        say("\n".join(f"    {shown(error)}" for error in summary["errors"][:10]))
        if summary["left_out"] > 10:
            say(f"    ... and {summary['left_out'] - 10:,} more in {summary['written'][-1]}")
    say(f"  written to      {', '.join(summary['written'])}")
