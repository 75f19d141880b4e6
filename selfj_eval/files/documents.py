"""One JSON or YAML document in a file: settings that people write, notes that runs have left."""

from __future__ import annotations

import json
import math
import stat
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from selfj_eval.errors import DataError, brief

LARGEST = 50_000_000
"""Bytes of a document; far beyond any that people write or runs leave."""
_VALUES = 1_000_000  # of a YAML document
_LARGEST_FLOAT = 2**1023
_DIGITS = 1000  # of a number; Python itself takes 4,300
_KINDS: dict[type, str] = {str: "a text", float: "a number", bool: "true or false"}
_KINDS |= {dict: "an object", object: "a text or an object"}
_T = TypeVar("_T")


class Document(NamedTuple):
    """A document that a program has left, whose fields are read one by one.

    Attributes:
        path: The file.
        content: What is in it.
    """

    path: Path
    content: Any

    def get(self, kind: type[_T], *names: str) -> _T | None:
        """A field of this kind; None where it, or what it stands in, is missing or NaN.

        Raises:
            DataError: If it is of another kind, naming it.
        """
        value = self.content
        for depth, name in enumerate(names):
            if not isinstance(value, dict):
                self.refuse(dict, value, names[:depth])
            if (value := value.get(name)) is None:
                return None
        if kind is float and type(value) is int and abs(value) < 2**63:
            value = float(value)
        if not isinstance(value, kind) or value in (math.inf, -math.inf):
            self.refuse(kind, value, names)
        return value if value == value else None  # lm-eval writes NaN for what is undefined

    def refuse(self, kind: type, value: object, names: Iterable[str]) -> NoReturn:
        """Raise the ``DataError`` of a field that is not of its kind."""
        message = f"expected {_KINDS[kind]}, got {value!r:.60}; repair the file, or make it again."
        raise DataError(message, path=self.path, field=".".join(names))


def refuse_special(path: Path) -> None:
    """Refuse a pipe, a device or the like: it may never end, and is empty the second time.

    Raises:
        DataError: If the path leads to one.
        OSError: If it leads nowhere.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder says what it is
        message = "is not a regular file; write its content to a file, and name that file."
        raise DataError(message, path=path)


def read_json(path: str | Path) -> Any:
    """The value in a JSON file, strictly: no NaN, no key twice, no number beyond all use.

    Raises:
        DataError: If the file cannot be read or is not such a document.
    """
    text = _text(Path(path))
    try:
        return parse_json(text)
    except ValueError as error:
        raise DataError(f"is not JSON: {brief(error).rstrip('.')}.", path=path) from error


def parse_json(text: str | bytes, *, strict: bool = True) -> Any:
    """The value that a JSON text holds.

    Args:
        text: UTF-8 where it is bytes.
        strict: Refuse NaN, numbers beyond all use and a key that occurs twice, which other
            programs write.

    Raises:
        ValueError: Whatever is wrong with it, also where it is nested too deeply.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=unique_keys if strict else None,
            parse_constant=_no_constant if strict else None,
            parse_int=_int if strict else whole,
            parse_float=_float if strict else None,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(path: str | Path) -> Any:
    """The value in a YAML file: no tags, no key twice, no aliases that expand to much.

    Raises:
        DataError: If the file cannot be read or is not such a document.
    """
    import yaml

    text = _text(Path(path))
    try:
        loader = _yaml_loader()(text)
        node = loader.get_single_node()
        if _expanded(node, {}) > _VALUES:
            raise DataError(f"expands to more than {_VALUES:,} values by its aliases.", path=path)
        return None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise DataError("is not YAML: it is nested too deeply.", path=path) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of a date that does not exist
        raise DataError(f"is not YAML: {brief(error).rstrip('.')}.", path=path) from error


def parse_yaml(text: str) -> Any:
    """The value that a short YAML text holds, such as one of the command line.

    Raises:
        ValueError: Whatever is wrong with it.
    """
    import yaml

    try:
        return yaml.load(text, _yaml_loader())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(brief(error)) from error


def mapping(
    value: Any,
    keys: Collection[str],
    path: str | Path,
    *,
    place: str | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """A document, or a part of one, that has some of these keys and no other.

    Args:
        value: What was read.
        keys: The keys that it may have.
        path, place: Where it stands, for errors.
        prefix: What stands before a key in the name of a field, such as ``criteria[0].``.

    Raises:
        DataError: If it is no mapping, or has another key, naming it.
    """
    known = ", ".join(keys)
    if not isinstance(value, dict):
        field = prefix.rstrip(".") or None
        raise DataError(f"expected the keys {known}.", path=path, place=place, field=field)
    for key in value:
        if key not in keys:
            message = f"is unknown; there are: {known}."
            raise DataError(message, path=path, place=place, field=f"{prefix}{key}")
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values.

    Raises:
        ValueError: If a key occurs twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = _repeated([name for name, _ in pairs])
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def _text(path: Path) -> str:
    try:
        refuse_special(path)
        if (size := path.stat().st_size) > LARGEST:
            message = f"has {size:,} bytes, more than the {LARGEST:,} that such a file may have."
            raise DataError(message, path=path)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8."
        raise DataError(message, path=path) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error


def _repeated(names: list[str]) -> str:
    return Counter(names).most_common(1)[0][0]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def whole(text: str) -> int:
    """A whole number, of so many digits as anybody may write.

    Raises:
        ValueError: If it has more.
    """
    if len(text) > _DIGITS:
        raise ValueError(f"the number {text[:20]}... has {len(text):,} digits")
    return int(text)


def _int(text: str) -> int:
    return _usable(whole(text), text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _usable(value: int, text: str) -> int:
    if abs(value) > _LARGEST_FLOAT:
        raise ValueError(f"the number {text[:20]}{'...' * (len(text) > 20)} is too large")
    return value


def _expanded(node: Any, known: dict[int, float]) -> float:
    """How many values a node stands for, aliases written out; infinite where one holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        inner = node.value if node is not None and isinstance(node.value, list) else []
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_expanded(part, known) for part in parts)
    return known[id(node)]


@cache
def _yaml_loader() -> Any:
    """Safe, no key twice, no whole number beyond all use."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(names)) < len(names):
                twice = _repeated(names)
                problem = f"the key {twice!r} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            return super().construct_mapping(node, deep=deep)

        def construct_yaml_int(self, node: Any) -> int:
            if len(node.value) > _DIGITS:
                whole(node.value)
            return _usable(super().construct_yaml_int(node), str(node.value))

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    return Loader
