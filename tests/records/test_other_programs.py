"""Files of other programs: what each of them is expected to give, and what damage does."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.errors import printable
from selfj_eval.records.conversations import Turn
from selfj_eval.records.layouts import LAYOUTS
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.pairs import Pair, read_pairs
from selfj_eval.records.reading import iter_rows

DATA = Path(os.environ.get("SELFJ_DATA", "/nowhere")) / "formats"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text()) if DATA.is_dir() else {}
pytestmark = pytest.mark.usefixtures("formats")  # which skips where there is no data

# What has to be told: the name of the rating or the reference, and the scale where no file has it.
TOLD: dict[str, dict[str, Any]] = {
    "inspect/tiny.eval": {"names": {"rating": "quality"}},
    "inspect/tiny-epochs.json": {"names": {"rating": "quality"}},
    "promptfoo/results.json": {"names": {"reference": "reference"}},
    "promptfoo/results.jsonl": {"names": {"reference": "reference"}},
    "raters/argilla.json": {"names": {"rating": "quality"}},
    "raters/argilla-flat.json": {"names": {"rating": "quality"}},
    "raters/label-studio.json": {"names": {"rating": "quality"}},
    "raters/label-studio.csv": {"names": {"rating": "quality"}},
    "ratings/several-answers-per-row.jsonl": {
        "names": {"rating": "helpfulness"}, "scale": (1, 5)
    },
}  # fmt: skip
REFUSED = {
    "promptfoo/results.csv": "export its JSON",
    "pairs/reward-bench-2.jsonl": "groups of good and bad answers .* Give each answer a row",
    "chat/openai-batch-input.jsonl": "They hold no answers; give the batch's output",
    "mt-bench/question.jsonl": "They hold no answers; give a file of model_answer/",
    "mt-bench/reference_answer/gpt-4.jsonl": "is not in model_answer/",
    "arena-hard-v2.0/question.jsonl": "They hold no answers; give a file of model_answer/",
    "arena-hard-v0.1-old/question.jsonl": "They hold no answers; give a file of model_answer/",
    "lm-eval/results.json": "expected a JSON array of objects",
}
_PLAIN_FILES = "files/"  # compression, encodings, tables: tests of the formats


def of_kind(*kinds: str) -> list[str]:
    """The files of a kind; one that does not exist where there are no files at all."""
    found = [
        name
        for name, expected in EXPECTED.items()
        if expected["kind"] in kinds and not name.startswith(_PLAIN_FILES)
    ]
    return found or ["none"]


def turns(messages: Any) -> tuple[Turn, ...] | None:
    """Expected messages as turns: a call of a tool is its text."""
    if messages is None:
        return None
    found = []
    for message in messages:
        calls = [call["function"] for call in message.get("tool_calls", ())]
        texts = [message["content"]] if message["content"] is not None else []
        texts += [f"{call['name']}({call['arguments']})" for call in calls]
        found.append(Turn(message["role"], "\n".join(texts)))
    return tuple(found)


def as_record(expected: Mapping[str, Any]) -> Record:
    values = {**expected, "messages": turns(expected.get("messages"))}
    if "raters" in values:
        values["raters"] = [(one["rater"], one["rating"]) for one in values["raters"]]
    return Record(**values)


def left_out_of(notices: Notices) -> int:
    """How many rows, or parts of rows, its sentences say gave no record."""
    said = [re.search(r"^skipped, .*: ([\d,]+) \(", each) for each in notices.why_left_out()]
    return sum(int(found[1].replace(",", "")) for found in said if found)


@pytest.mark.parametrize("name", of_kind("records"))
def test_the_records_of_each_program(name: str) -> None:
    expected, notices = EXPECTED[name], Notices()
    found = read_records(DATA / name, notices=notices, **TOLD.get(name, {}))
    judged = {record.id: record for record in found if record.error is None}
    assert judged == {one["id"]: as_record(one) for one in expected["records"]}
    unscored = [record for record in found if record.error is not None]
    left_out = expected.get("left_out", [])
    assert left_out_of(notices) + len(unscored) == len(left_out)
    said = notices.sentences() + [f"{record.where}: {record.error}" for record in unscored]
    for each in left_out:  # a JSON document of results has its own names for places
        line = each["where"].partition(",")[0]
        assert line.startswith("results.") or any(line in sentence for sentence in said)
    if name != "chat/alpaca.json":
        assert sum(sentence.startswith("read as ") for sentence in said) == 1


def as_pair(expected: Mapping[str, Any]) -> Pair:
    values = {**expected, "messages": turns(expected.get("messages"))}
    if "raters" in values:
        values["raters"] = tuple((one["rater"], one["label"]) for one in values["raters"])
    return Pair(**values)


@pytest.mark.parametrize("name", of_kind("pairs"))
def test_the_pairs_of_each_program(name: str) -> None:
    expected, notices = EXPECTED[name], Notices()
    found = {pair.id: pair for pair in read_pairs(DATA / name, notices=notices)}
    assert found == {one["id"]: as_pair(one) for one in expected["pairs"]}
    assert left_out_of(notices) == len(expected.get("left_out", []))
    with pytest.raises(DataError, match="here each row is one answer"):
        read_records(DATA / name)


@pytest.mark.parametrize("name", of_kind("refused", "companion", "groups"))
def test_what_holds_no_answers_is_refused_with_advice(name: str) -> None:
    with pytest.raises(DataError, match=REFUSED[name]) as error:
        read_records(DATA / name)
    assert error.value.path == printable(DATA / name)


@pytest.mark.parametrize("name", of_kind("records", "pairs", "groups", "companion"))
def test_a_first_row_is_of_one_layout_at_most(name: str) -> None:
    _, row = next(iter_rows(DATA / name))
    fits = [layout.name for layout in LAYOUTS if layout.fits(row)]
    assert len(fits) == (name != "chat/alpaca.json")


# ---- damage -------------------------------------------------------------------------------------

# Per file: the field that is required, by its path in a row, and what is put there as a wrong type.
FIELDS: dict[str, tuple[str, Any]] = {
    "chat/openai-finetune.jsonl": ("messages.0.role", 7),
    "chat/openai-batch-output.jsonl": ("response.body.choices", "x"),
    "chat/sharegpt.json": ("conversations", 7),
    "chat/alpaca.json": ("instruction", ["x"]),
    "trl/prompt-completion.jsonl": ("completion", 7),
    "trl/unpaired-preference.jsonl": ("prompt", 7),
    "mt-bench/model_answer/model-a.jsonl": ("choices.0.turns", "x"),
    "mt-bench/model_answer/model-b.jsonl": ("question_id", ["x"]),
    "mt-bench/model_judgment/gpt-4_single.jsonl": ("model", ["x"]),
    "arena-hard-v2.0/model_answer/base-1.jsonl": ("messages", "x"),
    "arena-hard-v2.0/model_answer/model-b.jsonl": ("uid", ["x"]),
    "arena-hard-v0.1-old/model_answer/model-b.jsonl": ("choices.0.turns", "x"),
    "ratings/several-answers-per-row.jsonl": ("completions.1.response", ["x"]),
    "inspect/tiny.eval": ("id", ["x"]),
    "inspect/tiny-epochs.json": ("id", ["x"]),
    "promptfoo/results.json": ("prompt.raw", ["x"]),
    "promptfoo/results.jsonl": ("testIdx", ["x"]),
    "deepeval/test_run.json": ("input", ["x"]),
    "lm-eval/samples_tiny_gen.jsonl": ("doc_id", "x"),
    "lighteval/details_tiny.parquet": ("doc.id", "x"),
    "openai-evals/log.jsonl": ("data.prompt", 7),
    "raters/argilla.json": ("fields.instruction", ["x"]),
    "raters/argilla-flat.json": ("instruction", ["x"]),
    "raters/label-studio.json": ("data.response", ["x"]),
    "raters/label-studio.csv": ("response", "x"),
    "raters/mlflow-rows.jsonl": ("inputs", 7),
}
_ROW = {"openai-evals/log.jsonl": 1}  # of events, that of an answer; elsewhere the last row


def rows_of(document: Any) -> list[Any]:
    """The rows in a JSON document."""
    for names in (["samples"], ["results", "results"], ["testCases"]):
        inner = document
        for name in names:
            inner = inner.get(name, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, list):
            return inner
    return list(document)


def damage(row: Any, at: str, value: Any) -> None:
    """Put something else at the path ``at`` of a row, or nothing."""
    *parents, last = at.split(".")
    for name in parents:
        row = row[int(name)] if name.isdigit() else row[name]
    if value is None:
        del row[last]
    else:
        row[last] = value


def rewrite(path: Path, name: str, at: str, value: Any) -> None:
    """The file with one row damaged."""
    import zipfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    number = _ROW.get(name, -1)
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        damage(rows[number], at, value)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        document = json.loads(path.read_text())
        damage(rows_of(document)[number], at, value)
        path.write_text(json.dumps(document))
    elif path.suffix == ".csv":  # has no types: without the column, or with a row of one cell
        text = path.read_text()
        path.write_text(text.replace(",response,", ",x,") if value is None else text + "4,2\n")
    elif path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            damage(row, at, value if value is None else [value])
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        rows = [(place, dict(row)) for place, row in iter_rows(path)]
        about = rows[0][1]["eval"]
        damage(rows[number][1], at, value)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps({"eval": about}))
            for member, row in rows:
                archive.writestr(member, json.dumps({k: v for k, v in row.items() if k != "eval"}))


@pytest.mark.parametrize("kind", ["a field that is missing", "a wrong type"])
@pytest.mark.parametrize("name", of_kind("records"))
def test_a_damaged_row_is_one_clear_error(
    tmp_path: Path, name: str, kind: str, copied: Any
) -> None:
    path = copied(name, tmp_path)
    at, wrong = FIELDS[name]
    rewrite(path, name, at, wrong if kind == "a wrong type" else None)
    with pytest.raises(DataError) as error:
        read_records(path, **TOLD.get(name, {}))
    assert error.value.path == printable(path)
    assert error.value.place is not None
    assert any(part in str(error.value) for part in at.split(".") if not part.isdigit())


@pytest.mark.parametrize("name", of_kind("records"))
def test_a_truncated_file_is_one_clear_error(tmp_path: Path, name: str, copied: Any) -> None:
    path = copied(name, tmp_path)
    content = path.read_bytes()
    text = path.suffix in (".json", ".jsonl", ".csv")
    end = content.rindex(b'"') - 3 if text else int(len(content) * 0.9)
    path.write_bytes(content[:end])
    with pytest.raises(DataError) as error:
        read_records(path, **TOLD.get(name, {}))
    assert error.value.path == printable(path)
    assert (error.value.place is not None) == text


def test_a_damaged_member_of_an_eval_log(tmp_path: Path, copied: Any) -> None:
    path = copied("inspect/tiny.eval", tmp_path)
    content = bytearray(path.read_bytes())
    content[700:720] = bytes(20)  # within the first sample
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"samples/kettle_epoch_1\.json: is damaged"):
        read_records(path)


def test_a_log_that_python_itself_has_zipped(tmp_path: Path, copied: Any) -> None:
    path = copied("inspect/tiny.eval", tmp_path)
    expected = read_records(path)
    rewrite(path, "inspect/tiny.eval", "store", {})
    again = read_records(path)
    assert [(r.id, r.question, r.response) for r in again] == [
        (r.id, r.question, r.response) for r in expected
    ]


def test_a_compressed_file_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    plain = DATA / "promptfoo/results.jsonl"
    packed = tmp_path / "results.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_records(packed) == read_records(plain)


# ---- what is told -------------------------------------------------------------------------------


def test_a_rating_that_is_not_told_is_offered() -> None:
    notices = Notices()
    records = read_records(DATA / "inspect/tiny.eval", notices=notices)
    assert all(record.rating is None for record in records)
    assert "no rating is read; `fields` rating=NAME names what holds it: includes, quality" in (
        notices.sentences()
    )
    right = read_records(DATA / "inspect/tiny.eval", names={"rating": "includes"})
    assert {(r.rating, r.rating_min, r.rating_max) for r in right} <= {(0, 0, 1), (1, 0, 1)}
    with pytest.raises(DataError, match="no row has 'x' for 'rating'; the fields are: in"):
        read_records(DATA / "inspect/tiny.eval", names={"rating": "x"})
    with pytest.raises(DataError, match="these can be named: rating"):
        read_records(DATA / "inspect/tiny.eval", names={"category": "x"})


def test_the_layout_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    row = {"id": "1", "messages": [{"role": "user", "content": "q"}], "conversations": [
        {"from": "human", "value": "Add 4 and 9."}, {"from": "gpt", "value": "13"}]}  # fmt: skip
    path.write_text(json.dumps(row))
    assert read_records(path)[0].response == "13"
    assert read_records(path, layout="sharegpt")[0].instruction == "Add 4 and 9."
    with pytest.raises(DataError, match="`layout` trl: the first row lacks prompt, completion"):
        read_records(path, layout="trl")
    with pytest.raises(DataError, match="no `layout` 'chats'; there are: records, chat, "):
        read_records(path, layout="chats")
    both = {"inputs": {"question": "q"}, "outputs": "a", "doc": {}, "model_response": {}}
    path.write_text(json.dumps(both))
    with pytest.raises(DataError, match="may be of the layout mlflow or lighteval; name one"):
        read_records(path)
    assert read_records(path, layout="mlflow")[0].response == "a"


def test_a_command_reads_a_log_of_another_program(tmp_path: Path, in_process: Any) -> None:
    output = tmp_path / "scores.jsonl"
    done = in_process(
        "selfj", "score", DATA / "inspect/tiny.eval", "--judge", "demo", "--output", output,
        "--field", "rating=quality",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "read as samples in a log of inspect_ai's, layout inspect" in done.stdout
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["kettle", "2", "sorted-list"]
    assert rows[0]["messages"][0] == {"role": "system", "content": "Answer briefly."}
    assert rows[0]["rating"] == 4


def test_a_layout_in_a_table_is_read_with_its_own_columns(tmp_path: Path) -> None:
    options = ReadOptions(fields={"rating": "judge_score"})
    assert options.layout is None
    records = read_records(DATA / "lighteval/details_tiny.parquet", names=dict(options.fields))
    assert [record.rating for record in records] == [4, 1, 1, None]


def test_logs_of_several_runs_have_ids_of_their_own(tmp_path: Path, in_process: Any) -> None:
    logs, output = tmp_path / "logs", tmp_path / "scores.jsonl"
    logs.mkdir()
    for name in ("a.eval", "b.eval"):
        shutil.copyfile(DATA / "inspect/tiny.eval", logs / name)
    done = in_process("selfj", "score", logs, "--judge", "demo", "--output", output)
    assert done.returncode == 0, done.stderr
    ids = [json.loads(line)["id"] for line in output.read_text().splitlines()]
    assert ids == [f"{run}:{own}" for run in "ab" for own in ("kettle", "2", "sorted-list")]


def test_a_conversation_in_lm_evals_documents() -> None:
    from selfj_eval.harness.documents import record_dataset

    records = read_records(DATA / "chat/sharegpt.json")
    again = [Record(**doc) for doc in record_dataset(records)]
    assert [record.question for record in again] == [record.question for record in records]
    assert again[1].messages == records[1].messages
