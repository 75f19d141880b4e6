"""What ``selfj label`` has models do: answer, evaluate, embed; resumably."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfj_eval.cli.generating import load_generator
from selfj_eval.cli.judging import load_judge
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.errors import DataError
from selfj_eval.generation import Instruction, generate
from selfj_eval.generation.base import Sampling
from selfj_eval.records import Record
from selfj_eval.store import AnswerStore, JudgmentStore
from selfj_eval.training.labelling import given_ratings, reason_unlabelled


@dataclass(slots=True)
class Measured:
    """Answers with their measures.

    Attributes:
        records: The answers that can be labelled.
        measures: By name, each of shape (n,), finite.
        left_out: Id and reason of every other answer, and of instructions without answer.
        models: How it was done, by the models' roles.
    """

    records: list[Record] = field(default_factory=list)
    measures: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def keep(self, reason: Callable[[Record], str | None]) -> None:
        """Leave out the answers for which there is a reason."""
        why = [reason(record) for record in self.records]
        rows = list(zip(self.records, why, strict=True))
        self.left_out += [(record.id, text) for record, text in rows if text]
        self.records = [record for record, text in rows if not text]


def measure(
    options: argparse.Namespace,
    items: Sequence[Record] | Sequence[Instruction],
    names: Sequence[str],
    stores: tuple[Path, Path],
) -> Measured:
    """Have instructions answered, and measure all answers.

    Args:
        options: The command's.
        items: Answers or instructions.
        names: The measures: z1, z2, rating.
        stores: Where answers and judgments are kept.

    Raises:
        SelfJError: If a model cannot be loaded, or no answer can be labelled.
    """
    found = Measured([item for item in items if isinstance(item, Record)])
    asked = [item for item in items if isinstance(item, Instruction)]
    if asked:
        _answer(options, asked, stores[0], found)
    found.keep(reason_unlabelled)
    if "z1" in names:
        _evaluate(options, stores[1], found)
    if not found.records:
        own, reason = found.left_out[0]
        message = f"no answer can be labelled; the first, {own}: {reason}"
        raise DataError(message, path=options.input)
    if "z2" in names:
        _compare(options, found)
    if "rating" in names:
        found.measures["rating"] = given_ratings(found.records)
    return found


def _answer(
    options: argparse.Namespace, asked: Sequence[Instruction], file: Path, found: Measured
) -> None:
    sampling = Sampling(
        options.n, options.temperature, options.top_p, options.max_new_tokens, options.seed
    )
    with AnswerStore(file) as store:
        generator = load_generator(options, sampling)
        with ProgressLine(len(asked), "answered", "instruction") as progress:
            texts = [item.text for item in asked]
            outcomes = generate(generator, texts, sampling, store=store, progress=progress)
    for item, outcome in zip(asked, outcomes, strict=True):
        if outcome.error:
            found.left_out.append((item.id, outcome.error))
        for k, answer in enumerate(outcome.answers):
            own = f"{item.id}-{k}" if options.n > 1 else item.id
            more = {"model": options.model, "category": item.category}
            found.records.append(Record(own, item.text, answer.text, item.reference, **more))
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    found.models["generator"] = {
        "model": options.model,
        "revision": options.revision,
        "adapter": options.adapter,
        "engine": options.engine,
        "prompt": generator.prompt,
        "sampling": asdict(sampling),
        "identity": dict(generator.identity),
        "answers": len(answers),
        "cut": sum(answer.finish == "length" for answer in answers),
        "from_store": sum(len(outcome.answers) for outcome in outcomes if outcome.stored),
    }


def _evaluate(options: argparse.Namespace, file: Path, found: Measured) -> None:
    """z1: the expected score over 9; what is unscored is left out."""
    own = {"judge": options.model, "adapter": options.adapter, "revision": options.revision}
    other = {"judge": options.judge, "adapter": options.judge_adapter, "revision": None}
    chosen = other if options.judge else own
    gc.collect()  # the generator, before another copy of its weights is loaded
    settings = vars(options) | chosen | {"reference": True, "allow_markers": False}
    settings |= {"engine": "transformers", "engine_arg": []}
    with JudgmentStore(file) as store:
        judge = load_judge(argparse.Namespace(**settings), store)
        kept = store.get(sorted({judge.key(record) for record in found.records}))
        before = sum(judge.key(record) in kept for record in found.records)
        with ProgressLine(len(found.records), "judged") as progress:
            judgments = judge.judge(found.records, progress=progress)
    pairs = zip(found.records, judgments, strict=True)
    errors = {record.id: judgment.error for record, judgment in pairs}
    found.keep(lambda record: errors[record.id])
    scored = [j for j in judgments if j.score is not None]
    found.measures["z1"] = np.asarray([j.score for j in scored], dtype=np.float64) / 9
    found.models["judge"] = {
        **{"model" if name == "judge" else name: value for name, value in chosen.items()},
        "max_tokens": judge.max_tokens,
        "identity": {**judge.backend.identity, "template": judge.template.name},
        "unscored": len(judgments) - len(scored),
        "trimmed": sum(j.trimmed_tokens > 0 for j in scored),
        "mean_digit_mass": sum(j.digit_mass or 0.0 for j in scored) / max(len(scored), 1),
        "from_store": before,
    }


def _compare(options: argparse.Namespace, found: Measured) -> None:
    """z2: the cosine similarity of answer and reference."""
    from selfj_eval.training.similarity import Embedder

    embedder = Embedder(options.embedder, device=options.device)
    pairs = [(record.response, record.reference or "") for record in found.records]
    with ProgressLine(len({text for pair in pairs for text in pair}), "embedded", "text") as line:
        similar = embedder.similarity(pairs, progress=line)
    found.measures["z2"] = similar.cosine
    found.models["embedder"] = {
        "model": options.embedder,
        "max_tokens": embedder.max_tokens,
        "identity": embedder.identity,
        "texts": similar.texts,
        "cut": similar.cut,
    }
