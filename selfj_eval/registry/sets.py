"""The registry: one YAML file a data set, read strictly.

``sets/<pack>/<set>.yaml`` says which files of which public repositories, at which commit and with
which checksum, a converter turns into the rows of one file.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from selfj_eval.errors import DataError
from selfj_eval.files.documents import read_yaml
from selfj_eval.registry.paths import is_relative

SETS = Path(__file__).parent / "sets"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_KINDS = re.compile(r"(pointwise|pairwise|unrated)_")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One upstream file, and how its content is recognised.

    Attributes:
        repository: ``owner/name``.
        commit: 40 hexadecimal digits.
        path: Within the repository.
        bytes: Size.
        sha256: Of the content, or None where ``blob`` is known in its place.
        blob: Git's id of the content.
    """

    repository: str
    commit: str
    path: str
    bytes: int
    sha256: str | None = None
    blob: str | None = None

    @property
    def place(self) -> str:
        """Where a mirror has it."""
        return f"{self.repository}/{self.commit}/{self.path}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:12]}/{self.path}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at a commit: its licence as it states it, and the files that are used."""

    repository: str
    commit: str
    licence: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set: what it is made of, and what comes out.

    Attributes:
        pack: The folder of sets that it belongs to.
        name: Such as ``pointwise_mtbench``.
        summary: One sentence.
        converter: ``module:function`` in ``selfj_eval.registry.converters``.
        rows: Of the finished file.
        output: The finished file, below the data folder.
        sources: In the order in which the converter takes their files.
    """

    pack: str
    name: str
    summary: str
    converter: str
    rows: int
    output: str
    sources: tuple[Repository, ...]

    def __str__(self) -> str:
        return f"{self.pack}/{self.name}"

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All upstream files, in the converter's order."""
        return tuple(file for source in self.sources for file in source.files)

    @property
    def bytes(self) -> int:
        """Size of the upstream files, each counted once."""
        return sum(file.bytes for file in set(self.files))

    @property
    def licences(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(source.licence for source in self.sources))

    @property
    def definition(self) -> str:
        """A hash of everything that decides what is in the finished file."""
        decisive = [self.converter, self.rows, [asdict(file) for file in self.files]]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def load_sets(folder: Path | None = None) -> list[DataSet]:
    """All sets of a registry, by pack and name.

    Args:
        folder: With a folder a pack; by default the registry of this package.

    Raises:
        DataError: Naming the file and the field that is not as it should be.
    """
    return list(_shipped(SETS) if folder is None else _sets(folder))


@cache
def _shipped(folder: Path) -> list[DataSet]:
    """The sets of this package's registry, read once: its files take a third of a second."""
    return _sets(folder)


def _sets(folder: Path) -> list[DataSet]:
    found = [_read(file) for file in sorted(folder.glob("*/*.yaml"))]
    outputs: dict[str, DataSet] = {}
    for item in found:
        if (other := outputs.setdefault(item.output, item)) is not item:
            raise DataError(f"{other} and {item} both make {item.output}.", field="output")
    return found


def select(sets: Sequence[DataSet], names: Sequence[str]) -> list[DataSet]:
    """The sets that names stand for, each once.

    Args:
        sets: All of them.
        names: ``all``, a pack, a set, a set without its kind (``mtbench``), or ``pack/set``.

    Raises:
        DataError: If there is nothing of a name, or if it stands for two sets.
    """
    chosen: dict[str, DataSet] = {}
    for name in names:
        chosen |= {str(item): item for item in _named(sets, name)}
    return list(chosen.values())


def _named(sets: Sequence[DataSet], name: str) -> list[DataSet]:
    if name == "all":
        return list(sets)
    if found := [item for item in sets if item.pack == name]:
        return found
    exact = [item for item in sets if name in (str(item), item.name)]
    found = exact or [item for item in sets if _KINDS.sub("", item.name, count=1) == name]
    if len(found) > 1:
        raise DataError(f"{name!r} can be {' or '.join(map(str, found))}; say which.")
    if not found:
        known = {part for item in sets for part in (item.pack, item.name, str(item))}
        known |= {_KINDS.sub("", item.name, count=1) for item in sets}
        close = difflib.get_close_matches(name, sorted(known), 3)
        hint = f" Do you mean {' or '.join(close)}?" if close else ""
        raise DataError(f"there is no pack or set {name!r}; `selfj data list` shows them.{hint}")
    return found


def _read(path: Path) -> DataSet:
    if not _NAME.fullmatch(path.stem) or not _NAME.fullmatch(path.parent.name):
        raise DataError("names of packs and sets are of a-z, 0-9, _ and -.", path=path)
    top = _Fields(
        path, "", read_yaml(path), {"summary", "converter", "rows", "sources"}, {"output"}
    )
    pack, name = path.parent.name, path.stem
    output = top.text("output") if "output" in top.values else f"{pack}/{name}.parquet"
    if not is_relative(output) or not output.startswith(f"{pack}/"):
        top.refuse("output", f"a relative path that begins with {pack}/", output)
    if Path(output).suffix not in (".parquet", ".csv"):
        top.refuse("output", "a name that ends in .parquet or .csv", output)
    return DataSet(
        pack=pack,
        name=name,
        summary=top.text("summary"),
        converter=top.matching(
            "converter", r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*", "module:function, in lower case"
        ),
        rows=top.number("rows"),
        output=output,
        sources=tuple(
            _source(path, f"sources[{k}]", value) for k, value in enumerate(top.items("sources"))
        ),
    )


def _source(path: Path, where: str, value: object) -> Repository:
    fields = _Fields(path, where, value, {"repository", "commit", "licence", "files"})
    repository = fields.matching(
        "repository", r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+", "owner/name"
    )
    commit = fields.hash("commit", 40)
    files = []
    for k, entry in enumerate(fields.items("files")):
        one = _Fields(path, f"{where}.files[{k}]", entry, {"path", "bytes"}, {"sha256", "blob"})
        if not is_relative(name := one.text("path")):
            one.refuse("path", "a relative path that does not climb", name)
        if not {"sha256", "blob"} & set(one.values):
            one.refuse("sha256", "the content's checksum (or git's id of it, as blob)", None)
        sha256 = one.hash("sha256", 64) if "sha256" in one.values else None
        blob = one.hash("blob", 40) if "blob" in one.values else None
        files.append(SourceFile(repository, commit, name, one.number("bytes"), sha256, blob))
    return Repository(repository, commit, fields.text("licence"), tuple(files))


class _Fields:
    """A mapping of the document, whose fields are checked as they are taken."""

    def __init__(
        self,
        path: Path,
        where: str,
        value: object,
        required: Set[str],
        optional: Set[str] = frozenset(),
    ) -> None:
        self._path, self._where = path, where
        if not isinstance(value, dict):
            raise DataError(
                f"expected a mapping, got {type(value).__name__}.", path=path, field=where or None
            )
        self.values: dict[str, Any] = value
        for key in value:
            if key not in required | optional:
                names = ", ".join(sorted(required | optional))
                self.refuse(str(key), f"one of the fields {names}", key)
        for key in sorted(required - set(value)):
            raise DataError("missing.", path=path, field=self._name(key))

    def text(self, key: str) -> str:
        value = self.values[key]
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, "a text", value)
        return str(value)

    def matching(self, key: str, pattern: str, expected: str) -> str:
        value = self.values[key]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.refuse(key, expected, value)
        return str(value)

    def hash(self, key: str, digits: int) -> str:
        return self.matching(key, rf"[0-9a-f]{{{digits}}}", f"{digits} hexadecimal digits, a text")

    def number(self, key: str) -> int:
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(key, "a whole number above 0", value)
        return int(value)

    def items(self, key: str) -> list[Any]:
        value = self.values[key]
        if not isinstance(value, list) or not value:
            self.refuse(key, "a list that is not empty", value)
        return list(value)

    def refuse(self, key: str, expected: str, value: object) -> NoReturn:
        message = f"expected {expected}, got {value!r}."
        raise DataError(message, path=self._path, field=self._name(key))

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key
