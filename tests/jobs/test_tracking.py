"""The real MLflow and Weights & Biases, where they are installed: local stores, no network."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import evaluate, ladder, score
from selfj_eval.cli import main
from selfj_eval.errors import DataError, StoreError
from selfj_eval.evaluation.options import EvaluateOptions
from selfj_eval.judging.options import ScoreOptions


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mlflow(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow with a store of files."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    found = pytest.importorskip("mlflow", reason="mlflow (or mlflow-skinny) is not installed")
    before = found.get_tracking_uri()
    found.set_tracking_uri((work / "mlruns").as_uri())
    yield found
    found.set_tracking_uri(before)


def _runs(mlflow: Any) -> list[Any]:
    return list(mlflow.MlflowClient().search_runs(["0"], order_by=["attributes.start_time ASC"]))


def _artifacts(mlflow: Any, run: Any) -> list[str]:
    found = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    return sorted(file.path for file in found)


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
@pytest.mark.parametrize("options", [ScoreOptions, EvaluateOptions])
def test_a_package_that_is_missing_is_named_before_any_work(
    tracker: str, options: Any, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"judge": "demo"} if options is ScoreOptions else {}
    (work / tracker).mkdir()  # such as wandb makes: no package
    monkeypatch.setattr(sys, "path", [str(work)])
    monkeypatch.delitem(sys.modules, tracker, raising=False)
    importlib.invalidate_caches()
    with pytest.raises(DataError, match=f"`log` {tracker} needs {tracker}: pip install {tracker}"):
        options(log=tracker, **needed)


def test_the_command_names_its_flag(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("wandb is installed")
    assert main(["score", "none.jsonl", "--judge", "demo", "--log", "wandb"]) == 2
    assert "selfj: error: --log wandb needs wandb: pip install wandb" in capsys.readouterr().err


def test_mlflow_gets_the_headline_and_the_files(
    mlflow: Any, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rated = [*ladder(instructions=4), {"id": "x", "instruction": "q", "response": None}]
    run = score(_rows(rated), judge="demo", output="scores.jsonl", log="mlflow")
    capsys.readouterr()
    assert main(["eval", "scores.jsonl", "--csv", "e.csv", "--log", "mlflow", "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)  # nothing but the JSON
    first, second = _runs(mlflow)
    assert first.data.metrics["mean_score"] == pytest.approx(run.mean_score)
    assert (first.data.metrics["records"], first.data.metrics["unscored"]) == (41, 1)
    assert first.data.tags["judge"] == "demo"
    assert _artifacts(mlflow, first) == ["score.json", "scores.jsonl", "scores.jsonl.run.json"]
    spearman = evaluation["headline"]["spearman"]
    assert second.data.metrics["spearman"] == pytest.approx(spearman["value"])
    assert second.data.metrics["spearman_low"] == pytest.approx(spearman["low"])
    assert _artifacts(mlflow, second) == ["e.csv", "eval.json"]
    assert {r.info.status for r in (first, second)} == {"FINISHED"}


def _rows(records: Any) -> list[dict[str, Any]]:
    return [r if isinstance(r, dict) else r.row() for r in records]


def test_mlflow_undefined_metrics_are_no_numbers(mlflow: Any) -> None:
    constant = [{"id": k, "score": k, "rating": 5} for k in range(3)]
    evaluate(constant, resamples=20, log="mlflow")
    (run,) = _runs(mlflow)
    assert "pearson" not in run.data.metrics and run.data.metrics["used"] == 3


def test_mlflow_a_run_that_is_open_stays_open(mlflow: Any) -> None:
    with mlflow.start_run() as own:
        judged = score(ladder(instructions=3), judge="demo", log="mlflow")
        evaluate(judged, resamples=20, log="mlflow")
        assert mlflow.active_run().info.run_id == own.info.run_id
    (run,) = _runs(mlflow)
    assert {"mean_score", "spearman"} <= run.data.metrics.keys()


def test_mlflow_a_job_that_fails_is_a_failed_run(mlflow: Any) -> None:
    with pytest.raises(DataError, match="cannot be read|no such file|does not exist"):
        score("nothing.jsonl", judge="demo", log="mlflow")
    assert mlflow.active_run() is None
    assert [run.info.status for run in _runs(mlflow)] == ["FAILED"]


@pytest.fixture
def wandb(work: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = pytest.importorskip("wandb", reason="wandb is not installed")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(work))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(work / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    return found


def test_wandb_offline_keeps_the_run_here(
    wandb: Any, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    judged = score(ladder(instructions=3), judge="demo", output="scores.jsonl", log="wandb")
    assert wandb.run is None
    wandb.teardown()  # its service writes the file's end when it stops
    (file,) = work.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert b"mean_score" in content and b"scores.jsonl.run.json" in content
    assert str(judged.mean_score).encode() in content


def test_wandb_without_a_key_stops_before_anything_is_judged(
    wandb: Any, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(StoreError, match="wandb: No API key configured"):
        score(ladder(instructions=3), judge="demo", output="scores.jsonl", log="wandb")
    assert not (work / "scores.jsonl").exists()
