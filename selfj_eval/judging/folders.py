"""Scoring every Parquet file of a folder: here, or on Ray's workers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, StoreError
from selfj_eval.files.atomic import new_folder, write_json
from selfj_eval.jobs.progress import steps
from selfj_eval.judging.files import Survey, Totals
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.judging.partitions import Partition, notices_of_folder, partitions, refuse_empty
from selfj_eval.judging.score import ScoreRun, described_run, score_run, usage_of
from selfj_eval.raters.open_rater import opened, rater_name
from selfj_eval.raters.protocol import Preparable, Rater
from selfj_eval.raters.specs import parse_rater
from selfj_eval.records.options import ReadOptions


def score_folder(folder: Path, options: ScoreOptions) -> ScoreRun:
    """Score every Parquet file of a folder; each gets a scores file of its own name.

    Raises:
        DataError: For the first record that is none in any of the files, before the judge is
            loaded.
        StoreError: If the output cannot be written.
    """
    output = _output(folder, options)
    if options.engine == "ray":  # its workers may run in other folders
        folder, output = folder.resolve(), output.resolve()
    found = partitions(folder, output, options.part(ReadOptions))
    with new_folder(output):
        return _scored(folder, output, found, options)


def _scored(
    folder: Path, output: Path, found: Sequence[Partition], options: ScoreOptions
) -> ScoreRun:
    start = time.monotonic()
    usage: Mapping[str, float] = {}
    if options.engine == "ray":
        description, surveys, parts = _on_ray(found, options)
    else:
        with steps(options.progress, len(found), "checked", "file") as progress:
            surveys = [part.survey(progress) for part in found]
        refuse_empty(surveys, folder)
        with opened(options.judge, options.judge_options, reference=options.reference) as rater:
            if isinstance(rater, Preparable):
                raise DataError(
                    f"{rater_name(options.judge, options)} looks at all answers together; give "
                    "them in one file.",
                    path=folder,
                )
            start = time.monotonic()
            parts = _here(found, surveys, rater, options)
            description, usage = rater.description, usage_of(rater)
    total, notices = Totals(), notices_of_folder(folder, found, surveys)
    for totals in parts:
        total.add(totals)
    hashes = {part.source.path.name: part.sha256 for part in found}
    run = described_run(options, description, folder) | {"input_sha256": hashes}
    write_json(output / "run.json", run)
    return score_run(total, time.monotonic() - start, output, usage, notices, run)


def _here(
    found: Sequence[Partition], surveys: Sequence[Survey], rater: Rater, options: ScoreOptions
) -> list[Totals]:
    for part in found:
        part.check(rater)
    with steps(options.progress, sum(s.records for s in surveys), "judged") as progress:
        return [part.score(rater, s, progress) for part, s in zip(found, surveys, strict=True)]


def _on_ray(
    found: Sequence[Partition], options: ScoreOptions
) -> tuple[Mapping[str, Any], list[Survey], list[Totals]]:
    from selfj_eval.judging.ray import score_on_workers

    if not isinstance(options.judge, str | Path):
        raise DataError("each worker loads its own judge; give its name as `judge`.")
    judge = str(options.judge)
    if parse_rater(judge).parts[0][1].kind != "judge":
        raise DataError(f"`engine` ray runs only Self-J judges, and {options.judge} is not one.")
    own = options.judge_options
    if own.adapter is not None:
        own = own.with_values(adapter=_absolute(own.adapter))
    return score_on_workers(
        found,
        _absolute(judge),
        own,
        reference=options.reference,
        workers=options.workers or 1,
        gpus=options.worker_gpus or 0,
        watch=options.progress,
    )


def _output(folder: Path, options: ScoreOptions) -> Path:
    for name in ("store", "limit"):
        if getattr(options, name) is not None:
            raise DataError(f"`{name}` is for one file; {folder} is a folder. Leave it out.")
    options.check_csv(None)
    output = Path(options.output or f"{folder}.scores")
    if output.resolve() == folder.resolve():
        raise StoreError(f"{output} is the input; name another `output`.")
    return output


def _absolute(name: str | Path) -> str:
    """A model's name, or its folder wherever it is read."""
    return str(Path(name).resolve()) if Path(name).exists() else str(name)
