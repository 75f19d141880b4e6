"""Generation and best-of-n as jobs, until their packages have them: to be deleted then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import printable
from selfj_eval.judging.options import ModelOptions
from selfj_eval.options import PathLike, option
from selfj_eval.progress import Watch, steps
from selfj_eval.results import Result

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
