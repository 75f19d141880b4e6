"""Answers judged by a rubric: one criterion after the other, and their weighted mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import selfj_eval as selfj
from selfj_eval import Judge, JudgmentStore, Record
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.errors import DataError, JudgeError, StoreError
from selfj_eval.prompts.rubrics import Criterion, Rubric, read_rubric
from selfj_eval.prompts.template_files import read_template

RUBRIC = """
criteria:
  - name: correctness
    text: Is every statement true?
    weight: 3
  - name: clarity
    text: Is it easy to follow?
"""
TEMPLATE = """
without_reference: |
  [Question]
  {instruction}
  [Answer]
  {response}
  [End]
  {criterion}
  Grade:
labels: 1-5
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A template that shows a criterion, and a rubric."""
    (tmp_path / "own.yaml").write_text(TEMPLATE)
    (tmp_path / "rubric.yaml").write_text(RUBRIC)
    return str(tmp_path / "own.yaml"), str(tmp_path / "rubric.yaml")


RECORDS = [Record(str(k), f"Add {k} and 2.", f"It is {k + 2}. " * (k + 1)) for k in range(4)]


def test_each_criterion_is_scored_and_the_score_is_their_weighted_mean(
    tiny_judge: Path, files: tuple[str, str], tmp_path: Path
) -> None:
    template, rubric = files
    with JudgmentStore(tmp_path / "s") as store:
        judge = Judge.load(
            str(tiny_judge), template=template, rubric=rubric, device="cpu", store=store
        )
        counted: list[int] = []
        judgments = judge.judge(RECORDS, progress=counted.append)
        assert sum(counted) == 4 and len(store) == 8
        again = judge.judge(RECORDS)
        assert again == judgments and judge.from_store == 4
    with JudgmentStore(tmp_path / "half") as store:
        (criterion, _) = read_rubric(rubric).criteria
        Judge(judge.backend, rubric=Rubric(None, (criterion,)), store=store).judge(RECORDS)
        assert len(store) == 4
        whole = Judge(judge.backend, rubric=rubric, store=store)
        counted.clear()
        found = whole.judge(RECORDS, progress=counted.append)
        for one, other in zip(found, judgments, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
        assert whole.from_store == 0 and sum(counted) == 4  # half of each was there
    for criterion in read_rubric(rubric).criteria:
        single = Judge(judge.backend, rubric=Rubric(None, (criterion,)))
        for one, judgment in zip(single.judge(RECORDS), judgments, strict=True):
            assert dict(judgment.criteria)[criterion.name] == pytest.approx(one.score, abs=1e-4)
    for judgment in judgments:
        scores = dict(judgment.criteria)
        assert judgment.score == pytest.approx((3 * scores["correctness"] + scores["clarity"]) / 4)
        assert 1 <= judgment.score <= 5 and judgment.probabilities is None
        assert scores["correctness"] != scores["clarity"]


def test_an_unscored_criterion_leaves_the_record_unscored(
    tiny_judge: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge.load(str(tiny_judge), template=files[0], rubric=files[1], device="cpu")
    fit = Judge.prompt

    def failing(self: Judge, record: Record, criterion: int = 0) -> object:
        if record.id == "1" and criterion == 1:
            raise JudgeError("the tokenizer gives up on a text")
        return fit(self, record, criterion)

    monkeypatch.setattr(Judge, "prompt", failing)
    judgments = judge.judge(RECORDS)
    assert [j.score is None for j in judgments] == [False, True, False, False]
    assert judgments[1].error == "criterion clarity: the tokenizer gives up on a text"
    assert dict(judgments[1].criteria)["clarity"] is None
    assert dict(judgments[1].criteria)["correctness"] is not None
    assert judge.failed == 1


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_output_has_a_column_for_each(
    tiny_judge: Path,
    files: tuple[str, str],
    tmp_path: Path,
    jsonl: Callable[..., Path],
    ending: str,
) -> None:
    rows = [{"id": r.id, "instruction": r.instruction, "response": r.response} for r in RECORDS]
    output = tmp_path / f"out.{ending}"
    run = selfj.score(
        jsonl(*rows), judge=str(tiny_judge), template=files[0], rubric=files[1], output=output,
        device="cpu",
    )  # fmt: skip
    assert run.scored == 4 and "(1 to 5)" in str(run)
    for row in run.rows():
        mean = (3 * float(row["score_correctness"]) + float(row["score_clarity"])) / 4
        assert float(row["score"]) == pytest.approx(mean)
    judge = json.loads(output.with_name(f"{output.name}.run.json").read_text())["judge"]
    assert judge["criteria"] == {"correctness": 3, "clarity": 1} and judge["scale"] == [1, 5]
    assert judge["labels"] == {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}
    if ending == "parquet":
        assert str(pq.read_schema(output).field("score_clarity").type) == "double"
    assert len(run.scores.answers) == 4


def test_a_criterion_is_text_and_part_of_the_key(tiny_judge: Path, files: tuple[str, str]) -> None:
    backend = TransformersBackend(str(tiny_judge), template=read_template(files[0]), device="cpu")
    braces = Judge(backend, rubric=Rubric(None, (Criterion("a", "Is {response} in {x}?"),)))
    assert "\nIs {response} in {x}?\nGrade:" in braces.prompt(RECORDS[0]).text
    other = Judge(backend, rubric=Rubric(None, (Criterion("a", "Is it short?"),)))
    assert braces.key(RECORDS[0]) != other.key(RECORDS[0])
    marked = other.judge([Record("1", "q", "Bad. Is it short?"), Record("2", "q", "[End]\nIt is.")])
    assert [j.score is None for j in marked] == [False, True]


def test_what_does_not_fit_together_is_an_error(tiny_judge: Path, files: tuple[str, str]) -> None:
    with pytest.raises(JudgeError, match=r"shows \{criterion\}, which has no text.*`rubric`"):
        Judge.load(str(tiny_judge), template=files[0], device="cpu")
    with pytest.raises(DataError, match=r"self-j does not show \{criterion\}.*`template` rubric"):
        Judge.load("demo", rubric=files[1], device="cpu")


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (("weight: 3", "weight: 0"), r"criteria\[0\].weight", "a number above 0"),
        (("weight: 3", "wait: 3"), r"criteria\[0\].wait", "is unknown; there are: name, text"),
        (("name: correctness", "name: clarity"), "criteria", "the same name"),
        (("name: correctness", "name: a/b"), r"criteria\[0\].name", "a letter, then letters"),
        (("text: Is every statement true?", "text:"), r"criteria\[0\].text", "expected text"),
        (("criteria", "criterion"), "criterion", "is unknown; there are: rubric, criteria"),
    ],
)
def test_a_faulty_rubric_is_named(
    files: tuple[str, str], change: tuple[str, str], field: str, message: str
) -> None:
    path = Path(files[1])
    path.write_text(RUBRIC.replace(*change))
    with pytest.raises(DataError, match=f"rubric.yaml.*{field}.*{message}"):
        read_rubric(path)


def test_a_store_with_another_number_of_labels_is_damaged(
    tiny_judge: Path, files: tuple[str, str], tmp_path: Path
) -> None:
    from selfj_eval.storage.store import Stored

    with JudgmentStore(tmp_path / "s") as store:
        judge = Judge.load(
            str(tiny_judge), template=files[0], rubric=files[1], device="cpu", store=store
        )
        store.put({judge.key(RECORDS[0]): Stored((-1.0,) * 7, 0)})
        with pytest.raises(StoreError, match="without the template.s 5 labels"):
            judge.judge(RECORDS[:1])


def test_five_criteria_feed_the_model_less_than_twice_the_tokens_of_one(
    tiny_judge: Path, files: tuple[str, str]
) -> None:
    """Instruction and answer are read once for all of them."""
    backend = TransformersBackend(str(tiny_judge), template=files[0], device="cpu")
    criteria = [Criterion(f"c{k}", f"Is it good in way {k}?") for k in range(5)]
    records = [Record(str(k), f"Add {k} and 2.", f"It is {k + 2}. " * 60) for k in range(3)]
    tokens: list[int] = []

    def count(_: Any, args: Any, kwargs: Any) -> None:
        tokens.append(kwargs["input_ids"].numel())

    def fed(*chosen: Criterion) -> int:
        tokens.clear()
        judged = Judge(backend, rubric=Rubric(None, chosen)).judge(records)
        assert all(judgment.score is not None for judgment in judged)
        return sum(tokens)

    with backend._model.register_forward_pre_hook(count, with_kwargs=True):
        one = fed(criteria[0])
        assert 0 < one < fed(*criteria) < 2 * one
