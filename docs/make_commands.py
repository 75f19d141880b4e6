"""Make docs/commands.md of the command line's parser: python docs/make_commands.py."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from selfj_eval.cli import GROUPS, parser_of

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """# Every command with its options

Every command of `selfj` is here, with the text of its `--help`. All have the same
[exit statuses](scoring.md#what-is-not-judged). In Python, an option is a keyword argument of the
same name, with underscores for dashes: [api.md](api.md).

The page is made from the command line's parser by `python docs/make_commands.py`.
"""
_PASSED_ON = [
    "### selfj lm-eval",
    "",
    "Runs `lm_eval` with the tasks `selfj_*` and `--model selfj`. All arguments are lm_eval's own, "
    "`--help` included: [lm-eval.md](lm-eval.md).",
]


def render() -> str:
    """The page."""
    lines = [_HEAD]
    for title, commands in GROUPS.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        lines += ["| command | what it does |", "| --- | --- |"]
        lines += [
            f"| [`selfj {name}`](#selfj-{name}) | {text} |" for name, text in commands.items()
        ]
        for name in commands:
            parser = parser_of([name]).commands.choices[name]
            lines += ["", *(_PASSED_ON if name == "lm-eval" else _command(parser, level=3))]
    return "\n".join(lines) + "\n"


def _subcommands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [parser for group in groups for parser in group.choices.values()]


def _command(parser: argparse.ArgumentParser, level: int) -> list[str]:
    lines = [f"{'#' * level} {parser.prog}", "", str(parser.description), ""]
    within = _subcommands(parser)
    actions = [a for a in parser._actions if a.help != argparse.SUPPRESS and a.dest != "help"]
    given = [a for a in actions if not (a.option_strings or within)]
    actions.sort(key=lambda action: bool(action.option_strings))
    places = " ".join(map(_place, given)) or ("COMMAND" if within else "")
    lines += ["```text", " ".join(filter(None, (parser.prog, places, "[OPTIONS]"))), "```", ""]
    if not within and actions:
        lines += ["| argument | meaning |", "| --- | --- |"]
        lines += [f"| {_argument(action)} | {_meaning(action)} |" for action in actions]
        lines.append("")
    if parser.epilog:
        lines += ["```text", parser.epilog.rstrip(), "```", ""]
    for own in within:
        lines += _command(own, level + 1)
    return lines


def _place(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"+": f"{name}...", "*": f"[{name}...]", "?": f"[{name}]"}.get(str(action.nargs), name)


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_place(action)}`"
    choices = ",".join(map(str, action.choices or ()))
    value = f" {{{choices}}}" if choices else f" {action.metavar or action.dest.upper()}"
    value = "" if action.nargs == 0 else value
    if isinstance(action.nargs, int) and action.nargs > 1:
        value *= action.nargs
    more = "..." if action.nargs == "+" else ""
    return ", ".join(f"`{flag}{value}{more}`" for flag in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    """Its help, with nothing in it that Markdown would take for a mark."""
    text = (action.help or "").replace("%%", "%")
    text = re.sub(r"([<*_|])", r"\\\1", text)
    return f"{text} **Required.**" if action.option_strings and action.required else text


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
