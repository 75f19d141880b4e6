"""CSV that people open in a spreadsheet: no cell runs, and every text comes back as it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.cli import main
from selfj_eval.files.formulas import guarded, unguarded
from selfj_eval.judging.scored import read_scores
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import Record
from selfj_eval.records.writing import write_records

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
IDS = ["=1+1", "-5", "'x", "@a", "\tb", "'=quoted", "''+twice", "plain", "'", "-"]


@given(st.text(alphabet="'=+-@\t\rab", max_size=6) | st.text())
def test_every_text_comes_back_and_none_is_a_formula(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(FORMULAS)


def _records() -> list[Record]:
    own = {"rating": -1.5, "rating_min": -5.0, "rating_max": 5.0, "model": "@model"}
    return [Record(name, "=HYPERLINK(1)", "- a list\n- of two", **own) for name in IDS]


def test_records_are_read_as_they_were(tmp_path: Path) -> None:
    write_records(tmp_path / "safe.csv", _records(), safe_csv=True)
    with (tmp_path / "safe.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    texts = {k: v for row in rows for k, v in row.items() if not k.startswith("rating")}
    assert not any(text.startswith(FORMULAS) for text in texts.values())
    assert {row["rating"] for row in rows} == {"-1.5"}  # a number stays one
    assert read_records(tmp_path / "safe.csv") == _records()
    write_records(tmp_path / "plain.csv", _records())
    assert read_records(tmp_path / "plain.csv") == _records()
    assert "formula_guard" not in (tmp_path / "plain.csv").read_text()


def test_an_apostrophe_that_nobody_put_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("id,instruction,response\n'-5,Which?,'-' is a minus sign\n")
    (record,) = read_records(path)
    assert (record.id, record.response) == ("'-5", "'-' is a minus sign")


def test_score_eval_compare_and_select_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    records = [
        Record(name, f"={name}?", f"- {'good ' * k}", rating=k, rating_min=0, rating_max=9)
        for k, name in enumerate(IDS)
    ]
    write_records("rated.jsonl", records)
    write_records("rated.csv", records, safe_csv=True)
    unrated = [Record(r.id, r.instruction, r.response) for r in records]
    write_records("answers.jsonl", unrated)
    for name in ("plain", "safe"):
        flag = ["--safe-csv"] if name == "safe" else []
        score = ["score", "answers.jsonl", "--judge", "demo", "--output", f"{name}.csv", *flag]
        assert main([*score, "--store", "s"]) == 0
    plain, safe = read_scores("plain.csv"), read_scores("safe.csv")
    assert safe.answers == plain.answers
    assert [a.id for a in safe.answers] == IDS
    capsys.readouterr()
    documents = []
    for scores in ("plain.csv", "safe.csv"):
        for ratings in ("rated.jsonl", "rated.csv"):
            assert main(["eval", scores, "--ratings", ratings, "--resamples", "20", "--json"]) == 0
            documents.append(json.loads(capsys.readouterr().out)["headline"])
    assert documents == documents[:1] * 4
    arguments = ["compare", "plain.csv", "safe.csv", "--ratings", "rated.csv", "--json"]
    assert main([*arguments, "--resamples", "20"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["compared"] == len(IDS)
    policy = {"threshold": 5, "max_risk": 0.5, "confidence": 0.5, "good_at": 6, "slope": 1}
    policy |= {"intercept": 0, "calibration": {}, "judge": None}
    Path("p.json").write_text(json.dumps({"kind": "selfj-policy"} | policy))
    assert (
        main(["select", "safe.csv", "--policy", "p.json", "--output", "d.csv", "--safe-csv"]) == 0
    )
    with Path("d.csv").open(newline="") as stream:
        assert [unguarded(row["id"]) for row in csv.DictReader(stream)] == IDS


def test_it_is_refused_where_it_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "a.jsonl", _records())
    assert main(["score", str(tmp_path / "a.jsonl"), "--judge", "demo", "--safe-csv"]) == 2
    assert "--safe-csv is for an --output that ends in .csv" in capsys.readouterr().err
