"""Headline numbers and output files in an experiment tracker that the user has: MLflow or W&B."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from selfj_eval.errors import DataError, StoreError, brief
from selfj_eval.jobs.options import Options, option

if TYPE_CHECKING:
    from selfj_eval.jobs.results import Result

TRACKERS = ("mlflow", "wandb")
"""Their packages have these names."""


@dataclass(frozen=True, kw_only=True)
class LogOptions(Options):
    """Where numbers are logged."""

    group_title: ClassVar[str] = "experiment tracking"

    log: str | None = option(
        None,
        "log the headline numbers and the output files to MLflow or Weights & Biases, which must "
        "be installed; set the server and the key with its own environment variables",
        TRACKERS,
    )

    def check_log(self) -> None:
        """Refuse a tracker that is not installed, before any work is done.

        Raises:
            DataError: If it is not.
        """
        if self.log is None:
            return
        spec = importlib.util.find_spec(self.log)
        if spec is None or spec.origin is None:  # a folder of that name is no package
            raise DataError(f"`log` {self.log} needs {self.log}: pip install {self.log}")


class Log(Protocol):
    """Takes what came of a job."""

    def __call__(
        self,
        result: Result,
        *,
        numbers: Mapping[str, float | None],
        about: Mapping[str, str | None],
        files: Iterable[str | Path | None] = (),
    ) -> None:
        """Log it.

        Args:
            result: Its JSON becomes a file of the run.
            numbers: The metrics; None is skipped, it is not a number.
            about: How they came about, as texts.
            files: Files and folders that were written; what does not exist is skipped.
        """
        ...


@contextmanager
def tracked(tracker: str | None, job: str) -> Iterator[Log]:
    """A run of a tracker, begun before the work: that there is no key is said at once.

    A run that is open already is used, and stays open. Where no tracker is asked for, nothing is
    logged.

    Args:
        tracker: ``mlflow``, ``wandb`` or None.
        job: What the run is called.

    Raises:
        StoreError: If the tracker cannot be reached, or does not take what is logged.
    """
    if tracker is None:
        yield lambda result, *, numbers, about, files=(): None
        return
    with _speaking_for(tracker):
        run = _Mlflow(job) if tracker == "mlflow" else _Wandb(job)

    def log(
        result: Result,
        *,
        numbers: Mapping[str, float | None],
        about: Mapping[str, str | None],
        files: Iterable[str | Path | None] = (),
    ) -> None:
        known = {name: float(value) for name, value in numbers.items() if value is not None}
        texts = {name: text for name, text in about.items() if text is not None}
        with TemporaryDirectory() as folder, _speaking_for(tracker):
            document = Path(folder) / f"{job.removeprefix('selfj ')}.json"
            result.to_json(document)
            written = [Path(file) for file in files if file is not None and Path(file).exists()]
            run.log(known, texts, [document, *written])

    try:
        yield log
    except BaseException:
        with suppress(StoreError), _speaking_for(tracker):  # what has failed counts
            run.end(failed=True)
        raise
    with _speaking_for(tracker):
        run.end(failed=False)


@contextmanager
def _speaking_for(tracker: str) -> Iterator[None]:
    """Whatever the tracker prints goes to stderr, and whatever it raises becomes one line."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # its own, its network's, its data base's
        raise StoreError(
            f"{tracker}: {brief(error).rstrip('.')}. What was finished is kept; check its "
            "environment variables and its server, or leave out `log`."
        ) from error


class _Mlflow:
    def __init__(self, job: str) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        self._ours = mlflow.active_run() is None
        if self._ours:
            mlflow.start_run(run_name=job)

    def log(
        self, numbers: Mapping[str, float], about: Mapping[str, str], files: Iterable[Path]
    ) -> None:
        self._mlflow.set_tags(about)  # parameters could not change within a run that is open
        self._mlflow.log_metrics(numbers)
        for file in files:
            if file.is_dir():
                self._mlflow.log_artifacts(str(file), file.name)
            else:
                self._mlflow.log_artifact(str(file))

    def end(self, *, failed: bool) -> None:
        if self._ours:
            self._mlflow.end_run("FAILED" if failed else "FINISHED")


class _Wandb:
    def __init__(self, job: str) -> None:
        import wandb

        self._artifact: Callable[[], Any] = lambda: wandb.Artifact(job.replace(" ", "-"), "selfj")
        self._ours = wandb.run is None
        # console: what is printed here is not theirs.
        settings = wandb.Settings(console="off")
        self._run: Any = wandb.run or wandb.init(job_type=job, settings=settings)

    def log(
        self, numbers: Mapping[str, float], about: Mapping[str, str], files: Iterable[Path]
    ) -> None:
        self._run.config.update(about, allow_val_change=True)
        self._run.log(dict(numbers))
        artifact = self._artifact()
        for file in files:
            if file.is_dir():
                artifact.add_dir(str(file), file.name)
            else:
                artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def end(self, *, failed: bool) -> None:
        if self._ours:
            self._run.finish(exit_code=int(failed))
