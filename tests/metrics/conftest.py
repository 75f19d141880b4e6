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
    """Values of what is inferred from scores and ratings, computed elsewhere."""
    values: dict[str, Any] = json.loads((data.parent / "oracles" / "inference.json").read_text())
    return values
