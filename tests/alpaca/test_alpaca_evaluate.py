"""``selfj alpaca evaluate``, with the demo judge."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from selfj_eval.alpaca.evaluation import BaselineComparison, ModelResult, read_leaderboard
from selfj_eval.cli import main
from selfj_eval.registry.alpaca_pack import ModelAnswers

pytest.importorskip("alpaca_eval")

TEXTS = ("Sort ascending: 7, 3, 9.", "What is 2 + 3?", "Reverse the word: lamp.")


def outputs(path: Path, *given: object, generator: str = "", texts: Sequence[str] = TEXTS) -> Path:
    rows = [
        {"instruction": text, "output": output, "generator": generator or path.stem}
        for text, output in zip(texts, given, strict=False)
    ]
    path.write_text(json.dumps(rows))
    return path


def strict(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


Board = Callable[..., int]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Run the command here; its results go to ``board/``."""
    outputs(tmp_path / "base.json", "3, 7, 9", "5", "It is a lamp.")

    def run(*arguments: object) -> int:
        base = () if "--baseline" in arguments else ("--baseline", tmp_path / "base.json")
        fixed = ("--judge", "demo", "--output", tmp_path / "board", *base)
        return main([str(a) for a in ("alpaca", "evaluate", *arguments, *fixed)])

    return run


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that a judge is given from now on."""
    from selfj_eval.engines.local.transformers import TransformersBackend

    given: list[str] = []
    score = TransformersBackend.score

    def spied(self: TransformersBackend, prompts: Sequence[str]) -> Any:
        given.extend(prompts)
        return score(self, prompts)

    monkeypatch.setattr(TransformersBackend, "score", spied)
    return given


def test_the_command_as_a_user_runs_it(command: Any, tmp_path: Path) -> None:
    base = outputs(tmp_path / "base.json", "3, 7, 9", "5", "It is a lamp.")
    mine = outputs(tmp_path / "mine.json", "9, 7, 3", "2 + 3 = 5", "pmal")
    folder = tmp_path / "board"
    done = command(
        *("selfj", "alpaca", "evaluate", mine, "--judge", "demo"),
        *("--baseline", base, "--output", folder, "--json"),
    )
    assert done.returncode == 0, done.stderr
    printed = strict(done.stdout)
    row = printed["models"]["mine"]
    assert printed["errors"] == [] and "mine" in printed["no_length_control"]
    assert (row["n_total"], row["n_missing"]) == (3, 0)
    kept = strict((folder / "annotations" / "mine.json").read_text())
    assert row["win_rate"] == pytest.approx(100 * np.mean([a["preference"] - 1 for a in kept]))
    assert row["mean_score"] == pytest.approx(np.mean([a["score_2"] for a in kept]))
    gaps = np.array([a["score_2"] - a["score_1"] for a in kept])
    assert [a["preference"] - 1 for a in kept] == pytest.approx(1 / (1 + np.exp(-gaps)))
    assert Path(printed["leaderboard"]) == folder / "leaderboard.csv"
    line = read_leaderboard(folder / "leaderboard.csv")["mine"]
    assert float(line["win_rate"]) == row["win_rate"]
    run = strict((folder / "run.json").read_text())
    assert run["temperature"] == 1.0 and run["baseline"]["name"] == "base"
    assert "alpaca evaluate" in run["command"] and run["judge"]["name"] == "demo"


def test_a_second_run_adds_a_model_and_judges_only_what_is_new(
    board: Board, judged: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = outputs(tmp_path / "one.json", "9, 7, 3", "5", "pmal")
    two = outputs(tmp_path / "two.json", "9, 7, 3", "23", "a lamp")
    assert board(one) == 0
    assert len(judged) == 5  # three of the baseline, and two: one answer is the baseline's own
    first = read_leaderboard(tmp_path / "board" / "leaderboard.csv")["one"]
    judged.clear()
    assert board(two) == 0
    assert len(judged) == 2 and all("9, 7, 3" not in prompt for prompt in judged)
    judged.clear()
    after = read_leaderboard(tmp_path / "board" / "leaderboard.csv")
    assert set(after) == {"one", "two"} and after["one"] == first
    assert board(one, two) == 0
    assert judged == []
    assert read_leaderboard(tmp_path / "board" / "leaderboard.csv") == after
    assert {p.name for p in (tmp_path / "board" / "annotations").iterdir()} == {
        *("one.json", "two.json")
    }
    assert "one" in capsys.readouterr().out


def test_lines_that_cannot_be_compared_are_refused(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = outputs(tmp_path / "one.json", "9, 7, 3", "5", "pmal")
    other = outputs(tmp_path / "other.json", "7", "4", "I do not know.")
    assert board(one) == 0
    path = tmp_path / "board" / "leaderboard.csv"
    before = path.read_bytes()
    references = tmp_path / "references.json"
    references.write_text(json.dumps([{"instruction": TEXTS[1], "reference": "5"}]))
    for arguments, said in (
        (("--temperature", 0.5), "another temperature"),
        (("--baseline", other), "another baseline"),
        (("--references", references), "another judge"),
        (("--max-tokens", 500), "another judge"),
    ):
        capsys.readouterr()
        assert board(outputs(tmp_path / "two.json", "1", "2", "3"), *arguments) == 2
        assert said in capsys.readouterr().err
        assert path.read_bytes() == before
    (tmp_path / "board" / "run.json").unlink()
    assert board(one) == 2


def test_what_was_left_is_counted_and_exits_with_1(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = (TEXTS[0], "Who?", TEXTS[1])
    path = outputs(tmp_path / "m.json", "9", "I", "### Response: 9", texts=texts)
    assert board(path, "--json") == 1
    row = strict(capsys.readouterr().out)["models"]["m"]
    assert (row["n_total"], row["n_unscored"], row["n_missing"], row["n_unknown"]) == (1, 1, 1, 1)
    kept = strict((tmp_path / "board" / "annotations" / "m.json").read_text())
    assert [a["preference"] is None for a in kept] == [False, True]
    with (tmp_path / "board" / "leaderboard.csv").open(newline="") as stream:
        cells = [cell.lower() for line in csv.reader(stream) for cell in line]
    assert "nan" not in cells and "none" not in cells
    assert board(path) == 1
    shown = capsys.readouterr().out
    assert "UNSCORED 1" in shown and "1 outputs to unknown instructions" in shown


def test_a_name_from_the_data_does_not_leave_the_folder(board: Board, tmp_path: Path) -> None:
    path = outputs(tmp_path / "m.json", "9", "5", "pmal", generator="../../escaped")
    assert board(path) == 0
    assert "../../escaped" in read_leaderboard(tmp_path / "board" / "leaderboard.csv")
    assert len(list((tmp_path / "board" / "annotations").iterdir())) == 1
    assert not list(tmp_path.parent.glob("*escaped*")) and not list(tmp_path.glob("*escaped*"))
    # In a later run too, another model may not take its file.
    name = next((tmp_path / "board" / "annotations").iterdir()).stem
    assert board(outputs(tmp_path / "n.json", "9", "5", "7", generator=name)) == 2


def test_a_name_that_is_not_valid_text_is_an_error(board: Board, tmp_path: Path) -> None:
    assert board(outputs(tmp_path / "m.json", "9", "5", "7", generator="a\ud800")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("m.json", "--temperature", "-1"), "--temperature must be at least 0"),
        (("m.json", "--temperature", "nan"), "--temperature must be a finite number"),
        (("m.json", "--baseline", "v3"), "expected v1, v2 or an existing file"),
        (("m.json", "--length-control", "none.csv"), "cannot be read"),
        (("none.json",), "cannot be read"),
        (("broken.json",), "broken JSON"),
        (("m.json", "again.json"), "called 'm', as is"),
        (("m.json", "n.json", "--name", "x"), "--name is for one file"),
        (("elsewhere.json",), "is none of the 3 instructions"),
    ],
)
def test_wrong_input_exits_with_2_before_any_judge_is_loaded(
    board: Board,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    from selfj_eval.raters.judge import Judge

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a judge is loaded")

    monkeypatch.setattr(Judge, "open", refuse)
    monkeypatch.chdir(tmp_path)
    for name, generator in (("m", "m"), ("n", "n"), ("again", "m")):
        outputs(tmp_path / f"{name}.json", "9", "5", "7", generator=generator)
    outputs(tmp_path / "elsewhere.json", "9", texts=["Who?"])
    (tmp_path / "broken.json").write_text("[{")
    assert board(*arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "board" / "leaderboard.csv").exists()


def test_another_run_into_the_same_folder_is_not_lost(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs at a time: the one that ends later keeps the line of the one that ended first."""
    from selfj_eval.alpaca.evaluation import BaselineComparison

    real = BaselineComparison.evaluate
    nested = []

    def evaluate(self: BaselineComparison, model: ModelAnswers) -> ModelResult:
        if not nested:
            nested.append(True)
            assert board(outputs(tmp_path / "b.json", "1", "2", "3", generator="b")) == 0
        return real(self, model)

    monkeypatch.setattr(BaselineComparison, "evaluate", evaluate)
    assert board(outputs(tmp_path / "a.json", "9", "5", "7", generator="a")) == 0
    assert set(read_leaderboard(tmp_path / "board" / "leaderboard.csv")) == {"a", "b"}


def test_a_replaced_line_is_said(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "board" / "leaderboard.csv"
    assert board(outputs(tmp_path / "m.json", "9", "5", "7")) == 0
    assert "replaces" not in capsys.readouterr().out
    text = path.read_text()
    assert text.count(",3,") == 1
    path.write_text(text.replace(",3,", ",3.0,"))  # as alpaca_eval writes it
    assert board(outputs(tmp_path / "m.json", "9")) == 1
    assert "m: replaces a line of 3 comparisons with one of 1" in capsys.readouterr().out
