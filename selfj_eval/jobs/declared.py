"""An option as its class declares it, and the check of its value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from selfj_eval.errors import DataError

LARGEST = 2**53  # beyond what any count or seed is; libraries fail at 2**63


class OptionError(DataError):
    """An option whose value makes no sense.

    Args:
        name: The option's.
        expected: What it must be, and what it is.
    """

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"`{name}` {expected}")
        self.name, self.expected = name, expected


class Declared(NamedTuple):
    """An option as its class declares it.

    Attributes:
        name: Python's name of it.
        kinds: Types of its value, without None; of a list and of a mapping, of what it holds.
        shape: ``one``, ``several`` (a list), or ``mapping`` (names with values).
        length: How many values a list holds, None where any number will do.
        optional: Whether it may be None.
        default: Its default, or ``MISSING``.
        help: What it does.
        choices: The texts it may be, if only some.
        low, high: Ends of its range, None where it has none.
        placeholder: What stands for its value in help texts.
        group: The class that declares it.
    """

    name: str
    kinds: tuple[Any, ...]
    shape: str
    length: int | None
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    placeholder: str | None
    group: type[Any]

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


def checked(value: Any, option: Declared) -> Any:
    """The value of an option: lists as tuples, mappings copied, numpy's numbers as Python's.

    A path is taken for its text where the option is a text.

    Raises:
        OptionError: If it is of the wrong type, or out of range.
    """
    if value is None and option.optional:
        return None
    if option.shape == "several":
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise OptionError(option.name, f"must be a list, got {value!r:.60}.")
        if option.length is not None and len(value) != option.length:
            raise OptionError(option.name, f"must have {option.length} values, got {len(value)}.")
        return tuple(_checked_one(item, option) for item in value)
    if option.shape == "mapping":
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise OptionError(option.name, f"must be names with their values, got {value!r:.60}.")
        return {key: _checked_one(item, option) for key, item in value.items()}
    return _checked_one(value, option)


_CALLED = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_CALLED_AS = {Path: "a path", tuple: "a list"}


def _called(kind: Any) -> str:
    return _CALLED.get(kind) or _CALLED_AS.get(get_origin(kind) or kind, "a loaded object")


def _checked_one(value: Any, option: Declared) -> Any:
    kinds = option.kinds
    if Any in kinds:
        return value

    def fail(expected: str) -> OptionError:
        return OptionError(option.name, f"must be {expected}, got {value!r:.60}.")

    called = " or ".join(dict.fromkeys(_called(kind) for kind in kinds))
    if hasattr(value, "item") and not isinstance(value, str):  # numpy's numbers
        value = value.item()
    if isinstance(value, Path) and str in kinds and Path not in kinds:
        value = str(value)  # a model's folder, say
    as_number = int if str in kinds else int | str  # what may be a text stays one
    if float in kinds and isinstance(value, as_number) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML 1.1 takes 3e-4 for text
        except (ValueError, OverflowError):
            raise fail(called) from None
    if isinstance(value, bool) and bool not in kinds:
        raise fail(called)
    types_of = tuple(get_origin(kind) or kind for kind in kinds)
    if isinstance(value, list) and tuple in types_of:  # one or several
        value = tuple(value)
    if not isinstance(value, types_of):
        raise fail(called)
    if isinstance(value, float) and not math.isfinite(value):
        raise fail("a finite number")
    if option.choices and value not in option.choices:
        raise fail(f"one of {', '.join(option.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_range(value, option)
    return value


def _check_range(value: float, option: Declared) -> None:
    low, high = option.low, option.high
    if isinstance(value, int):
        high = LARGEST if high is None else high
    if (low is None or value >= low) and (high is None or value <= high):
        return
    if low is not None and option.high is not None:
        expected = f"must lie between {_shown(low)} and {_shown(option.high)}"
    elif low is not None and value < low:
        expected = f"must be at least {_shown(low)}"
    else:
        expected = f"must be at most {high:,}"
    raise OptionError(option.name, f"{expected}, got {value:,}.")


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,g}"
