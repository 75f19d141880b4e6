"""Arguments from Python: lists of whatever holds them, arrays of whatever holds numbers.

Lists, tuples, generators, numpy arrays, pandas Series and torch tensors are all taken; what is not
is refused where it comes in, by its name. numpy is loaded at its first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set, Sized
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.ArrayLike | Iterable[Any]
else:
    Numbers = Any
"""What ``numbers``, ``truths`` and ``codes`` take."""

T = TypeVar("T")

_NUMERIC = "fiub"  # numpy's kinds of numbers and of truth values
_MISSING = ("NoneType", "NAType", "NaTType")  # None, and what pandas writes for it


def items(values: Iterable[T], kind: type[T], where: str) -> list[T]:
    """All items of an iterable, which is read once.

    Args:
        values: A list, a generator, an array, a Series, ... in an order of its own.
        kind: What each item must be.
        where: The function that was called, for the error.

    Raises:
        TypeError: If it is no iterable of these.
    """
    wanted = f"{where} takes a list or another iterable of {kind.__name__}"
    alone = isinstance(values, kind) and not isinstance(values, Iterable)
    if alone or isinstance(values, str | bytes):
        raise TypeError(f"{wanted}, got one {type(values).__name__}; put it into a list.")
    if isinstance(values, Mapping):
        raise TypeError(f"{wanted}, got a {type(values).__name__}, which maps keys to values.")
    try:
        iterator = iter(values)
    except TypeError:  # also of an array without a dimension
        raise TypeError(f"{wanted}, got {type(values).__name__}.") from None
    found = list(iterator)
    for at, item in enumerate(found):
        if not isinstance(item, kind):
            raise TypeError(f"{wanted}; item {at} is {_described(item)}.")
    return found


def expect(value: object, kind: type[Any], where: str, source: str) -> None:
    """Refuse an argument of another type.

    Args:
        value: The argument.
        kind: What it must be.
        where: The function that was called.
        source: What gives such a value.

    Raises:
        TypeError: If it is of another type.
    """
    if not isinstance(value, kind):
        raise TypeError(
            f"{where} takes {kind.__name__}, as {source} gives it, got {type(value).__name__}."
        )


def numbers(values: Numbers, name: str) -> npt.NDArray[np.float64]:
    """Numbers of any shape as float64.

    Args:
        values: Numbers or truth values in whatever holds them. Missing ones (None, NaN, pandas'
            NA) become NaN.
        name: Of the argument, for the error.

    Raises:
        TypeError: If something in it is no number; a text with digits is none.
        ValueError: If its rows differ in length.
    """
    import numpy as np

    array = _array(values, name)
    if array.dtype.kind == "O":
        flat = [_number(value, name, at) for at, value in enumerate(array.ravel())]
        array = np.array(flat, dtype=np.float64).reshape(array.shape)
    if array.dtype.kind not in _NUMERIC:
        raise TypeError(f"{name}: expected numbers, got {array.dtype}.")
    return array.astype(np.float64, copy=False)


def truths(values: Numbers, name: str) -> npt.NDArray[np.bool_]:
    """Truth values of any shape. Arguments as for ``numbers``.

    Raises:
        TypeError: As for ``numbers``.
        ValueError: If one is neither true (1) nor false (0), such as a missing one.
    """
    array = numbers(values, name)
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"{name} must hold nothing but true (1) and false (0); leave out records for which it "
            "is missing, and count them"
        )
    return array.astype(bool)


def codes(values: Numbers, name: str, n: int | None = None) -> npt.NDArray[np.int64]:
    """Numbers of groups, 0, 1, ... in the order of what the groups are called.

    Args:
        values: What they are called, one per record: texts or numbers, none missing.
        name: Of the argument, for the error.
        n: Number of records, where it is known.

    Raises:
        TypeError: If texts are mixed with something else.
        ValueError: If the shape is not (n,), or one is missing.
    """
    import numpy as np

    array = _array(values, name)
    if array.ndim != 1 or (n is not None and len(array) != n):
        expected = "(n,)" if n is None else f"({n},)"
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    missing: Any = ()
    if array.dtype.kind not in "iubU":  # of which none stands for nothing
        missing = [at for at, value in enumerate(array.tolist()) if is_missing(value)]
    if missing:
        raise ValueError(f"{name}: item {missing[0]} is missing; leave that record out")
    try:
        found: npt.NDArray[np.int64] = np.unique(array, return_inverse=True)[1]
    except TypeError:
        raise TypeError(f"{name}: expected only texts or only numbers, got both.") from None
    return found


def _array(values: Numbers, name: str) -> npt.NDArray[Any]:
    import numpy as np

    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, str | bytes | Mapping | Set):
        raise TypeError(f"{name}: expected a list or an array, got {type(values).__name__}.")
    if hasattr(values, "detach"):  # a tensor, perhaps of a type or on a device numpy does not know
        return np.asarray(values.detach().cpu().double())
    if isinstance(values, Iterable) and not isinstance(values, Sized):
        values = list(values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: rows of different lengths ({error})") from error


def _number(value: object, name: str, at: int) -> float:
    if type(value).__name__ in _MISSING:
        return float("nan")
    if not isinstance(value, str | bytes):
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name}: expected numbers; item {at} is {_described(value)}.")


def is_missing(value: object) -> bool:
    """Whether a value stands for nothing: None, a NaN, and what pandas writes for it."""
    if isinstance(value, str):  # most values in a file are; the test for a number is slow
        return False
    if isinstance(value, float):
        return value != value
    return type(value).__name__ in _MISSING or (isinstance(value, Real) and value != value)


def _described(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) <= 60 else text[:57] + '...'})"
