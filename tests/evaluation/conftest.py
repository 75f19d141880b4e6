"""What the tests of estimates and of leaderboards share."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.judging.scored import read_scores

TRUTH = {"a": 6.0, "b": 4.5}
Rows = list[dict[str, Any]]
HOME = "/home/someone/models"
# What lm-eval 0.4.13 wrote of a real run, less what is not read.
TASK = {
    "alias": "selfj_judge_demo",
    "pearson,none": 0.7720432440641961,
    "pearson_stderr,none": "N/A",
    "spearman,none": 0.7173616279693896,
    "kendall_tau_b,none": 0.5787379148707547,
    "acc23,none": 0.7344632768361582,
    "auroc,none": 0.8518518518518519,
    "augrc,none": 0.21555555555555558,
    "aurc,none": 0.32584129372129567,
    "prr,none": 0.7582558781787604,
    "ece,none": 0.1421361402609514,
    "score,none": 4.465283829673086,
    "unscored,none": 2.0,
}
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def two_models() -> Callable[..., Any]:
    """Two models' answers with scores, and the ratings that people would give as ``truth``."""

    def make(noise: float = 1.0, instructions: int = 60, seed: int = 0) -> Rows:
        random = np.random.default_rng(seed)
        rows = []
        for k in range(instructions):
            level = random.normal(0, 1)
            for model, mean in TRUTH.items():
                truth = float(np.clip(round(mean + level + random.normal(0, 1.5)), 0, 9))
                rows.append(
                    {
                        "id": f"{model}{k}",
                        "model": model,
                        "instruction": f"Question {k}?",
                        "response": "word " * int(random.integers(1, 50)),
                        "score": float(np.clip(truth - 1 + random.normal(0, noise), 0, 9)),
                        "rating_min": 0,
                        "rating_max": 9,
                        "truth": truth,
                    }
                )
        return rows

    return make


@pytest.fixture(scope="session")
def labels() -> Callable[..., Any]:
    """Ratings of some answers."""

    def make(rows: Rows, ids: set[str]) -> Rows:
        return [{"id": r["id"], "rating": r["truth"], "rating_min": 0, "rating_max": 9}
                for r in rows if r["id"] in ids]  # fmt: skip

    return make


@pytest.fixture(scope="session")
def every() -> Callable[..., Any]:
    """Ids of every so many-th answer."""

    def make(rows: Rows, step: int) -> set[str]:
        return {r["id"] for r in rows[::step]}

    return make


@pytest.fixture
def lm_eval(tmp_path: Path) -> Make:
    """Write a results file of lm-eval with one task."""
    number = itertools.count()

    def write(
        task: str = "selfj_judge_demo", metadata: Any = None, config: Any = None, **changes: Any
    ) -> Path:
        document = {
            "results": {task: TASK | changes.pop("metrics", {})},
            "configs": {task: {"metadata": {"selfj_reference": True} | (metadata or {})}},
            "n-samples": {task: {"original": 800, "effective": 60}},
            "config": {
                "model": "hf",
                "model_args": {"pretrained": f"{HOME}/judge", "dtype": "float32"},
                "limit": None,
            }
            | (config or {}),
            "date": 1795436262.6,
            "transformers_version": "5.23.0",
            "lm_eval_version": "0.4.13",
            "model_name": f"{HOME}/judge",
        }
        path = tmp_path / "lm" / f"results_{next(number)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document | changes), encoding="utf-8")
        return path

    return write


@pytest.fixture
def evaluation(tmp_path: Path, jsonl: Callable[..., Path]) -> Make:
    """Write an evaluation of a few made-up scores."""
    number = itertools.count()

    def write(run: Any = None, **changes: Any) -> Path:
        rng = random.Random(1)
        rows = [
            {"id": str(i), "score": i % 10 * 0.7 + rng.random(), "instruction": f"q{i % 5}"}
            | {"response": "a", "rating": i % 10, "rating_min": 0, "rating_max": 9}
            for i in range(40)
        ]
        scores = jsonl(*rows, {"id": "x", "score": None, "rating": 1}, name="s.scores.jsonl")
        if run is not None:
            Path(f"{scores}.run.json").write_text(json.dumps(run))
        document = evaluate(read_scores(scores), resamples=50).to_dict()
        path = tmp_path / "ev" / f"{next(number)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document | changes))
        return path

    return write
