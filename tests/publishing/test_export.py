"""What other people's collections are given: compared with real files of theirs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfj_eval import evaluate, export, ladder, score
from selfj_eval.errors import DataError

ABOUT = {"model": "owner/model-a", "dataset": "tiny"}
EVER = ABOUT | {"format": "every-eval-ever", "organization": "owner", "relationship": "third_party"}
RESULTS = {
    "format": "eval-results",
    "model": "owner/model-a",
    "dataset": "owner/benchmark",
    "task": "default",
}


def _keys(value: Any, place: str = "") -> set[str]:
    """Where something is, with the kind of each value; items of a list have one place."""
    if isinstance(value, dict):
        return set().union(*(_keys(v, f"{place}.{k}") for k, v in value.items()), {place})
    if isinstance(value, list):
        return set().union(*(_keys(item, f"{place}[]") for item in value), {place})
    return {f"{place}: {type(value).__name__}"}


def test_every_eval_ever_has_what_a_real_file_has(
    data: Path, scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    folder = data / "formats" / "output" / "every-eval-ever"
    if not folder.is_dir():
        pytest.skip("SELFJ_DATA has no formats/output/every-eval-ever in it")
    (real,) = folder.rglob("*.json")
    (real_lines,) = folder.rglob("*.jsonl")
    done = export(
        scores(), output=tmp_path, **EVER, dataset_url="https://example.org/tiny",
        deployment="self_deployed", availability="open_weights",
    )  # fmt: skip
    document, lines = read_ever(done.written)
    wanted = json.loads(real.read_text())
    expected = [json.loads(line) for line in real_lines.read_text().splitlines()]
    found = _keys(document)
    missing = _keys(wanted) - found
    assert not {m for m in missing if "confidence_interval" not in m}  # two answers: none
    assert [_keys(line) for line in lines] == [_keys(line) for line in expected]
    for name in ("evaluation_id", "schema_version"):
        assert {line.pop(name) for line in lines} == {document[name]}
        [line.pop(name) for line in expected]
    assert lines == expected
    (result,), (other,) = document["evaluation_results"], wanted["evaluation_results"]
    for name in ("evaluation_result_id", "evaluation_name", "source_data"):
        assert result[name] == other[name]
    assert result["score_details"]["score"] == other["score_details"]["score"] == 4.375
    assert document["model_info"] == wanted["model_info"]


def test_every_eval_ever_is_valid_by_its_own_checks(
    scores: Callable[..., str], tmp_path: Path
) -> None:
    if importlib.util.find_spec("every_eval_ever") is None:
        pytest.skip("every-eval-ever is not installed (it needs Python 3.12 and old packages)")
    from every_eval_ever.validator import validation_core as core

    judged = score(ladder(instructions=8), judge="demo")
    export(judged, output=tmp_path, **EVER)
    export(evaluate(judged, resamples=20), output=tmp_path, **EVER | {"dataset": "me/rated"})
    export(scores(sum_of=["a", "b"], template=None), output=tmp_path, **EVER, correct_at=2)
    files = [str(f.relative_to(tmp_path)) for f in tmp_path.glob("data/*/*/*/*")]
    assert len(files) == 5
    for name in files:
        check = core.validate_aggregate if name.endswith(".json") else core.validate_instance_file
        report = check(
            tmp_path / name,
            repo_path=name,
            available_files=frozenset(files),
            read_repo_file=lambda place: (tmp_path / place).read_text(),
            run_semantic_checks=True,
        )
        assert report.valid and not report.warnings, (name, report.errors, report.warnings)


def test_unscored_answers_are_in_no_line_and_counted(
    scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    done = export(scores(), output=tmp_path, **EVER)
    assert (done.records, done.unscored, done.samples) == (3, 1, 2)
    assert "UNSCORED        1, not in any number or sample line" in str(done)
    document, lines = read_ever(done.written)
    assert [line["sample_id"] for line in lines] == ["1", "2"]
    assert [line["evaluation"]["is_correct"] for line in lines] == [True, False]
    details = document["detailed_evaluation_results"]
    content = Path(done.written[0]).read_bytes()
    assert details["checksum"] == hashlib.sha256(content).hexdigest()
    assert details["total_rows"] == 2
    assert Path(done.written[0]) == tmp_path / details["file_path"]
    (result,) = document["evaluation_results"]
    assert result["score_details"]["details"] == {"records": "3", "unscored": "1"}
    assert result["score_details"]["uncertainty"]["num_samples"] == 2


def test_the_interval_is_of_the_mean(tmp_path: Path, read_ever: Any) -> None:
    judged = score(ladder(instructions=30), judge="demo")
    written = export(judged, output=tmp_path, **EVER, samples=False).written
    document, lines = read_ever(written)
    assert not lines and "detailed_evaluation_results" not in document
    details = document["evaluation_results"][0]["score_details"]
    assert details["score"] == pytest.approx(judged.mean_score)
    interval = details["uncertainty"]["confidence_interval"]
    assert interval["lower"] < details["score"] < interval["upper"]
    assert interval["upper"] - interval["lower"] < 1.5
    assert (interval["confidence_level"], interval["method"]) == (0.95, "bootstrap (bca)")


def test_the_same_export_replaces_its_files(
    scores: Callable[..., str], tmp_path: Path, answers: Any
) -> None:
    first = export(scores(), output=tmp_path / "out", **EVER).written
    assert export(scores(), output=tmp_path / "out", **EVER).written == first
    other = [row | {"score": 3} if row["id"] == "1" else row for row in answers]
    assert export(scores(other), output=tmp_path / "out", **EVER).written != first
    left = [f for f in (tmp_path / "out").rglob("*") if f.is_file()]
    assert len(left) == 4 and not [f for f in left if f.name.endswith(".tmp")]


def test_eval_results_are_what_the_hubs_library_reads(
    data: Path, scores: Callable[..., str], tmp_path: Path
) -> None:
    from huggingface_hub import parse_eval_result_entries

    more = {"source_url": "https://example.org/s", "source_name": "Scores"}
    done = export(scores(), output=tmp_path, **RESULTS, dataset_revision="0" * 40, **more)
    assert done.written == [str(tmp_path / ".eval_results" / "owner_benchmark_default.yaml")]
    content = yaml.safe_load(Path(done.written[0]).read_text())
    real = data / "formats" / "output" / "eval_results.yaml"
    if real.is_file():
        assert _keys(content) == _keys(yaml.safe_load(real.read_text())[1:])
    (entry,) = parse_eval_result_entries(content)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("owner/benchmark", "default", 4.375)
    assert (entry.date, entry.source_name) == ("2026-01-01T00:00:00+00:00", "Scores")
    assert entry.notes is not None
    assert "judge judge" in entry.notes and "2 of 3 answers, 1 unscored" in entry.notes


def test_eval_results_need_a_library_that_knows_them(
    scores: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", types.ModuleType("huggingface_hub"))
    with pytest.raises(DataError, match=r"needs huggingface_hub 1\.4 or newer.* is installed"):
        export(scores(), output=tmp_path, **RESULTS)
    assert not (tmp_path / ".eval_results").exists()


def test_an_evaluation_is_about_its_judge(tmp_path: Path, read_ever: Any) -> None:
    rated = score(ladder(instructions=6), judge="demo")
    found = evaluate(rated, resamples=20)
    found.to_json(tmp_path / "evaluation.json")
    done = export(tmp_path / "evaluation.json", output=tmp_path / "out", **EVER)
    document, lines = read_ever(done.written)
    assert not lines and done.samples == 0
    results = {r["metric_config"]["metric_id"]: r for r in document["evaluation_results"]}
    assert set(results) == set(found.headline._asdict())
    assert results["spearman"]["score_details"]["score"] == found.headline.spearman.value
    interval = results["spearman"]["score_details"]["uncertainty"]["confidence_interval"]
    assert interval["lower"] == found.headline.spearman.low
    assert results["augrc"]["metric_config"]["lower_is_better"] is True
    assert results["prr"]["metric_config"]["min_score"] == "-Infinity"
    assert all("llm_scoring" not in r["metric_config"] for r in results.values())
    one = export(found, output=tmp_path / "out", **RESULTS, metric="auroc")
    (entry,) = yaml.safe_load(Path(one.written[0]).read_text())
    assert entry["value"] == found.headline.auroc.value == one.values["auroc"]
    with pytest.raises(DataError, match="name it as `metric`: pearson, spearman"):
        export(found, output=tmp_path, **RESULTS)
    with pytest.raises(DataError, match="there is no 'f1'; there are: pearson"):
        export(found, output=tmp_path, **RESULTS, metric="f1")


def test_metrics_without_a_value_are_left_out_and_named(tmp_path: Path) -> None:
    constant = [{"id": k, "score": k, "rating": 5} for k in range(3)]
    found = evaluate(constant, resamples=20, good_at=5)
    done = export(found, output=tmp_path, **EVER)
    assert "pearson" not in done.values
    assert any(reason.startswith("pearson: all 3 ratings") for reason in done.undefined)
    assert "skipped         pearson" in str(done)
    with pytest.raises(DataError, match="has no value of pearson: all 3"):
        export(found, output=tmp_path, **RESULTS, metric="pearson")


def test_of_several_models_one_has_to_be_named(
    scores: Callable[..., str], tmp_path: Path, answers: Any
) -> None:
    rows = [*answers, answers[0] | {"id": "4", "model": "b", "score": 9}]
    with pytest.raises(DataError, match=r"several models \(a, b\); name one of them as"):
        export(scores(rows), output=tmp_path, **EVER)
    with pytest.raises(DataError, match=r"no answers of 'c': there are a, b"):
        export(scores(rows), output=tmp_path, **EVER, answers_of="c")
    done = export(scores(rows), output=tmp_path, **EVER, answers_of="b")
    assert (done.values["mean_score"], done.records) == (9, 1)


def test_a_conversation_is_shown_whole(
    scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    answer = {"score": 5.0, "instruction": "And 2?", "response": "4"}
    last = {"role": "user", "content": "And 2?"}
    before = [
        {"role": "user", "content": "Double 1."},
        {"role": "assistant", "content": "It is 2."},
    ]
    system = {"role": "system", "content": "Be short."}
    rows = [
        {"id": "1", **answer, "messages": [*before, last]},
        {"id": "2", **answer, "messages": [system, last]},
    ]
    _, (talk, single) = read_ever(export(scores(rows), output=tmp_path, **EVER).written)
    assert talk["interaction_type"] == "multi_turn" and "output" not in talk
    assert [turn["content"] for turn in talk["messages"]] == [
        "Double 1.",
        "It is 2.",
        "And 2?",
        "4",
    ]
    assert talk["answer_attribution"][0]["turn_idx"] == talk["messages"][-1]["turn_idx"] == 3
    assert all(text in talk["input"]["raw"] for text in ("Double 1.", "It is 2.", "And 2?"))
    assert single["interaction_type"] == "single_turn" and single["output"] == {"raw": ["4"]}
    assert "Be short." in single["input"]["raw"] and "messages" not in single


def test_sample_lines_need_texts(scores: Callable[..., str], tmp_path: Path) -> None:
    rows = [{"id": "1", "score": 5.0, "instruction": "q"}]
    with pytest.raises(DataError, match="answer '1' has no response.* turn `samples` off"):
        export(scores(rows), output=tmp_path, **EVER)
    assert len(export(scores(rows), output=tmp_path, **EVER, samples=False).written) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (RESULTS | {"task": None}, "`format` eval-results needs `task`"),
        (RESULTS | {"dataset": "tiny"}, "`dataset` must be owner/name of the hub"),
        (RESULTS | {"organization": "me"}, "`organization`: `format` eval-results has no place"),
        (RESULTS | {"source_name": "x"}, "`source_name` needs `source_url`"),
        (EVER | {"organization": None}, "needs `organization`: who ran"),
        (EVER | {"relationship": None}, "needs `relationship`"),
        (EVER | {"metric": "spearman"}, "`metric`: `format` every-eval-ever has no place"),
        (EVER | {"model": "model-a"}, "`model` must be owner/name"),
        (EVER | {"model": "../x"}, "`model` must be owner/name"),
        (EVER | {"dataset": "../../x"}, "`dataset` must be a name"),
        (EVER | {"dataset": "data"}, "no part that is called data"),
        (EVER | {"dataset_url": "x.org"}, "`dataset_url` must begin with http"),
    ],
)
def test_what_has_to_be_named_is_named(
    changed: dict[str, Any], message: str, scores: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        export(scores(), output=tmp_path, **changed)


def test_damaged_and_other_documents(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    for content, message in (
        ('{"kind": "other"}', "expected scored answers, or what `selfj eval` prints"),
        ('{"kind": "selfj-evaluation", "headline": 3}', "field 'headline': expected an object"),
        ('{"kind": "selfj-evaluation"}', "no headline metric has a value"),
        ('{"kind": ', "is not JSON"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            export(path, output=tmp_path, **EVER)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        export(tmp_path / "none.json", output=tmp_path, **EVER)


def test_an_answer_without_a_score_is_no_number(
    scores: Callable[..., str], tmp_path: Path, answers: Any
) -> None:
    with pytest.raises(DataError, match="no answer has a score: there is nothing to publish"):
        export(scores(answers[2:]), output=tmp_path, **EVER)
