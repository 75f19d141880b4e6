"""The Markdown table of ``gpu.py``, from the JSON files of its parts."""

from __future__ import annotations

import statistics
from typing import Any

EVERY = 20
"""Steps between those of the loss curve that are shown."""
_GB = 1e9
Part = dict[str, Any]


def table(card: str, parts: dict[str, Part]) -> str:
    """The document on a card.

    Args:
        card: Its name.
        parts: What was found, by the part's name.
    """
    lines = [f"# {card}", "", *_row(["part", "", "seconds", "reason", "torch", "CUDA", "driver"])]
    lines.append("| --- | --- | ---: | --- | --- | --- | --- |")
    for name, part in parts.items():
        machine = part.get("machine", {})
        facts = [str(machine.get(fact) or "") for fact in ("torch", "cuda", "driver")]
        reason = part.get("reason", "").replace("|", "\\|")
        lines += _row([name, part["status"], f"{part['seconds']:,.0f}", reason, *facts])
    shown = {"tests": _tests, "score": _scoring, "train-step": _training_step, "lora": _lora}
    for name, part in parts.items():
        kind = next(kind for kind in shown if name.startswith(kind))
        if found := shown[kind](part):
            lines += ["", f"## {name}", "", *found]
    return "\n".join(lines) + "\n"


def _tests(part: Part) -> list[str]:
    if "tests" not in part:
        return []
    counts = [f"{len(names)} {outcome}" for outcome, names in part["tests"].items()]
    return [f"Tests marked `gpu`: {', '.join(counts)}."]


def _scoring(part: Part) -> list[str]:
    if not part.get("sets"):
        return []
    lines = [
        f"A random Llama of {part['parameters']:,} parameters in {part['dtype']}, "
        f"{part['held_bytes'] / _GB:.1f} GB; {part['batch_tokens']:,} tokens a batch. Left to "
        f'itself the engine runs it like "{part["runs_by_itself"]}". Ratios are within a round: '
        "median (range).",
        "Share of the product's rate: 2 x the weights of the layers x tokens / seconds, divided by "
        f"the rate of a large matrix product in {part['dtype']} in the same round. The tokens are "
        "those of the prompts, or those that are computed: with padding, or only the distinct "
        "ones. Differences are those of the digits' log-probabilities, and of scores, to one by "
        "one.",
    ]
    for name, own in part["sets"].items():
        rates = own["product_rates"]
        product = _spread([rate / 1e12 for rate in rates], 1)
        lines += [
            "",
            f"{name}: {own['prompts']} prompts, {own['tokens']:,} tokens, tokenized in "
            f"{own['tokenizing_seconds']:.2f} s; the product's rate is {product} TFLOP/s.",
            "",
            *_row(["way", "batches", "computed tokens", "tokens a second",
                   "time relative to padded", "share, prompts' tokens", "share, computed tokens",
                   "largest difference", "of scores", "peak memory, GB"]),
            "| --- |" + " ---: |" * 9,
        ]  # fmt: skip
        padded = own["ways"].get("padded", {}).get("seconds", [])
        for way, found in own["ways"].items():
            if "failed" in found:
                lines += _row([way, f"failed: {found['failed']}", *[""] * 8])
                continue
            seconds = found["seconds"]
            times = [2 * part["layer_parameters"] / rate / took
                     for rate, took in zip(rates, seconds, strict=False)]  # fmt: skip
            lines += _row([
                way,
                f"{found['batches']:,}",
                f"{found['computed_tokens']:,}",
                _spread([own["tokens"] / took for took in seconds], 0),
                _spread([a / b for a, b in zip(seconds, padded, strict=False)], 2),
                *(_spread([share * tokens for share in times], 3)
                  for tokens in (own["tokens"], found["computed_tokens"])),
                _difference(found["largest_difference"], found["not_finite"]),
                _difference(found["largest_score_difference"], found["not_finite"]),
                f"{found['peak_bytes'] / _GB:.2f}",
            ])  # fmt: skip
        deviation = own["ways"].get("one by one", {}).get("score_deviation")
        if deviation is not None:
            lines += ["", f"Standard deviation of the scores: {deviation:.3f}."]
    return lines


def _training_step(part: Part) -> list[str]:
    if "variants" not in part:
        return []
    lines = [
        f"Forward and backward pass, no optimiser; a random Llama of {part['parameters']:,} "
        f"parameters, all of them trained, in {part['dtype']}; batches of {part['batch']} pairs. "
        f"Weights and gradients take {part['held_bytes'] / _GB:.1f} GB, peak memory is above that. "
        "With 7 billion parameters they alone would take 54 GB, so that step is not measured.",
        "",
        *_row(["step", "seconds a pair", "times faster", "peak memory, GB"]),
        "| --- | ---: | ---: | ---: |",
    ]
    original = part["variants"]["original"]["seconds_a_pair"]
    for name, found in part["variants"].items():
        took = found["seconds_a_pair"]
        faster = _spread([a / b for a, b in zip(original, took, strict=False)], 2)
        peak = f"{found['peak_bytes'] / _GB:.2f}" if "peak_bytes" in found else ""
        lines += _row([name, found.get("failed") or _spread(took, 4), faster, peak])
    return lines


def _lora(part: Part) -> list[str]:
    if not part.get("curve"):
        return []
    lines = [
        f"LoRA on a random Llama of {part['parameters']:,} parameters in {part['dtype']}, "
        f"{part['trained']:,} trained; {part['pairs']:,} pairs of the quality ladder, batches of "
        f"{part['batch']}. What a random model can learn here is how a label looks, not quality.",
    ]
    if "steps" in part:
        lines.append(
            f"{part['steps']} steps ({part['ended']}), seconds a step: "
            f"{_spread(part['step_seconds'], 3)}; peak memory "
            f"{(part['held_bytes'] + part['peak_bytes']) / _GB:.1f} GB with the model."
        )
    lines += ["", *_row(["step", "loss", "with reference", "without", "KL"])]
    lines.append("| ---: |" + " ---: |" * 4)
    for line in part["curve"]:
        if line["step"] == 1 or line["step"] % EVERY == 0:
            names = ("loss", "ce_ref", "ce_free", "kl")
            lines += _row([str(line["step"]), *(_number(line[name], 3) for name in names)])
    return lines


def _row(cells: list[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _spread(values: list[float], digits: int) -> str:
    """Median and range."""
    if not values:
        return ""
    low, middle, high = (f"{f(values):,.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} ({low}-{high})"


def _difference(value: float | None, lost: int) -> str:
    return f"{lost} not finite" if lost or value is None else f"{value:.1e}"


def _number(value: float | None, digits: int) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"
