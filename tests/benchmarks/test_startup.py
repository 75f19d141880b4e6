"""``benchmarks/startup.py``: each step of `selfj score` is timed, and they make up the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "startup.py"


def test_the_steps_are_those_of_the_command() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--runs", "1", "--json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (seconds,) = json.loads(done.stdout)
    alone = {name: seconds.pop(name) for name in [*seconds] if name.endswith(" alone")}
    whole = seconds.pop("whole command")
    assert all(value > 0 for value in seconds.values()), seconds
    assert sum(seconds.values()) == pytest.approx(whole)
    # Nothing that takes long is imported where something else is timed.
    imports = sum(value for name, value in seconds.items() if name.startswith("import"))
    assert imports > 0.6 * whole
    assert alone["torch alone"] < alone["torch and transformers alone"]


def test_a_judge_that_cannot_be_loaded_is_said() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--judge", "./nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no folder './nowhere'" in done.stderr
