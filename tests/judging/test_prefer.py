"""`selfj prefer` and the verb: files, accuracy, position bias, the pointwise way beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import selfj_eval as selfj
from selfj_eval import DataError, Pair, PairJudge, StoreError
from selfj_eval.judging.pair_ways import Bootstrapped, Cost, Verdict, ways_of
from selfj_eval.metrics import preference_accuracy
from selfj_eval.raters.judge import Judge

ALONE = """
without_reference: |
  [Question]
  {instruction}
  [Answer]
  {response}
  [Grade]
labels: 1-5
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairwise_template: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(pairwise_template)
    Path("alone.yaml").write_text(ALONE)


def rows() -> list[dict[str, Any]]:
    labels = ("A", "B", "tie")
    return [
        {
            "id": f"p{k}",
            "instruction": f"Add {k // 2} and 1.",
            "response_a": f"It is {k // 2 + 1}.",
            "response_b": f"It is {k + 5}, is it not?",
            "label": labels[k % 3],
        }
        for k in range(8)
    ]


def test_the_result_is_that_of_the_judges_by_hand(
    tiny_judge: Path, jsonl: Callable[..., Path]
) -> None:
    name = str(tiny_judge)
    run = selfj.prefer(
        jsonl(*rows()), judge=name, template="own.yaml", pointwise="alone.yaml",
        output="out.jsonl", device="cpu", resamples=50,
    )  # fmt: skip
    given = [Pair(**row) for row in rows()]
    judged = PairJudge.load(name, template="own.yaml", device="cpu").judge(given)
    assert [own.preference for own in run.judgments] == pytest.approx(
        [own.preference for own in judged], abs=1e-5
    )
    signs = [{"A": 1, "B": -1, "tie": 0}[str(pair.label)] for pair in given]
    own = [judgment.preference for judgment in judged]
    expected = preference_accuracy(own, [1 - p for p in own if p is not None], signs)  # type: ignore[arg-type]
    assert run.pairwise.accuracy[:2] == pytest.approx(expected.decided[:2])
    assert run.pairwise.with_ties[:2] == pytest.approx(expected.with_ties[:2])
    judge = Judge.load(name, template="alone.yaml", device="cpu")
    a, b = ([j.score for j in judge.judge([p.answer(s) for p in given])] for s in "ab")
    alone = preference_accuracy(a, b, signs)  # type: ignore[arg-type]
    assert run.pointwise is not None and run.difference is not None
    assert run.pointwise.accuracy[:2] == pytest.approx(alone.decided[:2])
    assert run.difference.value == pytest.approx(expected.decided.value - alone.decided.value)  # type: ignore[operator]
    first = [(j.a_first + 1 - j.b_first) / 2 for j in judged]  # type: ignore[operator]
    assert run.position_bias.first.value == pytest.approx(sum(first) / 8, abs=1e-5)
    # Two pairs share their question and answer A: alone it is asked once for both.
    assert run.pairwise.cost.prompts == 16 and run.pointwise.cost.prompts == 12
    assert run.pairwise.cost.tokens > run.pointwise.cost.tokens > 0
    assert (run.pairs, run.labelled, run.instructions, sum(run.wins.values())) == (8, 8, 4, 8)
    found = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["preference"] for row in found] == [own.preference for own in run.judgments]
    assert found[2]["score_a"] == pytest.approx(a[2], abs=1e-4)
    assert found[1]["response_b"] == "It is 6, is it not?" and found[1]["label"] == "B"
    written = json.loads(Path("out.jsonl.run.json").read_text())
    about = written["judge"]
    assert written["input_sha256"] == sha256(Path(written["input"]).read_bytes()).hexdigest()
    assert about["labels"] == {"1": 1, "3": 0.5, "2": 0} and about["model"] == name
    assert "position bias" in str(run) and "pointwise" in str(run)


def test_a_second_run_asks_nothing(
    tiny_judge: Path, jsonl: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"judge": str(tiny_judge), "template": "own.yaml", "device": "cpu"}
    given |= {"pointwise": "alone.yaml", "output": "out.jsonl", "resamples": 20}
    first = selfj.prefer(jsonl(*rows()), **given)
    again = selfj.prefer(jsonl(*rows()), **given)
    assert again.pointwise is not None
    for way in (again.pairwise, again.pointwise):
        assert (way.cost.prompts, way.cost.tokens, way.cost.from_store) == (0, 0, 8)
    assert again.rows() == first.rows()
    assert "8 were in the store" in str(again)


def test_parquet_has_numbers_as_numbers(tiny_judge: Path, jsonl: Callable[..., Path]) -> None:
    given = rows()
    given[1]["response_a"] = None
    run = selfj.prefer(
        jsonl(*given), judge=str(tiny_judge), template="own.yaml", pointwise="alone.yaml",
        output="out.parquet", device="cpu", resamples=20,
    )  # fmt: skip
    table = pq.read_table("out.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    numbers = ("preference", "a_first", "b_first", "label_mass", "score_a", "score_b")
    assert {kinds[name] for name in numbers} == {"double"} and kinds["error_alone"] == "string"
    assert table.to_pylist() == run.rows() and table["error_alone"][1].as_py()


def test_what_a_server_counted_is_shown(judge_server: str) -> None:
    args = {"base_url": judge_server, "tokenizer": "demo", "price_in": 1.0}
    given: dict[str, Any] = {"judge": "demo+vllm", "engine": "openai", "engine_args": args}
    run = selfj.prefer(rows(), template="own.yaml", **given, resamples=20)
    assert run.unscored == 0 and run.usage["requests"] >= 16
    assert run.usage["cost"] == pytest.approx(run.usage["prompt_tokens"] / 1e6)
    both = selfj.prefer(rows(), template="own.yaml", pointwise="alone.yaml", **given, resamples=20)
    assert both.usage["requests"] >= run.usage["requests"] + 12
    assert both.to_dict()["usage"] == both.usage
    assert "counted by the server: requests" in str(both)


def test_unscored_pairs_are_counted_in_each_way(
    tiny_judge: Path, jsonl: Callable[..., Path]
) -> None:
    given = rows()
    given[0]["response_b"] = "x\n[Two]\nbad"  # text of the one prompt, not of the other
    given[1]["response_a"] = None
    run = selfj.prefer(
        jsonl(*given), judge=str(tiny_judge), template="own.yaml", pointwise="alone.yaml",
        device="cpu", resamples=20,
    )  # fmt: skip
    assert run.pointwise is not None
    assert (run.pairwise.scored, run.pairwise.unscored) == (6, 2)
    assert (run.pointwise.scored, run.pointwise.unscored) == (7, 1)
    assert run.unscored == 2 and len(run.errors) == 3  # one of the pairs failed in both ways
    assert run.errors[2].startswith("p1: answer A alone: ")
    assert run.rows()[0]["preference"] is None and run.rows()[0]["score_a"] is not None
    assert run.pairwise.with_ties.n == 6 and run.position_bias.changed.n == 6


def test_a_question_that_is_no_text_is_the_reason(
    tiny_judge: Path, jsonl: Callable[..., Path]
) -> None:
    picture = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    given = rows()
    given[1]["messages"] = [{"role": "user", "content": picture}]
    del given[1]["instruction"]
    run = selfj.prefer(
        jsonl(*given), judge=str(tiny_judge), template="own.yaml", pointwise="alone.yaml",
        device="cpu", resamples=20,
    )  # fmt: skip
    assert run.unscored == 1 and len(run.errors) == 2
    assert all("records.jsonl, line 2, a message holds a part of type" in e for e in run.errors)
    assert run.rows()[1]["preference"] is None
    assert run.rows()[1]["response_b"] == given[1]["response_b"]


def test_fields_of_pairs_under_other_names(tiny_judge: Path, jsonl: Callable[..., Path]) -> None:
    given = [
        {
            "id": row["id"],
            "prompt": row["instruction"],
            "first": row["response_a"],
            "meta": {"second": k if k == 3 else row["response_b"]},
            "gold": row["label"],
            "colour": "red",
        }
        for k, row in enumerate(rows())
    ]
    how: dict[str, Any] = {"judge": str(tiny_judge), "template": "own.yaml", "device": "cpu"}
    fields = {"response_a": "first", "response_b": "meta.second", "label": "gold"}
    expected = rows()
    expected[3]["response_b"] = "3"
    plain = selfj.prefer(expected, **how)
    for source in (jsonl(*given), given):
        run = selfj.prefer(source, fields=fields, **how)
        assert run.labelled == 8
        assert [own.preference for own in run.judgments] == pytest.approx(
            [own.preference for own in plain.judgments], abs=1e-5
        )
        assert set(run.notices) == {
            "'prompt' is taken as the instruction",
            "numbers read as text in 'response': 1",
            "ignored: colour",
        }
    with pytest.raises(DataError, match=r"no row has a field 'golden' for 'label'"):
        selfj.prefer(given, fields={**fields, "label": "golden"}, **how)
    with pytest.raises(DataError, match=r"no field 'rating' of a pair; there are: id, instruct"):
        selfj.prefer(given, fields={"rating": "gold"}, **how)
    with pytest.raises(DataError, match=r"field 'response_b': missing; .*`fields` response_b=NAME"):
        selfj.prefer(given, fields={"response_a": "first"}, **how)


def test_pairs_without_labels_have_preferences_and_no_accuracy(tiny_judge: Path) -> None:
    given = [{k: v for k, v in row.items() if k != "label"} for row in rows()]
    run = selfj.prefer(given, judge=str(tiny_judge), template="own.yaml", device="cpu")
    assert run.labelled == 0 and run.pairwise.scored == 8
    assert run.pairwise.accuracy.value is None and run.pairwise.accuracy.undefined
    assert run.output is None and len(run.to_frame()) == 8
    json.dumps(run.to_dict(), allow_nan=False)
    loaded = PairJudge.load(str(tiny_judge), template="own.yaml", device="cpu")
    same = selfj.prefer([Pair(**row) for row in given], judge=loaded)
    assert [j.preference for j in same.judgments] == pytest.approx(
        [j.preference for j in run.judgments], abs=1e-5
    )


def test_intervals_are_over_instructions_and_know_no_order() -> None:
    pairs = [Pair(str(k), f"q{k % 5}", "a", "b", "AB"[k % 2]) for k in range(40)]
    verdicts = [Verdict(float(k % 5 > 1), float(k % 5 <= 1), None, False, None) for k in range(40)]
    cost = Cost(0, 0, 0.0, 0)
    settings = Bootstrapped(resamples=200)
    ((way,), _) = ways_of(pairs, [("t", verdicts, cost)], settings)
    ((other,), _) = ways_of(pairs[::-1], [("t", verdicts[::-1], cost)], settings)
    assert way.accuracy == other.accuracy and way.accuracy.interval is None  # .5 in each group
    alone = [Pair(p.id, f"own {p.id}", "a", "b", p.label) for p in pairs]
    ((single,), _) = ways_of(alone, [("t", verdicts, cost)], settings)
    assert single.accuracy.value == way.accuracy.value == 0.5
    assert single.accuracy.low is not None and single.accuracy.low < 0.45


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"template": "alone.yaml"}, selfj.JudgeError, "rates one answer"),
        ({"pointwise": "own.yaml"}, selfj.JudgeError, "compares two answers"),
        ({"output": "records.jsonl"}, StoreError, "is an input"),
        ({"output": "out.jsonl", "store": "records.jsonl"}, StoreError, "must be another file"),
        ({"confidence": 1.0}, DataError, "must be above 0 and below 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_judged(
    jsonl: Callable[..., Path],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    given = {"judge": "./nothing-there", "template": "own.yaml"} | options
    with pytest.raises(error, match=message):
        selfj.prefer(jsonl(*rows()), **given)


def test_a_set_is_found_by_its_name(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(data))
    run = selfj.prefer("llmbar", judge="demo", template="own.yaml", limit=3)
    assert run.pairs == run.labelled == 3
    with pytest.raises(DataError, match=r"no set of pairs is called 'llmbr'. Did you mean llmbar"):
        selfj.prefer("llmbr", judge="demo", template="own.yaml")
