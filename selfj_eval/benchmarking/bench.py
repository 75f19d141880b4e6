"""Raters on rated sets: the correlation table, or how easily they are fooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.records.options import ReadOptions

if TYPE_CHECKING:
    from selfj_eval.benchmarking.bench_sets import BenchSet
    from selfj_eval.benchmarking.pair_bench import PairBench
    from selfj_eval.benchmarking.rate_sets import BenchSettings
    from selfj_eval.benchmarking.result import Bench, RobustBench
    from selfj_eval.raters.specs import Spec
    from selfj_eval.records.inputs import InMemory

PACKAGES = (
    *("torch", "transformers", "sentence-transformers", "scikit-learn", "scipy", "numpy"),
    *("vllm", "openai"),
)
_OF_THE_TABLE = ("answering", "combine", "models", "metric", "confidence", "resamples")
_NOT_FOR_PAIRS = (
    *("robust", "answering", "embedder", "combine", "models", "metric", "fields", "turns"),
    *("scale", "missing_rating"),
)


@dataclass(frozen=True, kw_only=True)
class BenchOptions(ReadOptions):
    """How raters are measured."""

    group_title: ClassVar[str] = Options.group_title

    judge: str | tuple[str, ...] = option(
        help="raters, separated by commas (docs/bench.md)", placeholder="RATERS"
    )
    output: PathLike = option(help="folder for tables, scores and stores", placeholder="DIR")
    raters: PathLike | None = option(None, "YAML file that defines more raters", placeholder="FILE")
    answering: dict[str, str] = option(
        {},
        "the model to load for the answering model that is called NAME in the data; may be "
        "repeated",
        placeholder="NAME=MODEL",
    )
    embedder: str | None = option(
        None, "embedding model for cosine and vro (default: all-MiniLM-L6-v2)", placeholder="MODEL"
    )
    combine: str = option(
        "z",
        "how scores are put on one scale before they are added: standardised (z) or replaced by "
        "their ranks (default: z)",
        ("z", "rank"),
    )
    models: tuple[str, ...] | None = option(
        None, "only these answering models get a column", placeholder="NAMES"
    )
    metric: str = option("pearson", "the correlation that the cells show", ("pearson", "spearman"))
    robust: bool = option(
        False,
        "instead of the table, change answers in ways that should not raise their scores, and "
        "show how often and how far the scores rise (docs/robustness.md); uses 200 answers per "
        "set, or `limit`",
    )
    pairs: bool = option(
        False,
        "instead of the table, measure accuracy on sets of labelled pairs, such as llmbar, or on "
        "files of pairs (docs/pairs.md)",
    )
    pairwise: str | None = option(
        None,
        "with `pairs`: also show judges both answers, in both orders, with this template "
        "(pairwise, or your own file)",
        placeholder="TEMPLATE",
    )
    limit: int | None = option(None, "only the first N records of each set", low=1)
    confidence: float = option(0.95, "confidence level of intervals", placeholder="C")
    resamples: int = option(1000, "how many resamples the bootstrap draws", low=20, high=1_000_000)
    seed: int = option(0, "seed of the bootstrap", low=0)
    progress: Watch = option(False, internal=True)

    def check(self) -> None:
        """Refuse what does not go together."""
        super().check()
        self.need_share("confidence")
        if self.models is not None and not any(self.models):
            raise DataError("`models` names no model; leave it out, or name some.")
        given = [name for name in _OF_THE_TABLE if name in self.changed()]
        if self.robust and given:
            raise DataError(f"`{given[0]}` is for the table; leave it out with `robust`.")
        given = [name for name in _NOT_FOR_PAIRS if name in self.changed()]
        if self.pairs and given:
            raise DataError(f"`{given[0]}` is not for pairs; leave it out with `pairs`.")
        if self.pairwise is not None and not self.pairs:
            raise DataError("`pairwise` is for sets of pairs: give `pairs`, too.")


def bench_raters(
    data: str | Path | Sequence[str | Path] | Mapping[str, InMemory], options: BenchOptions
) -> Bench | RobustBench | PairBench:
    """Measure raters on sets of rated answers.

    Tables, scores of every row and stores are written to the output folder. Finished work is kept
    there. After an interruption, call it again. You may add raters and sets.

    Args:
        data: Sets of judge_bench, such as ``arena_bench``, or files of rated answers; one or
            several. Or rated answers in memory, by the name of their set.

    Returns:
        The correlation table; with ``robust``, the robustness of the raters; with ``pairs``,
        their accuracy on labelled pairs.

    Raises:
        DataError: If a name is not that of a rater or a set.
        JudgeError: If a model cannot be loaded; what was finished is kept.
        StoreError: If something cannot be written.
    """
    from selfj_eval.benchmarking.bench_sets import read_sets
    from selfj_eval.benchmarking.rate_sets import BenchSettings
    from selfj_eval.files.atomic import new_folder
    from selfj_eval.raters.open_rater import EMBEDDER
    from selfj_eval.raters.specs import parse_raters, read_raters

    defined = read_raters(options.raters) if options.raters is not None else {}
    named = options.judge if isinstance(options.judge, str) else ",".join(options.judge)
    specs = parse_raters(named, defined)
    if options.pairs:
        return _on_pairs(data, specs, options)
    limit = None if options.robust else options.limit
    sets = read_sets(
        _named(data),
        models=options.models,
        limit=limit,
        unrated=options.robust,
        options=options.part(ReadOptions),
    )
    settings = BenchSettings(options.answering, options.embedder or EMBEDDER, options.combine)
    job = _tried if options.robust else _tabulated
    with new_folder(options.output) as folder:
        return job(specs, sets, settings, folder, options)


bench = keywords(bench_raters, BenchOptions)


def _named(data: Any) -> Sequence[str] | Mapping[str, InMemory]:
    """Sets by their names, or in memory by theirs."""
    if isinstance(data, Mapping):
        return data
    given = [data] if isinstance(data, str | Path) else data
    expected = (
        "bench(): name sets or files, or give answers in memory by the name of their set: "
        "{'mine': answers}"
    )
    if not all(isinstance(x, str | Path) for x in given):
        raise TypeError(expected)
    return [str(x) for x in given]


def _tabulated(
    specs: list[Spec],
    sets: list[BenchSet],
    settings: BenchSettings,
    folder: Path,
    options: BenchOptions,
) -> Bench:
    from selfj_eval.benchmarking import rate_sets
    from selfj_eval.benchmarking.result import Bench, Intervals
    from selfj_eval.benchmarking.table import tabulate, work
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.raters.open_rater import Stores

    with Stores.of_folder(folder) as stores:
        result = rate_sets.run(specs, sets, settings, stores, options.progress)
    made = provenance(*PACKAGES)
    files = rate_sets.write_scores(folder, sets, result, made)
    intervals = Intervals(options.confidence, options.resamples, options.seed)
    total = work(sets, result, options.resamples)
    with steps(options.progress, total, "computed", "resample") as progress:
        tables = tabulate(
            sets,
            result,
            files,
            not_run=rate_sets.not_run(specs, sets, result),
            metric=options.metric,
            intervals=intervals,
            progress=progress,
        )
    found = Bench(
        options.metric, intervals, tables, made, printable(folder), notices=_notices(sets)
    )
    return _written(found, folder)


def _written(found: Bench, folder: Path) -> Bench:
    """Write the tables; the result says which files there are."""
    from selfj_eval.benchmarking import rendering
    from selfj_eval.benchmarking.page import page
    from selfj_eval.files.atomic import atomic_write, write_json

    texts = {
        "table.md": rendering.markdown(found),
        "table.csv": rendering.csv_text(found),
        "table.tex": rendering.latex(found),
    }
    html, left_out = page(found), list[str]()
    if html is not None:
        texts["table.html"] = html
    else:
        left_out.append("table.html was not written; it needs: pip install 'selfj-eval[report]'")
    for name, text in texts.items():
        with atomic_write(folder / name) as stream:
            stream.write(text.encode("utf-8", "replace"))
    write_json(folder / "bench.json", found.to_dict())
    return replace(found, written=[*texts, "bench.json", "scores/"], left_out=left_out)


def _tried(
    specs: list[Spec],
    sets: list[BenchSet],
    settings: BenchSettings,
    folder: Path,
    options: BenchOptions,
) -> RobustBench:
    from selfj_eval.benchmarking.result import RobustBench
    from selfj_eval.benchmarking.robust import LIMIT, run_robust
    from selfj_eval.benchmarking.robustness import rendering as robustness_text
    from selfj_eval.files.atomic import atomic_write, write_json
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.raters.open_rater import Stores

    chosen: dict[str, Any] = {"limit": options.limit or LIMIT, "seed": options.seed}
    with Stores.of_folder(folder) as stores:
        tried = run_robust(specs, sets, settings, stores, options.progress, **chosen)
    found = RobustBench(tried, provenance(*PACKAGES), printable(folder), _notices(sets))
    write_json(folder / "robust.json", found.to_dict())
    parts = [
        f"## {robustness_text.escaped(name)}\n\n{robustness_text.markdown(rows)}"
        for name, rows in tried.items()
    ]
    with atomic_write(folder / "robust.md") as stream:
        stream.write("\n".join(parts).encode("utf-8", "replace"))
    return found


def _on_pairs(data: Any, specs: list[Spec], options: BenchOptions) -> PairBench:
    from selfj_eval.benchmarking.pair_bench import PairBench, measured, read_pair_sets
    from selfj_eval.files.atomic import atomic_write, new_folder, write_json
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.judging.pair_ways import Bootstrapped
    from selfj_eval.prompts.templates import get_template
    from selfj_eval.raters.open_rater import Stores
    from selfj_eval.raters.pair_judge import PairJudge

    if options.pairwise is not None:  # before anything is judged
        PairJudge.check_kind(get_template(options.pairwise))
    sets = read_pair_sets(_named(data), limit=options.limit, options=options.part(ReadOptions))
    settings = Bootstrapped(options.confidence, options.resamples, options.seed)
    with new_folder(options.output) as folder:
        with Stores.of_folder(folder) as stores:
            rows = measured(specs, sets, options.pairwise, stores, settings, options.progress)
        found = PairBench(
            rows,
            {own.name: own.unlabelled for own in sets},
            provenance(*PACKAGES),
            printable(folder),
            {own.name: own.notices for own in sets if own.notices},
        )
        write_json(folder / "pairs.json", found.to_dict())
        with atomic_write(folder / "pairs.md") as stream:
            stream.write(found.markdown().encode("utf-8", "replace"))
    return found


def _notices(sets: Sequence[BenchSet]) -> dict[str, Sequence[str]]:
    return {own.path or own.name: own.notices for own in sets if own.notices}
