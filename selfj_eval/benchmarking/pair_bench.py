"""Raters on sets of labelled pairs: accuracy of two scores, and of judges that see both answers."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.open_engine import check_pairwise
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, shown
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, plain, table
from selfj_eval.judging.pair_ways import (
    Asked,
    Bootstrapped,
    Verdict,
    Way,
    alone,
    together,
    ways_of,
)
from selfj_eval.metrics import Metric, PositionBias
from selfj_eval.raters.open_rater import Stores, open_one
from selfj_eval.raters.pair_judge import PairJudge, bias_of
from selfj_eval.raters.specs import RaterSpec, Spec
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.pairs import Pair, pairs_in_memory, read_pairs
from selfj_eval.registry.named import judge_bench_file

if TYPE_CHECKING:
    from collections.abc import Iterable

KIND = "selfj-bench-pairs"


@dataclass(frozen=True, slots=True)
class PairRow:
    """A rater on one set of pairs.

    Attributes:
        rater: Its name.
        pointwise: Each answer rated alone.
        pairwise: The judge that is shown both, in both orders; None where it was not asked so.
        difference: Accuracy of pairwise minus that of pointwise, over the pairs that both scored.
        position_bias: Of pairwise, or None.
    """

    rater: str
    pointwise: Way
    pairwise: Way | None
    difference: Metric | None
    position_bias: PositionBias | None


@dataclass(frozen=True, slots=True, repr=False)
class PairBench(Result):
    """Accuracy of raters on sets of labelled pairs.

    Attributes:
        sets: A row per rater, by set.
        unlabelled: How many pairs of a set were left out because they have no label.
        provenance: Command, time and versions.
        folder: Where everything was written.
        notices: What was recognised or left out in a set, by its name.
    """

    sets: Mapping[str, Sequence[PairRow]]
    unlabelled: Mapping[str, int]
    provenance: Mapping[str, Any]
    folder: str
    notices: Mapping[str, Sequence[str]]

    @property
    def complete(self) -> bool:
        """Whether every pair was scored in every way."""
        return not any(
            way.unscored
            for rows in self.sets.values()
            for row in rows
            for way in (row.pointwise, row.pairwise)
            if way is not None
        )

    def to_dict(self) -> dict[str, Any]:
        """The document that is printed as JSON and written as ``pairs.json``."""
        own = ("sets", "unlabelled", "provenance")
        return {"kind": KIND, **{name: plain(getattr(self, name)) for name in own}}

    def rows(self) -> list[dict[str, Any]]:
        """One row per set, rater and way."""
        found = []
        for name, rater, kind, way, bias in self._ways():
            cost = way.cost._asdict()
            row: dict[str, Any] = {"set": name, "rater": rater, "way": kind}
            row |= {"template": way.template}
            row |= {"accuracy": way.accuracy.value, "low": way.accuracy.low}
            row |= {"high": way.accuracy.high, "n": way.accuracy.n}
            row |= {"with_ties": way.with_ties.value, "scored": way.scored}
            row |= {"unscored": way.unscored, "trimmed": way.trimmed}
            row |= {"label_mass": way.mean_label_mass, **cost}
            row |= {"shown_first": bias.first.value if bias else None}
            found.append(row | {"changed": bias.changed.value if bias else None})
        return found

    def markdown(self) -> str:
        """A table per set."""
        parts = ["# Accuracy on labelled pairs", ""]
        for name in self.sets:
            header, *body = self._lines(name)
            parts += [f"## {name}", "", _md(header), _md(["---", *["---:"] * (len(header) - 1)])]
            parts += [*map(_md, body), ""]
        return "\n".join(parts)

    def __str__(self) -> str:
        parts = []
        for name in self.sets:
            parts += [shown(name), table(self._lines(name))]
            if left := self.unlabelled.get(name):
                parts.append(f"  note: {left:,} pairs without a label are skipped")
        return "\n".join([*parts, f"written to {self.folder}: pairs.md, pairs.json"])

    def _ways(self) -> Iterable[tuple[str, str, str, Way, PositionBias | None]]:
        for name, rows in self.sets.items():
            for row in rows:
                yield name, row.rater, "pointwise", row.pointwise, None
                if row.pairwise is not None:
                    yield name, row.rater, "pairwise", row.pairwise, row.position_bias

    def _lines(self, name: str) -> list[tuple[str, ...]]:
        head = ("rater", "way", "accuracy", "", "with ties", "scored", "unscored", "prompts")
        lines: list[tuple[str, ...]] = [(*head, "tokens", "seconds", "first", "changed")]
        for of, rater, kind, way, bias in self._ways():
            if of != name:
                continue
            low, high = way.accuracy.low, way.accuracy.high
            interval = "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"
            cost, order = way.cost, ("", "")
            if bias is not None:
                order = _number(bias.first), _number(bias.changed)
            cells = (_number(way.accuracy), interval, _number(way.with_ties), f"{way.scored:,}")
            asked = (f"{cost.prompts:,}", f"{cost.tokens:,}") if cost.prompts else ("-", "-")
            lines.append(
                (rater, kind, *cells, f"{way.unscored:,}", *asked, f"{cost.seconds:.1f}", *order)
            )
        return lines


@dataclass(frozen=True, slots=True)
class PairSet:
    """Labelled pairs.

    Attributes:
        name: What the set is called.
        pairs: Those with a label.
        unlabelled: How many have none.
        notices: What was recognised or left out, as sentences.
    """

    name: str
    pairs: Sequence[Pair]
    unlabelled: int
    notices: Sequence[str] = ()


def read_pair_sets(
    given: Sequence[str] | Mapping[str, Any], *, limit: int | None, options: ReadOptions
) -> list[PairSet]:
    """Sets of judge_bench such as ``llmbar``, files of pairs, or pairs in memory by a set's name.

    Raises:
        DataError: If one cannot be read, holds no labelled pair, or two have one name.
    """
    from selfj_eval.records.notices import Notices

    sets = []
    for name in given:
        notices = Notices()
        if isinstance(given, Mapping):
            pairs, own = pairs_in_memory(given[name], options=options, notices=notices), name
        else:
            path = judge_bench_file(name, "pairwise") or Path(name)
            pairs = read_pairs(path, options=options, notices=notices)
            own = path.stem.removeprefix("pairwise_")
        pairs = pairs[:limit]
        labelled = [pair for pair in pairs if pair.label is not None]
        if not labelled:
            raise DataError("none of the pairs has a label to agree with.", path=own)
        left = len(pairs) - len(labelled)
        sets.append(PairSet(own, labelled, left, tuple(notices.sentences())))
    names = [own.name for own in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"two sets are called {twice[0]!r}; rename a file.")
    return sets


def measured(
    specs: Sequence[Spec],
    sets: Sequence[PairSet],
    template: str | None,
    stores: Stores,
    settings: Bootstrapped,
    watch: Watch,
) -> dict[str, list[PairRow]]:
    """Every rater on every set; each model is loaded once a way.

    Args:
        specs: The raters.
        sets: The sets.
        template: With two answers: judges are asked in this way, too.
        stores: Where finished work is kept.
        settings: Of the intervals.
        watch: Is told of the progress.

    Raises:
        DataError: If a rater is a sum.
        JudgeError: If a model cannot be loaded, or cannot compare two answers.
    """
    single = [spec for spec in specs if isinstance(spec, RaterSpec)]
    if len(single) < len(specs):
        name = next(spec.name for spec in specs if not isinstance(spec, RaterSpec))
        raise DataError(f"the sum {name} cannot be measured on pairs; name its parts.")
    for spec in single if template is not None else ():
        if spec.kind == "judge":  # before the first one runs
            check_pairwise(str(spec.model), _options(spec, template))
    rows: dict[str, list[PairRow]] = {own.name: [] for own in sets}
    for spec in single:
        each = _pointwise(spec, sets, stores, watch)
        gc.collect()  # this model's weights, before they are loaded for the other template
        both: list[tuple[Asked, PositionBias]] = []
        if template is not None and spec.kind == "judge":
            both = _pairwise(spec, sets, template, stores, watch)
            gc.collect()
        for at, data in enumerate(sets):
            if both:
                asked, bias = both[at]
                (pairwise, pointwise), gap = ways_of(data.pairs, [asked, each[at]], settings)
                row = PairRow(spec.name, pointwise, pairwise, gap, bias)
            else:
                (pointwise,), _ = ways_of(data.pairs, [each[at]], settings)
                row = PairRow(spec.name, pointwise, None, None, None)
            rows[data.name].append(row)
    return rows


def _pointwise(
    spec: RaterSpec, sets: Sequence[PairSet], stores: Stores, watch: Watch
) -> list[Asked]:
    rater = open_one(spec, JudgeOptions(), True, stores)
    template = str(rater.description.get("template", spec.kind))
    total = 2 * sum(len(own.pairs) for own in sets)
    with steps(watch, total, f"{spec.name}: rated", "answer") as progress:
        return [(template, *alone(rater, own.pairs, progress)) for own in sets]


def _pairwise(
    spec: RaterSpec, sets: Sequence[PairSet], template: str, stores: Stores, watch: Watch
) -> list[tuple[Asked, PositionBias]]:
    options = _options(spec, template)
    judge = PairJudge.open(
        str(spec.model), options, reference=spec.reference, store=stores.judgments
    )
    found: list[tuple[Asked, PositionBias]] = []
    total = sum(len(own.pairs) for own in sets)
    with steps(watch, total, f"{spec.name}: compared", "pair") as progress:
        for own in sets:
            judgments, cost = together(judge, own.pairs, progress)
            verdicts = [Verdict.of_pair(one) for one in judgments]
            found.append(((template, verdicts, cost), bias_of(judgments)))
    return found


def _options(spec: RaterSpec, template: str | None) -> JudgeOptions:
    return JudgeOptions.of({**spec.options, "template": template})


def _number(metric: Metric) -> str:
    return "-" if metric.value is None else f"{metric.value:.3f}"


def _md(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
