from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import digit_token_ids, expected_score
from selfj_eval.prompts.templates import SELF_J, get_template

LLAMA_2_IDS = [29900, 29896, 29906, 29941, 29946, 29945, 29953, 29955, 29947, 29929]
log_probabilities = st.lists(st.floats(-60, -2.4), min_size=10, max_size=10)


@given(log_probabilities)
def test_score_is_the_expectation_over_the_digits(row: list[float]) -> None:
    p = [math.exp(x) for x in row]
    result = expected_score([row])
    assert result.score[0] == pytest.approx(sum(k * x for k, x in enumerate(p)) / sum(p), abs=1e-9)
    assert result.digit_mass[0] == pytest.approx(sum(p), rel=1e-9)
    assert result.probabilities[0].sum() == pytest.approx(1)
    assert 0 <= result.score[0] <= 9


@given(log_probabilities, st.floats(-600, 0))
def test_score_does_not_depend_on_the_digit_mass(row: list[float], shift: float) -> None:
    moved = [x + shift for x in row]
    assert expected_score([moved]).score[0] == pytest.approx(expected_score([row]).score[0])


@given(st.permutations(range(6)))
def test_rows_are_independent(order: list[int]) -> None:
    rows = np.log(np.random.default_rng(0).dirichlet(np.ones(11), 6)[:, :10])
    np.testing.assert_array_equal(
        expected_score(rows[order]).score, expected_score(rows).score[order]
    )


def test_certain_digit_and_absent_digits() -> None:
    row = [-math.inf] * 10
    row[7] = 0.0
    result = expected_score([row])
    assert result.score[0] == 7
    assert result.digit_mass[0] == 1


@pytest.mark.parametrize(
    "row",
    [
        [-math.inf] * 10,
        [math.nan] + [-3.0] * 9,
        [math.nan] * 10,
        [2.0] + [-3.0] * 9,
        [-1.0] * 10,
        [math.inf] + [-3.0] * 9,
    ],
    ids=["no digit", "one NaN", "all NaN", "probability above 1", "sum above 1", "infinite"],
)
def test_what_is_no_distribution_has_no_score(row: list[float]) -> None:
    result = expected_score([row, [math.log(0.1)] * 10])
    assert math.isnan(result.score[0])
    assert math.isnan(result.digit_mass[0])
    assert result.score[1] == pytest.approx(4.5)


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 10\), got \(1, 9\)"):
        expected_score([[0.0] * 9])


@pytest.mark.parametrize("template", SELF_J)
def test_llama_2_digit_ids(template: str, llama_2_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = llama_2_tokenizer
    assert tokenizer("a 5").input_ids != tokenizer("a5").input_ids
    ids = digit_token_ids(
        lambda text: tokenizer(text).input_ids, get_template(template).probe(), "llama"
    )
    assert ids == LLAMA_2_IDS


def test_tokenizer_with_digits_of_two_tokens_is_refused_by_name() -> None:
    alphabet = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz #:0123456")}
    pieces = {"seven": [50, 51], "8": [52, 53], "9": [54]}

    def encode(text: str) -> list[int]:
        ids: list[int] = []
        for c in text:
            ids += pieces["seven"] if c == "7" else pieces.get(c, [alphabet.get(c, 60)])
        return ids

    with pytest.raises(JudgeError, match="tokenizer of some/model .*digit '7' is not one token"):
        digit_token_ids(encode, "### Response:", "some/model")


def test_tokenizer_that_merges_the_digit_into_the_prompt_is_refused() -> None:
    with pytest.raises(JudgeError, match="digit '0' is not one token"):
        digit_token_ids(lambda text: [len(text)], "x", "merging")
    with pytest.raises(JudgeError, match="end before the space; write labels such as"):
        digit_token_ids(lambda text: [len(text)], "Rating: ", "merging")


def test_tokenizer_without_digits_is_refused() -> None:
    with pytest.raises(JudgeError, match="only 1 different tokens"):
        digit_token_ids(lambda text: [0] * len(text), "x", "unknowing")


def test_a_tokenizer_that_ends_every_text_is_told_to_be_an_encoders() -> None:
    with pytest.raises(JudgeError, match="as encoders do.*`architecture` encoder"):
        digit_token_ids(lambda text: [1, *map(ord, text), 2], "Response:", "bert")
