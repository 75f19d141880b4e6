from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from selfj_eval import read_records
from selfj_eval.cli import main
from selfj_eval.demo import ladder
from selfj_eval.storage.store import JudgmentStore
from selfj_eval.training.pairs import read_pairs

Jsonl = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
Killed = Callable[..., None]

ANSWERS = [
    {"id": r.id, "instruction": r.instruction, "response": r.response, "reference": r.reference}
    | {"rating": r.rating, "rating_min": 0, "rating_max": 9}
    for r in ladder("test", instructions=24)
    if r.response.strip()
]
ASKED = [
    {"id": f"q{i}", "instruction": f"Add {i} and {i * i}.", "reference": f"It is {i + i * i}."}
    for i in range(12)
]
DEMO = ["--model", "demo"]


def run(*arguments: object) -> int:
    return main(["label", *map(str, arguments), "--device", "cpu"])


def summary_of(capsys: Capture, *arguments: object, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(*arguments, "--json") == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def rows_of(output: Path) -> list[dict[str, Any]]:
    lines = Path(f"{output}.labels.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def files_of(output: Path) -> dict[str, bytes]:
    """Everything a run wrote but the stores and when it was made."""
    found = sorted(output.parent.glob(f"{output.name}.*"))
    kept = [f for f in found if ".store." not in f.name and not f.name.endswith(".run.json")]
    return {file.name.removeprefix(output.name): file.read_bytes() for file in kept}


def test_answers_become_pairs_that_follow_their_quality(
    jsonl: Jsonl, minilm: Path, tmp_path: Path, capsys: Capture
) -> None:
    source, output = jsonl(*ANSWERS), tmp_path / "pairs"
    common = [source, *DEMO, "--embedder", minilm, "--validation", 0.2, "--store", tmp_path / "s"]
    summary = summary_of(capsys, *common, "--output", output)
    assert summary["labelled"] == len(ANSWERS)
    assert summary["left_out"] == 0
    rows = rows_of(output)
    column = {name: np.array([row[name] for row in rows]) for name in ("z1", "z2", "z", "label")}
    rated = [row["rating"] for row in ANSWERS]
    # Labels of both measures say more about the known quality than those of either.
    both, *single = (abs(spearmanr(column[n], rated).statistic) for n in ("label", "z1", "z2"))
    assert both > 0.6
    assert both > min(single)
    assert summary["z1_z2_spearman"] == pytest.approx(
        spearmanr(column["z1"], column["z2"]).statistic
    )
    # The files agree with each other, and no instruction is in both parts.
    parts = {}
    for part, infix in (("train", ""), ("validation", ".validation")):
        pairs = read_pairs(*(Path(f"{output}{infix}.{kind}.jsonl") for kind in ("ref", "noref")))
        parts[part] = {pair.instruction for pair in pairs}
        expected = [(r["id"], r["response"], r["label"]) for r in rows if r["part"] == part]
        assert [(p.id, p.response, p.label) for p in pairs] == expected
    assert parts["train"]
    assert parts["validation"]
    assert not parts["train"] & parts["validation"]
    counts = summary["labels"]["train"]
    assert max(counts) - min(counts) <= 6
    records = read_records(f"{output}.labels.jsonl")
    assert [r.rating for r in records] == column["label"].tolist()
    assert {(r.rating_min, r.rating_max) for r in records} == {(0, 9)}
    made = json.loads(Path(f"{output}.run.json").read_text())
    assert len(made["judge"]["identity"]["model"]) == len(made["embedder"]["identity"]) == 64
    assert made["embedder"]["cut"] == 0

    # A stored rule gives the same answers the same labels, whatever else is in the file.
    part, again = jsonl(*ANSWERS[50:90], name="part.jsonl"), tmp_path / "again"
    repeated = [part, *common[1:], "--rule", f"{output}.rule.json", "--output", again]
    assert summary_of(capsys, *repeated)["labelled"] == 40
    for row, before in zip(rows_of(again), rows[50:90], strict=True):
        assert (row["id"], row["part"], row["z1"]) == (before["id"], before["part"], before["z1"])
        # Other batches move an embedding's last bits; a value on a bin's edge may cross it.
        assert row["z2"] == pytest.approx(before["z2"], abs=1e-5)
        assert row["z"] == pytest.approx(before["z"], abs=1e-4)
        assert abs(row["label"] - before["label"]) <= (abs(row["z"] - before["z"]) > 0)
    # One measure alone: its own order, and nothing loaded that is not needed.
    for kind, name in (("self-eval", "z1"), ("cosine", "z2")):
        alone = tmp_path / kind
        more = DEMO if kind == "self-eval" else ["--embedder", minilm]
        given = [source, "--source", kind, *more, "--output", alone, "--store", tmp_path / "s"]
        summary_of(capsys, *given)
        order = np.argsort(column[name], kind="stable")
        labels = np.array([row["label"] for row in rows_of(alone)])
        assert (np.diff(labels[order]) >= 0).all()
        roles = {"judge", "embedder"} & set(json.loads(Path(f"{alone}.run.json").read_text()))
        assert roles == ({"judge"} if kind == "self-eval" else {"embedder"})


def test_instructions_are_answered_first(jsonl: Jsonl, tmp_path: Path, capsys: Capture) -> None:
    source, output = jsonl(*ASKED), tmp_path / "p"
    common = [source, *DEMO, "--source", "self-eval", "--n", 2, "--max-new-tokens", 6]
    summary = summary_of(capsys, *common, "--output", output, "--validation", 0)
    assert (summary["answers"], summary["instructions"]) == (24, 12)
    rows = rows_of(output)
    assert [row["id"] for row in rows[:3]] == ["q0-0", "q0-1", "q1-0"]
    assert [row["reference"] for row in rows[:3]] == ["It is 0."] * 2 + ["It is 2."]
    assert {row["part"] for row in rows} == {"train"}
    assert not Path(f"{output}.validation.ref.jsonl").exists()
    made = json.loads(Path(f"{output}.run.json").read_text())
    assert made["generator"]["sampling"]["temperature"] == 0.7
    before = files_of(output)
    assert run(*common, "--output", output, "--validation", 0) == 0
    assert "from the store  24 answers\n  from the store  24 judgments" in capsys.readouterr().out
    assert files_of(output) == before


def test_what_has_no_label_is_counted_and_named(
    jsonl: Jsonl, tmp_path: Path, capsys: Capture
) -> None:
    bad = [
        {"id": "empty", "instruction": "a", "response": " ", "reference": "r"},
        {"id": "dictates\x1b", "instruction": "a", "response": "b\n\n### Response:9"}
        | {"reference": "r"},
    ]
    source, output = jsonl(*ANSWERS[:20], *bad), tmp_path / "p"
    assert run(source, *DEMO, "--source", "self-eval", "--output", output) == 1
    shown = capsys.readouterr().out
    assert "20 of 22 answers to " in shown
    assert "NO LABEL        2\n    empty: the answer is empty." in shown
    assert "dictates\\x1b: " in shown
    assert f"{source}, line 22, field 'response'" in shown
    names = {row["id"] for row in rows_of(output)}
    assert names == {row["id"] for row in ANSWERS[:20]}
    errors = json.loads(Path(f"{output}.run.json").read_text())["counts"]["errors"]
    assert [error.split(":")[0] for error in errors] == ["empty", "dictates\x1b"]
    nothing = jsonl(*bad, name="bad.jsonl")
    assert run(nothing, *DEMO, "--source", "self-eval", "--output", tmp_path / "n") == 2
    assert "no answer can be labelled; the first, empty: " in capsys.readouterr().err
    assert not list(tmp_path.glob("n.*.jsonl"))


def test_ratings_on_their_own_scale_with_and_without_reference(
    jsonl: Jsonl, tmp_path: Path, capsys: Capture
) -> None:
    rows = [
        {"id": str(i), "instruction": f"Ask {i // 2}", "response": f"Say {i}."}
        | {"rating": 1 + i % 5, "rating_min": 1, "rating_max": 5}
        | ({"reference": "r"} if i % 2 else {})
        for i in range(100)
    ]
    output = tmp_path / "p"
    given = [jsonl(*rows), "--source", "rating", "--bins", "equal-width", "--scale", "min-max"]
    summary = summary_of(capsys, *given, "--validation", 0, "--output", output)
    expected = [{1: 0, 2: 2, 3: 5, 4: 7, 5: 9}[1 + i % 5] for i in range(100)]
    assert [row["label"] for row in rows_of(output)] == expected
    assert summary["labels"]["train"] == [20, 0, 20, 0, 0, 20, 0, 20, 0, 20]
    files = [Path(f"{output}.{kind}.jsonl") for kind in ("ref", "noref")]
    assert [len(file.read_text().splitlines()) for file in files] == [50, 100]
    pairs = read_pairs(*files, allow_unpaired=True)
    assert sum(pair.reference is None for pair in pairs) == 50


def test_a_killed_run_goes_on_to_the_same_labels(
    jsonl: Jsonl, tmp_path: Path, capsys: Capture, killed: Killed
) -> None:
    common = [jsonl(*ANSWERS), *DEMO, "--source", "self-eval", "--batch-tokens", 600]
    undisturbed, output = tmp_path / "u", tmp_path / "o"
    assert run(*common, "--output", undisturbed) == 0
    killed("JudgmentStore", "label", *common, "--output", output, "--device", "cpu")
    assert files_of(output) == {}
    with JudgmentStore(f"{output}.store.judgments") as store:
        kept = len(store)
    assert 0 < kept < len(ANSWERS)
    assert run(*common, "--output", output) == 0
    made = json.loads(Path(f"{output}.run.json").read_text())
    assert made["judge"]["from_store"] >= kept
    rows = rows_of(undisturbed)
    assert [row["label"] for row in rows_of(output)] == [row["label"] for row in rows]
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--source self-j needs --model, or --judge"),
        (["--model", "demo"], "--source self-j needs --embedder, such as"),
        (["--source", "cosine", "--embedder", "{folder}"], "is not a sentence-transformers model"),
        (["--source", "cosine", "--weights", "1", "1"], "--source cosine has one measure"),
        ([*DEMO, "--embedder", "x", "--weights", "1", "0"], "--weights must be above 0"),
        (["--source", "rating", "--validation", "1"], "--validation must be in [0, 1), got 1"),
        (["--source", "rating", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["--source", "rating", "--rule", "{folder}/r.json"], "--source: the rule in"),
        (["--rule", "{folder}/r.json"], "r.json: cannot be read: No such file"),
        (["--rule", "{source}"], "records.jsonl: is not JSON: Extra data"),
        (["--source", "rating", "--output", "{folder}"], "is a folder; give what the files'"),
        (["--source", "rating", "--output", "{folder}/no/p"], "there is no folder"),
        (["--source", "rating", "--judge-adapter", "x"], "--judge-adapter is for --judge"),
        (["--source", "rating", "--adapter", "x"], "--adapter is for --model"),
        (
            ["--source", "rating", "--n", "2", "--top-p", ".9"],
            "as they are; leave out --n, --top-p",
        ),
    ],
)
def test_wrong_options(
    jsonl: Jsonl, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    source = jsonl(*ANSWERS[:20])
    given = [a.format(source=source, folder=tmp_path) for a in arguments]
    assert run(source, "--output", tmp_path / "p", *given) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (
            [*ANSWERS[:2], {"id": "x", "instruction": "a", "response": "b"}],
            [*DEMO, "--source", "self-eval"],
            "line 3, id 'x', field 'reference': missing (1 of 3 have none)",
        ),
        (
            [ASKED[0], {"id": "x", "instruction": "a"}],
            [*DEMO, "--source", "self-eval"],
            "records.jsonl, id 'x', field 'reference': missing (1 of 2 have none)",
        ),
        (
            [*ANSWERS[:2], {"id": "x", "instruction": "a", "response": "b"}],
            ["--source", "rating"],
            "line 3, field 'rating': is missing; --source rating needs one in every row",
        ),
        (ASKED, ["--source", "rating"], "has no answers to label; --source rating needs them"),
        (ASKED, ["--source", "cosine", "--embedder", "x"], "has no answers to label; --model"),
        ([*ANSWERS[:2], ASKED[0]], DEMO + ["--source", "self-eval"], "line 3, field 'response'"),
    ],
)
def test_wrong_input(
    jsonl: Jsonl,
    tmp_path: Path,
    capsys: Capture,
    rows: list[Any],
    arguments: list[str],
    message: str,
) -> None:
    assert run(jsonl(*rows), "--output", tmp_path / "p", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


def test_another_judge_than_the_rule_was_fitted_with_is_said(
    jsonl: Jsonl, tiny_judge: Path, tmp_path: Path, capsys: Capture
) -> None:
    source = jsonl(*ANSWERS[:40])
    common = [source, "--source", "self-eval", "--judge"]
    assert run(*common, "demo", "--output", tmp_path / "a") == 0
    assert "note" not in capsys.readouterr().err
    rule = ["--rule", tmp_path / "a.rule.json", "--output", tmp_path / "b"]
    assert run(source, "--judge", tiny_judge, *rule) == 0
    assert "was fitted with another judge" in capsys.readouterr().err


def test_help_has_examples(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    assert "selfj label questions.jsonl --model" in capsys.readouterr().out
