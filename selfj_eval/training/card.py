"""The model card of a trained model: what it is, its numbers, and how it was made."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from selfj_eval.errors import printable
from selfj_eval.files.atomic import atomic_write
from selfj_eval.files.documents import read_json

_TEXTS = files("selfj_eval.training") / "cards"
_FILES = ("train", "validation", "train_ref", "train_noref", "validation_ref", "validation_noref")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HIDDEN = ("base", "output", *_FILES)


def write_card(folder: Path, name: str) -> None:
    """Write ``README.md`` from the ``training.json`` and ``merge.json`` in a model's folder."""
    notes = {}
    for kind in ("training", "merge"):
        file = folder / f"{kind}.json"
        if file.is_file():
            notes[kind] = read_json(file)
    text = model_card(printable(name), notes.get("training"), notes.get("merge"))
    with atomic_write(folder / "README.md") as stream:
        stream.write(text.encode())


def model_card(
    name: str, training: Mapping[str, Any] | None, merged: Mapping[str, Any] | None = None
) -> str:
    """The text of a model card.

    Args:
        name: The model's name.
        training: The content of ``training.json``, if it is known.
        merged: That of ``merge.json``, for a merged model.

    Returns:
        Markdown. Of files and folders it names the last part only.
    """
    given = str((merged or {}).get("base") or (training or {}).get("config", {}).get("base"))
    base, config = _last(given), (training or {}).get("config", {})
    kind = "sft" if (training or {}).get("kind") == "sft" else "judge"
    adapter = merged is None and training is not None and config["lora_r"] > 0
    facts = []
    if training is not None:
        facts += [*_numbers(training), *_data(training), *_made(training)]
    if merged is not None:
        facts += ["", f"Adapter and base were merged in {merged['dtype']}: base "
                  f"`{merged['base_fingerprint'][:16]}`, adapter "
                  f"`{merged['adapter_fingerprint'][:16]}` (SHA-256 of weights and "
                  "configuration).", *_command(merged)]  # fmt: skip
    text = Template((_TEXTS / f"{kind}{'_adapter' * adapter}.md").read_text(encoding="utf-8"))
    of_the_hub = _HUB_ID.fullmatch(given) and not Path(given).exists()
    return text.substitute(
        base_model=f"base_model: {given}\n" if of_the_hub else "",
        name=_plain(name),
        base=_plain(base),
        base_flag=_line(shlex.quote(base)),
        base_text=json.dumps(base, ensure_ascii=False),
        model_flag=_line(shlex.quote(name)),
        model_text=json.dumps(name, ensure_ascii=False),
        prompt=config.get("prompt"),
        facts="\n".join(facts).strip("\n"),
    )


def _numbers(training: Mapping[str, Any]) -> list[str]:
    metrics = training["metrics"]
    if training.get("kind") == "sft":
        means = {"training": training["loss"], "validation": metrics.get("loss")}
        losses = [f"| {part} | {loss:.3f} |" for part, loss in means.items() if loss is not None]
        return ["| part | mean loss per token |", "| --- | ---: |", *losses, ""]
    rows = []
    for side, prompt in (("teacher", "with reference"), ("student", "without")):
        found = [metrics.get(f"{side}_{kind}") for kind in ("pearson", "spearman", "mae")]
        if any(value is not None for value in found):
            cells = ["-" if value is None else f"{value:.3f}" for value in found]
            rows.append(f"| {prompt} | {' | '.join(cells)} |")
    if not rows:
        return ["It was not measured: the training had no validation file.", ""]
    head = ["| prompt | Pearson | Spearman | mean absolute error |", "| --- |" + " ---: |" * 3]
    lines = ["Agreement with the labels of the validation file:", "", *head, *rows, ""]
    if seen := training["data"].get("validation", {}).get("seen_instructions"):
        lines += [f"{seen:,} of its answers are to instructions of the training data.", ""]
    return lines


def _data(training: Mapping[str, Any]) -> list[str]:
    lines = ["| file | SHA-256 |", "| --- | --- |"]
    for name, file in training["files"].items():
        lines.append(f"| {name}: {_plain(_last(file['name']))} | `{file['sha256'][:16]}` |")
    counts = training["data"]["train"]
    if training.get("kind") == "sft":
        return [*lines, "", f"{counts['used']:,} of {counts['rows']:,} rows were used, "
                f"{counts['too_long']:,} were too long.", ""]  # fmt: skip
    lines += ["", f"{counts['pairs']:,} answers in training, {counts['with_reference']:,} of them "
              f"with reference; {counts['trimmed']:,} of {counts['prompts']:,} prompts were "
              "trimmed.", ""]  # fmt: skip
    return lines


def _made(training: Mapping[str, Any]) -> list[str]:
    settings = {k: v for k, v in training["config"].items() if k not in _HIDDEN}
    versions = ", ".join(f"{k} {v}" for k, v in training["versions"].items())
    return [
        f"Base: `{training['base_fingerprint'][:16]}`. Made {training['made']} with {versions}.",
        *_command(training),
        "",
        "Settings: " + ", ".join(f"{_plain(k)} {_plain(str(v))}" for k, v in settings.items()),
    ]


def _command(about: Mapping[str, Any]) -> list[str]:
    """The command with the last part of each path, if it was one that made it."""
    if about["command"] is None:
        return []
    parts = shlex.split(about["command"])
    short = shlex.join("=".join(_last(piece) for piece in part.split("=")) for part in parts)
    return ["", f"    {_line(short)}"]


def _last(path: str) -> str:
    """Last part of a path; a hub id stays."""
    return path if path.count("/") == 1 and not path.startswith((".", "/")) else Path(path).name


def _plain(text: str) -> str:
    """Text that is no Markdown and ends no line."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in _line(text))


def _line(text: str) -> str:
    """Text that ends no line, for a block of code."""
    return " ".join(text.split())
