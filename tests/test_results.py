"""docs/results.md: each table has its command, and the command gives the table."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest

from selfj_eval.cli import main

RESULTS = Path(__file__).parent.parent / "docs" / "results.md"
SMALL = ("prometheus_vicuna", "selfeval_vicuna", "llms_from_scratch")
"""Sets that take a second or two."""


def sections() -> dict[str, str]:
    parts = re.split(r"^#{2,3} (.+)$", RESULTS.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_section_with_a_table_says_how_it_was_made() -> None:
    command = re.compile(r"(^ {4}|`)(selfj |python )?(benchmarks|examples|bench |prefer )", re.M)
    tables = {title: text for title, text in sections().items() if "| ---" in text}
    assert len(tables) > 4
    assert [title for title, text in tables.items() if not command.search(text)] == []


def test_the_table_of_trigrams_is_made_again(data: Path, tmp_path: Path) -> None:
    """With the command that the page gives, but for three of its eleven sets."""
    text = sections()["Character trigrams"]
    found = re.search(r"^ {4}selfj (bench (?:.*\\\n)*.*)$", text, re.M)
    assert found is not None
    words = shlex.split(found[1].replace("\\\n", " "))
    words[words.index("--data") + 1] = ",".join(SMALL)
    words[words.index("--output") + 1] = str(tmp_path / "base")
    assert main(words) == 0
    made: dict[tuple[str, str], list[str]] = {}
    with (tmp_path / "base" / "table.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "pooled":
                made[row["set"], row["rater"]] = [row["value"], row["low"], row["high"]]
    raters = ("log-length", "tfidf", "trigrams")
    for name in SMALL:
        line = re.search(rf"^\| {name} \|.*$", text, re.M)
        assert line is not None
        for rater, cell in zip(raters, line[0].strip("| ").split(" | ")[2:], strict=True):
            value, low, high = (float(n) for n in re.findall(r"-?\d+\.?\d*", cell))
            got = [100 * float(number) for number in made[name, rater]]
            assert got[0] == pytest.approx(value, abs=0.06), (name, rater)
            assert got[1:] == pytest.approx([low, high], abs=2), (name, rater)
