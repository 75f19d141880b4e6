"""From options to flags and back: what a class of options declares, as a command line."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from selfj_eval.cli.parser import Parser, whole
from selfj_eval.errors import DataError, brief
from selfj_eval.files.documents import parse_yaml
from selfj_eval.jobs.options import Declared, Options
from selfj_eval.jobs.terminal import say

T = TypeVar("T", bound=Options)

_PLACEHOLDERS = {int: "N", float: "X"}
_WORDS = {"origin": "--from"}  # no name in Python


def add_flags(
    parser: argparse.ArgumentParser,
    cls: type[Options],
    *,
    skip: Collection[str] = (),
    renamed: dict[str, Sequence[str]] | None = None,
    repeated: Collection[str] = (),
    commas: Collection[str] = (),
    required: Collection[str] = (),
    config: bool = False,
) -> None:
    """Add one flag per option; one that is not given changes nothing.

    Args:
        parser: Gets them, in groups by the class that declares them.
        cls: The options.
        skip: Options that are arguments of another kind, or not of this command.
        renamed: Former flags of an option, which go on working for one version, with a note.
        repeated: Lists of which the flag gives one item each time.
        commas: Lists that the flag gives as one text with commas between.
        required: Options that this command needs, though Python's callers may leave them out.
        config: Add ``--config`` for a YAML file: none is required, and each that is true or false
            has a ``--no-`` flag.
    """
    if config:
        parser.add_argument("--config", metavar="FILE", help="YAML options; flags override them")
    groups: dict[type[Options], Any] = {cls: parser}
    former = renamed or {}
    for option in cls.declared():
        if option.name in skip:
            continue
        group = _group(parser, groups, option)
        elsewhere = config or option.name in former  # the options refuse it where all is missing
        settings = _settings(option, both=config, mark=option.required and elsewhere)
        settings["help"] = _with_flags(settings["help"], cls)
        if option.name in (*repeated, *commas):
            settings |= _COMMAS if option.name in commas else {"nargs": None, "action": "append"}
        settings["required"] = option.name in required or (option.required and not elsewhere)
        group.add_argument(flag(option.name, option.shape), dest=option.name, **settings)
        _add_former(parser, option, settings, former.get(option.name, ()))


def _group(
    parser: argparse.ArgumentParser, groups: dict[type[Options], Any], option: Declared
) -> Any:
    """Where the help shows an option: with others of the class that declares it."""
    if option.group not in groups:
        named = option.group.group_title != Options.group_title
        groups[option.group] = (
            parser.add_argument_group(option.group.group_title) if named else parser
        )
    return groups[option.group]


def _with_flags(text: str, cls: type[Options]) -> str:
    flags = {option.name: flag(option.name, option.shape) for option in cls.declared()}
    return re.sub(r"`([a-z][a-z0-9_]*)`", lambda m: flags.get(m[1], m[0]), text)


def _add_former(
    parser: argparse.ArgumentParser,
    option: Declared,
    settings: dict[str, Any],
    names: Sequence[str],
) -> None:
    """Add the flags that an option had before, hidden."""
    for name in names:
        kind = parser._registry_get("action", settings.get("action"), settings.get("action"))
        action = _former(kind, flag(option.name, option.shape))
        more = {"help": argparse.SUPPRESS, "action": action, "required": False}
        parser.add_argument(name, dest=option.name, **settings | more)


def flag(name: str, shape: str = "one") -> str:
    """The flag of an option; one of a mapping gives one name with its value."""
    if name in _WORDS:
        return _WORDS[name]
    name = name.removesuffix("s") if shape == "mapping" else name
    return "--" + name.replace("_", "-")


def options_from(arguments: argparse.Namespace, cls: type[T], **more: Any) -> T:
    """The options that the command line gave.

    Args:
        arguments: The parsed command line.
        cls: The options.
        **more: Internal options.

    Raises:
        OptionError: If one makes no sense.
    """
    return cls.of(given(arguments, cls), **more)


def given(arguments: argparse.Namespace, cls: type[Options]) -> dict[str, Any]:
    """Names and values of the options that the command line gave."""
    values = vars(arguments)
    return {option.name: values[option.name] for option in cls.declared() if option.name in values}


def arguments_of(options: Options) -> list[str]:
    """The flags that give these options; those at their default are skipped."""
    words: list[str] = []
    for option in options.declared():
        value, name = getattr(options, option.name), flag(option.name, option.shape)
        if value == option.default:
            continue
        if option.shape == "mapping":
            words += [word for key, item in value.items() for word in (name, f"{key}={item}")]
        elif isinstance(value, bool):
            words.append(name if value else f"--no-{name[2:]}")
        else:
            words += [name, *map(str, value if option.shape == "several" else [value])]
    return words


def parsed_flags(name: str, text: str, cls: type[Options]) -> dict[str, Any]:
    """Options that are written as on a command line, as the value of a flag.

    Args:
        name: The flag, for errors.
        text: Its value.
        cls: The options; none of them has to be given.

    Raises:
        DataError: If the text is no such line.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DataError(f"{name}={text}: {error}; write it as on a command line.") from error
    parser = Parser(prog=f"{name}=OPTIONS", add_help=False, usage=argparse.SUPPRESS)
    add_flags(parser, cls)
    for action in parser._actions:
        action.required = False
    return given(parser.parse_args(words), cls)


def as_flags(text: str, parser: argparse.ArgumentParser | None) -> str:
    """A message of the library with the command's flags for the options it names."""
    if parser is None:
        return text
    flags = {
        action.dest: action.option_strings[0 if action.nargs == 0 else -1]
        for action in parser._actions
        if action.option_strings and action.help != argparse.SUPPRESS
    }
    return re.sub(r"`([a-z][a-z0-9_]*)`", lambda m: flags.get(m[1], m[0]), text)


def _settings(option: Declared, both: bool, mark: bool) -> dict[str, Any]:
    kind = option.kinds[0]
    text = option.help
    default = option.default
    empty = option.required or default is None or default in ("", (), {})
    if mark:
        text += " (required)"
    elif not (empty or (default is False and not both) or "default" in text):
        shown = {True: "yes", False: "no"}[default] if kind is bool else default
        shown = " ".join(map(str, default)) if option.shape == "several" else shown
        text += f" (default: {shown})"
    settings: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
    if kind is bool:
        on = {"action": "store_true"}
        return settings | (
            {"action": argparse.BooleanOptionalAction} if option.default or both else on
        )
    if option.shape == "mapping":
        settings |= {"action": _Named, "metavar": option.placeholder or "NAME=VALUE"}
        return settings | {"type": _pair(option)}
    if option.shape == "several":
        settings |= {
            "nargs": option.length or "+",
            "action": "store" if option.length else "extend",
        }
    if option.choices:
        settings["choices"] = option.choices
    else:
        settings["metavar"] = option.placeholder or _PLACEHOLDERS.get(kind, option.name.upper())
    return settings | {"type": {int: whole, float: float}.get(kind, str)}


def _between_commas(text: str) -> tuple[str, ...]:
    parts = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part)) or ("",)


_COMMAS = {"nargs": None, "action": "store", "type": _between_commas}


def _former(kind: type[argparse.Action], name: str) -> type[argparse.Action]:
    """The action of a flag that has another name now."""

    def noted(self: Any, parser: Any, namespace: Any, values: Any, given: Any = None) -> None:
        say(f"note: {given} is called {name} now.", file=sys.stderr)
        kind.__call__(self, parser, namespace, values, given)

    return type("Former", (kind,), {"__call__": noted})


class _Named(argparse.Action):
    """A flag that may be repeated and gives one name with its value each time."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = dict(getattr(namespace, self.dest, {}))
        setattr(namespace, self.dest, before | dict([values]))


def _pair(option: Declared) -> Callable[[str], tuple[str, Any]]:
    def read(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not (name and equals and (value or str not in option.kinds)):
            expected = option.placeholder or "NAME=VALUE"
            raise DataError(
                f"{flag(option.name, option.shape)} takes {expected}; got {text!r:.60}."
            )
        return name, value if str in option.kinds else _value(name, value)

    return read


def _value(name: str, text: str) -> Any:
    """A value as YAML reads it: a number, true, null, or text."""
    try:
        value = parse_yaml(text)
    except ValueError as error:
        reason = brief(error).rstrip(".")
        message = f"the value of {name} is not readable YAML ({reason}); put it in quotes."
        raise DataError(message) from error
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d+", text):
        return float(text)  # YAML wants a point in 1e-3
    return value
