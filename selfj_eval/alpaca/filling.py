"""A row of the paper's table from a model: answers generated, chosen, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfj_eval.alpaca.manifest import ManifestRow, read_manifest
from selfj_eval.alpaca.win_rates import EvaluateOptions, WinRates, evaluate_outputs
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, printable
from selfj_eval.generation.generate import GenerateOptions, GenerateRun, generate_answers
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.progress import Watch
from selfj_eval.jobs.results import Result
from selfj_eval.judging.best_of import BestOf, BestOfOptions, best_of_answers
from selfj_eval.raters.protocol import Rater
from selfj_eval.registry import alpaca_pack

if TYPE_CHECKING:
    from selfj_eval.alpaca.gpt4 import Gpt4Annotation

_VERSIONS = ("v1", "v2")


@dataclass(frozen=True)
class RunStep:
    """A step of a run.

    Attributes:
        name: The command that does the same, or what is done.
        input: What it works on.
        options: Its options, where a command does the same.
        result: What came of it; None when it begins.
    """

    name: str
    input: str = ""
    options: Options | None = None
    result: Result | None = None


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """How a row is made."""

    group_title: ClassVar[str] = "how the row is made"

    model: str = option(help="a model folder, GGUF file or hub id", placeholder="MODEL")
    adapter: str | None = option(None, "LoRA adapter to put on the model", placeholder="DIR")
    output: PathLike = option(help="folder for all results", placeholder="DIR")
    judge: str | Rater | None = option(
        None, "judge that compares the answers and chooses the best of n", placeholder="JUDGE"
    )
    judge_options: dict[str, Any] = option({}, "how the judge runs")
    temperature: float | None = option(
        None,
        "temperature of the judge's preferences, as in selfj alpaca evaluate",
        low=0,
        placeholder="T",
    )
    gpt4: bool = option(False, "annotate with AlpacaEval's GPT-4 annotators, which cost money")
    generate_options: dict[str, Any] = option({}, "more options for the generation")
    limit: int | None = option(None, "only the first N instructions", low=1)
    manifest: PathLike | None = option(
        None, "YAML file with other rows than the paper's", placeholder="FILE"
    )
    progress: Watch = option(False, internal=True)
    report: Callable[[RunStep], None] | None = option(None, internal=True)

    def check(self) -> None:
        """Refuse a run that would compare nothing, and options that a judge does not take."""
        JudgeOptions.of(self.judge_options)
        if self.judge is None and not self.gpt4:
            raise DataError(
                "nothing to compare the answers with: give `judge` MODEL, `gpt4` or both."
            )


@dataclass(frozen=True)
class RowRun(Result):
    """What came of a run.

    Attributes:
        row: The row's name.
        answers: The generation.
        best: The choice of the best of several answers; None where there is one answer each.
        by_judge: Win rates by the judge, by version; empty without one.
        by_gpt4: What GPT-4's annotators gave, by version; empty where they were not asked.
        output: The folder of all results.
    """

    row: str
    answers: GenerateRun
    best: BestOf | None
    by_judge: Mapping[str, WinRates] = field(default_factory=dict)
    by_gpt4: Mapping[str, Gpt4Annotation] = field(default_factory=dict)
    output: str = ""

    @property
    def complete(self) -> bool:
        """Whether no answer is missing or unscored."""
        compared = [found.complete for found in self.by_judge.values()]
        compared += [found.complete for found in self.by_gpt4.values()]
        chosen = self.best is None or not self.best.errors
        return _is_whole(self.answers) and chosen and all(compared)

    @property
    def closing(self) -> str:
        """What the row has now."""
        by = [n for n, found in (("the judge", self.by_judge), ("GPT-4", self.by_gpt4)) if found]
        return f"row {self.row} has numbers by {' and '.join(by)}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per version and annotator."""
        lines = [("judge", v, found.models[0].line) for v, found in self.by_judge.items()]
        lines += [("GPT-4", v, found.line) for v, found in self.by_gpt4.items()]
        return [{"by": by, "version": v, **line.to_dict()} for by, v, line in lines]

    def __str__(self) -> str:
        steps = [self.answers, self.best, *self.by_judge.values(), *self.by_gpt4.values()]
        return "\n".join([*(str(step) for step in steps if step is not None), self.closing])


def run_row(row: str, options: RunOptions) -> RowRun:
    """Fill a row of the paper's table: generate answers, choose the best, compare.

    The model answers AlpacaEval's 805 instructions. If the row takes the best of n, the judge
    chooses it. The answers are then compared with both baselines: by the judge, and by AlpacaEval's
    own GPT-4 annotators, which ask OpenAI or the server that OPENAI_BASE_URL names. All steps keep
    what is finished.

    Args:
        row: Name of a row of the manifest that has ``run``.
        options: The model, and what its answers are compared by.

    Raises:
        DataError: If there is no such row, or options do not go together.
        JudgeError: If the model, the judge or the server cannot be used.
        StoreError: If results cannot be written.
    """
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.files.atomic import output_folder

    found = _row(row, options)
    alpaca_eval()
    if options.gpt4 and not os.environ.get("OPENAI_API_KEY"):
        raise DataError("`gpt4` needs the key of the server in the environment: OPENAI_API_KEY.")
    folder = output_folder(options.output) / found.name
    folder.mkdir(exist_ok=True)
    answers, best = _answers(options, found, folder)
    judged, annotated = {}, {}
    for version in _VERSIONS:
        if options.judge is not None:
            judged[version] = _judged(options.judge, options, version, folder)
        if options.gpt4:
            annotated[version] = _annotated(options, version, folder, found.name)
    return RowRun(found.name, answers, best, judged, annotated, printable(Path(options.output)))


run = keywords(run_row, RunOptions)


def _row(name: str, options: RunOptions) -> ManifestRow:
    rows = read_manifest(options.manifest)
    runnable = {row.name: row for row in rows if row.run}
    if name not in runnable:
        raise DataError(f"no row {name!r} that a run can fill; there are: {', '.join(runnable)}.")
    row = runnable[name]
    if _n(row) > 1 and options.judge is None:
        raise DataError(f"row {row.name} takes the best of several answers: give `judge` MODEL.")
    return row


def _n(row: ManifestRow) -> int:
    """How many answers the row takes the best of."""
    return int((row.run or {}).get("n", 1))


def _answers(
    options: RunOptions, row: ManifestRow, folder: Path
) -> tuple[GenerateRun, BestOf | None]:
    """One answer per instruction, in the file that the next steps read."""
    from selfj_eval.files.hashes import sha256_of

    outputs, n = folder / "model_outputs.json", _n(row)
    generated = outputs if n == 1 else folder / "candidates.json"
    # What the user gives counts, but for what the next steps rely on.
    values: dict[str, Any] = {"model": options.model, "adapter": options.adapter}
    values |= {"limit": options.limit, **(row.run or {}), **options.generate_options}
    values |= {"name": row.name, "output": generated}
    generate = GenerateOptions.of(values, progress=options.progress)
    before = sha256_of(outputs) if outputs.is_file() else None
    _tell(options, RunStep("generate", "alpaca_eval", generate))
    answers = generate_answers("alpaca_eval", generate)
    _tell(options, RunStep("generate", "alpaca_eval", generate, answers))
    best = None
    if n > 1 and options.judge is not None:
        best = _best(options.judge, options, generated, outputs, n, row.name)
    if before is not None and sha256_of(outputs) != before:
        _forget(folder)
    return answers, best


def _best(
    judge: str | Rater, options: RunOptions, candidates: Path, outputs: Path, n: int, name: str
) -> BestOf:
    own = BestOfOptions(
        judge=judge,
        **options.judge_options,
        n=n,
        name=name,
        output=outputs,
        store=outputs.with_name("judgments.store"),
        progress=options.progress,
    )
    _tell(options, RunStep("best-of", str(candidates), own))
    found = best_of_answers(candidates, own)
    _tell(options, RunStep("best-of", str(candidates), own, found))
    return found


def _judged(judge: str | Rater, options: RunOptions, version: str, folder: Path) -> WinRates:
    outputs = folder / "model_outputs.json"
    own = EvaluateOptions(
        judge=judge,
        **options.judge_options,
        baseline=version,
        output=folder / f"judge_{version}",
        store=folder / "judgments.store",
        temperature=options.temperature,
        progress=options.progress,
    )
    _tell(options, RunStep("alpaca evaluate", str(outputs), own))
    found = evaluate_outputs(outputs, own)
    _tell(options, RunStep("alpaca evaluate", str(outputs), own, found))
    return found


def _annotated(options: RunOptions, version: str, folder: Path, row: str) -> Gpt4Annotation:
    from selfj_eval.alpaca.gpt4 import annotate, result_file
    from selfj_eval.alpaca.outputs import read_outputs

    answers = read_outputs(folder / "model_outputs.json", alpaca_pack.evaluation_set())
    there = len(answers.outputs) - answers.missing
    name = f"annotating {there} answers with {alpaca_pack.ANNOTATORS[version]}"
    _tell(options, RunStep(name))
    model = Path(options.model).name
    model += f"+{Path(options.adapter).name}" if options.adapter else ""
    result = result_file(Path(options.output), row, version)
    found = annotate(answers, version, result, model=model)
    _tell(options, RunStep(name, result=found))
    return found


def _forget(folder: Path) -> None:
    """Remove what other answers gave; what was paid for stays in the caches, by content."""
    for version in _VERSIONS:
        for name in (f"gpt4_{version}.json", f"judge_{version}/leaderboard.csv"):
            (folder / name).unlink(missing_ok=True)


def _is_whole(answers: GenerateRun) -> bool:
    return not answers.unanswered and answers.empty < answers.answers


def _tell(options: RunOptions, step: RunStep) -> None:
    if options.report is not None:
        options.report(step)
