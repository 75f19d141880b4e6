"""Generation and best-of-n as jobs, until their packages have them: to be deleted then."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, printable
from selfj_eval.judging.options import JudgeOptions, ModelOptions
from selfj_eval.judging.protocol import Rater
from selfj_eval.options import PathLike, option
from selfj_eval.progress import Watch, steps
from selfj_eval.results import Result, first_of

if TYPE_CHECKING:
    from selfj_eval.generation.base import Generator


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(ModelOptions):
    """How answers are generated."""

    model: str = option(help="'demo', a model folder, or a hub id")
    output: PathLike = option(help="answers")
    safe_csv: bool = option(False)
    engine: str = option("transformers", "", ("transformers", "vllm"))
    prompt: str = option("wizardlm", "", ("wizardlm", "chat", "plain"))
    n: int = option(1, low=1)
    temperature: float = option(0.0, low=0)
    top_p: float = option(1.0, high=1)
    max_new_tokens: int = option(1024, low=1)
    seed: int = option(0, low=0)
    batch_size: int | None = option(None, low=1)
    name: str | None = option(None)
    limit: int | None = option(None, low=1)
    store: PathLike | None = option(None)
    progress: Watch = option(False, internal=True)


@dataclass(frozen=True)
class GenerateRun(Result):
    """What came of a generation."""

    instructions: int
    answers: int
    unanswered: int
    from_store: int
    empty: int
    errors: Sequence[str]
    seconds: float
    output: str

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def __str__(self) -> str:
        known = f", {self.from_store:,} of them before" if self.from_store else ""
        return (
            f"{self.answers:,} answers to {self.instructions:,} instructions{known}; this run "
            f"took {self.seconds:.1f} s\n  written to      {self.output}"
        )


def generate_answers(instructions: str, options: GenerateOptions) -> GenerateRun:
    """Have a model answer AlpacaEval's instructions."""
    from selfj_eval.alpaca.data import evaluation_set
    from selfj_eval.generation import generate
    from selfj_eval.generation.base import Sampling
    from selfj_eval.store import AnswerStore
    from selfj_eval.writing import check_output, write_rows

    assert instructions == "alpaca_eval"
    sampling = Sampling(
        options.n, options.temperature, options.top_p, options.max_new_tokens, options.seed
    )
    output = check_output(options.output)
    own = evaluation_set()
    texts = own.instructions[: options.limit]
    start = time.monotonic()
    with AnswerStore(options.store or f"{output}.store") as store:
        generator = _generator(options)
        with steps(options.progress, len(texts), "answered", "instruction") as progress:
            outcomes = generate(generator, texts, sampling, store=store, progress=progress)
    rows = [
        {"dataset": kind, "instruction": text, "output": answer.text, "generator": options.name}
        | ({"sample": k} if len(outcome.answers) > 1 else {})
        for text, kind, outcome in zip(texts, own.datasets, outcomes, strict=False)
        for k, answer in enumerate(outcome.answers)
    ]
    write_rows(output, rows)
    return GenerateRun(
        len(texts),
        len(rows),
        sum(outcome.error is not None for outcome in outcomes),
        sum(len(outcome.answers) for outcome in outcomes if outcome.stored),
        sum(not row["output"] for row in rows),
        [outcome.error for outcome in outcomes if outcome.error],
        round(time.monotonic() - start, 2),
        printable(output),
    )


def _generator(options: GenerateOptions) -> Generator:
    names = ("model", "adapter", "prompt", "revision", "dtype", "trust_remote_code")
    model: dict[str, Any] = {name: getattr(options, name) for name in names}
    if options.engine == "vllm":
        from selfj_eval.generation.vllm import VllmGenerator

        return VllmGenerator(**model)
    from selfj_eval.generation.transformers import TransformersGenerator

    return TransformersGenerator(**model, batch_size=options.batch_size, device=options.device)


@dataclass(frozen=True, kw_only=True)
class BestOfOptions(JudgeOptions):
    """How the best answers are chosen."""

    judge: str | Rater = option(help="what chooses")
    output: PathLike = option(help="the answers that are kept")
    n: int | None = option(None, low=1)
    name: str | None = option(None)
    store: PathLike | None = option(None)
    progress: Watch = option(False, internal=True)


@dataclass(frozen=True)
class BestOf(Result):
    """What came of choosing."""

    instructions: int
    candidates: int
    n: int
    kept: int
    kept_mean_score: float
    errors: Sequence[str]
    curve: Sequence[Mapping[str, Any]]
    output: str

    def rows(self) -> list[dict[str, Any]]:
        """The curve."""
        return [dict(row) for row in self.curve]

    def __str__(self) -> str:
        lines = [
            f"{self.instructions:,} instructions, {self.candidates:,} candidates; kept the best of "
            f"the first {self.n:,}: {self.kept:,} answers, mean score {self.kept_mean_score:.3f}"
        ]
        if self.errors:
            lines += [f"  UNSCORED  {len(self.errors):,}", *first_of(self.errors)]
        return "\n".join([*lines, f"  written to  {self.output}"])


def best_of_answers(candidates: Path, options: BestOfOptions) -> BestOf:
    """Keep the best of several answers to each instruction."""
    from selfj_eval.best_of import choose_n, curve, group, read_candidates
    from selfj_eval.raters.opening import opened
    from selfj_eval.writing import check_output, write_json

    output = check_output(options.output, formats=(".json",), inputs=(candidates,))
    records = read_candidates(candidates)
    n = choose_n(records, options.n)
    with (
        opened(options.judge, options.part(JudgeOptions), store=options.store) as rater,
        steps(options.progress, len(records), "judged") as progress,
    ):
        judgments = rater.judge(records, progress=progress)
    groups = group(records, [judgment.score for judgment in judgments])
    best = [pair for pair in (one.best(n) for one in groups) if pair is not None]
    if not best:
        raise DataError("no answer has a score.", path=candidates)
    rows = [
        {"dataset": r.category, "instruction": r.instruction, "output": r.response}
        | {"generator": options.name}
        for r, _ in best
    ]
    write_json(output, rows)
    return BestOf(
        len(groups),
        len(records),
        n,
        len(best),
        sum(score for _, score in best) / len(best),
        [f"{judgment.id}: {judgment.error}" for judgment in judgments if judgment.error],
        curve(groups, n).rows,
        printable(output),
    )
