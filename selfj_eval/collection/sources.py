"""The 37 sources, as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import mapping, read_yaml

CATEGORIES = ("Common", "Coding", "Academic")
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_FORMS = {"name": re.compile(_WORD), "hub": re.compile(f"{_WORD}(/{_WORD})?")}
_KEYS = {
    "name": str,
    "category": str,
    "expected": int,
    "hub": str,
    "config": str | None,
    "revision": str | None,
    "files": str | None,
    "split": str,
    "licence": str,
    "fields": list,
    "converter": str,
    "part": str | None,
    "note": str | None,
}


@dataclass(frozen=True, slots=True)
class Source:
    """One source of instructions.

    Attributes:
        name: As published: ``owner_dataset``, with ``_coding`` or ``_academic`` for a part of a
            data set that feeds another category, too.
        category: One of ``CATEGORIES``.
        expected: Instructions that the authors kept of it.
        hub: The data set's id on the model hub.
        config: Its configuration, or None.
        split: Its split; several joined by ``+``.
        licence: As its data card states it.
        fields: The fields of a row that the converter reads; a row without one is refused.
        converter: Name of the function in ``converters`` that makes instructions of a row.
        revision: Branch of the hub's repository, or None for its main one.
        files: Pattern of files in that repository to be read in place of configuration and split
            (a loading script is not run), or None.
        part: Which part of the data set it is, where several sources share one: a name of
            ``categories.PARTS``, or None.
        note: What to know of it, or None.
    """

    name: str
    category: str
    expected: int
    hub: str
    config: str | None
    split: str
    licence: str
    fields: tuple[str, ...]
    converter: str
    revision: str | None = None
    files: str | None = None
    part: str | None = None
    note: str | None = None


def load_sources(path: str | Path | None = None) -> tuple[Source, ...]:
    """Read the sources.

    Args:
        path: A YAML file in the form of ``sources.yaml``; by default that one.

    Raises:
        DataError: Naming file, entry and field.
    """
    shown = str(path or "sources.yaml")
    with as_file(files("selfj_eval.collection").joinpath("sources.yaml")) as own:
        entries = read_yaml(own if path is None else path)
    if not isinstance(entries, list) or not entries:
        raise DataError("expected a list of sources.", path=shown)
    found = tuple(_source(entry, shown, f"entry {at}") for at, entry in enumerate(entries, 1))
    names = [source.name for source in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the source {twice[0]!r} is listed twice.", path=shown, field="name")
    return found


def _source(entry: Any, path: str, place: str) -> Source:
    if not isinstance(entry, dict):
        raise DataError(f"expected a source, got {entry!r:.60}.", path=path, place=place)
    optional = ("config", "revision", "files", "part", "note")
    mapping(entry, _KEYS, path, place=place)
    for name, kind in _KEYS.items():
        value = entry.get(name)
        if value is None and name not in optional:
            raise DataError("is missing.", path=path, place=place, field=name)
        if value is not None and not isinstance(value, kind):
            message = f"has the wrong type: {value!r:.60}."
            raise DataError(message, path=path, place=place, field=name)
    if entry["category"] not in CATEGORIES:
        message = f"expected one of {', '.join(CATEGORIES)}, got {entry['category']!r}."
        raise DataError(message, path=path, place=place, field="category")
    for name, form in _FORMS.items():  # both become part of paths
        if not form.fullmatch(entry[name]):
            message = f"expected letters, digits, ., - and _, got {entry[name]!r:.60}."
            raise DataError(message, path=path, place=place, field=name)
    given: Sequence[Any] = entry["fields"]
    if not given or not all(isinstance(field, str) for field in given):
        raise DataError("expected names of fields.", path=path, place=place, field="fields")
    return Source(**{"config": None, **entry, "fields": tuple(given)})
