"""Best of n: the closed form against brute force, and what is picked and drawn from candidates."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval import Record
from selfj_eval.errors import DataError
from selfj_eval.judging.candidates import (
    choose_n,
    curve,
    expected_best,
    group,
    read_candidates,
    read_scored_candidates,
)
from selfj_eval.records.notices import Notices

Pairs = list[tuple[float, float]]


def brute_force(pairs: Pairs, n: int) -> float:
    means = []
    for subset in combinations(pairs, n):
        top = max(score for score, _ in subset)
        means.append(np.mean([value for score, value in subset if score == top]))
    return float(np.mean(means))


# Few distinct scores: most subsets have a tie at the top.
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.5, 2.0]), st.integers(-9, 9)), max_size=8))
def test_equals_brute_force_with_ties(pairs: Pairs) -> None:
    for n in range(1, len(pairs) + 1):
        found = expected_best([s for s, _ in pairs], n, [v for _, v in pairs])
        assert found == pytest.approx(brute_force(pairs, n), abs=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.randoms())
def test_grows_from_the_mean_to_the_maximum_in_any_order(
    scores: list[float], random: object
) -> None:
    size = max(1.0, *map(abs, scores))
    found = [expected_best(scores, n) for n in range(1, len(scores) + 1)]
    assert found[0] == pytest.approx(np.mean(scores), abs=1e-12 * size)
    assert found[-1] == max(scores)
    assert all(b >= a - 1e-12 * size for a, b in pairwise(found))
    values = [s * s for s in scores]
    pairs = list(zip(scores, values, strict=True))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    n = (len(scores) + 1) // 2
    again = expected_best([s for s, _ in pairs], n, [v for _, v in pairs])
    assert again == pytest.approx(expected_best(scores, n, values), abs=1e-12 * size * size)


@pytest.mark.parametrize("n", [1, 2, 100, 2500, 4999, 5000])
def test_thousands_of_candidates_keep_their_digits(n: int) -> None:
    # The expected maximum of n from 1..N is n (N + 1) / (n + 1); C(5000, 2500) is no float.
    scores = np.random.default_rng(0).permutation(np.arange(1, 5001))
    assert expected_best(scores, n) == pytest.approx(n * 5001 / (n + 1), rel=1e-11)
    assert expected_best(scores, n, np.ones(5000)) == pytest.approx(1, rel=1e-11)


@pytest.mark.parametrize(
    ("scores", "n", "values", "message"),
    [
        ([1.0, 2.0], 0, None, r"n must be in 1\.\.2, the number of candidates, got 0"),
        ([1.0, 2.0], 3, None, r"n must be in 1\.\.2, the number of candidates, got 3"),
        ([1.0, float("nan")], 1, None, "must be finite; leave unscored candidates out"),
        ([1.0, 2.0], 1, [float("inf"), 0.0], "must be finite"),
        ([1.0, 2.0], 1, [1.0], r"values must have the shape of scores, \(2,\), got \(1,\)"),
        ([[1.0, 2.0]], 1, None, r"scores must have shape \(N,\)"),
        ([], 1, None, r"scores must have shape \(N,\) with N >= 1"),
    ],
)
def test_wrong_numbers_are_refused(
    scores: list[float], n: int, values: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expected_best(scores, n, values)


def records(*responses: str, instruction: str = "q", **fields: float) -> list[Record]:
    return [Record(f"{instruction}{k}", instruction, r, **fields) for k, r in enumerate(responses)]


def test_the_first_of_the_highest_among_the_first_n_is_picked() -> None:
    mixed = [*records("a", "b", instruction="y"), *records("c", "d", "e", instruction="x")]
    mixed = [mixed[k] for k in (0, 2, 1, 3, 4)]
    found = group(mixed, [1.0, None, 1.0, 2.0, 9.0])
    assert [c.instruction for c in found] == ["y", "x"]  # as they come, not sorted
    assert [c.best(2) for c in found] == [(mixed[0], 1.0), (mixed[3], 2.0)]
    assert found[1].best(3) == (mixed[4], 9.0)
    assert found[1].best(1) is None  # unscored: there is nothing to keep


def test_n_that_an_instruction_cannot_fill_is_refused_by_its_name() -> None:
    many = [*records("a", "b", "c"), *records("d", "e", instruction="Why? " * 100)]
    assert choose_n(many, None) == choose_n(many, 2) == 2
    with pytest.raises(DataError, match=r"'Why\? .*\.\.\.' has only 2 candidates; .* `n` 2 at mo"):
        choose_n(many, 3)


def test_the_curve_gives_score_rating_and_length_with_errors() -> None:
    scale = {"rating_min": 1.0, "rating_max": 10.0}
    first = [Record(str(k), "x", "." * k, rating=10.0 - k, **scale) for k in range(4)]
    second = [Record(str(k), "y", "....", rating=1.0, **scale) for k in range(4)]
    found = curve(group([*first, *second], [0.0, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0]), 3)
    assert found.cut is None
    assert [row.n for row in found.points] == [1, 2, 3]
    last = found.points[2]
    # The highest of 3 from 0..3: 2 in one of four subsets, else 3. Longer here, and rated lower.
    assert last.score == pytest.approx((2.75 + 5) / 2)
    assert last.score_se == pytest.approx((5 - 2.75) / 2)
    assert last.rating == pytest.approx((9 - 2.75 + 0) / 2)
    assert last.characters == pytest.approx((2.75 + 4) / 2)


def test_the_curve_ends_where_an_instruction_runs_out_and_says_so() -> None:
    answers = [*records(*"abcdefgh"), *records(*"abcdefgh", instruction="short of scores")]
    none = records(*"abcdefgh", instruction="none scored")
    scores = [*range(8), *[None] * 3, *range(5), *[None] * 8]
    found = curve(group([*answers, *none], scores), 8)
    assert [row.n for row in found.points] == [1, 2, 4, 5]
    assert {row.instructions for row in found.points} == {2}  # the same ones at every n
    assert "ends at n = 5 instead of 8: the instruction 'short of scores'" in str(found.cut)
    alone = curve(group(records("a", "b"), [1.0, 2.0]), 2).points[-1]
    assert (alone.score, alone.score_se) == (2.0, None)  # one instruction: no error known


@pytest.mark.parametrize("second", [{}, {"rating": 3.0, "rating_min": 1.0, "rating_max": 5.0}])
def test_ratings_that_cannot_be_averaged_are_left_out(second: dict[str, float]) -> None:
    answers = [Record("1", "q", "a", rating=3.0), Record("2", "q", "b", **second)]
    assert curve(group(answers, [1.0, 2.0]), 2).points[-1].rating is None
    # One that has no score is not in the curve, and its rating is not needed.
    assert curve(group(answers, [1.0, None]), 1).points[-1].rating == 3.0


def test_lists_of_answers_become_candidates(tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    rows = [
        {"instruction": "x", "output": ["a", ""], "generator": "m", "dataset": "d"},
        {"instruction": "y", "output": "b", "generator": "m"},
    ]
    path.write_text(json.dumps(rows))
    found = read_candidates(path)
    assert [(r.id, r.response) for r in found] == [("0-0", "a"), ("0-1", ""), ("1", "b")]
    assert (found[1].model, found[1].category, found[1].instruction) == ("m", "d", "x")
    assert found[1].where == f"{path}, row 1, answer 1"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": []}, "line 2, field 'response': is an empty list"),
        ({"response": ["a", [3]]}, "line 2, field 'response': answer 1 is list, expected text"),
        ({"response": ["a", "b"], "rating": 3}, "field 'rating': one for 2 answers; give each"),
        ({"response": ["a", "b"], "score": 3}, "field 'score': one for 2 answers; give each"),
        ({}, "line 2, field 'response': missing"),
        ({"id": "3-0", "response": "a"}, "line 2, field 'id': '3-0' occurs twice, first in line 1"),
    ],
)
def test_wrong_lists_are_refused(
    jsonl: Callable[..., Path], row: dict[str, object], message: str
) -> None:
    good = {"id": 3, "instruction": "x", "response": ["a", "b"]}
    with pytest.raises(DataError, match=message):
        read_candidates(jsonl(good, {"id": 4, "instruction": "x"} | row))


def test_scores_are_read_beside_the_answers(jsonl: Callable[..., Path]) -> None:
    row = {"instruction": "x", "response": "a"}
    path = jsonl(
        {"id": "1", "score": 2, **row}, {"id": "2", "score": None, "error": "too long", **row}
    )
    found, scores, errors = read_scored_candidates(path)
    assert [r.id for r in found] == ["1", "2"]
    assert (scores, errors) == ([2.0, None], ["2: too long"])
    with pytest.raises(DataError, match="line 1, field 'score': expected a number, got str"):
        read_scored_candidates(jsonl({"id": "1", "score": "high", **row}))
    with pytest.raises(DataError, match="no score for each answer; .* Give `judge`"):
        read_scored_candidates(jsonl({"id": "1", **row}))


def test_an_answer_that_is_null_is_never_the_best(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"id": "1", "response": "b", "score": 3}, {"id": "2", "response": None, "score": 9}]
    path.write_text("".join(json.dumps({"instruction": "q"} | row) + "\n" for row in rows))
    notices = Notices()
    records, scores, errors = read_scored_candidates(path, notices=notices)
    assert scores == [3.0, None]
    assert errors == ["2: there is no answer: the response is null"]
    assert notices.sentences() == ["null responses, which are not answers: 1"]
    assert [c.best(2) for c in group(records, scores)] == [(records[0], 3.0)]
