"""Win rates of one or hundreds of models: judged, kept, put into a leaderboard."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.alpaca.options import PACKAGES, ComparisonOptions
from selfj_eval.errors import DataError, StoreError, printable, shown
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, first_of, plain, table
from selfj_eval.raters.protocol import Rater

if TYPE_CHECKING:
    from selfj_eval.alpaca.comparing import Comparison
    from selfj_eval.alpaca.evaluation import ModelResult
    from selfj_eval.alpaca.outputs import Outputs
    from selfj_eval.registry.alpaca_pack import ModelAnswers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ComparisonOptions):
    """How models are compared with a baseline."""

    judge: str | Rater | Any = option(
        help="a judge ('small', 'demo', a model folder, a GGUF file or a hub id), or any other "
        "rater, such as length or tfidf",
        placeholder="JUDGE",
    )
    pairwise: bool = option(
        False,
        "show the judge both answers at once, in both orders, with a template for two answers "
        "(default: pairwise); the preference is the probability that the model's answer is better",
    )
    output: PathLike = option(help="folder for the results", placeholder="DIR")
    baseline: str | Path | Any = option(
        "v2",
        "v1 (text_davinci_003), v2 (gpt4_1106_preview), or a file of outputs; the instructions in "
        "that file are then the evaluation set (default: v2)",
        placeholder="B",
    )
    name: str | None = option(None, "the model's name, if there is only one file")
    length_control: PathLike | None = option(
        None,
        "AlpacaEval's df_gamed.csv (default: for the baseline v2, the file in the data pack)",
        placeholder="FILE",
    )
    mode: str = option(
        "community",
        "value of the leaderboard's column 'mode'",
        ("minimal", "verified", "community", "dev"),
    )
    store: PathLike | None = option(
        None,
        "file that keeps judgments (default: judgments.store in the folder)",
        placeholder="FILE",
    )
    progress: Watch = option(False, internal=True)

    def check(self) -> None:
        """Refuse a temperature where no two scores become a preference."""
        super().check()
        if self.pairwise and self.temperature is not None:
            raise DataError("`temperature` is for two scores; leave it out with `pairwise`.")


@dataclass(frozen=True)
class WinRates(Result):
    """What came of comparing models with a baseline.

    Attributes:
        models: One result per model, in the order of the outputs.
        errors: Why answers are unscored, each reason once.
        replaced: Of a model that was in the leaderboard before, how many comparisons its line was
            made of, and how many the new one is.
        leaderboard: The file with the lines of all models, of earlier runs too.
    """

    models: Sequence[ModelResult]
    errors: Sequence[str]
    replaced: Mapping[str, tuple[int, int]]
    leaderboard: str

    @property
    def complete(self) -> bool:
        """Whether no answer was unscored, missing or to an unknown instruction."""
        lines = [model.line for model in self.models]
        return not any(line.n_unscored or line.n_missing or line.n_unknown for line in lines)

    @property
    def no_length_control(self) -> dict[str, str]:
        """Why a model has no length-controlled win rate."""
        return {m.model: m.no_length_control for m in self.models if m.no_length_control}

    def to_dict(self) -> dict[str, Any]:
        """The lines by model, as the command prints them as JSON."""
        biased = {m.model: plain(m.position_bias) for m in self.models if m.position_bias}
        return {
            "models": {model.model: model.line.to_dict() for model in self.models},
            **({"position_bias": biased} if biased else {}),
            "errors": list(self.errors),
            "no_length_control": self.no_length_control,
            "replaced": {model: list(counts) for model, counts in self.replaced.items()},
            "leaderboard": self.leaderboard,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per model."""
        return [{"model": model.model, **model.line.to_dict()} for model in self.models]

    def __str__(self) -> str:
        nothing = [
            f"NOTHING WAS COMPARED for {shown(model.model)}: no answer has a preference"
            for model in self.models
            if not model.line.n_total
        ]
        biased = [
            f"  {shown(model.model)}: position bias: {model.position_bias}"
            for model in self.models
            if model.position_bias is not None
        ]
        reasons = sorted(set(self.no_length_control.values()))
        lines = [*nothing, self._table(), *(f"  no length control: {why}" for why in reasons)]
        lines += [*biased, *self._counts()]
        lines += [
            f"  {shown(model)}: replaces a line of {before} comparisons with one of {now}"
            for model, (before, now) in self.replaced.items()
        ]
        if self.errors:
            lines.append(f"  UNSCORED {len(self.errors):,}")
            lines += first_of(self.errors, rest=" (preference null in the annotations)")
        return "\n".join([*lines, f"  written to {self.leaderboard} and annotations/ beside it"])

    def _table(self) -> str:
        rows = [["", "win rate", "se", "length-contr.", "mean score", "n", "unscored", "missing"]]
        for model in self.models:
            line = model.line
            rates = (line.win_rate, line.standard_error, line.length_controlled_winrate)
            counts = (line.n_total, line.n_unscored, line.n_missing)
            cells = [*map(_cell, rates), _cell(line.mean_score, 3), *map(str, counts)]
            rows.append([shown(model.model), *cells])
        return table(rows)

    def _counts(self) -> list[str]:
        lines = []
        for model in self.models:
            for count, text in (
                (model.line.n_unknown, "outputs to unknown instructions"),
                (model.line.n_empty, "empty"),
                (
                    model.line.n_trimmed,
                    "too long for the judge's prompt: their middle was cut",
                ),
            ):
                if count:
                    lines.append(f"  {shown(model.model)}: {count} {text}")
        return lines


def evaluate_outputs(outputs: Outputs | Sequence[Outputs], options: EvaluateOptions) -> WinRates:
    """Compare the outputs of models with a baseline's, in AlpacaEval's own columns.

    Every answer, including the baseline's, is judged once, and the judgments are kept: with more
    outputs, or after an interruption, only new answers are judged.

    Args:
        outputs: Of one model or a list, one per model: a file, rows with instruction, output and
            generator, records, a pandas table, or the result of a verb that wrote answers.
        options: The judge, the baseline, and where results go.

    Returns:
        The win rates; the folder ``options.output`` has the leaderboard and every comparison.

    Raises:
        DataError: If outputs cannot be read, or do not belong to the baseline's instructions.
        JudgeError: If the judge cannot be loaded, or AlpacaEval is not installed.
        StoreError: If the folder holds lines that cannot be compared with these.
    """
    from selfj_eval.alpaca.comparing import comparison_of
    from selfj_eval.alpaca.evaluation import file_names, read_leaderboard
    from selfj_eval.alpaca.outputs import each_of, path_of, read_outputs
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.files.atomic import output_folder

    alpaca_eval()  # not there: say so before anything is judged
    given = each_of(outputs)
    if options.name and len(given) > 1:
        raise DataError("`name` is for one file of outputs; put `generator` into the files.")
    comparison = comparison_of(options.baseline, options.length_control)
    models = [read_outputs(one, comparison.instructions, name=options.name) for one in given]
    paths = [path_of(one) for one in given]
    _refuse_repeated(models, paths)
    folder = output_folder(options.output)
    board = folder / "leaderboard.csv"
    if board.resolve() in {path.resolve() for path in paths if path is not None}:
        raise StoreError(f"{board} is an input and would be overwritten; name another `output`.")
    before = read_leaderboard(board)
    files = file_names([*before, *(m.model for m in models if m.model not in before)])
    settings, results = _compared(models, comparison, folder, options)
    return _written(results, settings, files, folder, comparison.gamed)


evaluate = keywords(evaluate_outputs, EvaluateOptions)


def _compared(
    models: Sequence[ModelAnswers], comparison: Comparison, folder: Path, options: EvaluateOptions
) -> tuple[dict[str, Any], list[ModelResult]]:
    """How it is made, and what came of each model."""
    from selfj_eval.alpaca.evaluation import BaselineComparison
    from selfj_eval.alpaca.rating import described, named_rater

    instructions, baseline, gamed = comparison
    store = options.store or folder / "judgments.store"
    if options.pairwise:
        return _compared_pairwise(models, comparison, folder, store, options)
    with named_rater(options.judge, options, instructions, store) as rater:
        given = options.temperature
        temperature = rater.temperature if given is None else given
        about = described(rater.rater, rater.name, options)
        settings = _settings(about, temperature, comparison)
        _check_same(folder, settings)
        rater = rater.prepare(instructions, [baseline])
        needed = _needed(baseline, models)
        total = sum(len(a.outputs) - a.missing for a in (needed, *models))
        with steps(options.progress, total, "judged", "answer") as progress:
            evaluation = BaselineComparison(
                rater,
                instructions,
                needed,
                temperature=options.temperature,
                gamed=gamed,
                mode=options.mode,
                progress=progress,
            )
            return settings, [evaluation.evaluate(model) for model in models]


def _compared_pairwise(
    models: Sequence[ModelAnswers],
    comparison: Comparison,
    folder: Path,
    store: PathLike,
    options: EvaluateOptions,
) -> tuple[dict[str, Any], list[ModelResult]]:
    """The same of a judge that is shown both answers."""
    from selfj_eval.alpaca.pairwise import PairwiseComparison
    from selfj_eval.alpaca.rating import described, references_of
    from selfj_eval.raters.open_rater import rater_name
    from selfj_eval.raters.pair_judge import opened_pairwise

    instructions, baseline, gamed = comparison
    references = references_of(options, instructions)
    name = rater_name(options.judge, options)
    with opened_pairwise(options.judge, options.judge_options, store=store) as judge:
        settings = _settings(described(judge, name, options), None, comparison)
        _check_same(folder, settings)
        both = zip(*(a.outputs for a in models), strict=True)
        total = sum(
            output is not None
            for own, base in zip(both, baseline.outputs, strict=True)
            if base is not None
            for output in own
        )
        with steps(options.progress, total, "judged", "pair") as progress:
            evaluation = PairwiseComparison(
                judge,
                name,
                instructions,
                baseline,
                references=references,
                gamed=gamed,
                mode=options.mode,
                progress=progress,
            )
            return settings, [evaluation.evaluate(model) for model in models]


def _settings(
    judge: dict[str, Any], temperature: float | None, comparison: Comparison
) -> dict[str, Any]:
    """What decides the lines: those of one leaderboard are made in the same way."""
    from selfj_eval.files.hashes import sha256_of

    instructions, baseline, gamed = comparison
    texts = [list(instructions.instructions), list(baseline.outputs)]
    sha256 = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    return {
        "judge": judge,
        "temperature": temperature,
        "baseline": {"name": baseline.model, "sha256": sha256},
        "length_control": None if gamed is None else sha256_of(gamed),
    }


def _written(
    results: Sequence[ModelResult],
    settings: dict[str, Any],
    files: Mapping[str, str],
    folder: Path,
    gamed: Path | None,
) -> WinRates:
    from selfj_eval.alpaca.evaluation import Line, read_leaderboard, write_leaderboard
    from selfj_eval.files.atomic import write_json
    from selfj_eval.jobs.provenance import provenance

    board = folder / "leaderboard.csv"
    (folder / "annotations").mkdir(exist_ok=True)
    for result in results:
        name = files[result.model]
        write_json(folder / "annotations" / f"{name}.json", list(result.annotations))
    # Once more, for what another run has put there in the meantime.
    before = read_leaderboard(board)
    _check_same(folder, settings)
    replaced = {
        result.model: (Line.of(before[result.model]).n_total, result.line.n_total)
        for result in results
        if result.model in before
    }
    rows = before | {result.model: result.line.to_dict() for result in results}
    sort_by = "win_rate" if gamed is None else "length_controlled_winrate"
    write_json(folder / "run.json", settings | provenance(*PACKAGES))
    write_leaderboard(board, rows, sort_by=sort_by)
    errors = list(dict.fromkeys(error for result in results for error in result.errors))
    return WinRates(tuple(results), errors, replaced, printable(board))


def _needed(baseline: ModelAnswers, models: Sequence[ModelAnswers]) -> ModelAnswers:
    """The baseline's answers where a model has one too: the others need not be judged."""
    columns = zip(*(model.outputs for model in models), strict=True)
    there = [any(output is not None for output in column) for column in columns]
    kept = zip(baseline.outputs, there, strict=True)
    return replace(baseline, outputs=tuple(text if used else None for text, used in kept))


def _refuse_repeated(models: Sequence[ModelAnswers], paths: Sequence[Path | None]) -> None:
    seen: dict[str, str] = {}
    for number, (model, path) in enumerate(zip(models, paths, strict=True), 1):
        if model.model in seen:
            raise DataError(
                f"is called {model.model!r}, as is {seen[model.model]}; each model needs its own "
                "name (`generator` in the outputs).",
                path=path,
                place=None if path is not None else f"outputs {number}",
            )
        seen[model.model] = f"outputs {number}" if path is None else printable(path)


def _check_same(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to put lines into a leaderboard that was made in another way."""
    from selfj_eval.alpaca.evaluation import read_leaderboard

    if not read_leaderboard(folder / "leaderboard.csv"):
        return
    try:
        made = read_json(folder / "run.json")
    except DataError:
        made = {}
    if not isinstance(made, dict):
        made = {}
    other = [name for name, value in settings.items() if made.get(name) != value]
    if other:
        raise StoreError(
            f"{folder / 'leaderboard.csv'} was made with another {' and another '.join(other)}; "
            "its lines cannot be compared with new ones. Name another `output`."
        )


def _cell(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
