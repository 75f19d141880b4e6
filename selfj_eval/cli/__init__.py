"""The ``selfj`` command: each subcommand parses, calls the package, prints."""

from __future__ import annotations

import sys

from selfj_eval import __version__
from selfj_eval.cli.guard import guarded
from selfj_eval.jobs.garbage import search_seldom

TYPE_CHECKING = False  # as in selfj_eval/__init__.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

# Each subcommand with what the list says of it; the module of its name has add_parser(subparsers).
GROUPS = {
    "judge answers": {
        "score": "judge the answers in a file",
        "prefer": "say which of two answers is better, asked in both orders",
        "generate": "have a model answer instructions",
        "best-of": "keep the best of several answers to each instruction",
        "serve": "serve a judge over HTTP: judgments, and decisions by a policy",
    },
    "measure a judge or a model": {
        "eval": "how well scores agree with ratings, and how to use them",
        "compare": "the difference between two judges, or between answering models, with intervals",
        "report": "write an HTML page with figures about one or more judges",
        "worst": "list the answers with the lowest scores",
        "view": "search, sort and read scored answers on a page in the browser",
        "bench": "the correlation table: how well raters agree with ratings, model by model",
        "leaderboard": "collect the results of judges in one table",
    },
    "decide": {
        "plan": "choose which answers to rate",
        "rate": "rate answers in the browser, without knowing score or model",
        "estimate": "mean rating, share of good answers or difference of models, from few ratings",
        "select": "choose a score threshold with a guarantee, or apply one",
        "audit": "whether a policy's promise still holds on newly rated answers",
        "check": "check scores against requirements in a pipeline, such as a mean score",
    },
    "train": {
        "label": "label answers as training data for a judge",
        "train": "train a judge, or instruction-tune a model",
        "merge": "merge a LoRA adapter into its base model",
        "collect": "make the collection of instructions that judges are trained on",
    },
    "data, installation and other programs": {
        "data": "get public data sets of ratings and preferences, list and verify them",
        "ladder": "write the embedded benchmark, the quality ladder, to a file",
        "path": "print the folder of the demo judge or of the lm-eval tasks",
        "doctor": "check what is installed and what works",
        "completion": "print a script that completes commands and options in your shell",
        "lm-eval": "run lm_eval with the selfj tasks and --model selfj",
        "alpaca": "AlpacaEval with a local judge: annotator, win rates, ranking, the paper's table",
        "export": "write a result as .eval_results (hub) or Every Eval Ever",
        "push": "send a scores file or a judge's folder to the model hub",
    },
}


_TRY = """try it:
  selfj ladder --output ladder.jsonl
  selfj score ladder.jsonl --judge demo
  selfj eval scores_ladder.jsonl

`selfj COMMAND --help` explains a command, with examples."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit status: 0 when everything was done, 1 when something was left (such as unscored
        records), 2 for wrong usage or input, 70 for a fault of this program, 128 and the signal's
        number when it was stopped: 130 for Ctrl-C, 143 for SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):  # an id that the terminal cannot show is no failure
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    search_seldom()
    return guarded(lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def _run(arguments: list[str]) -> int:
    # Within the guard: these take a tenth of a second.
    import shlex

    from selfj_eval.cli.flags import as_flags
    from selfj_eval.cli.log import logged
    from selfj_eval.errors import SelfJError, printable
    from selfj_eval.jobs.provenance import command
    from selfj_eval.jobs.terminal import say

    if arguments[:1] == ["lm-eval"]:  # its arguments, --help included, are lm_eval's own
        from selfj_eval.cli.lm_eval import run

        return run(arguments[1:])
    options = _parsed(arguments)
    before = command.set(printable(shlex.join(["selfj", *arguments])))
    try:
        with logged():
            return int(options.run(options))
    except SelfJError as error:
        text = as_flags(str(error), getattr(options, "command_parser", None))
        say(f"selfj: error: {text}", file=sys.stderr)
        return 2
    finally:
        command.reset(before)


def _parsed(arguments: list[str]) -> Any:
    """The command line; only the module of its command is imported."""
    commands = all_commands()
    if arguments[:1] and arguments[0] in commands:
        return parser_of(arguments[:1]).parse_args(arguments)
    parser = parser_of([])
    if not arguments:
        parser.print_help()
        parser.exit()
    for name in commands:
        parser.commands.add_parser(name, add_help=False)
    parser.parse_args(arguments)
    parser.error("name the command first: selfj COMMAND ...")


def all_commands() -> list[str]:
    """The names of the commands."""
    return [name for group in GROUPS.values() for name in group]


def parser_of(commands: Iterable[str]) -> Any:
    """The parser of ``selfj`` with some of its commands, whose modules are imported."""
    import argparse
    import importlib

    from selfj_eval.cli.parser import Parser

    width = max(map(len, all_commands()))
    listed = (
        "\n".join([f"{title}:", *(f"  {name:{width}}  {text}" for name, text in group.items())])
        for title, group in GROUPS.items()
    )
    parser = Parser(
        prog="selfj",
        description="Judge language-model answers with Self-J (arXiv 2409.00935).",
        epilog="\n\n".join([*listed, _TRY]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"selfj-eval {__version__}")
    parser.commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help="one of those below"
    )
    for name in commands:
        if name == "lm-eval":  # its options are lm_eval's own
            parser.commands.add_parser(name, help="lm_eval with --model selfj", add_help=False)
            continue
        module = importlib.import_module(f"selfj_eval.cli.{name.replace('-', '_')}")
        module.add_parser(parser.commands)
    return parser
