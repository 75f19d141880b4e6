"""Best of n: the answer to each instruction that a rater scores highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, StoreError, printable, shown
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import steps
from selfj_eval.jobs.results import Result, first_of, table
from selfj_eval.judging.options import RATERS, RatingOptions
from selfj_eval.raters.protocol import Rater

if TYPE_CHECKING:
    from selfj_eval.judging.candidates import Point
    from selfj_eval.judging.score import ScoreRun
    from selfj_eval.records.inputs import Answers
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class BestOfOptions(RatingOptions):
    """How the best answers are chosen."""

    judge: str | Path | Rater | None = option(
        None,
        f"{RATERS}; not needed where the candidates have scores, as `selfj score` writes them",
        placeholder="JUDGE",
    )
    n: int | None = option(
        None,
        "keep the best of the first N answers to each instruction (default: the largest number "
        "that every instruction has)",
        low=1,
    )
    output: PathLike | None = option(
        None, "file for the answers that are kept (.json)", placeholder="FILE"
    )
    name: str | None = option(
        None,
        "`generator` in the output (default: the name of the candidates' model, followed by "
        "-best-of- and N)",
    )
    curve: PathLike | None = option(
        None, "also write what the best of 1, 2, 4, ... answers gain (.csv)", placeholder="FILE"
    )

    def check(self) -> None:
        """Refuse how a judge runs where none does."""
        super().check()
        self.check_judge()


@dataclass(frozen=True)
class BestOf(Result):
    """The best answers.

    Attributes:
        instructions, candidates: How many there are.
        errors: One line per unscored candidate, ``id: why``.
        n: The best of how many were kept.
        generator: What the best answers are called.
        kept: The answer that was kept to each instruction that has one, and its score.
        without_answer: The instructions that have none.
        curve: What to expect of the best of 1, 2, 4, ... n.
        curve_cut: Why the curve ends before n, or None.
        rating_scale: What the curve's ratings are on; None where it has none.
        written: The files.
        notices: What was recognised, converted or ignored in the input.
    """

    instructions: int
    candidates: int
    errors: Sequence[str]
    n: int
    generator: str
    kept: Sequence[tuple[Record, float]] = field(repr=False)
    without_answer: Sequence[str]
    curve: Sequence[Point]
    curve_cut: str | None
    rating_scale: str | None
    written: Sequence[str]
    notices: Sequence[str]

    @property
    def kept_mean_score(self) -> float:
        """Mean score of the kept answers."""
        return sum(score for _, score in self.kept) / len(self.kept)

    @property
    def outputs(self) -> list[dict[str, str]]:
        """The kept answers as AlpacaEval's ``model_outputs``."""
        rows = []
        for record, _ in self.kept:
            row = {"instruction": record.question, "output": record.response}
            row["generator"] = self.generator
            rows.append(row if record.category is None else {"dataset": record.category, **row})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        return {
            "instructions": self.instructions,
            "candidates": self.candidates,
            "unscored": len(self.errors),
            "errors": list(self.errors),
            "n": self.n,
            "generator": self.generator,
            "kept": len(self.kept),
            "kept_mean_score": self.kept_mean_score,
            "without_answer": list(self.without_answer),
            "curve": [asdict(point) for point in self.curve],
            "curve_cut": self.curve_cut,
            "rating_scale": self.rating_scale,
            "written": list(self.written),
            "notices": list(self.notices),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per kept answer, with its score."""
        scores = [score for _, score in self.kept]
        return [row | {"score": s} for row, s in zip(self.outputs, scores, strict=True)]

    def __str__(self) -> str:
        from selfj_eval.judging.candidates import brief_text

        lines = [
            f"{self.instructions:,} instructions, {self.candidates:,} candidates; kept the best of "
            f"the first {self.n:,}: {len(self.kept):,} answers, mean score "
            f"{self.kept_mean_score:.3f}",
            *self._curve_lines(),
        ]
        for title, texts in (
            ("UNSCORED", self.errors),
            ("WITHOUT AN ANSWER", [brief_text(text) for text in self.without_answer]),
        ):
            if texts:
                lines.append(f"  {title}  {len(texts):,}")
                lines += first_of(texts, rest=", all with `json`")
        if self.written:
            lines.append(f"  written to  {' and '.join(self.written)}")
        return "\n".join(lines)

    def _curve_lines(self) -> list[str]:
        points = self.curve
        titles = {"score": "score", "rating": f"rating ({self.rating_scale})"}
        titles["characters"] = "characters"
        columns = [name for name in titles if getattr(points[0], name) is not None]
        rows = [["n", *(cell for name in columns for cell in (titles[name], "std. error"))]]
        for point in points:
            cells = [str(point.n)]
            for name in columns:
                digits = 0 if name == "characters" else 3
                for value in (getattr(point, name), getattr(point, f"{name}_se")):
                    cells.append("-" if value is None else f"{value:,.{digits}f}")
            rows.append(cells)
        over = f"expected of the best of n, over {points[0].instructions:,} instructions:"
        lines = [over, table(rows)]
        return lines if self.curve_cut is None else [*lines, f"  note: {shown(self.curve_cut)}"]


@dataclass(frozen=True)
class _Scored:
    """Candidates with their scores, and why the unscored ones have none."""

    records: Sequence[Record]
    scores: Sequence[float | None]
    errors: Sequence[str]


def best_of_answers(candidates: Answers | ScoreRun, options: BestOfOptions) -> BestOf:
    """Keep the best of several answers to each instruction.

    Of the first n answers to each instruction, the one with the highest score is kept; if several
    tie, the first of them. The curve says what to expect from the best of 1, 2, 4, ... n: the mean
    over all ways to draw that many answers from all scored ones, not only the first n.

    Args:
        candidates: A file, also on the hub (``hf://datasets/...``), or rows in memory, with several
            records per instruction or rows whose ``output`` or ``response`` is a list; or what
            ``score`` returned.

    Raises:
        DataError: If they cannot be read, or none is scored.
        JudgeError: If the judge cannot be loaded.
        StoreError: If a file cannot be written.
    """
    from selfj_eval.files.atomic import write_json
    from selfj_eval.judging.candidates import choose_n, curve, group, rating_scale
    from selfj_eval.records.hub import fetched
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.writing import write_rows

    candidates = fetched(candidates)
    source = Path(candidates) if isinstance(candidates, str | Path) else None
    output, store = _files(candidates, source, options)
    notices = Notices()
    known, records = _read(candidates, source, options, notices)
    # Everything that can be wrong with the options, before any work is done.
    n = choose_n(records, options.n)
    name = options.name or _name(records, n, source)
    scored = known or _judged(records, store, options)
    pools = group(scored.records, scored.scores)
    kept = [(pool.instruction, pool.best(n)) for pool in pools]
    best = [pair for _, pair in kept if pair is not None]
    if not best:
        raise DataError(
            f"none of the first {n:,} answers to any instruction has a score, nothing was written; "
            f"the first of {len(scored.errors):,} reasons: {shown(scored.errors[0])}",
            path=source,
        )
    found = curve(pools, n)
    written = [] if output is None else [output]
    if options.curve is not None:
        written.append(Path(options.curve))
    result = BestOf(
        instructions=len(pools),
        candidates=len(records),
        errors=scored.errors,
        n=n,
        generator=name,
        kept=best,
        without_answer=[text for text, pair in kept if pair is None],
        curve=found.points,
        curve_cut=found.cut,
        rating_scale=rating_scale([r for pool in pools for r, _ in pool.scored]),
        written=[printable(path) for path in written],
        notices=list(notices.sentences()),
    )
    if output is not None:
        write_json(output, result.outputs)
    if options.curve is not None:
        write_rows(options.curve, [asdict(point) for point in found.points])
    return result


best_of = keywords(best_of_answers, BestOfOptions)


def _files(
    candidates: object, source: Path | None, options: BestOfOptions
) -> tuple[Path | None, Path | None]:
    """Output and store, once it is sure that neither writes over anything that is read."""
    from selfj_eval.files.atomic import check_output

    output = None
    if options.output is not None:
        output = check_output(options.output, formats=(".json",), inputs=(candidates,))
    beside = None if output is None else f"{output}.store"
    store = (
        None if options.store is None and beside is None else Path(options.store or beside or "")
    )
    taken = {file.resolve() for file in (source, output) if file is not None}
    if store is not None and store.resolve() in taken:
        raise StoreError(
            f"the store {store} must be another file than the candidates {source} and the output "
            f"{output}; name another `store`."
        )
    if options.curve is not None:
        check_output(options.curve, formats=(".csv",), inputs=(candidates, output, store))
    return output, store


def _read(
    candidates: Any, source: Path | None, options: BestOfOptions, notices: Notices
) -> tuple[_Scored | None, Sequence[Record]]:
    """The candidates, and their scores where they have some and no judge is to give others."""
    from selfj_eval.judging.candidates import read_candidates, read_scored_candidates

    given: Any = candidates if source is None else source
    if hasattr(given, "judgments") and hasattr(given, "rows"):  # what score() returned
        given = [{k: v for k, v in row.items() if v is not None} for row in given.rows()]
    if options.judge is not None:
        return None, read_candidates(given, notices=notices)
    found = _Scored(*read_scored_candidates(given, notices=notices))
    return found, found.records


def _judged(records: Sequence[Record], store: Path | None, options: BestOfOptions) -> _Scored:
    from selfj_eval.raters.open_rater import opened

    judge = options.judge or ""
    how = options.part(JudgeOptions)
    with (
        opened(judge, how, reference=options.reference, store=store) as rater,
        steps(options.progress, len(records), "judged") as progress,
    ):
        judgments = rater.judge(records, progress=progress)
    errors = [f"{j.id}: {j.error}" for j in judgments if j.error]
    return _Scored(records, [j.score for j in judgments], errors)


def _name(records: Sequence[Record], n: int, source: Path | None) -> str:
    models = sorted({record.model or "" for record in records})
    if len(models) == 1 and models[0]:
        return f"{models[0]}-best-of-{n}"
    several = ", ".join(repr(model) for model in models if model) or "no model"
    what = f"the candidates name {several}"
    what += ", and some none" if len(models) > 1 and "" in models else ""
    raise DataError(f"{what}; name their best with `name`.", path=source)
