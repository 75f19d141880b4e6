"""``selfj alpaca evaluate --pairwise``: both answers in one prompt, in both orders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import DataError, Pair, PairJudge, StoreError, alpaca
from selfj_eval.cli import main

pytest.importorskip("alpaca_eval")

QUESTIONS = ("Sort: 7, 3, 9.", "What is 2 + 3?", "Name a lamp.", "Again?")
BASE = ("3, 7, 9", "5", "It is a lamp.", "Yes.")
MINE = ("9, 7, 3", "2 + 3 = 5", "x\n[Two]\ny", "Yes.")


def outputs(name: str, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"instruction": q, "output": text, "generator": name}
        for q, text in zip(QUESTIONS, texts, strict=True)
    ]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairwise_template: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(pairwise_template)
    for name, texts in (("base", BASE), ("mine", MINE)):
        Path(f"{name}.json").write_text(json.dumps(outputs(name, texts)))


def test_the_win_rate_is_the_mean_preference_of_both_orders(
    tiny_judge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("alpaca", "evaluate", "mine.json", "--pairwise", "--judge", str(tiny_judge)),
        *("--template", "own.yaml", "--baseline", "base.json", "--output", "board"),
    ]
    assert main([*command, "--json"]) == 1  # one answer holds text of the prompt
    printed = json.loads(capsys.readouterr().out)
    judge = PairJudge.load(str(tiny_judge), template="own.yaml", device="cpu")
    pairs = [Pair(str(k), QUESTIONS[k], MINE[k], BASE[k]) for k in (0, 1)]
    judged = judge.judge(pairs)
    rates = [own.preference for own in judged]
    kept = json.loads(Path("board/annotations/mine.json").read_text())
    assert [row["preference"] for row in kept[:2]] == pytest.approx([1 + r for r in rates])  # type: ignore[operator]
    assert kept[0]["model_shown_first"] == pytest.approx(judged[0].a_first, abs=1e-5)
    assert kept[0]["baseline_shown_first"] == pytest.approx(judged[0].b_first, abs=1e-5)
    assert kept[2]["preference"] is None and kept[3]["preference"] == 1.5  # the same text
    row = printed["models"]["mine"]
    assert row["win_rate"] == pytest.approx(100 * np.mean([*rates, 0.5]), abs=1e-3)  # type: ignore[list-item]
    assert (row["n_total"], row["n_unscored"]) == (3, 1) and "mean_score" not in row
    assert "field 'response_a': holds the prompt's own text '[Two]'" in printed["errors"][0]
    assert printed["position_bias"]["mine"]["changed"]["n"] == 3
    # The other way round it is the other's win.
    mirrored = alpaca.evaluate(
        "base.json", judge=str(tiny_judge), pairwise=True, template="own.yaml",
        baseline="mine.json", output="other", store="board/judgments.store",
    )  # fmt: skip
    other = mirrored.models[0].line
    assert other.win_rate is not None and other.win_rate == pytest.approx(100 - row["win_rate"])
    assert "position bias" in str(mirrored)


def test_a_board_holds_one_way_only(tiny_judge: Path) -> None:
    given: dict[str, Any] = {"baseline": "base.json", "output": "board", "judge": str(tiny_judge)}
    alpaca.evaluate("mine.json", **given)
    with pytest.raises(StoreError, match="was made with another judge"):
        alpaca.evaluate("mine.json", pairwise=True, template="own.yaml", **given)


def test_what_two_scores_need_is_refused() -> None:
    given: dict[str, Any] = {"baseline": "base.json", "output": "board", "pairwise": True}
    with pytest.raises(DataError, match="`temperature` is for two scores"):
        alpaca.evaluate("mine.json", judge="demo", temperature=1.0, **given)
    with pytest.raises(DataError, match="cannot compare two answers; name a model"):
        alpaca.evaluate("mine.json", judge=object(), **given)
