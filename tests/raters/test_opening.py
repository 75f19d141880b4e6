"""``score`` takes every rater that rates records one by one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import Judge, bench, ladder, read_records, score, write_records
from selfj_eval.cli import main
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, SelfJError
from selfj_eval.jobs.progress import Step
from selfj_eval.judging import files
from selfj_eval.raters.combined import SumRater, combine
from selfj_eval.raters.cosine import TfidfRater
from selfj_eval.raters.length import LengthRater
from selfj_eval.raters.open_rater import opened, rater_name
from selfj_eval.storage.store import JudgmentStore

ROWS = [
    {"id": "a", "instruction": "What is 2+2?", "response": "It is 4.", "reference": "4"},
    {"id": "b", "instruction": "Say hi", "response": "hi", "reference": "hello"},
]


@pytest.mark.parametrize(
    "kind", ["length", "log-length", "ppl", "log-ppl", "self-eval", "generative"]
)
def test_score_takes_each_rater_and_goes_on_from_its_store(
    kind: str, tiny_judge: Path, jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_judge, tmp_path / "model")
    (model / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    file = jsonl(*ROWS)
    judge = kind if kind.endswith("length") else f"{kind}:{model}"
    first = score(file, judge=judge)
    again = score(file, judge=judge)
    assert first.records == 2
    assert (first.scored, first.mean_score) == (again.scored, again.mean_score)
    assert (first.mean_digit_mass is None) == (kind != "self-eval")
    if kind != "generative":
        assert first.scored == 2
    if not kind.endswith("length"):
        assert again.from_store == 2
    run = json.loads(Path(f"{first.output}.run.json").read_text())
    assert run["judge"]["model"] == judge


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """More answers than a window of three holds, one of them unscored, one with another word."""
    path = tmp_path / "answers.jsonl"
    records = ladder(instructions=2)
    write_records(path, [*records, replace(records[3], id="x", response=None)])  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("judge", ["tfidf", "demo+tfidf", "2*length+tfidf", "length+demo"])
def test_windows_give_what_all_answers_together_give(
    judge: str, answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(read_records(answers), judge=judge)
    monkeypatch.setattr(files, "WINDOW", 3)
    parts = score(answers, judge=judge)
    assert (whole.scored, whole.unscored) == (parts.scored, parts.unscored) == (20, 1)
    expected = [j.score for j in whole.judgments]
    found = [answer.score for answer in parts.scores.answers]
    assert found == pytest.approx(expected, abs=1e-4)  # the demo judge's last digits
    assert parts.mean_digit_mass is None
    assert parts.scores.name == judge
    again = score(answers, judge=judge)
    assert again.mean_score == pytest.approx(parts.mean_score)


def test_a_rater_that_is_used_again_has_forgotten_the_last_file(
    answers: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    write_records(
        other, [replace(r, response=r.response + " word" * 50) for r in ladder(instructions=3)]
    )
    for rater in (TfidfRater(), SumRater([("a", 1, LengthRater()), ("b", 1, TfidfRater())])):
        fresh = score(other, judge=rater, output=tmp_path / "fresh.jsonl").mean_score
        score(answers, judge=rater, output=tmp_path / "between.jsonl")
        assert score(other, judge=rater, output=tmp_path / "again.jsonl").mean_score == fresh
        alone = [j.score for j in score(read_records(answers), judge=rater).judgments]
        assert alone == [a.score for a in score(answers, judge=rater).scores.answers]


def test_a_rater_that_is_fitted_stays_so(answers: Path) -> None:
    others = [replace(r, response=r.response + " word" * 50) for r in ladder(instructions=3)]
    rater = TfidfRater().fitted(others)
    expected = [j.score for j in rater.judge(read_records(answers)[:20])]
    assert [a.score for a in score(answers, judge=rater).scores.answers][:20] == expected
    assert expected != [a.score for a in score(answers, judge="tfidf").scores.answers][:20]


def test_what_looks_at_all_answers_first_shows_how_far_it_is(answers: Path) -> None:
    told: list[Step] = []
    score(answers, judge="demo+2*length", progress=told.append)
    done = {verb: [s.done for s in told if s.verb == verb] for verb in ("prepared", "judged")}
    assert done["prepared"][-1] == done["judged"][-1] == 21
    assert len(set(done["prepared"])) > 3  # of the first of the parts, too


def test_a_store_that_a_loaded_rater_would_not_use_is_refused(
    answers: Path, tmp_path: Path
) -> None:
    own = Judge.load("demo", store=JudgmentStore(tmp_path / "own.store"))
    for rater in (LengthRater(), own):
        with pytest.raises(DataError, match="`store` is for a rater given by name"):
            score(answers, judge=rater, store=tmp_path / "other.store")
    run = score(read_records(answers), judge=Judge.load("demo"), store=tmp_path / "other.store")
    assert run.scored == 20 and (tmp_path / "other.store").is_file()


def test_a_sum_says_how_much_it_knew(answers: Path) -> None:
    assert score(answers, judge="demo+length").from_store == 0
    assert score(answers, judge="demo+length").from_store == 20


def test_a_sum_is_that_of_combine(answers: Path) -> None:
    records = read_records(answers)
    demo, words = (score(records, judge=name).judgments for name in ("demo", "tfidf"))
    expected = combine(["demo", "tfidf"], [demo, words], [1, 3])
    found = score(records, judge="demo+3*tfidf").judgments
    assert [j.score for j in found] == pytest.approx([j.score for j in expected], abs=1e-4)
    assert "line 21, there is no answer: the response is null" in str(found[-1].error)


def test_the_cosine_and_a_file_with_options(
    answers: Path, minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = score(answers, judge=f"cosine:{minilm}", output=tmp_path / "named.jsonl")
    assert named.scored == 20 and "digit mass" not in str(named)
    file = tmp_path / "mine.yaml"
    file.write_text(f"- {{name: words, rater: cosine, model: {minilm}, device: cpu}}\n")
    by_file = score(answers, judge=str(file), output=tmp_path / "file.jsonl")
    assert by_file.mean_score == pytest.approx(named.mean_score)
    assert (
        main(["score", str(answers), "--judge", str(file), "--output", f"{tmp_path}/c.jsonl"]) == 1
    )
    assert main(["eval", f"{tmp_path}/c.jsonl", "--resamples", "20"]) == 0
    assert "\nmine: 21 answers, 20 scored, 1 unscored" in capsys.readouterr().out
    both = tmp_path / "both"
    table = bench(str(answers), judge=[str(file), "length"], output=both, resamples=20)
    assert [row.rater for row in table.sets[0].rows] == ["words", "length"]  # type: ignore[union-attr]
    file.write_text("- {name: a, rater: length}\n- {name: b, rater: tfidf}\n")
    with pytest.raises(DataError, match=r"mine.yaml: defines 2 raters \(a, b\); give one"):
        score(answers, judge=str(file))


def test_a_judge_of_a_file_may_be_asked_without_references(answers: Path, tmp_path: Path) -> None:
    """Alone, and in a sum whose other part needs them."""
    file = tmp_path / "raters.yaml"
    file.write_text("- {name: blind, rater: judge, model: demo, reference: false}\n")
    blind = score(answers, judge=str(file))
    asked = score(answers, judge="demo", reference=False)
    assert blind.scored == 20 and [j.score for j in blind.judgments] == [
        j.score for j in asked.judgments
    ]
    assert not any(j.reference_used for j in blind.judgments)
    judges = ["blind", "blind+tfidf", "demo"]
    table = bench(str(answers), judge=judges, raters=file, output=tmp_path / "table", resamples=20)
    rows = {(row.rater, row.reference) for row in table.sets[0].rows}  # type: ignore[union-attr]
    assert rows == {("blind", False), ("blind+tfidf", True), ("demo", True), ("demo", False)}
    robust = bench(
        str(answers), judge="blind,demo", raters=file, robust=True, limit=2,
        output=tmp_path / "robust",
    )  # fmt: skip
    asked = {name for of_set in robust.to_dict()["sets"].values() for name in of_set}
    assert asked == {"blind", "demo (with reference)", "demo (without reference)"}


def test_a_folder_takes_what_rates_answers_one_by_one(answers: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_records(folder / "a.parquet", read_records(answers))
    assert score(folder, judge="length").scored == 20
    assert score(folder, judge="length").scored == 20  # what is there is not made again
    with pytest.raises(DataError, match=r"demo\+tfidf looks at all answers together"):
        score(folder, judge="demo+tfidf", output=tmp_path / "other")
    with pytest.raises(
        DataError, match="`engine` ray runs only Self-J judges, and length is not one"
    ):
        score(folder, judge="length", engine="ray", output=tmp_path / "other")


def test_a_loaded_rater_is_taken_as_it_is(answers: Path) -> None:
    judge = Judge.load("demo")
    assert score(answers, judge=judge).from_store == 0
    assert score(answers, judge=judge).from_store == 20  # what was judged is kept, as by name
    assert judge.store is None
    files = [shutil.copy(answers, answers.with_name(f"{k}.jsonl")) for k in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda file: score(file, judge=judge), files))
    assert [score(file, judge=judge).from_store for file in files] == [20, 20, 20]
    for given in ({"reference": False}, {"max_tokens": 60}, {"adapter": "x"}):
        with pytest.raises(
            DataError, match=f"`{next(iter(given))}` is an option for loading a judge"
        ):
            score(answers, judge=judge, **given)  # type: ignore[arg-type]
    assert score(read_records(answers), judge=LengthRater()).scored == 20


@pytest.mark.parametrize(
    ("judge", "options", "message"),
    [
        ("length", {"adapter": "x"}, "the rater length takes no `adapter`"),
        ("cosine", {"template": "sections"}, "the rater cosine takes no `template`"),
        ("ppl", {}, "the rater ppl needs a model: ppl:MODEL"),
        ("length:x", {}, "the rater length takes no model"),
        ("lenght", {}, "no rater 'lenght'. Did you mean length?"),
        ("length,demo", {}, "names 2 raters; give one"),
        ("demo+", {}, "there is no rater on one side of the +"),
    ],
)
def test_what_cannot_score_is_refused(judge: str, options: dict[str, Any], message: str) -> None:
    with (
        pytest.raises(SelfJError, match=re.escape(message)),
        opened(judge, JudgeOptions(**options)),
    ):
        pass


def test_a_rater_is_called_by_kind_and_model() -> None:
    assert rater_name("ppl:./some/model", JudgeOptions()) == "ppl:model"
    assert rater_name("./some/model", JudgeOptions(adapter="x/lora")) == "model+lora"
    assert rater_name("./some/model+2*cosine:a/b", JudgeOptions()) == "model+2*cosine:b"
