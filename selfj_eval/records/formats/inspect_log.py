"""inspect_ai's ``.eval``: a ZIP archive of JSON files, one a sample.

They are compressed with zstd (ZIP's method 93), which Python's ``zipfile`` cannot read before 3.14.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from selfj_eval.errors import DataError, brief
from selfj_eval.files.documents import parse_json
from selfj_eval.records.formats import Rows

_LARGEST = 1 << 30  # bytes of a member; a sample holds one conversation
_HEADERS = ("header.json", "_journal/start.json")  # the second where a run did not end
_LOCAL = struct.Struct("<4s5H3I2H")  # what stands before a member's bytes
_ZSTD = 93


def inspect_rows(path: Path) -> Rows:
    """The samples of a log, each with what the header says of the evaluation.

    Raises:
        DataError: If it is no such archive, or a member is damaged.
    """
    with path.open("rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            message = f"is not a whole .eval log ({brief(error).rstrip('.')}); copy it again."
            raise DataError(message, path=path) from error
        members = {info.filename: info for info in archive.infolist()}
        header = next((members[name] for name in _HEADERS if name in members), None)
        if header is None:
            raise DataError("holds no header.json: it is not a log of inspect_ai.", path=path)
        about = _object(stream, header, path)
        for name, info in members.items():
            if name.startswith("samples/") and name.endswith(".json"):
                yield name, {"eval": about.get("eval"), **_object(stream, info, path)}


def _object(stream: BinaryIO, info: zipfile.ZipInfo, path: Path) -> dict[str, Any]:
    place = info.filename
    try:
        value = parse_json(_content(stream, info), strict=False)
    except (OSError, ValueError, struct.error, zlib.error) as error:
        message = f"is damaged ({brief(error).rstrip('.')}); copy the log again."
        raise DataError(message, path=path, place=place) from error
    if not isinstance(value, dict):
        message = f"expected a JSON object, got {type(value).__name__}."
        raise DataError(message, path=path, place=place)
    return value


def _content(stream: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, found by its local header.

    Raises:
        ValueError: If they are not what the archive says of them.
        OSError: If they are no zstd.
    """
    if info.file_size > _LARGEST:
        raise ValueError(f"it has {info.file_size:,} bytes")
    if info.flag_bits & 1:
        raise ValueError("it is encrypted")
    stream.seek(info.header_offset)
    mark, *_, name, extra = _LOCAL.unpack(stream.read(_LOCAL.size))
    if mark != b"PK\x03\x04":
        raise ValueError("it is not where the archive says")
    stream.seek(name + extra, io.SEEK_CUR)
    packed = stream.read(info.compress_size)
    if info.compress_type == _ZSTD:
        import pyarrow as pa

        with pa.input_stream(pa.BufferReader(packed), compression="zstd") as unpacked:
            content = unpacked.read(info.file_size + 1)
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-15).decompress(packed, info.file_size + 1)
    elif info.compress_type == zipfile.ZIP_STORED:
        content = packed
    else:
        raise ValueError(f"it is compressed by method {info.compress_type}, which is not read")
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise ValueError("its checksum is wrong")
    return bytes(content)
