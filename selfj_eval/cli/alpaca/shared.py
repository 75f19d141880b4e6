"""Options of several ``selfj alpaca`` commands, and how a run is written down."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.judging import add_judge_options, load_judge
from selfj_eval.cli.provenance import digest
from selfj_eval.errors import DataError, StoreError
from selfj_eval.terminal import say

if TYPE_CHECKING:
    from selfj_eval.alpaca.data import EvaluationSet
    from selfj_eval.alpaca.scorers import JudgeScorer
    from selfj_eval.store import JudgmentStore

_JUDGE_OPTIONS = (
    *("--adapter", "--template", "--max-tokens", "--allow-markers", "--revision", "--dtype"),
    *("--device", "--batch-tokens", "--trust-remote-code", "--engine", "--engine-arg"),
)


def add_judging(parser: argparse.ArgumentParser, *, store: bool = True) -> None:
    """Add how the judge runs and how two scores become a preference."""
    parser.add_argument(
        "--references",
        metavar="FILE",
        help="reference answers to show the judge: rows with instruction and reference",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="preference = 1 + sigmoid((score - baseline's score) / T), T in points of the score; "
        "0: only which is higher (default: 1 for a judge, 0 for length)",
    )
    add_judge_options(parser, *_JUDGE_OPTIONS, *(["--store"] if store else []))
    parser.set_defaults(reference=True)


def check_temperature(options: argparse.Namespace) -> None:
    """Refuse a temperature that is none."""
    given = options.temperature
    if given is not None and not 0 <= given < math.inf:
        raise DataError(f"--temperature must be finite and at least 0, got {given:g}.")


def output_folder(name: str) -> Path:
    """The folder for results, made if it is not there."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror or error}; name another --output."
        raise StoreError(message) from error
    return folder


def judge_scorer(
    options: argparse.Namespace, store: JudgmentStore, instructions: EvaluationSet
) -> JudgeScorer:
    """The judge that the options ask for, as a scorer.

    Raises:
        DataError: If references are given and none belongs to an instruction.
    """
    from selfj_eval.alpaca.outputs import read_references
    from selfj_eval.alpaca.scorers import JudgeScorer

    references = None if options.references is None else read_references(options.references)
    if references is not None:
        known = sum(text in references for text in instructions.instructions)
        if not known:
            message = "has no reference to any of the instructions; their texts have to be equal."
            raise DataError(message, path=options.references)
        say(f"{known:,} of {len(instructions):,} instructions have a reference", file=sys.stderr)
    judge = load_judge(options, store)
    return JudgeScorer(judge, name=judge_name(options), references=references)


def judge_name(options: argparse.Namespace) -> str:
    """What a judge is called in tables: the last part of its name, and its adapter's."""
    name = Path(options.judge).name or options.judge
    return name if options.adapter is None else f"{name}+{Path(options.adapter).name}"


def described(options: argparse.Namespace, scorer: JudgeScorer) -> dict[str, Any]:
    """What decides a judge's scores, for the record."""
    judge = scorer.judge
    references = options.references
    return {
        "name": scorer.name,
        "identity": dict(judge.backend.identity),
        "template": judge.template.name,
        "max_tokens": judge.max_tokens,
        "allow_markers": judge.allow_markers,
        "references_sha256": None if references is None else digest(Path(references)),
    }


PACKAGES = ("alpaca-eval", "torch", "transformers", "scikit-learn", "scipy")
"""What decides the numbers here, for ``provenance``."""
