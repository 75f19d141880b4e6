"""Options of a job: declared once, as fields of a frozen dataclass.

Python's keyword arguments, the command line's flags, YAML files, lm-eval's model arguments and
AlpacaEval's configuration are all made of such a class. A message names an option in backquotes,
as Python's callers know it; the command line shows its flag there.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from selfj_eval.errors import DataError
from selfj_eval.files.documents import read_yaml
from selfj_eval.jobs.declared import Declared as Declared
from selfj_eval.jobs.declared import OptionError as OptionError
from selfj_eval.jobs.declared import checked

PathLike: TypeAlias = str | Path

_LEAST_SHARE = 1e-9  # beyond, what is computed of it has no digits left

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
O = TypeVar("O", bound="Options")  # noqa: E741


def option(
    default: Any = MISSING,
    help: str = "",
    choices: Sequence[str] = (),
    *,
    low: float | None = None,
    high: float | None = None,
    placeholder: str | None = None,
    internal: bool = False,
) -> Any:
    """A field of a class of options.

    Args:
        default: Its default; without, the option must be given. A mapping is copied.
        help: What it does, for help texts.
        choices: The texts it may be, if only some.
        low, high: Ends of its range, both included.
        placeholder: What stands for its value in help texts, such as FILE.
        internal: For Python alone, and not checked: no flag, not in files.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "low": low,
        "high": high,
        "placeholder": placeholder,
        "internal": internal,
    }
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def like(options: type[Options], name: str) -> Any:
    """A field that is the same as another class's, where the class itself is no base."""
    (each,) = (f for f in _fields(options) if f.name == name)
    return field(default=each.default, metadata=each.metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all classes of options: checks every field when it is made.

    Raises:
        OptionError: Naming the option whose value makes no sense.
    """

    group_title: ClassVar[str] = "options"
    """What its options are called together in help texts."""

    def __post_init__(self) -> None:
        for each in self.declared():
            object.__setattr__(self, each.name, checked(getattr(self, each.name), each))
        self.check()

    def check(self) -> None:
        """Refuse what does not go together; subclasses say what."""

    def need(self, holds: object, name: str, expected: str) -> None:
        """Refuse an option unless what it needs holds.

        Raises:
            OptionError: If it does not.
        """
        if not holds:
            raise OptionError(name, f"{expected}, got {getattr(self, name)!r}.")

    def need_share(self, name: str) -> None:
        """Refuse an option that must lie between 0 and 1, both excluded, where it is given.

        Raises:
            OptionError: If it does not.
        """
        value = getattr(self, name)
        holds = value is None or _LEAST_SHARE <= value <= 1 - _LEAST_SHARE
        self.need(holds, name, "must be above 0 and below 1 (for 20 % give 0.2)")

    @classmethod
    def declared(cls) -> tuple[Declared, ...]:
        """Its options, without those that are internal."""
        return _declared(cls)

    @classmethod
    def of(
        cls,
        values: Mapping[str, Any],
        *,
        path: PathLike | None = None,
        place: str | None = None,
        **internal: Any,
    ) -> Self:
        """Options from names and values, such as those of a file.

        Args:
            values: By name.
            path, place: Where they stand, for errors.
            **internal: Internal options.

        Raises:
            DataError: Naming the option that is unknown, missing or wrong.
        """
        known = {each.name: each for each in cls.declared()}
        shown = None if path is None else os.fspath(path)
        for name in values:
            if name not in known:
                close = get_close_matches(str(name), known, 1)
                hint = f" Did you mean {close[0]}?" if close else ""
                there = f"There are: {', '.join(known)}." if known else "There are none."
                message = f"no such option.{hint} {there}"
                raise DataError(message, path=shown, place=place, field=str(name))
        for name, each in known.items():
            if each.required and name not in values:
                raise DataError(f"`{name}` is missing; give it.", path=shown, place=place)
        try:
            return cls(**values, **internal)
        except OptionError as error:
            if path is None:
                raise
            raise DataError(error.expected, path=shown, place=place, field=error.name) from error

    @classmethod
    def load(cls, path: PathLike | None, given: Mapping[str, Any]) -> Self:
        """Options from a YAML file and from what else is given, which wins.

        Raises:
            DataError: Naming the file and the option, if the file cannot be read or an option is
                unknown, missing, or wrong.
        """
        values: Any = {} if path is None else read_yaml(path) or {}
        if not isinstance(values, dict):
            raise DataError("expected options, one 'name: value' per line.", path=str(path))
        known = {each.name for each in cls.declared()}
        needed = [each.name for each in cls.declared() if each.required]
        missing = [name for name in needed if name not in values and name not in given]
        if path is not None and missing and known.issuperset(values):
            message = f"`{missing[0]}` is missing; write it there, or give it."
            raise DataError(message, path=str(path))
        wrong_in_file = {n: v for n, v in values.items() if n not in given or n not in known}
        try:
            return cls.of({**values, **given})
        except DataError as error:
            name = error.name if isinstance(error, OptionError) else error.field
            if path is None or name not in wrong_in_file:
                raise
            text = error.expected if isinstance(error, OptionError) else error.message
            raise DataError(text, path=str(path), field=name) from error

    def changed(self) -> list[str]:
        """Names of the options that are not at their default."""
        return [each.name for each in self.declared() if getattr(self, each.name) != each.default]

    def with_values(self, **values: Any) -> Self:
        """The same options, some of them with other values."""
        return replace(self, **values)

    def part(self, cls: type[O]) -> O:
        """The options of another class whose options are all among these."""
        return cls(**{each.name: getattr(self, each.name) for each in fields(cls)})


_KNOWN: dict[type[Any], tuple[Declared, ...]] = {}


def _declared(cls: type[Options]) -> tuple[Declared, ...]:
    if cls not in _KNOWN:
        _KNOWN[cls] = tuple(_declarations(cls))
    return _KNOWN[cls]


def _declarations(cls: type[Options]) -> Iterator[Declared]:
    hints = get_type_hints(cls)
    for each in _fields(cls):
        if each.metadata and not each.metadata["internal"]:
            yield _declaration(each, hints[each.name], cls)


def _fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    return fields(cls)


def _declaration(each: Field[Any], kind: Any, cls: type[Options]) -> Declared:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    optional, kinds = type(None) in kinds, tuple(k for k in kinds if k is not type(None))
    shapes = {tuple: "several", Sequence: "several", dict: "mapping"}
    shape = shapes.get(get_origin(kinds[0]), "one")
    length = None
    if get_origin(kinds[0]) is tuple and Ellipsis not in get_args(kinds[0]):
        length = len(get_args(kinds[0]))
    if shape != "one":
        held = get_args(kinds[0])[0 if shape == "several" else 1]
        kinds = get_args(held) if get_origin(held) in (Union, types.UnionType) else (held,)
    default = each.default if each.default_factory is MISSING else each.default_factory()
    declaring = [c for c in cls.__mro__ if each.name in inspect.get_annotations(c)]
    facts = {
        name: each.metadata[name] for name in ("help", "choices", "low", "high", "placeholder")
    }
    return Declared(
        each.name, kinds, shape, length, optional, default, group=declaring[-1], **facts
    )


@overload
def keywords(job: Callable[[O], R], options: Callable[P, O]) -> Callable[P, R]: ...
@overload
def keywords(
    job: Callable[[A, O], R], options: Callable[P, O]
) -> Callable[Concatenate[A, P], R]: ...
@overload
def keywords(
    job: Callable[[A, B, O], R], options: Callable[P, O]
) -> Callable[Concatenate[A, B, P], R]: ...
def keywords(job: Any, options: Any) -> Any:
    """A job that takes its options as keyword arguments.

    Args:
        job: A function whose last argument are its options.
        options: Their class.

    Returns:
        A function with the other arguments of the job, by position, and the options by keyword.
    """
    given = list(inspect.signature(job).parameters.values())[:-1]
    named = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in given]
    defaults = {each.name: each.default for each in options.declared() if not each.required}
    keyword = [
        p.replace(default=defaults.get(p.name, p.default))
        for p in inspect.signature(options).parameters.values()
    ]
    keyword.sort(key=lambda p: p.default is not p.empty)  # what must be given comes first
    signature = inspect.Signature(
        [*named, *keyword], return_annotation=inspect.signature(job).return_annotation
    )
    name = job.__name__.rpartition("_")[0] or job.__name__

    @functools.wraps(job)
    def call(*args: Any, **values: Any) -> Any:
        known = [p.name for p in keyword]
        for word in values:
            if word not in known and word not in {p.name for p in named}:
                close = get_close_matches(word, known, 1)
                hint = f". Did you mean {close[0]!r}?" if close else ""
                raise TypeError(f"{name}() got an unexpected keyword argument {word!r}{hint}")
        try:
            bound = signature.bind(*args, **values)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}; options are given by their names") from None
        return job(
            *(bound.arguments.get(p.name, p.default) for p in named),
            options(**{k: v for k, v in bound.arguments.items() if k in known}),
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{inspect.getdoc(job)}\n\nKeyword arguments:\n{_described(options)}"
    made: Any = call
    made.__signature__ = signature
    del made.__wrapped__
    return made


def _described(options: type[Options]) -> str:
    lines = []
    for each in options.declared():
        said = each.required or each.default is None or "default:" in each.help
        default = "" if said else f" Default: {each.default!r}."
        choices = f" One of {', '.join(each.choices)}." if each.choices else ""
        lines.append(f"    {each.name}: {each.help[:1].upper()}{each.help[1:]}.{choices}{default}")
    if any(each.name == "progress" for each in fields(options)):
        lines.append(
            "    progress: True shows a bar on stderr; a function is called with each ``Step``."
        )
    return "\n".join(lines)
