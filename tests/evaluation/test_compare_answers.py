"""Two models' answers, scored and compared in one command."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import compare, evaluate, ladder, leaderboard, plan, score
from selfj_eval.errors import DataError, StoreError
from selfj_eval.evaluation.model_comparison import ModelComparison
from selfj_eval.judging import models
from selfj_eval.judging.models import score_models
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.records.addresses import Address
from selfj_eval.records.hub import HubRows
from selfj_eval.records.reading import read_rows

Rows = list[dict[str, Any]]
LEVELS = {"poor": 1, "good": 9}


def of_level(level: int, instructions: int = 20) -> Rows:
    """The ladder's answers of one quality, as a model might have given them."""
    chosen = [r for r in ladder(instructions=instructions) if r.rating == level]
    assert len(chosen) == instructions
    return [
        {"id": k, "instruction": r.instruction, "response": r.response, "reference": r.reference}
        for k, r in enumerate(chosen)
    ]


@pytest.fixture
def files(jsonl: Callable[..., Path]) -> list[Path]:
    """A poor model's answers and a good one's."""
    return [jsonl(*of_level(level), name=f"{name}.jsonl") for name, level in LEVELS.items()]


def compared(*given: Any, **options: Any) -> ModelComparison:
    found = compare(*given, **options)
    assert isinstance(found, ModelComparison)
    return found


def test_one_command_is_score_twice_and_compare(in_process: Any, files: list[Path]) -> None:
    done = in_process("selfj", "compare", *files, "--judge", "demo")
    assert done.returncode == 0, done.stderr
    assert "good is better than poor by " in done.stdout
    output = files[0].with_name("scores_poor_good.jsonl")
    assert f"scores written to {output}" in done.stdout
    apart = [score(file, judge="demo").output for file in files]
    same = compared(*apart).pairs[0]
    found = compared(*files, judge="demo")
    pair = found.pairs[0]
    assert (pair.first, pair.second) == (same.first, same.second) == ("good", "poor")
    numbers = [(p.found.difference.value, p.found.difference.low, p.found.p) for p in (pair, same)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)  # batches are others
    assert found.output == str(output)
    run = json.loads(Path(f"{output}.run.json").read_text())
    assert run["judge"]["model"] == "demo"
    # What follows a comparison: which answers of the two are to be rated.
    chosen = plan(output, models=("good", "poor"), budget=10)
    assert chosen.chosen == 10


def test_a_second_run_judges_nothing_again(files: list[Path]) -> None:
    options = ScoreOptions(judge="demo")
    first = score_models(*files, options)
    assert (first.scored, first.from_store) == (40, 0)
    assert score_models(*files, options).from_store == 40
    swapped = score_models(*files[::-1], options.with_values(store=f"{first.output}.store"))
    assert swapped.from_store == 40


def test_ids_and_models_of_the_scores(jsonl: Callable[..., Path]) -> None:
    one, two = (of_level(level, 12) for level in LEVELS.values())
    found = compared(one, two, judge="length")  # in memory, without names: nothing is written
    assert set(found.means) == {"first", "second"}
    assert found.output is None
    named = [[r | {"model": m, "id": f"{m}{r['id']}"} for r in own]
             for m, own in (("x", one), ("y", two))]  # fmt: skip
    paths = [jsonl(*own, name=f"{k}.jsonl") for k, own in enumerate(named)]
    output = paths[0].with_name("s.parquet")
    found = compared(*paths, judge="length", output=output)
    assert set(found.means) == {"x", "y"}
    rows = [row for _, row in read_rows(output)]
    assert [row["id"] for row in rows] == [r["id"] for own in named for r in own]
    assert not any("ids begin with" in w for w in found.warnings)
    repeated = [jsonl(*[r | {"model": "x"} for r in own], name=f"v{k}.jsonl")
                for k, own in enumerate((one, two))]  # fmt: skip
    found = compared(*repeated, judge="length")  # two versions of one model
    assert set(found.means) == {"v0", "v1"}
    assert any("ids begin with the names of the models" in w for w in found.warnings)
    assert found.output is not None
    assert next(row for _, row in read_rows(found.output))["id"] == "v0:0"


def test_ids_that_are_equal_behind_the_names_are_refused(jsonl: Callable[..., Path]) -> None:
    one, two = (of_level(level, 2) for level in LEVELS.values())
    for own, model, ids in ((one, "a", ("b:1", "1")), (two, "a:b", ("1", "2"))):
        for row, its_id in zip(own, ids, strict=True):
            row |= {"model": model, "id": its_id}
    paths = [jsonl(*own, name=f"{k}.jsonl") for k, own in enumerate((one, two))]
    message = "'b:1' of 'a' and '1' of 'a:b' are both 'a:b:1'. Change one of these ids"
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        compare(*paths, judge="length")
    assert (caught.value.path, caught.value.field) == (str(paths[1]), "id")
    assert not paths[0].with_name("scores_0_1.jsonl").exists()
    two[0]["id"] = "3"  # no id is used twice, so no name is put in front
    assert set(compared(one, two, judge="length").means) == {"a", "a:b"}


def test_a_rater_that_needs_all_answers_sees_both_files(files: list[Path]) -> None:
    """Fitted to each file alone, the scores of the two models would not be on one scale."""
    both = [r | {"id": f"{k}-{r['id']}"} for k, level in enumerate(LEVELS.values())
            for r in of_level(level)]  # fmt: skip
    together = score(both, judge="tfidf").judgments
    found = compared(*files, judge="tfidf")
    for name, own in (("poor", together[:20]), ("good", together[20:])):
        scores = [j.score for j in own if j.score is not None]
        assert found.means[name] == pytest.approx(sum(scores) / len(scores))


def test_the_models_of_one_file(jsonl: Callable[..., Path]) -> None:
    rows = [r | {"id": f"{name}{r['id']}", "model": name} for name, level in LEVELS.items()
            for r in of_level(level)]  # fmt: skip
    file = jsonl(*rows, name="all.jsonl")
    found = compared(file, judge="demo")
    assert list(found.means) == ["good", "poor"]
    assert found.output == str(file.with_name("scores_all.jsonl"))  # as of `selfj score`


def test_answers_that_cannot_be_judged_are_counted(in_process: Any, files: list[Path]) -> None:
    lines = files[0].read_text().splitlines()
    broken = json.loads(lines[3]) | {"response": None}
    files[0].write_text("\n".join([*lines[:3], json.dumps(broken), *lines[4:]]) + "\n")
    done = in_process("selfj", "compare", *files, "--judge", "demo", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["missing"] == 1
    assert found["answers"] == {"good": 20, "poor": 19}
    assert found["pairs"][0]["found"]["difference"]["n"] == 19
    assert any("1 unscored answer is skipped; first poor:3: " in w for w in found["warnings"])
    for line, file in enumerate(files):
        rows = [json.loads(one) | {"response": None} for one in file.read_text().splitlines()]
        files[line].write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = in_process("selfj", "compare", *files, "--judge", "demo")
    assert done.returncode == 2
    assert "no answer could be judged; the first: poor:0: " in done.stderr


def test_wrong_use(in_process: Any, files: list[Path], tmp_path: Path) -> None:
    poor, good = files
    several = tmp_path / "several.jsonl"
    several.write_text(
        "".join(json.dumps(r | {"model": f"m{r['id'] % 2}"}) + "\n" for r in of_level(3))
    )
    for arguments, message in (
        ([poor, good], "Or give --judge, and the answers are scored here"),
        ([poor, good, "--no-reference"], "--reference: for a judge that runs; give --judge"),
        ([poor, good, "--output", "s.jsonl"], "--output: for a judge that runs"),
        ([poor, good, "--layout", "chat"], "--layout: for a judge that runs"),
        ([poor, good, "--judge", "demo", "--by", "rating"], "leave out --by and --ratings"),
        ([poor, poor, "--judge", "length"], "poor.jsonl: is given twice"),
        ([poor, several, "--judge", "length"], "holds answers by 2 models (m0, m1)"),
        ([poor, good, "--judge", "length", "--output", good], "is an input and would be over"),
        ([poor, "--judge", "length"], "answers with a score by 0 models (none)"),
    ):
        done = in_process("selfj", "compare", *arguments)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
    with pytest.raises(DataError, match="by 1 model "):
        compare([r | {"model": "m"} for r in of_level(3)], judge="length")


def test_no_input_is_written_over(files: list[Path]) -> None:
    poor, good = files
    before = [file.read_bytes() for file in files]
    for output in files:
        with pytest.raises(StoreError, match="is an input and would be overwritten"):
            compare(*files, judge="length", output=output)
    for store in files:
        with pytest.raises(StoreError, match=f"the input {store}, .* must be four different"):
            compare(*files, judge="length", store=store)
        with pytest.raises(StoreError, match=f"the input {store} and the store {store} must be"):
            compare(store, of_level(3), judge="length", store=store)  # without an output
    folder = poor.parent
    for several, message in (
        (f"{folder}/p*.jsonl", "is a pattern; to compare two models, give one file for each"),
        (folder, "is a folder; to compare two models"),
        (files, "this is a list of files; to compare two models"),
        ("hf://datasets/me/answers/*.jsonl", "is a pattern"),
    ):
        for given in ((several, good), (good, several)):
            with pytest.raises(DataError, match=message):
                compare(*given, judge="length", output=folder / "poor.jsonl")  # type: ignore[arg-type]
    assert [file.read_bytes() for file in files] == before
    assert sorted(folder.iterdir()) == sorted(files)


def test_two_data_sets_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.chdir(tmp_path)
    given = {
        f"hf://datasets/{owner}/parts?split={split}": HubRows(
            Address(f"{owner}/parts", "a" * 40, config="default", split=split),
            datasets.Dataset.from_list(of_level(level)),
        )
        for owner, split, level in (("me", "poor", 1), ("me", "good", 9), ("you", "good", 9))
    }
    monkeypatch.setattr(models, "fetched", lambda one: given.get(one, one))
    poor, good, theirs = given
    found = compared(poor, good, judge="demo")
    assert list(found.means) == ["parts_good", "parts_poor"]
    assert found.output == "scores_parts_poor_parts_good.jsonl"
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {found.output, f"{found.output}.run.json", f"{found.output}.store"}
    run = json.loads(Path(f"{found.output}.run.json").read_text())
    pinned = [f"hf://datasets/me/parts@{'a' * 40}?config=default&split={s}"
              for s in ("poor", "good")]  # fmt: skip
    assert run["input"] == pinned[0]
    assert run["input_sha256"] == dict.fromkeys(pinned)
    with pytest.raises(DataError, match="is given twice"):
        compare(good, good, judge="length")
    with pytest.raises(StoreError, match="holds scores of other answers"):
        compare(poor, theirs, judge="length")
    assert len(compared(good, theirs, judge="length").means) == 2  # names that differ by owner


def test_default_outputs_of_different_comparisons(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("p/a.jsonl", "q/b.jsonl", "r/b.jsonl")]
    for path, level in zip(paths, (1, 9, 3), strict=True):
        path.parent.mkdir()
        path.write_text("".join(json.dumps(row) + "\n" for row in of_level(level)))
    a, b, other = paths
    found = compared(a, b, judge="length")
    assert found.output == str(tmp_path / "p/scores_a_b.jsonl")
    before = Path(found.output).read_bytes()
    with pytest.raises(StoreError, match="holds scores of other answers, .*; name another"):
        compare(a, other, judge="length")
    assert Path(found.output).read_bytes() == before
    assert compared(a, b, judge="trigrams").output == found.output  # the same answers
    compared(a, other, judge="length", output=tmp_path / "r.jsonl")
    packed = tmp_path / "q/b.jsonl.gz"
    packed.write_bytes(gzip.compress(b.read_bytes()))
    found = compared(packed, other, judge="length")
    assert found.output == str(tmp_path / "q/scores_q_b_r_b.jsonl")
    assert set(found.means) == {"q/b", "r/b"}
    found = compared(packed, b, judge="length")
    assert set(found.means) == {"b.jsonl", "b.jsonl.gz"}


def test_each_file_names_its_model_or_is_its_name(jsonl: Callable[..., Path]) -> None:
    plain, good = of_level(1), of_level(9)
    named = [row | {"model": "gpt"} for row in plain]
    one, two = jsonl(*named, name="n1.jsonl"), jsonl(*good, name="n2.jsonl")
    assert set(compared(one, two, judge="length").means) == {"gpt", "n2"}
    assert set(compared(two, one, judge="length").means) == {"gpt", "n2"}
    equal = jsonl(*good, name="gpt.jsonl")  # its name is the other's model
    found = compared(one, equal, judge="length")
    assert set(found.means) == {"n1", "gpt"}
    assert any("is called n1, because" in w and "'gpt'" in w for w in found.warnings)
    partly = jsonl(*named[:14], *plain[14:], name="partly.jsonl")
    with pytest.raises(DataError, match="partly.jsonl, .*: 6 answers name no model, others 'gpt'"):
        compare(partly, two, judge="length")


def test_an_empty_file_and_a_copy(files: list[Path], tmp_path: Path) -> None:
    (empty := tmp_path / "empty.jsonl").write_text("")
    for given in ((files[0], empty), (empty, files[0])):
        with pytest.raises(DataError, match="empty.jsonl: holds no records"):
            compare(*given, judge="length")
    assert not list(tmp_path.glob("*.store"))
    shutil.copy(files[0], copy := tmp_path / "copy.jsonl")
    note = "all answers of copy and poor are equal: is one of them a copy?"
    assert note in compared(files[0], copy, judge="length").warnings
    rows = of_level(3)
    assert any("is one of them a copy" in w for w in compared(rows, rows, judge="length").warnings)
    assert not any("a copy" in w for w in compared(*files, judge="length").warnings)


def test_one_is_singular(jsonl: Callable[..., Path]) -> None:
    found = compared(of_level(1, 1), of_level(9, 1), judge="length")
    assert any("only 1 instruction in common" in w for w in found.warnings)
    assert found.conclusions[0].startswith("1 instruction cannot tell ")


def test_the_help_says_every_exit_status(in_process: Any) -> None:
    said = in_process("selfj", "compare", "--help").stdout
    assert "Exit status: 0; 1 if --judge left answers unscored; 2 for wrong input." in said


def test_the_run_file_names_the_inputs_as_score_does(files: list[Path]) -> None:
    output = Path(compared(*files, judge="length").output or "")
    run = json.loads(Path(f"{output}.run.json").read_text())
    assert run["input"] == str(files[0])  # as of several files that `selfj score` reads
    sums = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert run["input_sha256"] == sums
    rows = [row | {"rating": k % 9} for k, (_, row) in enumerate(read_rows(output))]
    (rated := output.with_name("rated.jsonl")).write_text("\n".join(map(json.dumps, rows)))
    evaluated = evaluate(output, ratings=rated, scale=(0, 9), resamples=20)
    board = leaderboard(evaluated, output=output.with_name("board.csv"))
    assert [row["dataset"] for row in board.rows()] == ["poor"]
