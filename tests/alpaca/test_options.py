"""References and length control of one's own: used as meant, or refused before any judging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.cli import main
from selfj_eval.errors import JudgeError

pytest.importorskip("alpaca_eval")

GAMED = "model,preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n"


def _write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A baseline and a model's outputs."""
    texts = ("What is 2 + 3?", "Name a colour.")
    return {
        name: _write(
            tmp_path / f"{name}.json",
            *({"instruction": t, "output": f"{name} 5", "generator": name} for t in texts),
        )
        for name in ("base", "mine")
    }


def _evaluate(files: dict[str, Path], *arguments: object) -> int:
    folder = files["base"].parent / "board"
    line = ["alpaca", "evaluate", files["mine"], "--judge", "demo", "--baseline", files["base"]]
    return main([str(a) for a in (*line, "--output", folder, *arguments)])


def test_references_that_match_are_used_and_counted(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scores() -> list[float]:
        path = tmp_path / "board" / "annotations" / "mine.json"
        return [row["score_2"] for row in json.loads(path.read_text())]

    assert _evaluate(files) == 0
    without = scores()
    row = {"instruction": "What is 2 + 3?", "reference": "5"}
    references = _write(tmp_path / "references.json", row)
    assert _evaluate(files, "--references", references) == 2
    assert "made with another judge" in capsys.readouterr().err
    (tmp_path / "board" / "leaderboard.csv").unlink()
    assert _evaluate(files, "--references", references) == 0
    assert "1 of 2 instructions have a reference" in capsys.readouterr().err
    first, second = scores()
    assert first != without[0]
    assert second == pytest.approx(without[1])


def test_references_that_match_nothing_are_refused(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"instruction": "What is 2 + 3? ", "reference": "5"}
    assert _evaluate(files, "--references", _write(tmp_path / "references.json", row)) == 2
    assert "no reference to any of the instructions" in capsys.readouterr().err


def test_references_may_not_change_behind_a_configuration(tmp_path: Path) -> None:
    import yaml

    from selfj_eval.alpaca.client import TEMPLATE, Client

    row = {"instruction": "What is 2 + 3?", "reference": "5"}
    references = _write(tmp_path / "references.json", row)
    config = ["alpaca", "config", "--judge", "demo", "--references", str(references)]
    assert main([*config, "--output", str(tmp_path / "annotator")]) == 0
    (client,) = yaml.safe_load((tmp_path / "annotator" / "client.yaml").read_text())["default"]
    del client["client_class"]
    prompt = TEMPLATE.replace("{instruction}", row["instruction"])
    prompt = prompt.replace("{output_1}", "5").replace("{output_2}", "blue")
    answer: Any = Client(**client).create(prompt=[prompt], model="selfj")
    found = json.loads(answer.choices[0].text)
    assert 1 <= found["preference"] <= 2
    _write(references, row | {"reference": "blue"})
    from selfj_eval.alpaca import client as module

    module._rater.cache_clear()  # another process
    with pytest.raises(JudgeError, match="references have changed"):
        Client(**client)
    module._rater.cache_clear()


def test_a_configuration_does_not_overwrite_another_annotators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs.yaml").write_text("mine: {}\n")
    assert main(["alpaca", "config", "--judge", "demo", "--output", str(tmp_path)]) == 2
    assert "another annotator's" in capsys.readouterr().err
    assert (tmp_path / "configs.yaml").read_text() == "mine: {}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("index,foo\n0,1\n", "field 'model'"),
        (GAMED + "m,0.5,0,wide,0.1,False\n", "field 'std_delta_len'"),
    ],
)
def test_length_control_with_a_file_that_is_none(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "gamed.csv").write_text(text)
    assert _evaluate(files, "--length-control", tmp_path / "gamed.csv") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "board" / "judgments.store").exists()  # nothing was judged for it


def test_length_control_is_for_the_official_order(
    files: dict[str, Path],
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(data))
    gamed = data / "alpaca_eval" / "length_control" / "df_gamed_equivalent.csv"
    assert _evaluate(files, "--length-control", gamed) == 2
    error = capsys.readouterr().err
    assert "805 instructions in their order" in error and "output 1" in error


def test_without_the_official_order_at_hand_length_control_says_so(
    files: dict[str, Path],
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SELFJ_DATA")
    gamed = data / "alpaca_eval" / "length_control" / "df_gamed_equivalent.csv"
    _evaluate(files, "--length-control", gamed)
    assert "note: AlpacaEval's data are not here (`selfj data get" in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
def test_config_writes_the_baselines_of_the_data_folder(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    named: bool,
) -> None:
    if named:
        monkeypatch.setenv("SELFJ_DATA", str(data))
    else:
        monkeypatch.delenv("SELFJ_DATA")
        (tmp_path / "selfj-eval").symlink_to(data)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    line = ["alpaca", "config", "--judge", "demo", "--output", str(tmp_path / "annotator")]
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["baselines"]) == {"v1", "v2"}
    assert Path(found["hub_cache"]).is_dir()


def test_judge_options_of_the_table_without_a_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpaca", "table", "--temperature", "2", "--template", "self-j-unwrapped"]) == 2
    error = capsys.readouterr().err
    assert "--temperature" in error and "--template" in error and "give --judge" in error
