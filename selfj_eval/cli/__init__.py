"""The ``selfj`` command: each subcommand parses, calls the package, prints."""

from __future__ import annotations

import sys

from selfj_eval import __version__
from selfj_eval.cli.guard import guarded

TYPE_CHECKING = False  # as in selfj_eval/__init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence

# Name of the subcommand, and the module that has add_parser(subparsers).
_COMMANDS = (
    "score",
    "generate",
    "best_of",
    "label",
    "merge",
    "eval",
    "report",
    "select",
    "compare",
    "bench",
    "data",
    "ladder",
    "path",
    "doctor",
    "lm_eval",
    "leaderboard",
    "alpaca",
    "train",
    "collect",
)


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
    return guarded(lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def _run(arguments: list[str]) -> int:
    # Within the guard: these take a tenth of a second.
    import importlib
    import shlex

    from selfj_eval.cli.flags import as_flags
    from selfj_eval.cli.log import logged
    from selfj_eval.cli.parser import Parser
    from selfj_eval.errors import SelfJError, printable
    from selfj_eval.jobs.provenance import command
    from selfj_eval.jobs.terminal import say

    if arguments[:1] == ["lm-eval"]:  # its arguments, --help included, are lm_eval's own
        from selfj_eval.cli.lm_eval import run

        return run(arguments[1:])
    parser = Parser(
        prog="selfj",
        description="Judge language-model answers with Self-J (arXiv 2409.00935).",
        epilog="Try it: selfj ladder --output ladder.jsonl && "
        "selfj score ladder.jsonl --judge demo",
    )
    parser.add_argument("--version", action="version", version=f"selfj-eval {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = [n for n in _COMMANDS if arguments[:1] == [n.replace("_", "-")]]
    for name in named or _COMMANDS:  # the one that is meant spares the others' imports
        importlib.import_module(f"selfj_eval.cli.{name}").add_parser(subparsers)
    options = parser.parse_args(arguments)
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
