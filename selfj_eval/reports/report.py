"""A self-contained HTML report: no script, no network, every text from the data escaped."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfj_eval.errors import DataError, printable, shown
from selfj_eval.evaluation.options import VerdictOptions
from selfj_eval.evaluation.policy import Policy
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import steps
from selfj_eval.jobs.results import Result, plain

if TYPE_CHECKING:
    from selfj_eval.evaluation.result import Comparison, Evaluation
    from selfj_eval.evaluation.simple_raters import Pairing
    from selfj_eval.judging.scored import Scores, ScoresLike
    from selfj_eval.reports.summary import Summary

_ALL_PAIRS = 3

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(VerdictOptions):
    """What a report shows."""

    output: PathLike | None = option(None, "file for the page (.html)", placeholder="FILE")
    title: str = option("Self-J evaluation", "title of the page")
    max_risk: float = option(
        0.1, "the largest acceptable share of bad answers among the accepted ones", placeholder="R"
    )
    results: Sequence[str | Path | Policy | Result] = option(
        (),
        "results to add to the page: policies from `selfj select`, and the JSON output of `selfj "
        "audit`, `selfj estimate` and `selfj compare` (of models)",
        placeholder="FILE",
    )
    texts: bool = option(
        True,
        "show the texts of the answers on which score and rating differ most, and of the unrated "
        "answers with the lowest scores (default: yes)",
    )

    def check(self) -> None:
        """Refuse a risk that is none."""
        super().check()
        self.need_share("max_risk")


@dataclass(frozen=True)
class Report(Result):
    """One HTML page on one or more judges.

    Attributes:
        judges: How many.
        bytes: Size of the page.
        output: Where it was written, or None.
        without_ratings: Files of judges that have no answer with a score and a rating.
        html: The page.
        evaluations: Of each judge, by its name.
        summaries: What the page begins with, for each judge.
    """

    judges: int
    bytes: int
    output: str | None
    without_ratings: Sequence[str]
    html: str = field(repr=False)
    evaluations: Mapping[str, Evaluation] = field(repr=False)
    summaries: Sequence[Summary] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        own = ("judges", "bytes", "output")
        return {name: getattr(self, name) for name in own} | {
            "without_ratings": list(self.without_ratings),
            "summaries": plain(self.summaries),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Every metric of every judge."""
        return [
            {"judge": name} | row
            for name, found in self.evaluations.items()
            for row in found.rows()
        ]

    def _repr_html_(self) -> str:
        import html

        return (
            '<iframe style="width:100%;height:40em;border:0" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def __str__(self) -> str:
        place = "not written" if self.output is None else self.output
        lines = [f"{place}: {self.bytes / 1000:,.0f} kB, judges: {self.judges}"]
        lines += [
            f"  note: no answer of {shown(path)} has a score and a rating"
            for path in self.without_ratings
        ]
        return "\n".join(lines)


def report_scores(judges: ScoresLike | Iterable[ScoresLike], options: ReportOptions) -> Report:
    """Write one self-contained HTML page about one or more judges, without scripts.

    Args:
        judges: Scored answers of one judge, as for ``evaluate``, or a list with those of several;
            best of the same records. A list of rows is one judge.

    Raises:
        DataError: If one cannot be read, a file is given twice, or a package is missing.
        StoreError: If the page cannot be written.
    """
    from selfj_eval.evaluation.simple_raters import pairings
    from selfj_eval.files.atomic import atomic_write, check_output
    from selfj_eval.jobs.provenance import command
    from selfj_eval.judging.scored import as_scores

    given = _each(judges)
    if not given:
        raise DataError("a report needs the scores of one judge at least.")
    inputs = (*given, options.ratings, *options.results)
    paths = [path for path in inputs if isinstance(path, str | Path)]
    if options.output is not None:
        check_output(options.output, formats=(".html",), inputs=paths)
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise DataError(f"a report needs {name}: pip install 'selfj-eval[report]'.")
    read = [as_scores(scores, ratings=options.ratings, scale=options) for scores in given]
    pairs = pairings(read)
    total = work(read, pairs, options)
    with steps(options.progress, total, "evaluated", "resample") as progress:
        html, evaluations, summaries = page(read, pairs, options, command.get(), progress)
    content = html.encode("utf-8", "replace")
    if options.output is not None:
        with atomic_write(options.output) as stream:
            stream.write(content)
    return Report(
        len(read),
        len(content),
        None if options.output is None else printable(options.output),
        [scores.path for scores in read if not scores.rated],
        html,
        evaluations,
        summaries,
    )


report = keywords(report_scores, ReportOptions)


def _each(judges: Any) -> list[Any]:
    """What was given, judge by judge: the rows of one judge may be a list, too."""
    from selfj_eval.judging.scored import Scored
    from selfj_eval.records.record import Record

    if isinstance(judges, Iterator):
        judges = list(judges)
    if not isinstance(judges, list | tuple):
        return [judges]
    rows = any(isinstance(item, Mapping | Record | Scored) for item in judges)
    return [judges] if rows else list(judges)


def work(judges: Sequence[Scores], pairs: Sequence[Pairing], options: VerdictOptions) -> int:
    """How many bootstrap evaluations ``page`` makes."""
    from selfj_eval.evaluation import compare, evaluate, simple_raters

    total = sum(evaluate.work(scores, options) for scores in judges)
    total += simple_raters.work(judges, pairs, options)
    return total + sum(compare.work(a, b, options) for a, b in _pairs(judges))


def page(
    judges: Sequence[Scores],
    pairs: Sequence[Pairing],
    options: ReportOptions,
    command: str | None,
    progress: Callable[[int], None],
) -> tuple[str, dict[str, Evaluation], list[Summary]]:
    """The page, and the evaluation and the summary of each judge.

    Args:
        judges: Scored answers of each.
        pairs: The simple raters that they are compared with.
        options: What it shows.
        command: What it is made with, to be shown.
        progress: Told how many bootstrap evaluations are done.
    """
    from selfj_eval.evaluation.conclusions import conclusions_on_raters
    from selfj_eval.evaluation.evaluate import evaluated
    from selfj_eval.evaluation.rater_rendering import SCORINGS, named
    from selfj_eval.evaluation.rendering import ORDER, verdict_names
    from selfj_eval.evaluation.simple_raters import against_simple_raters
    from selfj_eval.judging.scored import distinct_names
    from selfj_eval.metrics import LABELS, LOWER_IS_BETTER
    from selfj_eval.metrics.alternative_annotator import PASSED_AT
    from selfj_eval.reports import figures
    from selfj_eval.reports.added import sections
    from selfj_eval.reports.answers import disagreements, lowest
    from selfj_eval.reports.pages import rendered
    from selfj_eval.reports.summary import summary_of

    names = distinct_names(judges)
    named_judges = list(zip(names, judges, strict=True))
    added = sections(options.results, named_judges)  # what cannot be read is refused at once
    documents = [evaluated(scores, options, progress) for scores in judges]
    against = against_simple_raters(judges, pairs, options, progress)
    summaries = [
        summary_of(name, scores, document, own, options.max_risk)
        for (name, scores), document, own in zip(named_judges, documents, against, strict=True)
    ]
    rated = [(n, d) for n, d in zip(names, documents, strict=True) if d.counts.used]
    html = rendered(
        "page.html",
        title=options.title,
        names=names,
        judges=list(zip(names, documents, strict=True)),
        settings=options,
        summaries=summaries,
        sections=added,
        figures=drawn(documents, names, options.max_risk),
        groups=figures.forest_groups(documents, "category"),
        model_rows=figures.forest_groups(documents, "model"),
        metric_names={n: t + (" ↓" if n in LOWER_IS_BETTER else "") for n, t in LABELS.items()},
        most_groups=figures.MOST_GROUPS,
        order=ORDER,
        verdicts=[(n, d.binary, verdict_names(d.binary)) for n, d in rated],
        raters=[
            (n, d.raters, named(d.raters), conclusions_on_raters(d.raters))
            for n, d in rated
            if d.raters
        ],
        scorings=SCORINGS,
        passed_at=PASSED_AT,
        differences=_differences(judges, names, options, progress),
        disagreements=[(n, disagreements(n, named_judges, options.texts)) for n in names],
        lowest=[(n, found) for n, s in named_judges if (found := lowest(s, options.texts))],
        texts=options.texts,
        command=command,
    )
    return html, dict(zip(names, documents, strict=True)), summaries


@dataclass(frozen=True)
class Figures:
    """SVG, safe to stand in the page: of all judges, or by a judge's name."""

    risk: str | None
    forest: str | None
    reliability: Mapping[str, str]
    distribution: Mapping[str, str]


def drawn(
    documents: Sequence[Evaluation], names: Sequence[str], max_risk: float | None = None
) -> Figures:
    """The figures of judges; empty where no answer has a score and a rating.

    Args:
        documents: Their evaluations.
        names: What they are called.
        max_risk: The risk that is wanted, as a line; None for no line.
    """
    from markupsafe import Markup

    from selfj_eval.reports import figures

    rated = [(d, n) for d, n in zip(documents, names, strict=True) if d.counts.used]
    if not rated:
        return Figures(None, None, {}, {})
    kept, kept_names = [d for d, _ in rated], [n for _, n in rated]
    forest = None
    if figures.forest_groups(kept, "category"):
        forest = Markup(figures.forest(kept, kept_names))
    return Figures(
        Markup(figures.risk_coverage(kept, kept_names, max_risk)),
        forest,
        {name: Markup(figures.reliability(d, name)) for d, name in rated},
        {name: Markup(figures.scores_by_rating(d, name)) for d, name in rated},
    )


def _pairs(judges: Sequence[T]) -> list[tuple[T, T]]:
    """Every two of up to three judges; of more, each with the first."""
    if len(judges) <= _ALL_PAIRS:
        return list(combinations(judges, 2))
    return [(judges[0], other) for other in judges[1:]]


@dataclass(frozen=True)
class _Pair:
    """Two judges compared; where they cannot be, the reason."""

    first: str
    second: str
    document: Comparison | None
    error: str | None


def _differences(
    judges: Sequence[Scores],
    names: Sequence[str],
    options: ReportOptions,
    progress: Callable[[int], None],
) -> list[_Pair]:
    from selfj_eval.evaluation.compare import compared

    found = []
    named = list(zip(judges, names, strict=True))
    for (first, name), (second, other) in _pairs(named):
        between = (name, other)
        try:
            found.append(_Pair(*between, compared(first, second, options, progress), None))
        except DataError as error:
            found.append(_Pair(*between, None, str(error)))
    return found
