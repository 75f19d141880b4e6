"""What a collection holds, counted by hand; the figures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from selfj_eval.collection.counts import SourceCount, Statistics
from selfj_eval.collection.statistics import EDGES, PUBLISHED, describe
from selfj_eval.collection.verbs import tabulate
from selfj_eval.errors import DataError


def write(folder: Path, place: str, name: str, texts: Sequence[Any], **columns: Any) -> Path:
    """A file of a collection, in row groups of three rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / place / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{name}-{k}" for k in range(len(texts))]
    rows = {"id": ids, "instruction": list(texts)}
    rows |= {"source": [name] * len(texts), "category": [place] * len(texts)}
    pq.write_table(pa.table(rows | columns), path, row_group_size=3)
    return path


def summary(folder: Path, *sources: dict[str, Any], **more: Any) -> None:
    document = {"kind": "selfj-collection", "sources": sources} | more
    (folder / "summary.json").write_text(json.dumps(document))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Eight instructions in three sources, and one source that failed."""
    write(tmp_path, "Common", "quora", ["one two three", "x" * 9, "x" * 10, "x" * 14, "a b\tc\nd"])
    write(tmp_path, "Common", "ms_marco", ["x" * 10_000])
    write(tmp_path, "Coding", "mbpp", ["Sort a list.", "äöü " * 5])
    write(tmp_path, "work", "ignored", ["of a run that goes on"])
    step = {"length": 2, "near duplicate": 1}
    summary(
        tmp_path,
        {"name": "ms_marco", "category": "Common", "expected": 900, "rows": 4, "kept": 1}
        | {"instructions": 4, "dropped": step},
        {"name": "quora", "category": "Common", "expected": 50, "rows": 9, "kept": 5}
        | {"instructions": 8, "dropped": {"length": 3}},
        {"name": "qasc", "category": "Academic", "expected": 70, "error": "no field 'question'"},
        {"name": "mbpp", "category": "Coding", "expected": 5, "rows": 2, "kept": 3},
    )
    return tmp_path


def test_sources_and_categories_are_counted(made: Path) -> None:
    read: list[int] = []
    document = describe(made, read.append)
    assert sum(read) == 3
    assert document.kept == 8
    rows = {source.name: source for source in document.sources}
    assert list(rows) == ["quora", "ms_marco", "mbpp", "qasc"]  # categories; the largest first
    assert rows["quora"] == SourceCount(
        name="quora",
        category="Common",
        published=50,
        kept=5,
        share=0.625,
        read=9,
        instructions=8,
        dropped={"length": 3},
        error=None,
    )
    assert rows["mbpp"].dropped is None
    assert rows["qasc"].kept == 0
    assert rows["qasc"].error == "no field 'question'"
    assert document.dropped == {"length": 5, "near duplicate": 1}
    assert document.notes == ("mbpp: summary.json says 3 kept, the file has 2 rows.",)
    found = [(c.name, c.sources, c.kept, c.share) for c in document.categories]
    assert found == [("Common", 2, 6, 0.75), ("Coding", 1, 2, 0.25), ("Academic", 0, 0, 0.0)]
    shares = [f"{c.published_share:.1%}" for c in document.categories]
    assert shares == ["54.1%", "31.5%", "14.4%"]
    assert sum(PUBLISHED.values()) == 5_754_412


def test_lengths_by_hand(made: Path) -> None:
    lengths = describe(made).lengths
    common = lengths["characters"].by_category["Common"]
    edges = lengths["characters"].edges
    # 7, 9, 10, 13, 14 and 10,000 characters: an edge belongs to the bin that it begins.
    counts = dict(zip(edges, common.counts, strict=True))
    assert {edge: n for edge, n in counts.items() if n} == {0: 2, 10: 3, 10_000: 1}
    expected = {"n": 6, "mean": 10_053 / 6, "min": 7, "p5": 7, "median": 10, "p95": 10_000}
    assert {k: v for k, v in vars(common).items() if k != "counts"} == expected | {"max": 10_000}
    words = lengths["words"].by_category
    counts = dict(zip(EDGES["words"], words["Common"].counts, strict=True))
    assert {edge: n for edge, n in counts.items() if n} == {0: 4, 3: 2}  # 1 1 1 1, and 3 4
    assert words["Coding"].median == 3
    assert words["Coding"].max == 5  # not bytes, not letters
    assert words["Academic"].n == 0
    assert words["Academic"].median is None


def test_without_a_summary_the_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "Coding", "mbpp", ["Sort a list."] * 7)
    write(tmp_path, "Common", "mine", ["Say hello."])
    document = describe(tmp_path)
    rows = {source.name: source for source in document.sources}
    assert (rows["mbpp"].kept, rows["mbpp"].published, rows["mbpp"].read) == (7, 690, None)
    assert (rows["mine"].kept, rows["mine"].published) == (1, None)
    assert document.notes == (
        "There is no summary.json, so the numbers read and dropped are not known.",
    )


def break_nothing(folder: Path) -> None:
    for file in folder.rglob("*.parquet"):
        file.unlink()


def break_column(folder: Path) -> None:
    write(folder, "Common", "quora", ["a", "b"], category=["Common", "Coding"])


def break_name(folder: Path) -> None:
    (folder / "Coding/mbpp.parquet").rename(folder / "Coding/other.parquet")


def break_text(folder: Path) -> None:
    write(folder, "Common", "quora", ["a", None])


def break_file(folder: Path) -> None:
    (folder / "Coding/mbpp.parquet").write_bytes(b"PAR1 not at all")


def break_summary(folder: Path) -> None:
    (folder / "summary.json").write_text("{")


def break_kind(folder: Path) -> None:
    summary(folder, kind="selfj-bench")


def break_category(folder: Path) -> None:
    summary(folder, {"name": "x", "category": "Cooking"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_nothing, "holds no collection"),
        (break_column, r"quora.parquet, field 'category': expected 'Common' .* got 'Coding'"),
        (break_name, r"other.parquet, field 'source': expected 'other' .* got 'mbpp'"),
        (break_text, r"quora.parquet, field 'instruction': a row has no text"),
        (break_file, r"mbpp.parquet: is not a file of a collection"),
        (break_summary, "summary.json: is not JSON"),
        (break_kind, "summary.json, field 'kind': is not a summary"),
        (break_category, "source 1, field 'category': expected one of Common.* got 'Cooking'"),
    ],
)
def test_what_is_no_collection_is_named(
    made: Path, change: Callable[[Path], None], message: str
) -> None:
    change(made)
    with pytest.raises(DataError, match=message):
        describe(made)


def drawn_document(made: Path) -> Statistics:
    pairs = [(f"verb{k % 23} <b>&$x$", f"noun{k % 5} \u202e\u0627") for k in range(999)]
    return replace(describe(made), verbs=tabulate(pairs, parser="made up", seed=0))


def test_figures_are_whole_and_the_same_each_time(made: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    from selfj_eval.collection.figures import NAMES, draw

    document = drawn_document(made)
    figures = draw(document)
    assert tuple(figures) == NAMES
    assert draw(document) == figures
    for name, figure in figures.items():
        assert figure.png.startswith(b"\x89PNG\r\n\x1a\n"), name
        assert figure.png.endswith(b"IEND\xaeB`\x82"), name
        text = "".join(ElementTree.fromstring(figure.svg).itertext())
        expected = {"categories": "Common", "verbs": "verb0", "words": "words"}
        assert expected.get(name, "characters") in text
        assert b"var(" not in figure.svg
        assert "var(--ink)" in figure.page
        marks = re.findall(rb"#0[0-9]0[0-9]0[0-9]", figure.svg)
        assert not marks, (name, marks)
    pie = "".join(ElementTree.fromstring(figures["categories"].svg).itertext())
    assert "75.0%, 6" in pie
    assert "Academic" not in pie  # nothing of it was kept


def test_pictures_have_the_colours_of_the_page(made: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    import io

    from PIL import Image

    from selfj_eval.collection.figures import draw

    figures = draw(drawn_document(made))
    picture = Image.open(io.BytesIO(figures["characters"].png)).convert("RGB")
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert (0x1F, 0x5F, 0xBF) in colours  # the first series of style.css
    assert (0xB8, 0x42, 0x1B) in colours  # the second
    assert not [c for c in colours if max(c) < 16], "marks instead of colours"


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    from selfj_eval.collection.figures import draw

    write(tmp_path, "Common", "quora", [])
    assert draw(describe(tmp_path)) == {}
