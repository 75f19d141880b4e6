"""What the tests of metrics share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def oracles(data: Path) -> dict[str, Any]:
    """Values of the metrics, computed elsewhere."""
    values: dict[str, Any] = json.loads((data.parent / "oracles" / "metrics.json").read_text())
    return values


@pytest.fixture(scope="session")
def inference(data: Path) -> dict[str, Any]:
    """Values of estimates and of agreement between raters, computed elsewhere."""
    file = data.parent / "oracles" / "inference.json"
    if not file.is_file():
        pytest.skip("the oracles of inference are not here")
    values: dict[str, Any] = json.loads(file.read_text())
    return values
