"""Rows of an xlsx file, by the names in its first row."""

from __future__ import annotations

from collections.abc import Iterator

from selfj_eval.errors import brief
from selfj_eval.registry.upstream import UpstreamFile


def table(file: UpstreamFile) -> Iterator[tuple[str, dict[str, str]]]:
    """Place (``row 2``) and texts of each row below the first; empty cells and rows are skipped.

    Raises:
        DataError: The file is not an xlsx file.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(file.local, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except Exception as error:  # whatever a damaged file makes the library raise
        raise file.error(f"is not an xlsx file ({brief(error)})") from error
    names = [str(name) for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], 2):
        cells = zip(names, row, strict=False)
        if texts := {name: str(value) for name, value in cells if value is not None}:
            yield f"row {number}", texts
