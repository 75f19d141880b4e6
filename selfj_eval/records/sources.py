"""Several files that are read as one: named, of a folder, of a pattern; here or on the hub."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path

from selfj_eval.errors import DataError, printable, some
from selfj_eval.files.atomic import run_file
from selfj_eval.records.addresses import is_address, parse_address
from selfj_eval.records.formats import Row
from selfj_eval.records.formats.opening import COMPRESSED, READABLE, ending_of
from selfj_eval.records.hub import fetch_files
from selfj_eval.records.layouts import recognised
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import iter_records, iter_rows
from selfj_eval.records.record import Record

_LOGS = "samples_*.jsonl"  # lm-eval's, in a folder per model


@dataclass(frozen=True)
class Sources:
    """The files that were meant.

    Attributes:
        files: At least one.
        input: What a run file calls them: the folder or the first of them; of the hub the address,
            with the commit.
        folder: The one that they were found in, if a folder was named.
        notices: What was left out, as sentences.
    """

    files: tuple[Path, ...]
    input: str
    folder: Path | None = None
    notices: tuple[str, ...] = ()

    @property
    def scores(self) -> Path:
        """Where their scores go by default: beside them, under a name that no such file has.

        Those of files on the hub go to the current folder, under a name that begins with the data
        set's.
        """
        if self.folder is not None:
            folder = self.folder.resolve()
            return folder.with_name(f"scores_{folder.name}.jsonl")
        first, more = self.files[0], len(self.files) - 1
        others = f"_and_{more}_more" if more else ""
        name = f"{first.name.removesuffix('.jsonl')}{others}.jsonl"
        if is_address(shown := printable(first)):
            data_set = parse_address(shown).repository.rpartition("/")[2]
            return Path(f"scores_{data_set}_{name}")
        return first.with_name(f"scores_{name}")


def sources_of(given: str | Path | Sequence[str | Path]) -> Sources:
    """The files that are meant by paths, folders, patterns and addresses on the hub.

    Of a folder these are lm-eval's logs at any depth, or else all files in it in a format that is
    read. Where several files are meant, scores that ``selfj score`` wrote are left out.

    Args:
        given: One or several; a pattern such as ``logs/*.jsonl`` has ``*``, ``?`` or ``[]``. Files
            on the hub are ``hf://datasets/OWNER/NAME[@REVISION]/PATH``, which may be a pattern.

    Raises:
        DataError: If a folder or a pattern has no file, a file is given twice, or one on the hub
            cannot be had.
    """
    named = [given] if isinstance(given, str | Path) else list(given)
    folder = Path(named[0]) if len(named) == 1 and Path(named[0]).is_dir() else None
    each_found = [_files_of(each) for each in named]
    found = [file for files, _ in each_found for file in files]
    own = each_found[0][1] if len(named) == 1 else None
    twice = [path for path, n in Counter(map(identity, found)).items() if n > 1]
    if twice:
        raise DataError("is given twice; name it once.", path=twice[0])
    if len(found) < 2:
        return Sources(tuple(found), own or printable(found[0]), folder)
    answers = [file for file in found if not run_file(file).exists()] or found
    left = sorted(printable(file) for file in {*found} - {*answers})
    notice = f"not read, since they are scores of an earlier run: {some(left, 3)}"
    own = own or printable(answers[0])
    return Sources(tuple(answers), own, folder, (notice,) if left else ())


def identity(file: Path) -> Path | str:
    """What tells that two names mean one file; on the hub, equal files are one in the cache."""
    named = printable(file)
    return named if is_address(named) else file.resolve()


def _files_of(given: str | Path) -> tuple[list[Path], str | None]:
    """The files, and what they are called together, if they are."""
    if is_address(given):
        return fetch_files(given, _is_read)
    path = Path(given)
    if path.is_dir():
        return _files_in(path), printable(path)
    if path.exists() or not has_magic(str(given)):
        return [path], None
    found = sorted(map(Path, glob(str(given), recursive=True)))  # noqa: PTH207 - may be absolute
    if not (files := [file for file in found if file.is_file() and _is_read(file)]):
        raise DataError("there is no file in a known format that fits this pattern.", path=path)
    return files, None


def _files_in(folder: Path) -> list[Path]:
    logs = (file for end in ("", *COMPRESSED) for file in folder.rglob(_LOGS + end))
    if found := sorted(file for file in logs if file.is_file()):
        return found
    if found := sorted(file for file in folder.iterdir() if file.is_file() and _is_read(file)):
        return found
    formats = ", ".join(READABLE)
    raise DataError(f"holds no file in a format that is read ({formats}).", path=folder)


def _is_read(file: Path) -> bool:
    hidden = file.name.startswith((".", "_"))
    return not hidden and not file.name.endswith(".run.json") and ending_of(file) in READABLE


def iter_files(
    files: Sequence[Path], *, options: ReadOptions, notices: Notices
) -> Iterator[Record]:
    """The records of several files one after the other, each file as ``iter_records`` reads it.

    Where files have no ids of their own, ids begin with the file's name.

    Raises:
        DataError: For the first record that is none, or a file that is made otherwise than the
            first one.
    """
    labels = short_names(files)
    made: tuple[str, Path] | None = None
    for file in files:
        first = next(iter_rows(file, options=options), None)
        if first is None:
            notices.count("files without a record")
            continue
        kind = _kind(file, first, options)
        made = made or (kind, file)
        if kind != made[0]:
            message = f"{kind}, while {printable(made[1])} {made[0]}; score them one by one."
            raise DataError(message, path=file)
        records = iter_records(file, options=options, notices=notices)
        if kind == _WITH_IDS:
            yield from records
            continue
        notices.say("ids begin with the names of the files, which have no ids of their own")
        yield from (replace(record, id=f"{labels[file]}:{record.id}") for record in records)


_WITH_IDS = "has rows with ids"


def _kind(file: Path, first: Row, options: ReadOptions) -> str:
    place, columns = first
    layout = recognised(columns, options, path=file, place=place)
    if layout is not None and not (layout.keeps_ids and "id" in columns):
        return f"holds {layout.title}"
    has_ids = options.fields.get("id", "id").partition(".")[0] in columns
    return _WITH_IDS if has_ids else "has rows without ids"


def short_names(files: Sequence[Path]) -> dict[Path, str]:
    """A short name for each file that no other has."""
    stems = {file: file.name.removesuffix(file.suffix) for file in files}
    if len(set(stems.values())) == len(files):
        return stems
    # Links are not followed: those of the hub's cache lead to files named by their content.
    real = {file: file.parent.resolve() / file.name for file in files}
    common = os.path.commonpath([path.parent for path in real.values()])
    return {file: path.relative_to(common).as_posix() for file, path in real.items()}
