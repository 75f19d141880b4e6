"""The statistics of a collection in one call: counts, root verbs, and the files with figures."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

from selfj_eval.collection.counts import RootVerbs, Statistics
from selfj_eval.collection.summary import Collection
from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps

_PACKAGES = ("spacy", "matplotlib", "pyarrow")


@dataclass(frozen=True, kw_only=True)
class StatsOptions(Options):
    """Where the files go, and what is parsed."""

    output: PathLike | None = option(
        None, "folder for the files (default: stats in the collection's folder)", placeholder="DIR"
    )
    sample: int = option(30_000, "how many instructions to find root verbs in; 0 for none", low=0)
    seed: int = option(0, "seed of the sample", low=0)
    parser: str = option(
        "en_core_web_sm", "name or folder of the spaCy pipeline", placeholder="NAME"
    )
    progress: Watch = option(False, internal=True)


def stats_of(collection: PathLike | Collection, options: StatsOptions) -> Statistics:
    """Count what a collection contains, and write tables, a page and figures.

    Parts that need a missing package are skipped, and the result says so.

    Args:
        collection: Its folder, or what ``run`` gave.

    Raises:
        DataError: If there is no collection, or it contains a file that does not belong to one.
        StoreError: If something cannot be written.
    """
    from selfj_eval.collection.sampling import collection_files, folder_of
    from selfj_eval.collection.statistics import describe
    from selfj_eval.files.atomic import output_folder
    from selfj_eval.jobs.provenance import provenance

    folder = folder_of(collection)
    files = len(collection_files(folder))
    output = output_folder(options.output or folder / "stats")
    with steps(options.progress, files, "counted", "file") as progress:
        document = describe(folder, progress)
    left_out: dict[str, str] = {}
    verbs = _verbs(options, folder, document.kept, left_out)
    missing = [name for name in ("matplotlib", "jinja2") if not importlib.util.find_spec(name)]
    if missing:
        left_out["figures"] = (
            f"figures and page need {' and '.join(missing)}: pip install 'selfj-eval[report]'."
        )
    made = provenance(*_PACKAGES)
    document = replace(document, verbs=verbs, left_out=left_out, provenance=made)
    written = _write(document, output, with_figures=not missing)
    return replace(document, output=printable(output), files=tuple(written))


stats = keywords(stats_of, StatsOptions)


def _verbs(
    options: StatsOptions, folder: Path, kept: int, left_out: dict[str, str]
) -> RootVerbs | None:
    """The root verbs of the sample; None, and the reason in ``left_out``, without a parser."""
    from selfj_eval.collection.sampling import draw
    from selfj_eval.collection.verbs import open_parser, root_verbs, tabulate

    n = min(options.sample, kept)
    if not n:
        return None
    try:
        parser = open_parser(options.parser)
    except DataError as error:
        left_out["verbs"] = str(error)
        return None
    texts = [row["instruction"] for row in draw(folder, n, seed=options.seed)]
    with steps(options.progress, n, "parsed", "instruction") as progress:
        pairs = root_verbs(texts, parser, progress)
    meta = parser.meta
    name = f"{meta['lang']}_{meta['name']} {meta['version']}"
    return tabulate(pairs, parser=name, seed=options.seed)


def _write(document: Statistics, folder: Path, *, with_figures: bool) -> list[str]:
    """Write what there is, and remove what an earlier run left of the rest; the files' names."""
    from selfj_eval.collection import page as report
    from selfj_eval.collection.figures import NAMES, draw
    from selfj_eval.files.atomic import atomic_write, write_json
    from selfj_eval.records.writing import write_rows

    figures = draw(document) if with_figures else {}
    contents = {"stats.md": report.markdown(document, figures).encode("utf-8", "replace")}
    if with_figures:
        contents["stats.html"] = report.page(document, figures).encode("utf-8", "replace")
    for name, drawn in figures.items():
        contents |= {f"{name}.svg": drawn.svg, f"{name}.png": drawn.png}
    ours = ["stats.html", *(f"{name}.{kind}" for name in NAMES for kind in ("svg", "png"))]
    for name in ours:
        if name not in contents:
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
    write_rows(folder / "sources.csv", list(report.csv_rows(document)))
    write_json(folder / "stats.json", document.to_dict())
    return ["stats.json", "sources.csv", *contents]
