"""Which columns the file of a set must have; those who read it rely on them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from selfj_eval.records.record import REQUIRED

_RECORD = (
    *("id", "instruction", "response", "reference", "rating", "rating_min", "rating_max"),
    *("model", "category"),
)
_PAIR = ("id", "category", "instruction", "response_a", "response_b", "reference", "label")
_OUTPUTS = ("output_text_davinci_003", "output_gpt4_1106_preview")
_MATCHES = ("output_matches", "baseline_matches")
_COLUMNS = {
    "judge_bench/pointwise_*": _RECORD,
    "judge_bench/unrated_*": _RECORD,
    "judge_bench/pairwise_*": _PAIR,
    "alpaca_eval/instructions.parquet": ("instruction", "dataset", *_OUTPUTS),
    "alpaca_eval/model_outputs/*": ("instruction_id", "model", "output"),
    "alpaca_eval/preferences.parquet": (
        *("model", "instruction_id", "annotator", "preference"),
        *_MATCHES,
    ),
    "alpaca_eval/leaderboards/*": ("", "win_rate"),
    "alpaca_eval/length_control/df_gamed_equivalent.csv": (
        *("model", "preference", "index", "std_delta_len", "instruction_difficulty"),
        "not_gamed_baseline",
    ),
}
_NEEDED = {
    "judge_bench/pointwise_*": (*REQUIRED, "rating"),
    "judge_bench/unrated_*": REQUIRED,
    "judge_bench/pairwise_*": ("id", "instruction", "response_a", "response_b", "label"),
}
FLOATS = ("rating", "rating_min", "rating_max", "preference")
"""Columns of floating point numbers, also where all that are known are whole."""


def expected(output: str) -> tuple[str, ...]:
    """The columns of a finished file, by its path below the data folder; empty if unknown."""
    return _first(_COLUMNS, output)


def needed(path: str) -> tuple[str, ...]:
    """The columns without which a file of the user's own cannot be read.

    The other columns of a record may be left out there.

    Args:
        path: Below the data folder.
    """
    return _first(_NEEDED, path) or expected(path)


def _first(table: Mapping[str, tuple[str, ...]], path: str) -> tuple[str, ...]:
    return next((names for pattern, names in table.items() if fnmatchcase(path, pattern)), ())
