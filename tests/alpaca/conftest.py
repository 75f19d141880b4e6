"""What the tests of AlpacaEval share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pack(data: Path) -> Path:
    """The folder of the real AlpacaEval data."""
    if not (data / "alpaca_eval").is_dir():
        pytest.skip("SELFJ_DATA has no alpaca_eval/ in it")
    return data / "alpaca_eval"
