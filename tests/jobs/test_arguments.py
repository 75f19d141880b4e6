"""Whatever holds records, texts or numbers gives what a list gives; what does not is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import Judge, JudgmentStore, Policy, Record, metrics
from selfj_eval.alpaca.preference import fit_temperature, preference
from selfj_eval.benchmarking.robustness import robustness
from selfj_eval.benchmarking.robustness.attacks import changed_records
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.local.encoder import EncoderBackend
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.evaluation.choosing import Wanted, choose
from selfj_eval.evaluation.compare import compare
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.judging.candidates import choose_n, curve, expected_best, group, rating_scale
from selfj_eval.prompts.labels import expected_score
from selfj_eval.raters.combined import combine
from selfj_eval.raters.cosine import TfidfRater
from selfj_eval.raters.length import LengthRater
from selfj_eval.reports.report import report
from selfj_eval.storage.store import Answer, AnswerStore, Measure, MeasureStore, Stored

pd = pytest.importorskip("pandas", reason="pandas is not installed")

Call = Callable[[Any], Any]


def objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def generator(values: Sequence[Any]) -> Iterator[Any]:
    yield from values


HOLDERS: dict[str, Callable[[Sequence[Any]], Iterable[Any]]] = {
    "tuple": tuple,
    "generator": generator,
    "map": lambda values: map(copy, values),
    "object array": objects,
    "Series": lambda values: pd.Series(objects(values), index=range(7, 7 + len(values))),
}

RECORDS = [
    Record(str(k), f"Question {k // 2}?", f"An answer {'and more ' * k}", "an answer", float(k))
    for k in range(8)
]


@pytest.fixture(scope="module")
def demo() -> Judge:
    return Judge.load("demo")


@pytest.fixture(scope="module")
def answering() -> TransformersGenerator:
    return TransformersGenerator(str(JUDGE_DIR))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with (
        JudgmentStore(tmp_path / "judgments") as judgments,
        MeasureStore(tmp_path / "measures") as measures,
        AnswerStore(tmp_path / "answers") as answers,
    ):
        judgments.put({b"a": Stored((-1.0,) * 10, 0), b"b": Stored((-2.0,) * 10, 1)})
        measures.put({b"a": Measure(1.5)})
        answers.put({b"b": (Answer("x", "stop"),)})
        yield {"judgments": judgments, "measures": measures, "answers": answers}


@pytest.fixture
def calls(
    demo: Judge, answering: TransformersGenerator, stores: dict[str, Any]
) -> dict[str, tuple[Call, list[Any]]]:
    """Functions of one iterable, and a list for it."""
    texts = ["Rate 5.", "Rate this: seven."]
    judgments = [LengthRater().judge(RECORDS), TfidfRater().judge(RECORDS)]
    return {
        "Judge.judge": (demo.judge, RECORDS),
        "LengthRater.judge": (LengthRater().judge, RECORDS),
        "TfidfRater.judge": (TfidfRater().judge, RECORDS),
        "TfidfRater.fitted": (lambda v: TfidfRater().fitted(v).judge(RECORDS[:3]), RECORDS),
        "robustness": (lambda v: robustness(LengthRater(), v, changes=["padding"]), RECORDS),
        "changed_records": (lambda v: changed_records(v, changes=["padding"]), RECORDS),
        "choose_n": (lambda v: choose_n(v, None), RECORDS),
        "rating_scale": (rating_scale, RECORDS),
        "group": (lambda v: group(v, range(8)), RECORDS),
        "curve": (lambda v: curve(v, 2), group(RECORDS, range(8))),
        "combine": (lambda v: combine(["a", "b"], v, [1, 2]), judgments),
        "JudgmentStore.get": (stores["judgments"].get, [b"a", b"b", b"c"]),
        "MeasureStore.get": (stores["measures"].get, [b"a", b"b"]),
        "AnswerStore.get": (stores["answers"].get, [b"a", b"b"]),
        "generate": (lambda v: answers_to(answering, v, Sampling(max_new_tokens=2)), texts),
        "backend.score": (
            lambda v: [b.log_probabilities.tolist() for b in demo.backend.score(v)],
            texts,
        ),
    }


NAMES = [
    "Judge.judge", "LengthRater.judge", "TfidfRater.judge", "TfidfRater.fitted", "robustness",
    "changed_records", "choose_n", "rating_scale", "group", "curve", "combine",
    "JudgmentStore.get", "MeasureStore.get", "AnswerStore.get", "generate", "backend.score",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_iterable_gives_what_a_list_gives(
    name: str, calls: dict[str, tuple[Call, list[Any]]]
) -> None:
    function, values = calls[name]
    expected = function(values)
    assert expected
    for kind, make in HOLDERS.items():
        assert function(make(values)) == expected, kind


@pytest.mark.parametrize("name", [n for n in NAMES if n != "combine"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "got NoneType"),
        (7, "got int"),
        ("text", "got one str"),
        ({"a": 1}, "got a dict, which maps"),
        (np.array(3.0), "got ndarray"),
        ([3.5], r"item 0 is float \(3.5\)"),
    ],
)
def test_what_is_no_iterable_of_these_is_named(
    name: str, wrong: Any, said: str, calls: dict[str, tuple[Call, list[Any]]]
) -> None:
    with pytest.raises(TypeError, match=rf"\(\) takes a list or another iterable of .*{said}"):
        calls[name][0](wrong)


def test_one_record_asks_for_a_list(demo: Judge) -> None:
    for rater in (demo, LengthRater(), TfidfRater()):
        with pytest.raises(TypeError, match=r"judge\(\) takes .* got one Record; put it into a l"):
            rater.judge(RECORDS[0])  # type: ignore[arg-type]


def test_an_error_inside_a_generator_is_the_callers_own(demo: Judge) -> None:
    def broken() -> Iterator[Record]:
        yield RECORDS[0]
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        demo.judge(broken())


@pytest.mark.parametrize("value", [None, math.nan, 7, ["x"], b"x"])
@pytest.mark.parametrize("field", ["response", "instruction", "reference"])
def test_a_field_that_is_no_text_is_unscored_and_named(demo: Judge, field: str, value: Any) -> None:
    nothing = value is None or value is math.nan
    if field == "reference" and nothing:
        return  # there is none
    texts = {"instruction": "q", "response": "a", "reference": "r"} | {field: value}
    record = Record("1", where="f.csv, line 3", **texts)
    for rater in (demo, LengthRater(), TfidfRater()):
        wrong, fine = rater.judge([record, RECORDS[0]])
        assert wrong.score is None and fine.score is not None
        reason = (
            f"field {field!r}: expected text, got {'null' if nothing else type(value).__name__}"
        )
        reason = "there is no answer: " if nothing and field == "response" else reason
        assert f"f.csv, line 3, {reason}" in str(wrong.error)
    found = robustness(LengthRater(), [record, *RECORDS], changes=["padding", "other_answer"])
    assert found.base.unscored == 1


SCORE = [3.0, 1.0, 4.0, 1.5, 5.0, 8.5, 2.0, 6.0, 5.0, 3.5, 7.0, 0.5]
RATING = [2.0, 1.0, 4.0, 3.0, 5.0, 9.0, 2.0, 7.0, 4.0, 3.0, 8.0, 1.0]
PROBABILITY = [x / 16 for x in SCORE]
GOOD = [x >= 4 for x in RATING]
GROUP = [k % 5 for k in range(12)]
LABEL = [1, -1, 0] * 4
BOOTSTRAP: dict[str, Any] = {"resamples": 20}

NUMERIC: dict[str, tuple[Callable[..., Any], list[list[Any]]]] = {
    "pearson": (metrics.pearson, [SCORE, RATING]),
    "spearman": (metrics.spearman, [SCORE, RATING]),
    "kendall_tau_b": (metrics.kendall_tau_b, [SCORE, RATING]),
    "acc23": (metrics.acc23, [SCORE, RATING]),
    "partial_correlation": (metrics.partial_correlation, [SCORE, RATING, GROUP]),
    "headline": (metrics.headline, [SCORE, RATING, GOOD]),
    "headline_intervals": (
        lambda a, b, g, k: metrics.headline_intervals(a, b, g, group=k, **BOOTSTRAP),
        [SCORE, RATING, GOOD, GROUP],
    ),
    "headline_differences": (
        lambda a, b, r, g, k: metrics.headline_differences(a, b, r, g, group=k, **BOOTSTRAP),
        [SCORE, RATING, RATING, GOOD, GROUP],
    ),
    "score_ece": (metrics.score_ece, [SCORE, GOOD]),
    "ece": (metrics.ece, [PROBABILITY, GOOD]),
    "brier": (metrics.brier, [PROBABILITY, GOOD]),
    "log_loss": (metrics.log_loss, [PROBABILITY, GOOD]),
    "fit_platt": (metrics.fit_platt, [SCORE, GOOD]),
    "platt curve": (metrics.Logistic(1.0, -4.0), [SCORE]),
    "fit_isotonic": (metrics.fit_isotonic, [SCORE, GOOD]),
    "cross_fitted": (lambda s, g: metrics.cross_fitted(s, g, "platt"), [SCORE, GOOD]),
    "certify": (lambda s, g: metrics.certify(s, g, max_risk=0.6, confidence=0.5), [SCORE, GOOD]),
    "one_of_each": (metrics.one_of_each, [GROUP]),
    "pair_counts": (metrics.pair_counts, [SCORE, RATING, GROUP]),
    "preference_accuracy": (metrics.preference_accuracy, [SCORE, RATING, LABEL]),
    "risk_coverage": (metrics.risk_coverage, [SCORE, GOOD]),
    "ranking_agreement": (
        lambda a, b: metrics.ranking_agreement(a, b, (f"m{k}" for k in range(12))),
        [SCORE, RATING],
    ),
    "rank_biased_overlap": (metrics.rank_biased_overlap, [sorted(set(SCORE)), RATING[3:7]]),
    "expected_best": (lambda s, v: expected_best(s, 3, v), [SCORE, RATING]),
    "preference": (lambda b, m: preference(b, m, 1.0), [SCORE, RATING]),
    "fit_temperature": (fit_temperature, [SCORE, [1 + x / 9 for x in RATING]]),
    "expected_score": (expected_score, [[[-float(k) for k in range(10)]]]),
    "candidates": (lambda s: group(RECORDS, s), [SCORE[:8]]),
}


def bfloat16(values: Sequence[Any]) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.bfloat16, requires_grad=True)


NUMBERS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "tuple": tuple,
    "generator": generator,
    "float64": lambda values: np.array(values, dtype=np.float64),
    "object array": lambda values: np.array(values, dtype=object),
    "Series": lambda values: pd.Series(list(values), index=range(7, 7 + len(values))),
    "nullable Series": lambda values: pd.Series(list(values), dtype="Float64"),
}


def same(one: Any, other: Any) -> None:
    np.testing.assert_equal(
        one._asdict() if hasattr(one, "_asdict") else one,
        other._asdict() if hasattr(other, "_asdict") else other,
    )


@pytest.mark.parametrize("name", NUMERIC)
def test_every_holder_of_numbers_gives_what_a_list_gives(name: str) -> None:
    function, values = NUMERIC[name]
    expected = function(*values)
    for kind, make in NUMBERS.items():
        if "Series" in kind and isinstance(values[0][0], list):
            continue  # a Series has one dimension
        same(function(*map(make, values)), expected)
    if name not in ("rank_biased_overlap", "fit_temperature"):  # its numbers are rounded
        same(function(*map(bfloat16, values)), expected)


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.float32, bool, object])
def test_numbers_of_every_type(kind: Any) -> None:
    good = np.array(GOOD, dtype=kind)
    whole = np.array(RATING, dtype=kind if kind is not bool else int)
    same(metrics.headline(SCORE, whole, good), metrics.headline(SCORE, RATING, GOOD))


@pytest.mark.parametrize("name", [n for n in NUMERIC if n != "rank_biased_overlap"])
@pytest.mark.parametrize("wrong", ["123", {"a": 1}, ["1", "2"], [object()], [1, "2"], [1j]])
def test_what_is_no_number_is_named(name: str, wrong: Any) -> None:
    function, values = NUMERIC[name]
    with pytest.raises(TypeError, match=r"expected (a list|numbers|only)") as raised:
        function(wrong, *values[1:])
        function(*values[:-1], wrong)  # texts are names of groups
        raise TypeError("expected only: groups may have any name")
    assert "ufunc" not in str(raised.value)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_a_missing_value_is_neither_a_number_nor_false_nor_a_group(missing: Any) -> None:
    with pytest.raises(ValueError, match="NaN or infinity; leave unscored records out"):
        metrics.pearson([*SCORE[:-1], missing], RATING)
    for function in (metrics.ece, metrics.brier, metrics.fit_platt, metrics.certify):
        more = {"max_risk": 0.1} if function is metrics.certify else {}
        with pytest.raises(ValueError, match="good must hold nothing but true"):
            function(PROBABILITY, [*GOOD[:-1], missing], **more)  # type: ignore[operator]
    with pytest.raises(ValueError, match="group: item 11 is missing"):
        metrics.pair_counts(SCORE, RATING, [*GROUP[:-1], missing])
    assert np.isnan(preference([missing, 1], [2, 2], 1.0)).tolist() == [True, False]
    assert group(RECORDS[:2], [missing, 3])[0].scores == [None, 3.0]


def test_groups_of_another_number_of_records_are_refused() -> None:
    for call in (
        lambda: metrics.pair_counts(SCORE, RATING, GROUP[:-1]),
        lambda: metrics.headline_intervals(SCORE, RATING, GOOD, group=GROUP[:-1]),
        lambda: metrics.cross_fitted(SCORE, GOOD, "platt", group=GROUP[:-1]),
    ):
        with pytest.raises(ValueError, match=r"11|\(12,\)"):
            call()


def test_documents_of_scores_are_named() -> None:
    for call in (
        lambda: evaluate([1.0, 2.0]),  # type: ignore[arg-type]
        lambda: compare(3, 4),  # type: ignore[arg-type]
        lambda: choose([1.0], Wanted(max_risk=0.1, confidence=0.9, good_at=6)),  # type: ignore[arg-type]
        lambda: report([3]),  # type: ignore[list-item]
    ):
        with pytest.raises(TypeError, match=r"\(\) takes .*Scores|expected a path, .* rows"):
            call()


def test_stores_take_numbers_of_numpy_and_name_what_they_do_not_keep(
    stores: dict[str, Any],
) -> None:
    row = np.full(10, -3.0)
    stores["judgments"].put({b"n": Stored(tuple(row), np.int64(4))})  # type: ignore[arg-type]
    assert stores["judgments"].get([b"n"]) == {b"n": Stored((-3.0,) * 10, 4)}
    stores["measures"].put({b"n": Measure(np.float32(2), np.int64(1))})  # type: ignore[arg-type]
    assert stores["measures"].get([b"n"]) == {b"n": Measure(2.0, 1)}
    for store in stores.values():
        for wrong in ([b"k"], None, {"k": 1}, {b"k": 1}):
            with pytest.raises(TypeError, match=r"put\(\) takes a mapping of keys \(bytes\) to"):
                store.put(wrong)


@pytest.mark.parametrize(
    "score", [np.float32(7), np.int64(7), np.array(7.0), np.array([7]), 7, bfloat16([7.0])]
)
def test_a_policy_takes_one_number_of_any_kind(score: Any) -> None:
    policy = Policy(6.5, 0.1, 0.95, 6.0, 1.3, -7.0, {})
    assert policy.decide(score) == policy.decide(7.0)
    for wrong in (np.array([7.0, 8.0]), np.True_, "7", b"7", [7], {}, pd.NA):
        with pytest.raises(TypeError, match="a score must be a number or None"):
            policy.decide(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", [TransformersBackend, EncoderBackend])
def test_one_prompt_is_not_read_as_its_letters(backend: type[Any]) -> None:
    engine = backend.__new__(backend)
    with pytest.raises(TypeError, match=r"score\(\) takes .* got one str; put it into a list"):
        next(engine.score("Rate 5."))
