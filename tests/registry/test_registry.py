"""The registry: read strictly, built whole, verified."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from selfj_eval import read_records
from selfj_eval.errors import DataError, SelfJError, StoreError
from selfj_eval.registry.building import build
from selfj_eval.registry.cache import opened, tidy
from selfj_eval.registry.downloading import Folder
from selfj_eval.registry.made import state
from selfj_eval.registry.sets import DataSet, load_sets, select
from selfj_eval.registry.upstream import UpstreamFile
from selfj_eval.registry.verifying import verify_set

COMMIT = "89abcdef" * 5
LINES = [{"q": f"Add {i} and 1.", "a": str(i + 1), "points": i} for i in range(5000)]
CONTENT = "".join(json.dumps(line) + "\n" for line in LINES).encode()


def definition(**changes: Any) -> dict[str, Any]:
    """A sound document; ``changes`` go to where they belong."""
    file: dict[str, Any] = {"path": "data/a.jsonl", "bytes": len(CONTENT)}
    file["sha256"] = hashlib.sha256(CONTENT).hexdigest()
    source: dict[str, Any] = {"repository": "owner/name", "commit": COMMIT, "licence": "MIT"}
    document: dict[str, Any] = {"summary": "Sums.", "converter": "made_up:rated", "rows": 5000}
    for key, value in changes.items():
        part = file if key in ("path", "bytes", "sha256", "blob") else source
        part = document if key in (*document, "output", "sources", "more") else part
        part[key] = value
    source.setdefault("files", [file])
    return {"sources": [source]} | document


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[DataSet]]:
    """Writes sets and reads them; converters are made up."""
    module = ModuleType("made_up")

    def rated(files: Sequence[UpstreamFile]) -> Iterator[dict[str, Any]]:
        for number, (_, line) in enumerate(files[0].jsonl()):
            yield {
                **{"id": f"s-{number}", "instruction": line["q"], "response": line["a"]},
                **{"reference": None, "rating": line["points"], "rating_min": 0},
                **{"rating_max": 5000, "model": None if number < 4500 else "m", "category": None},
            }

    def typed(files: Sequence[UpstreamFile]) -> Iterator[dict[str, Any]]:
        for k, _ in enumerate(files[0].jsonl()):
            matches = None if k < 4500 else True
            yield {"instruction_id": k, "preference": 2, "output_matches": matches, "model": None}

    def mixed(files: Sequence[UpstreamFile]) -> Iterator[dict[str, Any]]:
        yield from ({"id": "text" if k % 2 else k} for k in range(5000))

    def uneven(files: Sequence[UpstreamFile]) -> Iterator[dict[str, Any]]:
        yield from ({"id": "x"} if k else {"id": "x", "model": "m"} for k in range(5000))

    for function in (rated, typed, mixed, uneven):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "selfj_eval.registry.converters.made_up", module)
    folder = tmp_path / "registry"

    def write(**documents: Any) -> list[DataSet]:
        for name, document in documents.items():
            path = folder / "judge_bench" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            text = document if isinstance(document, str) else yaml.safe_dump(document)
            path.write_text(text, encoding="utf-8")
        return load_sets(folder)

    return write


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes a set below ``data`` and returns its file."""
    upstream = tmp_path / "upstream" / "owner" / "name" / "data"
    upstream.mkdir(parents=True)
    (upstream / "a.jsonl").write_bytes(CONTENT)

    def run(item: DataSet) -> Path:
        folder = tmp_path / "data"
        with opened(folder) as cache:
            build(item, folder, cache, Folder(tmp_path / "upstream"), lambda _: None)
        return folder / item.output

    return run


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        (definition(rows="5000"), "rows", "a whole number above 0, got '5000'"),
        (definition(rows=0), "rows", "a whole number above 0"),
        (definition(summary=" "), "summary", "expected a text"),
        (definition(converter="os.path:join"), "converter", "module:function"),
        (definition(more=1), "more", "one of the fields converter, output, rows, sources, summary"),
        (definition(sources=[]), "sources", "a list that is not empty"),
        (definition(sources=["x"]), "sources[0]", "expected a mapping, got str"),
        (definition(repository="owner/.."), "sources[0].repository", "owner/name"),
        (definition(repository="a/b/c"), "sources[0].repository", "owner/name"),
        (definition(commit=COMMIT[:12]), "sources[0].commit", "40 hexadecimal digits"),
        (definition(commit=int("1" * 40)), "sources[0].commit", "40 hexadecimal digits, a text"),
        (definition(files=[{"bytes": 3}]), "sources[0].files[0].path", "missing"),
        (definition(sha256="0"), "sources[0].files[0].sha256", "64 hexadecimal digits"),
        (definition(blob="0"), "sources[0].files[0].blob", "40 hexadecimal digits"),
        (definition(bytes=True), "sources[0].files[0].bytes", "a whole number"),
        (definition(path="/etc/passwd"), "sources[0].files[0].path", "does not climb"),
        (definition(path="a/../../b"), "sources[0].files[0].path", "does not climb"),
        (definition(path="a//b"), "sources[0].files[0].path", "does not climb"),
        (definition(path="C:/b"), "sources[0].files[0].path", "does not climb"),
        (definition(path="a\\..\\b"), "sources[0].files[0].path", "does not climb"),
        (definition(output="../x.parquet"), "output", "begins with judge_bench/"),
        (definition(output="judge_bench/../../x.parquet"), "output", "begins with judge_bench/"),
        (definition(output="other/x.parquet"), "output", "begins with judge_bench/"),
        (definition(output="judge_bench/x.pkl"), "output", "ends in .parquet or .csv"),
        ("- a list", None, "expected a mapping, got list"),
        ("a: [", None, "is not YAML"),
        ("!!python/object/apply:os.getcwd []", None, "is not YAML"),
    ],
)
def test_a_wrong_definition_is_refused_with_file_and_field(
    registry: Callable[..., list[DataSet]], document: Any, field: str | None, message: str
) -> None:
    with pytest.raises(DataError) as raised:
        registry(pointwise_sums=document)
    assert message in str(raised.value)
    assert str(raised.value.path).endswith("judge_bench/pointwise_sums.yaml")
    assert raised.value.field == field


def test_two_sets_cannot_make_one_file(registry: Callable[..., list[DataSet]]) -> None:
    twice = definition(output="judge_bench/same.parquet")
    with pytest.raises(DataError, match="pointwise_a and .*pointwise_b both make judge_bench/same"):
        registry(pointwise_a=twice, pointwise_b=twice)


def test_names(registry: Callable[..., list[DataSet]]) -> None:
    names = ("pointwise_sums", "pairwise_sums", "pointwise_texts", "pointwise_sums_hard")
    sets = registry(**dict.fromkeys(names, definition()))

    def named(*names: str) -> list[str]:
        return [item.name for item in select(sets, names)]

    assert named("texts") == named("pointwise_texts") == named("judge_bench/pointwise_texts")
    assert sorted(named("judge_bench", "texts")) == sorted(named("all")) == sorted(names)
    assert named("texts", "sums_hard", "texts") == ["pointwise_texts", "pointwise_sums_hard"]
    with pytest.raises(DataError, match="can be .*pairwise_sums or .*pointwise_sums; say which"):
        named("sums")
    with pytest.raises(DataError, match="no pack or set 'text'.*Do you mean texts"):
        named("text")


def test_a_set_is_made_whole(
    registry: Callable[..., list[DataSet]], make: Callable[..., Path], tmp_path: Path
) -> None:
    [item] = registry(pointwise_sums=definition())
    assert state(tmp_path / "data", item) == "missing"
    path = make(item)
    assert path == tmp_path / "data" / "judge_bench" / "pointwise_sums.parquet"
    records = read_records(path)
    assert [(r.instruction, r.rating) for r in records[:2]] == [
        ("Add 0 and 1.", 0.0),
        ("Add 1 and 1.", 1.0),
    ]
    assert len(records) == 5000
    schema = pq.read_schema(path)
    assert {schema.field(n).type for n in ("reference", "category", "model")} == {pa.string()}
    numbers = ("rating", "rating_min", "rating_max")
    assert {schema.field(name).type for name in numbers} == {pa.float64()}
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    made = json.loads((path.parent / "registry.json").read_text())["sets"]["pointwise_sums"]
    assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    upstream = {"repository": "owner/name", "commit": COMMIT, "licence": "MIT"}
    assert (made["rows"], made["upstream"]) == (5000, [upstream])
    assert state(tmp_path / "data", item) == "got"
    [newer] = registry(pointwise_sums=definition(commit="0" * 40))
    assert state(tmp_path / "data", newer) == "outdated"


def test_other_columns_have_the_types_of_their_values(
    registry: Callable[..., list[DataSet]], make: Callable[..., Path]
) -> None:
    out = "judge_bench/typed.parquet"
    [item] = registry(typed=definition(converter="made_up:typed", output=out))
    types = {field.name: field.type for field in pq.read_schema(make(item))}
    assert types == {
        **{"instruction_id": pa.int64(), "preference": pa.float64()},
        **{"output_matches": pa.bool_(), "model": pa.string()},
    }


def test_csv(registry: Callable[..., list[DataSet]], make: Callable[..., Path]) -> None:
    out = "judge_bench/tables/sums.csv"
    [item] = registry(sums=definition(output=out))
    path = make(item)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("id,instruction,response")
    assert lines[1].startswith("s-0,Add 0 and 1.,1")
    assert len(lines) == 5001
    assert verify_set(item, path.parents[2]).problems == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 4999}, "the converter gave 5,000 rows, the registry says 4,999"),
        ({"converter": "made_up:mixed"}, "values of two types in a column"),
        ({"converter": "made_up:uneven"}, "row 2 has other columns than row 1"),
        ({"converter": "made_up:typed"}, "the converter gave no column 'id', 'instruction'"),
        ({"converter": "made_up:nothing"}, "there is no converter made_up:nothing"),
        ({"converter": "nowhere:rated"}, "there is no converter nowhere:rated"),
        ({"bytes": 7}, "it has 293,340 bytes, the registry says 7"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    registry: Callable[..., list[DataSet]],
    make: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    message = message.replace("293,340", f"{len(CONTENT):,}")
    [item] = registry(pointwise_sums=definition(**changes))
    with pytest.raises(SelfJError, match=message):
        make(item)
    assert [p.name for p in (tmp_path / "data").rglob("*") if p.is_file()] == ["lock"]


def test_links_do_not_lead_a_set_out_of_the_folder(
    registry: Callable[..., list[DataSet]], make: Callable[..., Path], tmp_path: Path
) -> None:
    [item] = registry(pointwise_sums=definition())
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "judge_bench").symlink_to(outside)
    with pytest.raises(DataError, match="through a link; nothing is written there"):
        make(item)
    assert list(outside.iterdir()) == []


def test_verify_finds_what_changed(
    registry: Callable[..., list[DataSet]], make: Callable[..., Path], tmp_path: Path
) -> None:
    [item] = registry(pointwise_sums=definition())
    path, folder = make(item), tmp_path / "data"
    sound = path.read_bytes()
    found = verify_set(item, folder)
    assert (found.state, found.rows, found.problems) == ("got", 5000, ())

    path.write_bytes(sound[:1000] + bytes([sound[1000] ^ 1]) + sound[1001:])
    assert "its sha256 is" in verify_set(item, folder).problems[0]
    path.write_bytes(sound[:-100])
    problems = verify_set(item, folder).problems
    assert "its sha256 is" in problems[0]
    assert "it cannot be read" in problems[1]
    pq.write_table(_fewer(sound), path)
    problems = verify_set(item, folder).problems
    assert any("it has no column 'rating_max'" in problem for problem in problems)
    assert any("it has 4,999 rows, when it was made it had 5,000" in p for p in problems)
    path.unlink()
    assert verify_set(item, folder).problems == ("it is not there",)

    path.write_bytes(sound)
    record = path.parent / "registry.json"
    record.write_text("{")
    with pytest.raises(DataError, match="is damaged; remove it"):
        verify_set(item, folder)
    record.unlink()
    found = verify_set(item, folder)
    assert (found.state, found.rows, found.problems) == ("by hand", 5000, ())
    pq.write_table(_fewer(sound), path)
    assert verify_set(item, folder).problems == ("it has no column 'rating_max'",)


def _fewer(content: bytes) -> pa.Table:
    """The file's rows without the last row and column ``rating_max``."""
    return pq.read_table(pa.BufferReader(content)).slice(0, 4999).drop_columns(["rating_max"])


def test_upstream_files_go_when_nothing_needs_them(
    registry: Callable[..., list[DataSet]], tmp_path: Path
) -> None:
    own, shared, theirs = ({"path": p, "bytes": 1, "blob": "0" * 40} for p in ("o", "s", "t"))
    a, b, other = registry(
        pointwise_a=definition(files=[own, shared]),
        pointwise_b=definition(files=[shared]),
        pointwise_other=definition(files=[own, theirs]),
    )
    cache = tmp_path / "cache"
    place = cache / "owner" / "name" / COMMIT
    place.mkdir(parents=True)
    for name in ("o", "s", "t", "of a removed set"):
        (place / name).touch()
    tidy(cache, finished=[a], unfinished=[b], others=[other])
    assert sorted(path.name for path in place.iterdir()) == ["s", "t"]
    tidy(cache, finished=[a, b, other], unfinished=[], others=[])
    assert list(cache.iterdir()) == []


def test_a_folder_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match="cannot be written: .* with `to`"),
        opened(tmp_path / "file" / "data"),
    ):
        pass
