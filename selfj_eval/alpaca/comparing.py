"""What models are compared with: instructions, a baseline, and what length control needs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.alpaca.outputs import check_gamed, path_of, read_baseline
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import PathLike
from selfj_eval.records.hub import fetched
from selfj_eval.registry import alpaca_pack
from selfj_eval.registry.alpaca_pack import EvaluationSet, ModelAnswers

logger = logging.getLogger(__name__)


class Comparison(NamedTuple):
    """What models are compared with: evaluation set, baseline, the file for length control."""

    instructions: EvaluationSet
    baseline: ModelAnswers
    gamed: Path | None


def comparison_of(baseline: Any, length_control: PathLike | None) -> Comparison:
    """What models are compared with, read.

    Args:
        baseline: ``v1``, ``v2``, or outputs, whose instructions are then the evaluation set.
        length_control: AlpacaEval's ``df_gamed.csv``; by default the data pack's, for ``v2``.

    Raises:
        DataError: If something cannot be read, or the two do not belong together.
    """
    given = None if length_control is None else Path(length_control)
    if given is not None:
        check_gamed(given)
    baseline = fetched(baseline)
    if isinstance(baseline, str) and baseline in alpaca_pack.BASELINES:
        gamed = alpaca_pack.gamed_baselines() if given is None and baseline == "v2" else given
        return Comparison(
            alpaca_pack.evaluation_set(), alpaca_pack.official_baseline(baseline), gamed
        )
    path = path_of(baseline)
    if path is not None and not path.is_file():
        raise DataError(f"`baseline` {path}: expected v1, v2 or an existing file of outputs.")
    instructions, answers = read_baseline(baseline)
    if given is not None:
        _check_order(instructions, path)
    return Comparison(instructions, answers, given)


def _check_order(instructions: EvaluationSet, path: Path | None) -> None:
    """Length control goes by an instruction's position in AlpacaEval's own order."""
    if not alpaca_pack.is_here():
        logger.warning(
            "note: AlpacaEval's data are not here (`selfj data get alpaca_eval` gets them), so "
            "it cannot be checked whether the baseline's instructions are AlpacaEval's own, in "
            "its order, as length control needs them"
        )
        return
    official = alpaca_pack.evaluation_set().instructions
    if instructions.instructions != official:
        pairs = enumerate(zip(instructions.instructions, official, strict=False))
        first = next((k for k, (a, b) in pairs if a != b), min(len(instructions), len(official)))
        raise DataError(
            f"`length_control` needs AlpacaEval's {len(official)} instructions in their order; "
            "this file has others, or another order. Leave the option out, or sort the file.",
            path=path,
            place=f"output {first + 1}",
            field="instruction",
        )
