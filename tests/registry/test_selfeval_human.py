"""SelfEval's xlsx file and its choices."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import selfeval_human
from selfj_eval.registry.upstream import UpstreamFile

NAMES = ["qid", "question", "answer1", "answer2", *(f"judge{k}" for k in range(1, 6))]
ROW = [7, "Sea or hills?", "The <sea> & sand.", "Hills.", 1, 2, 1, 2, 1]


def workbook(path: Path, *rows: list[object]) -> Path:
    """An xlsx file with one sheet."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(path)
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
    """A text in pieces is one text."""
    pieces = CellRichText("The ", TextBlock(InlineFont(b=True), "sea."))
    row = [pieces if value == ROW[2] else value for value in ROW]
    (found,) = selfeval_human.pairs(upstream(workbook(tmp_path / "human.xlsx", NAMES, row)))
    assert found["response_a"] == "The sea."


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


def test_what_is_no_xlsx_is_refused(tmp_path: Path) -> None:
    """A file of another kind, and an archive without a sheet."""
    sheet = tmp_path / "human.xlsx"
    sheet.write_text("qid,question\n")
    with pytest.raises(DataError, match="not an xlsx file"):
        list(selfeval_human.pairs(upstream(sheet)))
    with zipfile.ZipFile(sheet, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="not an xlsx file"):
        list(selfeval_human.pairs(upstream(sheet)))
