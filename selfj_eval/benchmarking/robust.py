"""The robustness suite for raters by their names."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from selfj_eval.benchmarking.bench_sets import BenchSet
from selfj_eval.benchmarking.rate_sets import BenchSettings, with_references
from selfj_eval.benchmarking.robustness import Robustness, robustness, work
from selfj_eval.errors import DataError
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.raters.cosine import TfidfRater
from selfj_eval.raters.open_rater import Stores, open_rater
from selfj_eval.raters.specs import KINDS, RaterSpec, Spec

LIMIT = 200
"""Answers of a set that are changed, where nothing else is said."""


def run_robust(
    specs: Sequence[Spec],
    sets: Sequence[BenchSet],
    settings: BenchSettings,
    stores: Stores,
    watch: Watch,
    *,
    limit: int = LIMIT,
    seed: int = 0,
) -> dict[str, dict[str, Robustness]]:
    """Try every rater on every set, with reference and without, as far as it can be asked so.

    Args:
        specs: The raters; sums are none, their parts are measured one by one.
        sets: Answers.
        settings: What changes the scores.
        stores: Where finished work is kept.
        watch: Is told of the progress.
        limit: Answers of a set that are changed.
        seed: Of what is drawn.

    Returns:
        A result of ``robustness`` by set, and by the rater's name with the way it was asked.

    Raises:
        DataError: If a rater is a sum, or needs a model and names none; or if nothing can rate a
            set, because it has no references.
    """
    single = [_single(spec) for spec in specs]
    found: dict[str, dict[str, Robustness]] = {data.name: {} for data in sets}
    for spec in single:
        opened = open_rater(spec, stores, embedder=settings.embedder)
        raters = {mode: opened[mode] for mode in spec.modes}
        for data in sets:
            for mode, rater in raters.items():
                records = with_references(data) if mode else data.records
                if not records:
                    continue
                if isinstance(rater, TfidfRater):
                    rater = rater.fitted(records)
                total = work(records, seed=seed, limit=limit)
                with steps(watch, total, f"{spec.name} on {data.name}: rated") as progress:
                    found[data.name][_label(spec, mode, raters)] = robustness(
                        rater, records, seed=seed, limit=limit, progress=progress
                    )
        raters.clear()
        opened.clear()
        gc.collect()
    if empty := [name for name, documents in found.items() if not documents]:
        raise DataError(f"{empty[0]} has no references, which every rater here needs.")
    return found


def _single(spec: Spec) -> RaterSpec:
    if not isinstance(spec, RaterSpec):
        raise DataError(f"the sum {spec.name!r} cannot be tried; name its parts.")
    if spec.model is None and KINDS[spec.kind].model == "answering":
        raise DataError(f"name the model whose view is tried: {spec.name}:MODEL.")
    return spec


def _label(spec: RaterSpec, mode: bool, raters: dict[bool, Any]) -> str:
    if len(raters) == 1:
        return spec.name
    return f"{spec.name} ({'with' if mode else 'without'} reference)"
