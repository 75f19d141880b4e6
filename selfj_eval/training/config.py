"""Settings of a training: a frozen dataclass, read from a YAML file and from flags."""

from __future__ import annotations

import argparse
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from selfj_eval.documents import read_yaml
from selfj_eval.errors import DataError

T = TypeVar("T")
_LARGEST = 2**32 - 1  # the largest seed that numpy takes; no count is that large


def option(default: Any = MISSING, help: str = "", choices: Sequence[str] = ()) -> Any:
    """A field of a settings class.

    Args:
        default: Its default; without, the setting must be given.
        help: What it does, for ``--help``.
        choices: The texts it may be, if only some.
    """
    return field(default=default, metadata={"help": help, "choices": tuple(choices)})


def load_config(cls: type[T], path: str | Path | None, overrides: Mapping[str, Any]) -> T:
    """Settings from a YAML file and from what the command line gave, which wins.

    Raises:
        DataError: Naming the file and the setting, if the file cannot be read or a setting is
            unknown, missing, or of the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = read_yaml(path) or {}
        if not isinstance(values, dict):
            raise DataError("expected settings, one 'name: value' a line.", path=path)
    known = {f.name: f for f in _fields(cls)}
    for name in values:
        if name not in known:
            message = f"no such setting; there are: {', '.join(known)}."
            raise DataError(message, path=path, field=str(name))
    hints = get_type_hints(cls)
    given = {
        name: _checked(value, hints[name], known[name], path if name not in overrides else None)
        for name, value in {**values, **overrides}.items()
    }
    for name, own in known.items():
        if name not in given and own.default is MISSING:
            flag = "--" + name.replace("_", "-")
            raise DataError(f"missing; give it in the YAML file or as {flag}.", field=name)
    return cls(**given)


def add_config_options(parser: argparse.ArgumentParser, cls: type[Any]) -> None:
    """Add ``--config`` and one flag a setting; a flag that is not given changes nothing."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with settings; flags win")
    hints = get_type_hints(cls)
    for own in _fields(cls):
        flag, kind = "--" + own.name.replace("_", "-"), hints[own.name]
        more: dict[str, Any] = {"default": None, "dest": own.name}
        if bool in _kinds(kind):
            more["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) is tuple:
            inner = get_args(kind)[0]
            more |= {"nargs": "+", "type": inner, "metavar": inner.__name__.upper()}
        else:
            more["type"] = next(k for k in _kinds(kind) if k is not type(None))
            more["metavar"] = None if own.metadata["choices"] else more["type"].__name__.upper()
        if own.metadata["choices"]:
            more["choices"] = own.metadata["choices"]
        default = own.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        note = "required" if default is MISSING else f"default: {shown}"
        text = f"{own.metadata['help']} ({note})" if default is not None else own.metadata["help"]
        parser.add_argument(flag, help=text.replace("%", "%%"), **more)


def given(options: argparse.Namespace, cls: type[Any]) -> dict[str, Any]:
    """The settings that the command line gave."""
    values = {own.name: getattr(options, own.name) for own in _fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def _fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    return fields(cls)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _checked(value: Any, kind: Any, own: Field[Any], path: str | Path | None) -> Any:
    def fail(expected: str) -> DataError:
        return DataError(f"expected {expected}, got {value!r}.", path=path, field=own.name)

    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise fail(f"a list of {inner.__name__}")
        return tuple(_checked(item, inner, own, path) for item in value)
    kinds = _kinds(kind)
    if value is None and type(None) in kinds:
        return None
    if float in kinds and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML 1.1 takes 3e-4 for text
        except (ValueError, OverflowError):
            raise fail("a number") from None
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise fail(" or ".join(getattr(k, "__name__", "nothing") for k in kinds))
    if isinstance(value, float) and not math.isfinite(value):
        raise fail("a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise fail(f"at most {_LARGEST:,}")
    if own.metadata["choices"] and value not in own.metadata["choices"]:
        raise fail(f"one of {', '.join(own.metadata['choices'])}")
    return value
