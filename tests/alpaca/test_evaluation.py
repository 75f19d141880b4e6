"""Win rates of models: what is counted, what is written, and the command that does it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.alpaca.evaluation import (
    COLUMNS,
    BaselineComparison,
    ModelResult,
    read_leaderboard,
    write_leaderboard,
)
from selfj_eval.alpaca.rating import NamedRater
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.errors import DataError
from selfj_eval.prompts.labels import Labels
from selfj_eval.prompts.templates import PromptTemplate
from selfj_eval.raters.judge import Judge
from selfj_eval.raters.length import LengthRater
from selfj_eval.raters.protocol import Progress, Rater
from selfj_eval.records.record import Judgment, Record
from selfj_eval.registry.alpaca_pack import (
    EvaluationSet,
    ModelAnswers,
    evaluation_set,
    gamed_baselines,
    official_baseline,
    stored_outputs,
)

pytest.importorskip("alpaca_eval")

SET = EvaluationSet(("one?", "two?", "three?", "four?"), (None,) * 4)
BASE = ModelAnswers("base", ("b2", "b4", "b5", "b9"))


class Digits:
    """A rater: the score is the digit at the end; an answer without one is unscored."""

    from_store = failed = 0
    description: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        texts = [record.response for record in records]
        self.asked.append(texts)
        if progress is not None:
            progress(len(texts))
        scores = [int(text[-1]) if text[-1:].isdigit() else None for text in texts]
        return [
            Judgment("", None, None, None, "no digit", trimmed_tokens=1)
            if score is None
            else Judgment("", score, None, None)
            for score in scores
        ]


def evaluation(
    baseline: ModelAnswers = BASE, *, temperature: float | None = 1.0, rater: Rater | None = None
) -> BaselineComparison:
    return BaselineComparison(
        NamedRater(rater or Digits(), "digits"), SET, baseline, temperature=temperature
    )


def evaluate(*outputs: str | None, temperature: float | None = 1.0) -> ModelResult:
    return evaluation(temperature=temperature).evaluate(ModelAnswers("m", outputs, unknown=3))


def row_of(*outputs: str | None) -> dict[str, Any]:
    return evaluate(*outputs).line.to_dict()


def written(path: Path, rows: Mapping[str, Mapping[str, Any]], sort_by: str = "win_rate") -> str:
    write_leaderboard(path, rows, sort_by=sort_by)
    return path.read_text(encoding="utf-8")


def test_a_row_and_its_annotations() -> None:
    found = evaluate("a3", "a4", "a1", "a8")
    wins = [np.e / (1 + np.e), 0.5, 1 / (1 + np.exp(4)), 1 / (1 + np.e)]
    row = found.line.to_dict()
    assert row["win_rate"] == pytest.approx(100 * np.mean(wins))
    assert row["standard_error"] == pytest.approx(100 * np.std(wins, ddof=1) / 2)
    assert row["discrete_win_rate"] == pytest.approx(100 * (1 + 0.5) / 4)
    assert [row[k] for k in ("n_wins", "n_wins_base", "n_draws", "n_total")] == [1, 2, 1, 4]
    assert (row["mean_score"], row["baseline_mean_score"]) == (4, 5)
    assert (row["n_unknown"], row["n_unscored"], row["n_missing"]) == (3, 0, 0)
    assert row["avg_length"] == 2 and row["mode"] == "community"
    assert list(row) == [name for name in COLUMNS if name in row]
    assert [a["preference"] - 1 for a in found.annotations] == pytest.approx(wins)
    assert found.annotations[2] == {
        "index": 2,
        "instruction": "three?",
        "output_1": "b5",
        "generator_1": "base",
        "output_2": "a1",
        "generator_2": "m",
        "annotator": "digits",
        "score_1": 5.0,
        "score_2": 1.0,
        "preference": pytest.approx(1 + wins[2]),
    }
    assert "baseline of AlpacaEval 2" in str(found.no_length_control)


def test_the_temperature_may_be_given() -> None:
    assert [
        a["preference"] for a in evaluate("a3", "a4", "a1", "a8", temperature=0).annotations
    ] == [*(2.0, 1.5, 1.0, 1.0)]


def test_unscored_and_missing_answers_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    found = evaluate("a3", "?", None, "")
    row = found.line.to_dict()
    assert [a["preference"] for a in found.annotations] == [
        pytest.approx(1 + np.e / (1 + np.e)),
        None,
        None,
    ]
    assert found.annotations[1]["score_2"] is None
    assert (row["n_total"], row["n_unscored"], row["n_missing"], row["n_empty"]) == (1, 2, 1, 1)
    assert row["win_rate"] == pytest.approx(100 * np.e / (1 + np.e))
    assert row["mean_score"] == 3
    assert row["n_trimmed"] == 2
    assert [e for e in found.errors if "two?" in e and "no digit" in e]
    assert len(found.errors) == 2
    json.dumps([dict(row), list(found.annotations)], allow_nan=False)
    assert "nan" not in written(tmp_path / "l.csv", {"m": row}).lower()


def test_a_baseline_that_is_unscored_is_said_to_be_it() -> None:
    against = evaluation(ModelAnswers("base", ("b1", "?", "?", "b9")))
    found = against.evaluate(ModelAnswers("m", ("a2", "a3", None, "a4")))
    assert (found.line.n_unscored, found.line.n_total, found.line.n_missing) == (1, 2, 1)
    assert len(found.errors) == 1 and found.errors[0].startswith("base (baseline): instruction 1")


def test_the_same_text_is_a_tie() -> None:
    found = evaluate("b2", "a5", "b5", "a9")
    assert [a["preference"] for a in found.annotations][::2] == [1.5, 1.5]
    assert found.annotations[3]["preference"] == 1.5  # other text, same score
    assert found.line.n_draws == 3
    # Also where a scorer cannot score it.
    unscored = evaluation(ModelAnswers("base", ("?", "b4", "b5", "b9")))
    line = unscored.evaluate(ModelAnswers("m", ("?", None, None, None))).line
    assert (line.win_rate, line.n_total, line.n_unscored) == (50, 1, 0)


def test_a_model_that_is_the_baseline_ties_everywhere() -> None:
    row = row_of(*BASE.outputs)
    assert (row["win_rate"], row["standard_error"], row["n_draws"]) == (50, 0, 4)


def test_one_answer_has_a_win_rate_and_no_standard_error(tmp_path: Path) -> None:
    row = row_of(None, "a9", None, None)
    assert row["n_total"] == 1 and row["win_rate"] == pytest.approx(100 / (1 + np.exp(-5)))
    assert "standard_error" not in row
    assert "nan" not in written(tmp_path / "l.csv", {"m": row}).lower()


@pytest.mark.parametrize("outputs", [("?", "", "x", "y"), (None,) * 4])
def test_without_any_score_there_is_no_win_rate(outputs: tuple[Any, ...], tmp_path: Path) -> None:
    row = row_of(*outputs)
    assert row["n_total"] == 0
    assert not {"win_rate", "standard_error", "mean_score"} & set(row)
    assert row["n_unscored"] + row["n_missing"] == 4
    assert "nan" not in written(tmp_path / "l.csv", {"m": row}).lower()


def test_a_leaderboard_without_any_win_rate_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    written(path, {"m": row_of("?", "?", "?", "?")})
    assert set(read_leaderboard(path)) == {"m"}


def test_the_baseline_is_scored_once_for_many_models() -> None:
    rater = Digits()
    against = evaluation(rater=rater)
    for k in range(4):
        against.evaluate(ModelAnswers(f"m{k}", ("a1", "a2", "a3", "a4")))
    assert rater.asked == [["b2", "b4", "b5", "b9"], *[["a1", "a2", "a3", "a4"]] * 4]


def test_progress_is_told_of_every_answer() -> None:
    done: list[int] = []
    against = BaselineComparison(
        NamedRater(LengthRater(), "length"), SET, BASE, progress=done.append
    )
    against.evaluate(ModelAnswers("m", ("a1", None, "a3", "")))
    assert sum(done) == 7


def test_a_leaderboard_is_sorted_and_keeps_lines_of_others(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    first = {
        "low": row_of("a1", "a1", "a1", "a1"),
        "none": row_of("?", "?", "?", "?"),
        'a, "b"\nü': row_of("a9", "a9", "a9", "a9"),
    }
    written(path, first)
    before = read_leaderboard(path)
    assert list(before) == ['a, "b"\nü', "low", "none"]
    assert float(before["low"]["win_rate"]) == first["low"]["win_rate"]
    assert "win_rate" not in before["none"]
    other = {"theirs": {"win_rate": "40.5", "mode": "verified", "license": "MIT"}}
    text = written(path, before | other | {"mid": row_of("a3", "a4", "a5", "a8")})
    after = read_leaderboard(path)
    assert list(after) == ['a, "b"\nü', "mid", "theirs", "low", "none"]
    assert {name: after[name] for name in before} == before
    assert after["theirs"] == other["theirs"]
    assert text.splitlines()[0].startswith(",win_rate,standard_error,n_wins,")
    assert "nan" not in text.lower().replace("none", "")


def test_a_leaderboard_sorted_by_the_length_controlled_win_rate(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {
        "a": {"win_rate": 60.0, "length_controlled_winrate": 20.0},
        "b": {"win_rate": 30.0, "length_controlled_winrate": 40.0},
    }
    for sort_by, order in (("win_rate", ["a", "b"]), ("length_controlled_winrate", ["b", "a"])):
        written(tmp_path / "l.csv", rows, sort_by)
        assert list(read_leaderboard(tmp_path / "l.csv")) == order


def test_a_file_that_is_no_leaderboard_is_refused(tmp_path: Path) -> None:
    assert read_leaderboard(tmp_path / "none.csv") == {}
    (tmp_path / "l.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'win_rate'"):
        read_leaderboard(tmp_path / "l.csv")


def test_alpaca_eval_reads_the_leaderboard_and_writes_it_for_us(tmp_path: Path) -> None:
    from selfj_eval.alpaca.upstream import alpaca_eval

    path = tmp_path / "leaderboard.csv"
    rows = {
        "one": row_of("a1", "a2", "a3", "a4"),
        "two": row_of("a9", "a9", "a9", "a9"),
        "none": row_of("?", "?", "?", "?"),
    }
    written(path, rows)
    package = alpaca_eval()
    frame = package.utils.load_or_convert_to_dataframe(path)
    assert list(frame.index) == ["two", "one", "none"]
    for name in ("one", "two"):
        assert frame.loc[name, "win_rate"] == rows[name]["win_rate"]
        assert frame.loc[name, "n_total"] == 4
    table, annotations = package.main.evaluate(
        model_outputs=None,
        precomputed_leaderboard=path,
        is_return_instead_of_print=True,
        sort_by="win_rate",
        output_path=None,
    )
    assert annotations is None and list(table.index) == ["two", "one", "none"]
    again = read_leaderboard(path)  # AlpacaEval has written it anew
    assert list(again) == ["two", "one", "none"]
    assert float(again["two"]["win_rate"]) == pytest.approx(rows["two"]["win_rate"])
    assert "win_rate" not in again["none"]


def test_length_control_on_the_official_set(data: Path) -> None:
    if not (data / "alpaca_eval").is_dir():
        pytest.skip("SELFJ_DATA has no alpaca_eval/ in it")
    base = official_baseline("v2")
    rater = NamedRater(LengthRater(), "length")
    against = BaselineComparison(rater, evaluation_set(), base, gamed=gamed_baselines())
    assert against.temperature == 0  # characters are not odds
    labels = Labels(tuple("12345"), (1.0, 2.0, 3.0, 4.0, 5.0))
    template = PromptTemplate("t", None, "Q: {instruction} A: {response} Grade:", labels=labels)
    judge = Judge(TransformersBackend("demo", template=template, device="cpu"))
    assert NamedRater(judge, "one to five").temperature == pytest.approx(4 / 9)
    found = against.evaluate(stored_outputs({"phi-2"})[0])
    assert found.no_length_control is None
    assert 0 < (found.line.length_controlled_winrate or 0) < 100
    assert (found.line.lc_standard_error or 0) > 0
    assert (found.line.n_total, found.line.n_missing) == (803, 2)
    itself = against.evaluate(base).line
    assert itself.win_rate == itself.length_controlled_winrate == 50
    few = against.evaluate(ModelAnswers("few", ("x", *(None,) * 804)))
    assert few.no_length_control and few.line.n_total == 1
