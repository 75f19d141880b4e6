"""What an export says about the judge: as it is known, and nothing invented."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import export, ladder, score
from selfj_eval.errors import DataError
from selfj_eval.prompts.templates import get_template
from selfj_eval.publishing.findings import scale_of

EVER = {
    "format": "every-eval-ever",
    "model": "owner/model-a",
    "dataset": "tiny",
    "organization": "owner",
    "relationship": "third_party",
}


def test_the_judge_stands_under_llm_scoring(
    scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    document, _ = read_ever(export(scores(), output=tmp_path, **EVER).written)
    config = document["evaluation_results"][0]["metric_config"]
    assert (config["min_score"], config["max_score"]) == (0.0, 9.0)
    scoring = config["llm_scoring"]
    (judge,) = scoring["judges"]
    assert (judge["model_info"]["id"], judge["model_info"]["name"]) == ("owner/judge", "judge")
    assert judge["model_info"]["additional_details"]["deployment_type"] == "self_deployed"
    assert judge["model_info"]["additional_details"]["sha256"] == "ab" * 32
    assert scoring["input_prompt"] == get_template("self-j").with_reference
    assert document["eval_library"] == {"name": "selfj-eval", "version": "0.2.0"}
    assert document["evaluation_timestamp"] == "2026-01-01T00:00:00+00:00"
    none = export(scores(reference=False), output=tmp_path / "n", **EVER).written
    scoring = read_ever(none)[0]["evaluation_results"][0]["metric_config"]["llm_scoring"]
    assert scoring["input_prompt"] == get_template("self-j").without_reference


def test_a_rater_without_a_scale(tmp_path: Path, read_ever: Any) -> None:
    judged = score(ladder(instructions=3), judge="length")
    with pytest.raises(DataError, match="lowest correct score as `correct_at`"):
        export(judged, output=tmp_path, **EVER)
    document, lines = read_ever(export(judged, output=tmp_path, **EVER, correct_at=100).written)
    config = document["evaluation_results"][0]["metric_config"]
    assert (config["min_score"], config["max_score"]) == ("-Infinity", "Infinity")
    assert config["additional_details"] == {"rater": "length"} and "llm_scoring" not in config
    right = {line["evaluation"]["score"] >= 100 for line in lines}
    assert right == {line["evaluation"]["is_correct"] for line in lines} == {True, False}


def test_nothing_is_invented_about_the_judge(
    scores: Callable[..., str],
    tmp_path: Path,
    jsonl: Callable[..., Path],
    answers: Any,
    read_ever: Any,
) -> None:
    with pytest.raises(DataError, match="'/home/me/j' is a folder of this machine; give"):
        export(scores(model="/home/me/j"), output=tmp_path, **EVER)
    with pytest.raises(DataError, match="adapters/mine' is a folder"):
        export(scores(adapter="./adapters/mine"), output=tmp_path, **EVER)
    with pytest.raises(DataError, match="prompt 'mine' is not one of selfj-eval's"):
        export(scores(template="mine"), output=tmp_path, **EVER)
    bare = jsonl(*answers, name="bare.jsonl")
    with pytest.raises(DataError, match=r"no run file \(.*bare.jsonl.run.json\) says which judge"):
        export(bare, output=tmp_path, **EVER)
    with pytest.raises(DataError, match=r"no run file \(.*\) says with which prompt"):
        export(bare, output=tmp_path, **EVER, judge="me/j")
    assert not list(tmp_path.glob("data"))
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Rate {answer}.")
    told = {"judge": "me/j", "judge_prompt": prompt, "correct_at": 5}
    document, _ = read_ever(export(bare, output=tmp_path, **EVER, **told).written)
    scoring = document["evaluation_results"][0]["metric_config"]["llm_scoring"]
    assert scoring["judges"][0]["model_info"]["id"] == "me/j"
    assert scoring["input_prompt"] == "Rate {answer}."
    assert document["eval_library"]["version"] == "unknown"


def test_what_is_correct_on_another_scale_is_named(
    scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    with pytest.raises(DataError, match="on 1 to 10: give the lowest correct score"):
        export(scores(scale=[1, 10]), output=tmp_path, **EVER)
    _, lines = read_ever(
        export(scores(scale=[1, 10]), output=tmp_path, **EVER, correct_at=7).written
    )
    assert [line["evaluation"]["is_correct"] for line in lines] == [True, False]
    assert scale_of({"sum_of": ["a", "b"], "scale": [[5.0, 1.0], [0.5, 0.1]]})[1] == math.inf


@pytest.mark.parametrize("template", ["chat", "rubric"])
def test_a_part_of_the_prompt_is_not_published_as_the_prompt(
    template: str, scores: Callable[..., str], tmp_path: Path, read_ever: Any
) -> None:
    made = scores(template=template, scale=[0, 9])
    with pytest.raises(DataError, match="give the whole prompt as `judge_prompt`"):
        export(made, output=tmp_path, **EVER)
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("system: Be fair.")
    document, _ = read_ever(export(made, output=tmp_path, **EVER, judge_prompt=prompt).written)
    scoring = document["evaluation_results"][0]["metric_config"]["llm_scoring"]
    assert scoring["input_prompt"] == "system: Be fair."
