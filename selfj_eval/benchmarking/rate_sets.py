"""Raters by sets: each model loaded once, everything kept, a scores file for every row."""

from __future__ import annotations

import gc
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.benchmarking.bench_sets import BenchSet
from selfj_eval.errors import DataError, StoreError
from selfj_eval.files.atomic import run_file, write_json
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.raters.combined import combine
from selfj_eval.raters.open_rater import EMBEDDER, Stores, check_rater, open_rater
from selfj_eval.raters.specs import KINDS, CombinedSpec, RaterSpec, Spec
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.writing import write_judgments


@dataclass(frozen=True)
class Rated:
    """What one rater, asked in one way, made of one set.

    Attributes:
        rater: Its name.
        reference: Whether it was asked with the reference.
        judgments: One a record of the set, in order.
        description: What decides its scores; by answering model where it is one of each.
    """

    rater: str
    reference: bool
    judgments: Sequence[Judgment]
    description: Mapping[str, Any]


_LONGEST = 100  # characters of a file's name

Result = dict[str, list[Rated]]
"""By set: what was made of it, in the order in which raters were named."""


@dataclass(frozen=True)
class BenchSettings:
    """What changes the scores, beside raters and sets.

    Attributes:
        answering: What to load for an answering model, by its name in the data.
        embedder: The embedding model of cosine and vro.
        scale: How scores are brought on one scale before they are added.
    """

    answering: Mapping[str, str]
    embedder: str = EMBEDDER
    scale: str = "z"


def run(
    specs: Sequence[Spec],
    sets: Sequence[BenchSet],
    settings: BenchSettings,
    stores: Stores,
    watch: Watch,
) -> Result:
    """Have every rater rate every set.

    A rater that uses references is not run on a set without any.

    Args:
        specs: The raters.
        sets: The rated sets.
        settings: What changes the scores.
        stores: Where finished work is kept; what is there is not done again.
        watch: Is told of the progress.

    Raises:
        DataError: If a rater needs the answering models and none is named, or one that answered
            nothing is.
        SelfJError: If a model cannot be loaded; what was finished is kept.
    """
    single = {own.name: own for spec in specs for _, own in spec.parts}
    _check_models(single.values(), sets, settings.answering)
    for own in single.values():  # before hours of work are done for another
        for model in settings.answering.values() if _is_own(own) else (None,):
            check_rater(own, model=model, embedder=settings.embedder)
    found: dict[tuple[str, str, bool], Rated] = {}
    for own in single.values():
        for name, rated in _rate(own, sets, settings, stores, watch):
            found[name, own.name, rated.reference] = rated
    result: Result = {}
    for data in sets:
        rows = result.setdefault(data.name, [])
        for mode in (True, False):
            for spec in specs:
                row = _row(spec, mode, data.name, found, settings.scale)
                if row is not None:
                    rows.append(row)
    return result


def with_references(data: BenchSet) -> list[Record]:
    """The answers of a set that have a reference."""
    return [record for record in data.records if record.reference is not None]


def not_run(
    specs: Sequence[Spec], sets: Sequence[BenchSet], result: Result
) -> dict[str, list[str]]:
    """The raters without any row, by set: they need references, and it has none."""
    found = {}
    for data in sets:
        there = {row.rater for row in result[data.name]}
        found[data.name] = [spec.name for spec in specs if spec.name not in there]
    return found


def write_scores(
    folder: Path, sets: Sequence[BenchSet], result: Result, made: Mapping[str, Any]
) -> dict[str, str]:
    """Write a scores file with its run file for every row, below ``folder/scores``.

    Args:
        folder: The output folder.
        sets: The rated sets.
        result: What the raters made of them.
        made: Command, time and versions, for the run files.

    Returns:
        Path within the folder, by ``key(set, rater, reference)``.

    Raises:
        StoreError: If one cannot be written.
    """
    files: dict[str, str] = {}
    for data in sets:
        place = folder / "scores" / data.name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{place} cannot be made: {error.strerror}; name another `output`."
            raise StoreError(message) from error
        for row in result[data.name]:
            mode = "reference" if row.reference else "free"
            stem = re.sub(r"[^\w.+*-]+", "_", row.rater).strip("._") or "rater"
            if stem != row.rater or len(stem) > _LONGEST:  # no two share a name
                own = hashlib.sha256(row.rater.encode()).hexdigest()[:8]
                stem = f"{stem[:_LONGEST]}-{own}"
            file = place / f"{stem}.{mode}.parquet"
            write_judgments(file, data.records, row.judgments)
            about = {"model": row.rater, "reference": row.reference, "rater": dict(row.description)}
            run = {
                "judge": about,
                "input": data.path,
                "input_sha256": data.sha256,
                **made,
            }
            write_json(run_file(file), run)
            files[key(data.name, row.rater, row.reference)] = str(file.relative_to(folder))
        _remove_stale(place, data.sha256)
    return files


def _remove_stale(folder: Path, sha256: str) -> None:
    """Remove scores of answers that stood under the set's name before."""
    for about in folder.glob("*.run.json"):
        try:
            same = read_json(about).get("input_sha256") == sha256
        except (DataError, AttributeError):
            continue  # not ours
        if not same:
            about.with_name(about.name.removesuffix(".run.json")).unlink(missing_ok=True)
            about.unlink()


def key(name: str, rater: str, reference: bool) -> str:
    """A row of a set, as a key of ``write_scores``."""
    return f"{name}\n{rater}\n{reference}"


def _check_models(
    specs: Iterable[RaterSpec], sets: Sequence[BenchSet], answering: Mapping[str, str]
) -> None:
    known = sorted({r.model for data in sets for r in data.records if r.model is not None})
    there = ", ".join(known) or "none is named in the data"
    if unknown := [name for name in answering if name not in known]:
        raise DataError(
            f"`answering` {unknown[0]}: no rated answer is by it; answering models: {there}."
        )
    needing = [s.name for s in specs if _is_own(s)]
    if needing and not answering:
        raise DataError(
            f"the rater {needing[0]} needs the model that answered: name it with `answering` "
            f"NAME=MODEL (answering models: {there}), or one for all answers, {needing[0]}:MODEL."
        )


def _is_own(spec: RaterSpec) -> bool:
    """Whether a rater is the answering model itself."""
    return spec.model is None and KINDS[spec.kind].model == "answering"


def _rate(
    spec: RaterSpec, sets: Sequence[BenchSet], settings: BenchSettings, stores: Stores, watch: Watch
) -> Iterator[tuple[str, Rated]]:
    """All that one rater makes of the sets, by their names."""
    modes = [
        (data, mode) for data in sets for mode in spec.modes if not mode or with_references(data)
    ]
    if not modes:
        return
    done: dict[tuple[str, bool], list[Judgment | None]] = {
        (data.name, mode): [None] * len(data.records) for data, mode in modes
    }
    described: dict[bool, dict[str, Any]] = {}
    models: list[tuple[str | None, str | None]] = [(None, None)]
    if _is_own(spec):
        models = list(settings.answering.items())
    total = sum(len(_chosen(data, name)) for data, _ in modes for name, _ in models)
    with steps(watch, total, f"{spec.name}: rated") as progress:
        for name, model in models:
            if not any(_chosen(data, name) for data, _ in modes):
                continue
            raters = open_rater(spec, stores, model=model, embedder=settings.embedder)
            for data, mode in modes:
                if mode not in raters:  # such as a judge with prompts for references only
                    done.pop((data.name, mode), None)
                    continue
                places = [k for k in _chosen(data, name) if not mode or _has_reference(data, k)]
                judged = raters[mode].judge([data.records[k] for k in places], progress=progress)
                for k, judgment in zip(places, judged, strict=True):
                    done[data.name, mode][k] = judgment
            for mode, rater in raters.items():
                about = dict(rater.description)
                described.setdefault(mode, {}).update({name: about} if name else about)
            del raters, rater
            gc.collect()  # this model's weights, before the next one is loaded
    for (name, mode), judgments in done.items():
        records = next(data.records for data in sets if data.name == name)
        whole = [
            judgment or Judgment(record.id, None, None, None, _missing(record, mode))
            for record, judgment in zip(records, judgments, strict=True)
        ]
        yield name, Rated(spec.name, mode, whole, described.get(mode, {}))


def _chosen(data: BenchSet, model: str | None) -> list[int]:
    """Positions of a model's answers; of all for None."""
    return [k for k, r in enumerate(data.records) if model is None or r.model == model]


def _has_reference(data: BenchSet, at: int) -> bool:
    return data.records[at].reference is not None


def _missing(record: Record, mode: bool) -> str:
    """Why a record was given to no rater."""
    where = f"{record.where}: " if record.where else ""
    if mode and record.reference is None:
        return f"{where}has no reference, and this row is for ratings with references."
    if record.model is None:
        return f"{where}this rater is the answering model itself, which is not named."
    return (
        f"{where}this rater is the answering model itself; name the model to load: `answering` "
        f"{record.model}=MODEL."
    )


def _row(
    spec: Spec, mode: bool, name: str, found: Mapping[tuple[str, str, bool], Rated], scale: str
) -> Rated | None:
    """A rater's row; None where it cannot be asked so."""
    if mode not in spec.modes:
        return None
    if isinstance(spec, RaterSpec):
        return found.get((name, spec.name, mode))
    parts = []
    for _, own in spec.parts:
        part = found.get((name, own.name, mode)) or found.get((name, own.name, False))
        if part is None:
            return None
        parts.append(part)
    if mode and not any(part.reference for part in parts):
        return None  # the set has no references
    return _sum(spec, mode, parts, scale)


def _sum(spec: CombinedSpec, mode: bool, parts: Sequence[Rated], scale: str) -> Rated:
    weights = [weight for weight, _ in spec.parts]
    names = [part.rater for part in parts]
    judgments = combine(
        names, [part.judgments for part in parts], weights, scale=scale, fixed=spec.fixed
    )
    about = {"sum_of": names, "weights": weights, "scale": scale}
    return Rated(spec.name, mode, judgments, about)
