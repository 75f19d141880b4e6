"""Rows of an xlsx file, by the names in its first row: as much of the format as tables need."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from selfj_eval.registry.upstream import UpstreamFile

NAMESPACE = {"": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
LARGEST = 64 << 20


def table(file: UpstreamFile) -> Iterator[tuple[str, dict[str, str]]]:
    """Place (``row 2``) and texts of each row below the first; empty cells and rows are left out.

    Raises:
        DataError: The file is not an xlsx file, or has cells of a kind that is not read here.
    """
    try:
        with zipfile.ZipFile(file.local) as archive:
            strings = _xml(file, archive, STRINGS)
            sheet = _xml(file, archive, SHEET)
    except zipfile.BadZipFile as error:
        raise file.error(f"is not an xlsx file ({error})") from error
    texts = [_text(item) for item in strings.findall("si", NAMESPACE)]
    names: dict[str, str] | None = None
    for number, row in enumerate(sheet.findall("sheetData/row", NAMESPACE), 1):
        place = f"row {row.get('r', number)}"
        cells = dict(_cells(file, place, row, texts))
        if names is None:
            names = cells
        elif cells:
            yield place, {names[column]: text for column, text in cells.items() if column in names}


def _cells(
    file: UpstreamFile, place: str, row: ElementTree.Element, texts: list[str]
) -> Iterator[tuple[str, str]]:
    """Column (``AB``) and text of each cell that has a value."""
    for cell in row.findall("c", NAMESPACE):
        value = cell.findtext("v", namespaces=NAMESPACE)
        if value is None:
            continue
        kind = cell.get("t", "n")
        if kind == "s" and value.isdecimal() and int(value) < len(texts):
            value = texts[int(value)]
        elif kind != "n":
            raise file.error(f"cell {cell.get('r')} is of kind {kind!r}, value {value!r}", place)
        yield cell.get("r", "").rstrip("0123456789"), value


def _text(item: ElementTree.Element) -> str:
    """A string, plain or in formatted pieces; not the hints on its pronunciation."""
    return "".join(
        piece.text or "" for path in ("t", "r/t") for piece in item.findall(path, NAMESPACE)
    )


def _xml(file: UpstreamFile, archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    try:
        if archive.getinfo(name).file_size > LARGEST:
            raise file.error(f"{name} is larger than {LARGEST} bytes")
        text = archive.read(name).decode("utf-8")
        # Entities, which a few lines can make expand without end, need a document type.
        if "<!DOCTYPE" in text:
            raise file.error(f"{name} has a document type")
        return ElementTree.fromstring(text)
    except KeyError as error:
        raise file.error(f"there is no {name} in it") from error
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise file.error(f"{name} is not XML in UTF-8 ({error})") from error
