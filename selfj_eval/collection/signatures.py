"""What is kept of a text to find out later whether it was there before.

Three things: a hash of the folded text (equal texts), its shingles as numbers (how similar two
texts are, exactly), and keys of bands of its MinHash (which texts are worth comparing). They depend
on the text alone: not on process, batch, order or hash seed.

A shingle is a pair of neighbouring words, with a border before the first word and after the last,
so that every word is in exactly two and a text of one word has shingles, too. With n different
words and one of them changed, Jaccard is (n - 1) / (n + 3). A shingle's number is its CRC-32: two
of one pair of texts are the same by chance once in a million pairs of 60 words.

References: A. Broder, "On the resemblance and containment of documents" (1997): shingles, MinHash;
J. Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", section 3.4: bands. The MinHash
is that of ``datasketch``.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfj_eval.errors import DataError, brief

BANDS, ROWS = 18, 7
COLUMNS = ("hash", "bands", "shingles")
_SEED = 1
_SCHEME = "affine32"  # said, not left to the library's default: files outlive a release
_MIX = np.uint64(0x9E3779B97F4A7C15)
# Marks at a word's edge that do not make another question. Symbols stay: C, C++ and C# differ.
_OPENING = "\"'“”‘’«»„¿¡"  # noqa: RUF001
_CLOSING = _OPENING + ".,;:!?…。、，？！"  # noqa: RUF001
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signatures of ``n`` texts, in their order; arrays may be memory-mapped.

    Attributes:
        hashes: 128 bits of each text, case and white space folded; shape (n, 2), uint64.
        bands: The key of each band of the MinHash; shape (n, BANDS), uint64.
        shingles: The shingles of all texts, one text after the other, ascending within a text and
            none twice in it; uint32.
        offsets: Where the shingles of a text begin, and at last where all end; shape (n + 1,).
    """

    hashes: NDArray[np.uint64]
    bands: NDArray[np.uint64]
    shingles: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.hashes)

    def columns(self) -> dict[str, Any]:
        """As Arrow arrays named ``COLUMNS``, for a Parquet file that ``read_signatures`` reads."""
        import pyarrow as pa

        large = pa.LargeListArray.from_arrays(self.offsets, self.shingles)
        return {
            "hash": _binary(self.hashes),
            "bands": _binary(self.bands),
            "shingles": large.cast(pa.list_(pa.uint32())),
        }


def words(text: str) -> list[str]:
    """The words that are compared: folded, without quotes and sentence marks at their edges."""
    parts = text.casefold().split()
    return [word for part in parts if (word := part.rstrip(_CLOSING).lstrip(_OPENING))] or parts


def signatures(texts: Sequence[str]) -> Signatures:
    """Sign texts, some thousands at once: meanwhile they take a few KB of memory each.

    Raises:
        DataError: If the package ``datasketch`` is not installed.
    """
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise DataError(
            f"finding near duplicates needs datasketch ({brief(error)}); install it with: "
            'pip install "selfj-eval[collect]"'
        ) from error
    hashes, sets = [], []
    for text in texts:
        folded = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
        hashes.append(hashlib.blake2b(folded, digest_size=16).digest())
        sets.append(_shingles(text))
    minima = np.empty((len(sets), BANDS * ROWS), np.uint32)
    made = MinHash.generator(sets, num_perm=BANDS * ROWS, seed=_SEED, hashfunc=int, scheme=_SCHEME)
    for at, one in enumerate(made):
        minima[at] = one.hashvalues
    offsets = np.zeros(len(sets) + 1, np.int64)
    np.cumsum([len(numbers) for numbers in sets], out=offsets[1:])
    return Signatures(
        hashes=np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2),
        bands=_band_keys(minima),
        shingles=np.array([n for numbers in sets for n in numbers], np.uint32),
        offsets=offsets,
    )


def read_signatures(files: Sequence[str | Path], scratch: str | Path) -> Signatures:
    """Read the signatures of Parquet files, one after the other.

    Hashes and bands come into memory (160 bytes a text), the shingles into one file that is
    memory-mapped.

    Args:
        files: Parquet files with ``COLUMNS``, as ``Signatures.columns`` makes them.
        scratch: A file to write the shingles to; the caller deletes it.

    Raises:
        DataError: Naming the file without these columns, or that is no Parquet file.
    """
    count = 0
    for path in files:
        with _parquet(path) as file:
            count += file.metadata.num_rows
    hashes, bands = np.empty((count, 2), np.uint64), np.empty((count, BANDS), np.uint64)
    offsets = np.zeros(count + 1, np.int64)
    begin = 0
    with Path(scratch).open("wb") as sink:
        for path in files:
            with _parquet(path) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(COLUMNS)):
                    end = begin + len(batch)
                    hashes[begin:end] = _matrix(batch.column("hash"), 2)
                    bands[begin:end] = _matrix(batch.column("bands"), BANDS)
                    shingles = batch.column("shingles")
                    sink.write(shingles.flatten().to_numpy())
                    np.cumsum(shingles.value_lengths(), out=offsets[begin + 1 : end + 1])
                    offsets[begin + 1 : end + 1] += offsets[begin]
                    begin = end
        size = sink.tell()
    # Of an empty file there is no map.
    numbers = np.memmap(scratch, np.uint32, "r") if size else np.empty(0, np.uint32)
    return Signatures(hashes, bands, numbers, offsets)


def _shingles(text: str) -> list[int]:
    # Words hold no white space: a blank parts them, and alone it is the border.
    encoded = " ".join(words(text)).encode("utf-8", "surrogatepass").split(b" ")
    pairs = zip([b" ", *encoded], [*encoded, b" "], strict=True)
    return sorted(set(map(zlib.crc32, map(b" ".join, pairs))))


def _band_keys(minima: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One number for the rows of a band. Two bands with one key by chance cost a comparison."""
    rows = minima.reshape(len(minima), BANDS, ROWS)
    keys = np.zeros((len(minima), BANDS), np.uint64)
    for row in range(ROWS):
        keys = (keys ^ rows[:, :, row]) * _MIX
        keys ^= keys >> np.uint64(29)
    return keys


def _binary(matrix: NDArray[np.uint64]) -> Any:
    import pyarrow as pa

    rows, columns = matrix.shape
    data = pa.py_buffer(np.ascontiguousarray(matrix, "<u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8 * columns), rows, [None, data])


@contextmanager
def _parquet(path: str | Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.binary(16), pa.binary(8 * BANDS), pa.list_(pa.uint32()))
    try:
        # Without a buffer: it would hold the whole file.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for name, kind in zip(COLUMNS, kinds, strict=True):
                if name not in file.schema_arrow.names:
                    raise DataError("is missing; sign the texts again.", path=path, field=name)
                if not (found := file.schema_arrow.field(name).type).equals(kind):
                    message = f"expected {kind}, got {found}; sign the texts again."
                    raise DataError(message, path=path, field=name)
            yield file
    except pa.ArrowException as error:
        raise DataError(f"is not readable Parquet ({brief(error)}).", path=path) from error
    except FileNotFoundError as error:
        raise DataError("is not there.", path=path) from error


def _matrix(column: Any, width: int) -> NDArray[np.uint64]:
    start = 8 * width * column.offset
    buffer = memoryview(column.buffers()[1])[start : start + 8 * width * len(column)]
    return np.frombuffer(buffer, "<u8").reshape(-1, width)
