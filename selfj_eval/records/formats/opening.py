"""Files as bytes and as lines of text, plain or compressed; memory does not follow their size."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from selfj_eval.errors import DataError

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Endings of compressed files, and what pyarrow calls the compression."""
TABLES = (".csv", ".tsv", ".txt")
PACKED = {".parquet": "Parquet", ".eval": "a log of inspect_ai's"}
"""Endings of files that are compressed inside, and what they are."""
READABLE = (".jsonl", ".json", *TABLES, *PACKED)
"""Endings of the files that are read; the texts may be compressed."""


def ending_of(path: Path) -> str:
    """The ending that says the format: that of ``x.csv.gz`` is ``.csv``. Lower case."""
    ending = path.suffix.lower()
    return Path(path.stem).suffix.lower() if ending in COMPRESSED else ending


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of a file; of a compressed one, of all its members or frames.

    Raises:
        DataError: If it is cut off, or not compressed as its name says.
        OSError: If it cannot be read.
    """
    kind = COMPRESSED.get(path.suffix.lower())
    if kind is None:
        with path.open("rb") as plain:
            yield plain
        return
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression=kind) as packed:
            yield io.BufferedReader(packed, 1 << 16)
    except OSError as error:
        if error.errno is not None:
            raise
        if "truncated" in str(error).lower():
            message = f"is truncated: its {kind} data do not end; download the whole file again."
        else:
            message = f"cannot be read as {kind}, although its name says so ({error})."
        raise DataError(message, path=path) from error


def text_lines(
    path: Path, encoding: str | None = None, *, newline: str, told: bool = False
) -> Iterator[str]:
    r"""The lines of a text file, each with its end, without a byte order mark.

    Args:
        path: The file.
        encoding: Of its text; None for UTF-8.
        newline: What ends a line: ``"\n"`` alone, or with ``""`` also ``"\r"`` and both.
        told: As for ``decode``.

    Raises:
        DataError: Naming the line, if it holds what is no text.
    """
    if encoding is not None and codecs.lookup(encoding).name == "utf-8":
        encoding = None
    try:
        with opened(path) as stream:
            yield from io.TextIOWrapper(stream, encoding or "utf-8-sig", newline=newline)
    except UnicodeError as error:
        if "\n".encode(encoding or "utf-8") == b"\n":
            with opened(path) as stream:
                for number, line in enumerate(stream, 1):
                    decode(line.rstrip(b"\r\n"), path, number, encoding, told=told)
        reason = error.reason if isinstance(error, UnicodeDecodeError) else error
        message = f"is not {encoding or 'UTF-8'} ({reason}); save it as UTF-8."
        raise DataError(message, path=path) from error


def decode(
    data: bytes,
    path: Path,
    first_line: int = 1,
    encoding: str | None = None,
    *,
    told: bool = False,
) -> str:
    """Bytes of a file as text, without a byte order mark.

    Args:
        data: The bytes.
        path: The file.
        first_line: Number of their first line in the file.
        encoding: Of the text; None for UTF-8.
        told: Whether the caller may be told the encoding as the option ``encoding``.

    Raises:
        DataError: Naming the line, if they are no such text.
    """
    try:
        return data.decode(encoding or ("utf-8-sig" if first_line == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        kinds = {b"\x1f\x8b": "; it is gzip: let its name end in .gz"}
        kinds |= {b"(\xb5": "; it is zstd: let its name end in .zst"}
        kinds |= {b"PK": "; it is a ZIP archive: unpack it"}
        kinds |= dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "; it is UTF-16")
        kind = kinds.get(data[:2], "") if first_line == 1 else ""
        more = ", or name its `encoding`, such as cp1252 (Excel's plain CSV)" if told else ""
        raise DataError(
            f"byte 0x{data[error.start]:02x} is not {encoding or 'UTF-8'}{kind}; save the file as "
            f"UTF-8{more}.",
            path=path,
            place=f"line {line}",
        ) from error
