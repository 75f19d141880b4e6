"""What the tests of the tasks and of the model share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.harness.installation import tasks_folder


def manager(metadata: Mapping[str, Any]) -> Any:
    """Only our tasks: scanning all of lm-eval's takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata=dict(metadata)
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No list of all installed packages for the results file: it takes longer than the judging."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)


@pytest.fixture(scope="session")
def load_task() -> Callable[..., Any]:
    """A task by its name, by default with the demo judge as the model."""

    def load(name: str, metadata: Mapping[str, Any]) -> Any:
        metadata = {"pretrained": str(JUDGE_DIR), **metadata}
        return manager(metadata).load([name])["tasks"][name]

    return load


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., dict[str, Any]]:
    """Tasks in this process, whose metadata has the model's arguments as the command's has."""

    def run(model: str, task: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
        import lm_eval

        metadata = arguments | options.pop("metadata", {})
        found: dict[str, Any] = lm_eval.simple_evaluate(
            model=model,
            model_args=dict(arguments),
            tasks=task.split(","),
            task_manager=manager(metadata),
            bootstrap_iters=0,
            **({"device": "cpu"} | options),
        )
        return found

    return run


@pytest.fixture
def with_documents(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has a task's documents be these, as a table of pandas' would give them."""
    import datasets

    def replace(function: str, rows: list[dict[str, Any]]) -> None:
        found = {"test": datasets.Dataset.from_list(rows)}
        monkeypatch.setattr(f"selfj_eval.harness.{function}", lambda **_: found)

    return replace


@pytest.fixture(scope="session")
def prompts_of() -> Callable[..., str]:
    """What a task asked, as one text."""

    def asked(result: dict[str, Any], task: str) -> str:
        return json.dumps([sample["arguments"] for sample in result["samples"][task]])

    return asked


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., None]:
    """Ours are the stock model's numbers; where ours says greedy, the stock model does too."""

    def check(ours: dict[str, Any], stock: dict[str, Any], task: str) -> None:
        own, other = (
            np.array([sample["filtered_resps"] for sample in found["samples"][task]], dtype=float)
            for found in (ours, stock)
        )
        np.testing.assert_allclose(own[..., 0], other[..., 0], atol=1e-4)
        assert not (own[..., 1] > other[..., 1]).any()
        for metric, value in stock["results"][task].items():
            if isinstance(value, float):
                found = ours["results"][task][metric]
                assert found == pytest.approx(value, abs=1e-4, nan_ok=True), metric

    return check
