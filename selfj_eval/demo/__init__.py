"""A benchmark and a tiny judge that come with the package, to try everything offline.

The benchmark is the quality ladder (``ladder``); the judge in ``JUDGE_DIR`` was trained on
the ladder's training split by ``examples/train_demo_judge.py``. It is a toy for trying out
the tools and for tests; it knows nothing about real answers.
"""

from __future__ import annotations

from pathlib import Path

from selfj_eval.demo.ladder import (
    MAX_INSTRUCTIONS,
    TEST_INSTRUCTIONS,
    demo_records,
    ladder,
    write_ladder,
)

JUDGE_DIR = Path(__file__).parent / "judge"
"""Folder of the demo judge, in Hugging Face format."""

__all__ = [
    "JUDGE_DIR",
    "MAX_INSTRUCTIONS",
    "TEST_INSTRUCTIONS",
    "demo_records",
    "ladder",
    "write_ladder",
]
