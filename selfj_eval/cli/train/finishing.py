"""A training with all that its command leaves behind: notes, card, no checkpoints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.terminal import say
from selfj_eval.training.settings import TrainingConfig

if TYPE_CHECKING:
    from selfj_eval.training.running import Finish

C = TypeVar("C", bound=TrainingConfig)


def train_and_note(
    kind: str,
    config: C,
    train: Callable[[C, Finish], dict[str, Any]],
    options: argparse.Namespace,
    files: tuple[str, ...],
) -> dict[str, Any] | None:
    """Train, write ``training.json`` and the card, and with ``--json`` print the summary.

    Args:
        kind: ``judge`` or ``sft``.
        config: The settings.
        train: What trains.
        options: The command line.
        files: The settings that name data.

    Returns:
        What ``train`` returned, if this process is to print a summary.
    """
    from selfj_eval.training.card import write_card
    from selfj_eval.training.running import remove_checkpoints
    from selfj_eval.writing import write_json

    found = {name: Path(file) for name in files if (file := getattr(config, name)) is not None}
    packages = ("torch", "transformers", "peft", "accelerate")
    notes = {
        "kind": kind,
        "config": asdict(config),
        "files": {n: {"name": f.name, "sha256": digest(f)} for n, f in found.items()},
        **provenance(options, *packages, *(("trl",) if kind == "sft" else ())),
    }

    def finish(folder: Path, result: dict[str, Any]) -> None:
        write_json(folder / "training.json", {**notes, **result})
        write_card(folder, Path(config.output).name)

    with redirect_stdout(sys.stderr):  # transformers writes its log there
        result = train(config, finish)
    if not result.pop("main_process"):
        return None
    remove_checkpoints(config)
    if options.json:
        about = {**notes, **result}  # of a training that was finished before, its own notes
        say(json.dumps({name: value for name, value in about.items() if name != "history"}))
        return None
    return result
