"""SelfEval's xlsx file is read with what Python has, and safely."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import selfeval_human
from selfj_eval.registry.converters.spreadsheet import SHEET, STRINGS
from selfj_eval.registry.upstream import UpstreamFile

NAMES = ["qid", "question", "answer1", "answer2", *(f"judge{k}" for k in range(1, 6))]
ROW = [7, "Sea or hills?", "The <sea> & sand.", "Hills.", 1, 2, 1, 2, 1]
XMLNS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def workbook(path: Path, *rows: list[object], strings: str | None = None) -> Path:
    """An xlsx file: texts in the list of strings, numbers in the cells, None as an empty cell."""
    texts = [value for row in rows for value in row if isinstance(value, str)]
    lines = []
    for number, row in enumerate(rows, 1):
        cells = ""
        for column, value in zip("ABCDEFGHI", row, strict=False):
            place = f'<c r="{column}{number}"'
            if isinstance(value, str):
                cells += f'{place} t="s"><v>{texts.index(value)}</v></c>'
            else:
                cells += f"{place}/>" if value is None else f"{place}><v>{value}</v></c>"
        lines.append(f'<row r="{number}">{cells}</row>')
    items = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(STRINGS, strings or f"<sst {XMLNS}>{items}</sst>")
        archive.writestr(
            SHEET, f"<worksheet {XMLNS}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )
    return path


def upstream(sheet: Path) -> list[UpstreamFile]:
    """The sheet behind FairEval's two lists."""
    questions, answers = sheet.parent / "question.jsonl", sheet.parent / "answer.jsonl"
    questions.write_text(
        json.dumps({"question_id": 7, "text": "Sea or hills?", "category": "generic"})
    )
    answers.write_text(
        json.dumps({"question_id": 7, "answer_id": "q", "model_id": "gpt-4", "text": "Both."})
    )
    return [
        UpstreamFile("someone/pairs", "e" * 40, path.name, path)
        for path in (questions, answers, sheet)
    ]


def test_the_majority_is_the_label(tmp_path: Path) -> None:
    """Texts as they are in the sheet; rows without cells, which sheets end with, do not count."""
    second = [7, "Sea or hills?", "Lakes.", "Hills.", 2, 2, 1, 2, 1]
    sheet = workbook(tmp_path / "human.xlsx", NAMES, ROW, second, [None, None])
    rows = list(selfeval_human.pairs(upstream(sheet)))
    assert [row["label"] for row in rows] == ["A", "B"]
    first = rows[0]
    assert first["id"].startswith("selfeval_human-")
    assert (first["response_a"], first["response_b"]) == ("The <sea> & sand.", "Hills.")
    assert (first["reference"], first["category"]) == ("Both.", "generic")
    assert (first["instruction"], first["rater"]) == ("Sea or hills?", "human")


def test_formatted_texts_are_put_together(tmp_path: Path) -> None:
    """A text in pieces is one text, without the hints on its pronunciation."""
    texts = [*NAMES, "Sea or hills?", None, "Hills."]
    pieces = "<si><r><t>The </t></r><r><t>sea.</t></r><rPh sb='0' eb='1'><t>see</t></rPh></si>"
    items = "".join(f"<si><t>{text}</t></si>" if text else pieces for text in texts)
    sheet = workbook(tmp_path / "a.xlsx", NAMES, ROW, strings=f"<sst {XMLNS}>{items}</sst>")
    (row,) = selfeval_human.pairs(upstream(sheet))
    assert row["response_a"] == "The sea."


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    """With file and row."""
    place = NAMES.index(name)
    sheet = workbook(tmp_path / "human.xlsx", NAMES, [*ROW[:place], None, *ROW[place + 1 :]])
    with pytest.raises(DataError, match=r"human\.xlsx, row 2, .*missing") as caught:
        list(selfeval_human.pairs(upstream(sheet)))
    assert caught.value.field == name


@pytest.mark.parametrize(("column", "value"), [("qid", 8), ("judge3", 3)])
def test_an_unknown_value_is_refused(tmp_path: Path, column: str, value: int) -> None:
    """A question that is not in the list; a choice that is neither of two."""
    row = [value if name == column else old for name, old in zip(NAMES, ROW, strict=True)]
    with pytest.raises(DataError) as caught:
        list(selfeval_human.pairs(upstream(workbook(tmp_path / "human.xlsx", NAMES, row))))
    assert (caught.value.place, caught.value.field) == ("row 2", column)


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    """A list of strings that grows without end when it is read is refused unread."""
    bomb = f'<!DOCTYPE sst [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><sst {XMLNS}>&b;</sst>'
    sheet = workbook(tmp_path / "human.xlsx", NAMES, ROW, strings=bomb)
    with pytest.raises(DataError, match="document type"):
        list(selfeval_human.pairs(upstream(sheet)))


def test_what_is_no_xlsx_is_refused(tmp_path: Path) -> None:
    """A file of another kind, an archive without a sheet, a text that the list does not have."""
    sheet = tmp_path / "human.xlsx"
    sheet.write_text("qid,question\n")
    with pytest.raises(DataError, match="not an xlsx file"):
        list(selfeval_human.pairs(upstream(sheet)))
    with zipfile.ZipFile(sheet, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="sharedStrings"):
        list(selfeval_human.pairs(upstream(sheet)))
    workbook(sheet, NAMES, ROW, strings=f"<sst {XMLNS}/>")
    with pytest.raises(DataError, match="cell A1"):
        list(selfeval_human.pairs(upstream(sheet)))
