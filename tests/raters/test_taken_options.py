"""An option that is given for several raters is for those that take it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.raters.length import LengthRater
from selfj_eval.raters.taken_options import options_of_each


def test_each_rater_gets_what_it_takes() -> None:
    given = JudgeOptions(dtype="bfloat16", max_tokens=99, device="cpu", adapter="lora")
    judges = ["small", Path("demo"), "cosine", "ppl:a/model", "length", "length+demo"]
    judge, demo, cosine, perplexity, length, both = options_of_each(judges, given)
    assert judge == demo == both == given
    assert cosine == JudgeOptions(device="cpu")
    assert perplexity == given.with_values(max_tokens=None)
    assert length == JudgeOptions()
    loaded, named = options_of_each([LengthRater(), "small"], given)
    assert (loaded, named) == (JudgeOptions(), given)


def test_at_a_server_a_judge_has_any_name() -> None:
    given = JudgeOptions(engine="openai", engine_args={"base_url": "http://localhost:1"})
    assert options_of_each(["lenght", "cosine"], given) == [given, JudgeOptions()]


@pytest.mark.parametrize(
    ("judges", "option", "message"),
    [
        (["cosine", "length"], "dtype", "none of the raters cosine, length takes `dtype`; leave"),
        (["cosine"], "dtype", "the rater cosine takes no `dtype`; leave it out"),
        (["cosine", LengthRater()], "dtype", "the rater cosine takes no `dtype`; leave it out"),
        ([LengthRater()], "dtype", "`dtype` is an option for loading a judge"),
        (["small", "lenght"], "dtype", "no rater 'lenght'. Did you mean length?"),
    ],
)
def test_what_no_rater_takes_is_refused(
    judges: list[str | LengthRater], option: str, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        options_of_each(judges, JudgeOptions(**{option: "bfloat16"}))
