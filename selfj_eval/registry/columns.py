"""Which columns the file of a set must have; those who read it rely on them."""

from __future__ import annotations

from fnmatch import fnmatchcase

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
FLOATS = ("rating", "rating_min", "rating_max", "preference")
"""Columns of floating point numbers, also where all that are known are whole."""


def expected(output: str) -> tuple[str, ...]:
    """The columns of a finished file, by its path below the data folder; empty if unknown."""
    found = (names for pattern, names in _COLUMNS.items() if fnmatchcase(output, pattern))
    return next(found, ())
