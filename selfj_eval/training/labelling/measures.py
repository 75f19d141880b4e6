"""What labelling has models do: answer, evaluate, embed; resumably."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.instructions import Instruction
from selfj_eval.generation.open_generator import open_generator
from selfj_eval.generation.options import Sampling
from selfj_eval.jobs.progress import steps
from selfj_eval.raters.judge import Judge
from selfj_eval.records.record import Record
from selfj_eval.storage.store import AnswerStore, JudgmentStore
from selfj_eval.training.labelling.labelled_files import given_ratings, reason_unlabelled
from selfj_eval.training.settings import LabelOptions


@dataclass(frozen=True)
class GeneratorUsed:
    """The model that answered, and how.

    Attributes:
        model, revision, adapter, engine, prompt, sampling: As they were given.
        identity: What decides the answers.
        answers, cut: Counts of all answers, and of those that had not ended.
        from_store: How many were known before.
    """

    model: str
    revision: str | None
    adapter: str | None
    engine: str
    prompt: str
    sampling: Sampling
    identity: Mapping[str, str]
    answers: int
    cut: int
    from_store: int


@dataclass(frozen=True)
class JudgeUsed:
    """The model that evaluated, and how.

    Attributes:
        model, adapter, revision: As they were given.
        max_tokens: Longest prompt.
        identity: What decides the judgments.
        unscored, trimmed: Counts of answers.
        mean_digit_mass: Of the scored answers, in [0, 1].
        from_store: How many judgments were already in the store.
    """

    model: str
    adapter: str | None
    revision: str | None
    max_tokens: int
    identity: Mapping[str, str]
    unscored: int
    trimmed: int
    mean_digit_mass: float
    from_store: int


@dataclass(frozen=True)
class EmbedderUsed:
    """The model that compared answers with references.

    Attributes:
        model: As it was given.
        max_tokens: Longest text that it sees whole, None without a limit.
        identity: Hash of its weights and configuration.
        texts, cut: Counts of different texts, and of those that were too long.
    """

    model: str
    max_tokens: int | None
    identity: str
    texts: int
    cut: int


@dataclass(slots=True)
class Measured:
    """Answers with their measures.

    Attributes:
        records: The answers that can be labelled.
        measures: By name, each of shape (n,), finite.
        left_out: Id and reason of every other answer, and of instructions without answer.
        generator, judge, embedder: The models that were used.
    """

    records: list[Record] = field(default_factory=list)
    measures: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    generator: GeneratorUsed | None = None
    judge: JudgeUsed | None = None
    embedder: EmbedderUsed | None = None

    def keep(self, reason: Callable[[Record], str | None]) -> None:
        """Skip the answers for which there is a reason, which is kept."""
        why = [reason(record) for record in self.records]
        rows = list(zip(self.records, why, strict=True))
        self.left_out += [(record.id, text) for record, text in rows if text]
        self.records = [record for record, text in rows if not text]

    def measured_by(self) -> dict[str, Mapping[str, str] | str]:
        """What made z1 and z2, by role."""
        used = {"judge": self.judge, "embedder": self.embedder}
        return {role: one.identity for role, one in used.items() if one is not None}


def measure(
    options: LabelOptions,
    items: Sequence[Record] | Sequence[Instruction],
    names: Sequence[str],
    stores: tuple[Path, Path],
    path: Path | None,
) -> Measured:
    """Have instructions answered, and measure all answers.

    Args:
        options: Which models, and how they run.
        items: Answers or instructions.
        names: The measures: z1, z2, rating.
        stores: Where answers and judgments are kept.
        path: The file that they are from, if they are from one; for errors.

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
        raise DataError(message, path=path)
    if "z2" in names:
        _compare(options, found)
    if "rating" in names:
        found.measures["rating"] = given_ratings(found.records)
    return found


def _answer(
    options: LabelOptions, asked: Sequence[Instruction], file: Path, found: Measured
) -> None:
    model, sampling = str(options.model), options.sampling
    with AnswerStore(file) as store:
        generator = open_generator(model, options)
        with steps(options.progress, len(asked), "answered", "instruction") as progress:
            texts = [item.text for item in asked]
            outcomes = answers_to(generator, texts, sampling, store=store, progress=progress)
    for item, outcome in zip(asked, outcomes, strict=True):
        if outcome.error:
            found.left_out.append((item.id, outcome.error))
        for k, answer in enumerate(outcome.answers):
            own = f"{item.id}-{k}" if sampling.n > 1 else item.id
            record = Record(
                own, item.text, answer.text, item.reference, model=model, category=item.category
            )
            found.records.append(record)
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    found.generator = GeneratorUsed(
        model=model,
        revision=options.revision,
        adapter=options.adapter,
        engine=options.engine,
        prompt=generator.prompt,
        sampling=sampling,
        identity=dict(generator.identity),
        answers=len(answers),
        cut=sum(answer.finish == "length" for answer in answers),
        from_store=sum(len(outcome.answers) for outcome in outcomes if outcome.stored),
    )


def _evaluate(options: LabelOptions, file: Path, found: Measured) -> None:
    """z1: the expected score on 0..1; what is unscored is skipped and counted."""
    model, adapter, revision = str(options.model), options.adapter, options.revision
    if options.judge:
        model, adapter, revision = str(options.judge), None, None
        adapter = None if options.judge_adapter is None else str(options.judge_adapter)
    settings = JudgeOptions(
        adapter=adapter,
        revision=revision,
        dtype=options.dtype,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
        template=options.template,
        max_tokens=options.max_tokens,
        batch_tokens=options.batch_tokens,
    )
    gc.collect()  # the generator, before another copy of its weights is loaded
    with JudgmentStore(file) as store:
        judge = Judge.open(model, settings, store=store)
        with steps(options.progress, len(found.records), "judged") as progress:
            judgments = judge.judge(found.records, progress=progress)
    pairs = zip(found.records, judgments, strict=True)
    errors = {record.id: judgment.error for record, judgment in pairs}
    found.keep(lambda record: errors[record.id])
    scores = [j.score for j in judgments if j.score is not None]
    scored = [j for j in judgments if j.score is not None]
    low, high = judge.template.labels.scale
    found.measures["z1"] = (np.asarray(scores, dtype=np.float64) - low) / (high - low)
    found.judge = JudgeUsed(
        model=model,
        adapter=adapter,
        revision=revision,
        max_tokens=judge.max_tokens,
        identity={**judge.backend.identity, "template": judge.template.name},
        unscored=len(judgments) - len(scored),
        trimmed=sum(j.trimmed_tokens > 0 for j in scored),
        mean_digit_mass=sum(j.digit_mass or 0.0 for j in scored) / max(len(scored), 1),
        from_store=judge.from_store,
    )


def _compare(options: LabelOptions, found: Measured) -> None:
    """z2: the cosine similarity of answer and reference."""
    from selfj_eval.engines.models.embedder import Embedder

    embedder = Embedder(str(options.embedder), device=options.device)
    pairs = [(record.response, record.reference or "") for record in found.records]
    total = len({text for pair in pairs for text in pair})
    with steps(options.progress, total, "embedded", "text") as progress:
        similar = embedder.similarity(pairs, progress=progress)
    found.measures["z2"] = similar.cosine
    found.embedder = EmbedderUsed(
        model=str(options.embedder),
        max_tokens=embedder.max_tokens,
        identity=embedder.identity,
        texts=similar.texts,
        cut=similar.cut,
    )
