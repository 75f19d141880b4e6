"""The schemas of docs/schemas/ say what the package reads and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import selfj_eval as selfj
from selfj_eval.cli import main
from selfj_eval.files.documents import read_json
from selfj_eval.records.pairs import read_pairs
from selfj_eval.workbench.rating_file import Given, RatingFile, ToRate, read_rating_file

SCHEMAS = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in (Path(__file__).parent.parent / "docs" / "schemas").glob("*.json")
}
ASKED = {"id": "1", "instruction": "What is 2 + 3?"}
RECORD = ASKED | {"response": "5"}
TURNS = [
    {"role": "user", "content": "What is 2 + 3?"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": "And 2 + 4?"},
]
PAIR = ASKED | {"response_a": "5", "response_b": "6"}


def accepts(name: str, value: Any) -> bool:
    return bool(Draft202012Validator(SCHEMAS[name]).is_valid(value))


def check(name: str, values: list[Any]) -> None:
    """All values are as the schema says, and it has each of their fields."""
    validator = Draft202012Validator(SCHEMAS[name])
    assert values
    for value in values:
        validator.validate(value)
        for schema in SCHEMAS[name].get("oneOf", [SCHEMAS[name]]):
            if Draft202012Validator(schema).is_valid(value):
                assert value.keys() <= schema["properties"].keys()


def rows(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def is_read(read: Callable[[Path], Any], row: dict[str, Any], folder: Path) -> bool:
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    try:
        return bool(read(file))
    except selfj.DataError:
        return False


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_sound(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert not accepts(name, {})
    assert not accepts(name, [])


@pytest.mark.parametrize(
    ("row", "right"),
    [
        (RECORD, True),
        (RECORD | {"id": 7, "color": "blue"}, True),
        ({"instruction": "What is 2 + 3?", "response": ""}, True),
        (RECORD | {"response": None, "reference": None, "rating": None}, True),
        ({"id": "1", "messages": TURNS, "response": "6"}, True),
        (RECORD | {"rating": 4, "rating_min": 1, "rating_max": 5, "reference": "5"}, True),
        (RECORD | {"raters": [{"rater": "ann", "rating": 4}]}, True),
        (ASKED, False),
        ({"id": "1", "response": "5"}, False),
        (RECORD | {"instruction": "  "}, False),
        (RECORD | {"id": ""}, False),
        (RECORD | {"id": 1.5}, False),
        (RECORD | {"response": ["5"]}, False),
        (RECORD | {"reference": {"text": "5"}}, False),
        (RECORD | {"rating": True}, False),
        (RECORD | {"rating": "good"}, False),
        (RECORD | {"rating_min": [1]}, False),
        (RECORD | {"model": ["a"]}, False),
        (RECORD | {"raters": [{"rating": 4}]}, False),
        (RECORD | {"raters": "ann"}, False),
    ],
)
def test_records_are_right_if_they_can_be_read(
    row: dict[str, Any], right: bool, tmp_path: Path
) -> None:
    read = is_read(selfj.read_records, row, tmp_path)
    assert (accepts("record", row), read) == (right, right)


@pytest.mark.parametrize(
    ("row", "right"),
    [
        (PAIR, True),
        (PAIR | {"label": "tie", "reference": "5", "model_a": "x", "rating_b": 3}, True),
        (PAIR | {"response_b": None}, True),
        ({"id": "1", "messages": TURNS, "response_a": "6", "response_b": "7"}, True),
        (RECORD | {"response_a": "5"}, False),
        (PAIR | {"label": "C"}, False),
        (PAIR | {"instruction": ""}, False),
        (PAIR | {"response_a": 1.5e400}, False),
        ({"instruction": "?", "response_a": "5", "response_b": "6"}, False),
    ],
)
def test_pairs_are_right_if_they_can_be_read(
    row: dict[str, Any], right: bool, tmp_path: Path
) -> None:
    read = is_read(read_pairs, row, tmp_path)
    assert (accepts("pairs", row), read) == (right, right)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands write, one after the other."""
    folder = tmp_path_factory.mktemp("formats")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        answers = selfj.ladder(instructions=60, seed=1)
        rated = [a.row() | {"model": f"m{k % 2}"} for k, a in enumerate(answers)]
        rated.append(RECORD | {"id": "none", "response": None})
        Path("rated.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rated))
        selfj.score("rated.jsonl", judge="length", output="scores.jsonl")
        selfj.score(answers[:5], judge="demo", output="demo.jsonl")
        bare = [{k: r[k] for k in ("id", "instruction", "response")} for r in rated]
        selfj.score(bare, judge="length", output="bare.jsonl")
        selfj.plan("bare.jsonl", budget=20, scale=(0, 9), output="plan.jsonl")
        Path("answers.jsonl").write_text(json.dumps(PAIR) + "\n")
        selfj.prefer("answers.jsonl", judge="demo", template=_two(folder), output="pairs.jsonl",
                     pointwise="self-j")  # fmt: skip
        selfj.select("scores.jsonl", max_risk=0.9, output="policy.json")
        selfj.select("bare.jsonl", policy="policy.json", output="decisions.jsonl")
        selfj.audit("policy.json", "scores.jsonl")
    return folder


def _two(folder: Path) -> str:
    file = folder / "two.yaml"
    text = "without_reference: |\n  {instruction}\n  {response_a}\n  {response_b}\n  Better:"
    file.write_text(f'{text}\nlabels: {{"1": 1, "2": 0}}\n')
    return str(file)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("record", "rated.jsonl"),
        ("scores", "scores.jsonl"),
        ("scores", "demo.jsonl"),
        ("scores", "bare.jsonl"),
        ("plan", "plan.jsonl"),
        ("preferences", "pairs.jsonl"),
        ("decisions", "decisions.jsonl"),
    ],
)
def test_rows_are_written_as_the_schema_says(name: str, file: str, folder: Path) -> None:
    found = rows(str(folder / file))
    check(name, found)
    for field in SCHEMAS[name]["required"]:  # it is there, and not for nothing
        assert not accepts(name, {k: v for k, v in found[0].items() if k != field}), field


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("policy", "policy.json"),
        ("audit", "policy.json.audit.json"),
        ("run", "scores.jsonl.run.json"),
        ("run", "pairs.jsonl.run.json"),
    ],
)
def test_documents_are_written_as_the_schema_says(name: str, file: str, folder: Path) -> None:
    check(name, [read_json(folder / file)])


def test_a_check_prints_what_the_schema_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    given = ["--require", "mean_score>=1", "--require", "unscored<=0.5", "--require", "ece<=1"]
    main(["check", "scores.jsonl", "--json", *given])
    check("check", [json.loads(capsys.readouterr().out)])


CHANGES: list[dict[str, Any]] = [
    {"kind": "policy"},
    {"threshold": "5"},
    {"max_risk": 0},
    {"confidence": 1},
    {"slope": None},
    {"calibration": []},
    {"calibration": {"lowest_score": "low"}},
    {"thresholds": {"math": "5"}},
    {"judge": "demo"},
    {"loss": "good"},
    {"promise": 3},
    {"version": "one"},
    {"distributions": {"all": {}}},
    {"threshhold": 5},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_policy_that_is_refused_is_not_as_the_schema_says(
    change: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    value = read_json(folder / "policy.json")
    (tmp_path / "policy.json").write_text(json.dumps(value | change), encoding="utf-8")
    assert accepts("policy", value)
    assert not accepts("policy", value | change)
    with pytest.raises(selfj.DataError):
        selfj.Policy.load(tmp_path / "policy.json")


def test_a_file_of_ratings_is_as_the_schema_says(tmp_path: Path) -> None:
    answers = [ToRate("1", "What is 2 + 3?", "5", "5", 0.5, 4), ToRate("2", "And 2 + 4?", "")]
    given = [Given("2", "ann", 3.5, "short", "2026-01-01T00:00:00+00:00")]
    given.append(Given("1", "bob", None, "", "2026-01-01T00:00:01+00:00"))
    path = tmp_path / "ratings.jsonl"
    RatingFile(path, answers, (1, 5), given).write()
    found = rows(str(path))
    check("ratings", found)
    for row in found:
        for field in row.keys() - {"reference", "inclusion", "comment"}:
            if field == "rating" and "rater" not in row:
                continue  # of a pilot: it need not be there
            less = {name: value for name, value in row.items() if name != field}
            assert not accepts("ratings", less), field
    assert read_rating_file(path)[0].scale == (1, 5)
