"""What comes of a training: its numbers, and the notes that stand beside the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

from selfj_eval.jobs.results import Result, plain

JsonValue = Any
"""What JSON holds."""


@dataclass(frozen=True)
class DataFile:
    """A file of the data.

    Attributes:
        name: Its path, as given.
        sha256: Of its content.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class Parameters:
    """How many numbers a model has.

    Attributes:
        trained: Those that the training may change.
        all: All of them.
    """

    trained: int
    all: int


@dataclass(frozen=True)
class LongPrompt:
    """A prompt that lost some of its text.

    Attributes:
        where: File and line.
        tokens: How many it lost.
    """

    where: str
    tokens: int


@dataclass(frozen=True)
class PairCounts:
    """Counts of a part of a judge's data.

    Attributes:
        pairs: Answers.
        with_reference: Those with a reference.
        labels: How many answers have the labels 0, 1, ..., 9.
        prompts: All prompts, at most two per answer.
        trimmed: Those that were too long.
        trimmed_tokens: What these lost in all.
        longest: The prompts that lost most.
        seen_instructions: Validation answers to instructions of the training data; None of the
            training data.
    """

    pairs: int
    with_reference: int
    labels: Sequence[int]
    prompts: int
    trimmed: int
    trimmed_tokens: int
    longest: Sequence[LongPrompt]
    seen_instructions: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        found = {name: plain(value) for name, value in vars(self).items()}
        if self.seen_instructions is None:
            del found["seen_instructions"]
        return found

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(**{**notes, "longest": [LongPrompt(**one) for one in notes["longest"]]})


@dataclass(frozen=True)
class RowCounts:
    """Counts of a part of the data of instruction tuning.

    Attributes:
        rows: All rows.
        used: Those that fit.
        too_long: Those that do not.
        tokens: Of the used rows.
        answer_tokens: Those of them that have labels.
    """

    rows: int
    used: int
    too_long: int
    tokens: int
    answer_tokens: int

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> Self:
        """From JSON's types."""
        return cls(**notes)


class Agreement(NamedTuple):
    """How well a judge's scores agree with the labels of the validation file.

    Attributes:
        pearson, spearman: Correlations in [-1, 1], None where they are not defined.
        mae: Mean absolute error in points, None without a validation file.
    """

    pearson: float | None
    spearman: float | None
    mae: float | None


@dataclass(frozen=True)
class TrainingRun(Result):
    """What came of a training: ``training.json`` in the model's folder, typed.

    Attributes:
        kind: ``judge`` or ``sft``.
        config: The settings by name.
        files: The data by the setting that names it.
        command: The command line, or None where a program called the library.
        made: When it was started.
        versions: Of the packages that decide the result.
        data: Counts by part, ``train`` and ``validation``.
        parameters: Of the model.
        metrics: Of the validation file at the end, by name; empty without one.
        loss: Mean over the logged steps.
        steps: Of the optimizer.
        history: All lines of the log.
        decides: What a training must have in common with this one to be the same.
        seconds: Since the last start.
        base_fingerprint: Hash of the base's weights and configuration.
        output: The folder of the model.
        main_process: Whether this is the process that has written the model; of several that
            train together one is.
    """

    kind: str
    config: Mapping[str, JsonValue]
    files: Mapping[str, DataFile]
    command: str | None
    made: str
    versions: Mapping[str, str]
    data: Mapping[str, Any]
    parameters: Parameters
    metrics: Mapping[str, float]
    loss: float
    steps: int
    history: Sequence[Mapping[str, float]] = field(repr=False)
    decides: Mapping[str, JsonValue] = field(repr=False)
    seconds: float
    base_fingerprint: str
    output: str
    main_process: bool = True

    trained: ClassVar[str]
    """Its ``kind``."""
    counts: ClassVar[type[PairCounts] | type[RowCounts]]
    """What ``data`` holds."""

    def notes(self) -> dict[str, Any]:
        """What stands in ``training.json``."""
        found = {name: plain(value) for name, value in vars(self).items()}
        del found["output"], found["main_process"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The notes without the history."""
        found = self.notes()
        del found["history"]
        return found

    @classmethod
    def of(cls, notes: Mapping[str, Any], *, output: str, main_process: bool) -> Self:
        """What ``notes`` gave.

        Args:
            notes: The content of ``training.json``.
            output: Where the model is now.
            main_process: As for the class.

        Raises:
            LookupError, TypeError, AttributeError: If it is none.
        """
        typed = {
            "files": {name: DataFile(**file) for name, file in notes["files"].items()},
            "data": {part: cls.counts.of(found) for part, found in notes["data"].items()},
            "parameters": Parameters(**notes["parameters"]),
        }
        return cls(**{**notes, **typed, "output": output, "main_process": main_process})

    def rows(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [dict(line) for line in self.history]


@dataclass(frozen=True)
class JudgeRun(TrainingRun):
    """What came of training a judge."""

    data: Mapping[str, PairCounts]

    trained, counts = "judge", PairCounts

    def agreement(self, side: str) -> Agreement:
        """Agreement with the validation file: ``teacher`` with references, ``student`` without."""
        return Agreement(*(self.metrics.get(f"{side}_{kind}") for kind in Agreement._fields))

    def __str__(self) -> str:
        lines = [
            f"{self.output}: {self.steps:,} steps in {self.seconds:,.0f} s",
            f"  trained       {self.parameters.trained:,} of {self.parameters.all:,} parameters; "
            f"mean loss {self.loss:.3f}",
        ]
        lines += [
            f"  {name:<13} {part.pairs:,} answers, {part.with_reference:,} with "
            f"reference; {part.trimmed:,} of {part.prompts:,} prompts trimmed"
            for name, part in self.data.items()
        ]
        for side, prompt in (("teacher", "with reference"), ("student", "without")):
            numbers = _numbers(self.agreement(side)._asdict().items())
            if numbers:
                lines.append(f"  {prompt:<15} {numbers}")
        return "\n".join(lines)


@dataclass(frozen=True)
class SftRun(TrainingRun):
    """What came of instruction tuning."""

    data: Mapping[str, RowCounts]

    trained, counts = "sft", RowCounts

    def __str__(self) -> str:
        lines = [
            f"{self.output}: {self.steps:,} steps, {self.seconds:,.0f} s, loss {self.loss:.3f}"
        ]
        lines += [
            f"  {name:<11} {part.used:,} of {part.rows:,} rows used, {part.too_long:,} too long"
            for name, part in self.data.items()
        ]
        if "loss" in self.metrics:
            lines.append(f"  validation  loss {self.metrics['loss']:.3f}")
        return "\n".join(lines)


def _numbers(found: Iterable[tuple[str, float | None]]) -> str:
    return "  ".join(f"{kind} {value:.3f}" for kind, value in found if value is not None)
