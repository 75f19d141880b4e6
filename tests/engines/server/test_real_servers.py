"""A real chat model behind real servers: the scores that it has in transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from selfj_eval import Judge, Record
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.server.openai import OpenAIBackend
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import Labels
from selfj_eval.prompts.templates import get_template

pytest.importorskip("openai", reason="the extra openai is not installed")

TOLERANCES = {  # of scores and of log-probabilities
    "vllm": (1e-4, 1e-4),
    "llama_cpp": (1e-4, 1e-4),
    "llama-server": (1e-4, 1e-3),  # it adds up all probabilities in float32
}


@pytest.fixture(scope="module")
def records(data: Path) -> list[Record]:
    """Fifty short answers to short questions."""
    rows = pq.read_table(data / "judge_bench" / "pointwise_cherry.parquet").to_pylist()
    short = [row for row in rows if len(row["response"]) >= 20 and len(str(row)) <= 1200]
    chosen = short[:: len(short) // 50][:50]
    return [Record(row["id"], row["instruction"], row["response"]) for row in chosen]


@pytest.fixture(scope="module")
def here(small_base: Path, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    return judged(
        Judge(TransformersBackend(str(small_base), template="chat", device="cpu")), records
    )


def judged(judge: Judge, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and log-probabilities of the digits."""
    found = judge.judge(records)
    assert not [j.error for j in found if j.error]
    shares = np.array([j.probabilities for j in found])
    masses = np.array([j.digit_mass for j in found])
    return np.array([j.score for j in found]), np.log(shares) + np.log(masses)[:, None]


@pytest.mark.long
@pytest.mark.parametrize("program", TOLERANCES)
def test_fifty_records(
    program: str,
    serve: Callable[[str, str, Path], str],
    small_base: Path,
    records: list[Record],
    here: tuple[np.ndarray, np.ndarray],
) -> None:
    url = serve(program, "small-base", small_base)
    args = {"base_url": url, "tokenizer": str(small_base)}
    top = {} if program == "vllm" else {"top_logprobs": 1000}
    server = OpenAIBackend.with_args("small-base", "chat", args | top)
    assert server.identity["logprobs"] == ("top 1000" if top else "exact")
    there = judged(Judge(server), records)
    for one, other, most, what in zip(
        here, there, TOLERANCES[program], ("score", "log"), strict=True
    ):
        apart = np.abs(one - other)
        print(f"{program}: {what} at most {apart.max():.1e}, mean {apart.mean():.1e}")
        np.testing.assert_allclose(other, one, rtol=0, atol=most)
    ten = Labels(tuple(map(str, range(1, 11))), tuple(map(float, range(1, 11))))
    with pytest.raises(JudgeError, match="of the labels '10' have several .* takes '1', '2', "):
        OpenAIBackend.with_args("small-base", replace(get_template("chat"), labels=ten), args)
