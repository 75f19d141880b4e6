"""``selfj_eval.alpaca`` from Python: what is in memory, raters of one's own, typed results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from selfj_eval import alpaca
from selfj_eval.alpaca.win_rates import WinRates
from selfj_eval.cli import main
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record

pytest.importorskip("alpaca_eval")

TEXTS = ("Sort ascending: 7, 3, 9.", "What is 2 + 3?", "Reverse the word: lamp.")
BASE = ("3, 7, 9", "5", "It is a lamp.")
MINE = ("9, 7, 3", "2 + 3 = 5", "pmal")


def rows(model: str, outputs: Iterable[str]) -> list[dict[str, str]]:
    pairs = zip(TEXTS, outputs, strict=True)
    return [{"instruction": t, "output": o, "generator": model} for t, o in pairs]


def records(model: str, outputs: Iterable[str]) -> list[Record]:
    pairs = enumerate(zip(TEXTS, outputs, strict=True))
    return [Record(str(k), text, output, model=model) for k, (text, output) in pairs]


@pytest.mark.parametrize("made", [rows, records, lambda m, o: pd.DataFrame(rows(m, o))])
def test_outputs_in_memory_give_what_files_give(made: Any, tmp_path: Path) -> None:
    for name, outputs in (("base", BASE), ("mine", MINE)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows(name, outputs)))
    files = alpaca.evaluate(
        tmp_path / "mine.json",
        judge="demo",
        baseline=tmp_path / "base.json",
        output=tmp_path / "a",
    )
    memory = alpaca.evaluate(
        made("mine", MINE), judge="demo", baseline=made("base", BASE), output=tmp_path / "b"
    )
    assert memory.models[0].line == files.models[0].line
    assert memory.models[0].annotations == files.models[0].annotations
    first, second = ((tmp_path / f / "leaderboard.csv").read_text() for f in "ab")
    assert first == second
    assert memory.complete and memory.to_frame().loc[0, "model"] == "mine"


def test_several_models_in_memory_and_references(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "selfj_eval")

    def evaluate(*outputs: Any, **options: Any) -> WinRates:
        base = rows("base", BASE)
        given: dict[str, Any] = {"judge": "demo", "output": tmp_path / "board", "baseline": base}
        return alpaca.evaluate(list(outputs), **given | options)

    two = evaluate(rows("one", MINE), rows("two", BASE))
    assert [model.model for model in two.models] == ["one", "two"]
    assert two.models[1].line.win_rate == 50
    with pytest.raises(DataError, match="outputs 2: is called 'one', as is outputs 1"):
        evaluate(rows("one", MINE), rows("one", BASE))
    nameless = [{k: v for k, v in row.items() if k != "generator"} for row in rows("", MINE)]
    with pytest.raises(DataError, match="give `name`"):
        evaluate(nameless)
    assert evaluate(nameless, name="me").models[0].line == two.models[0].line
    with pytest.raises(DataError, match="row 2, field 'output'"):
        evaluate([*rows("one", MINE)[:1], {"instruction": TEXTS[1], "output": None}])
    with pytest.raises(DataError, match="there are no outputs"):
        evaluate()
    elsewhere = tmp_path / "with"
    shown = evaluate(rows("one", MINE), references={TEXTS[1]: "5"}, output=elsewhere)
    assert "1 of 3 instructions have a reference" in caplog.text
    scores = [[a["score_2"] for a in r.models[0].annotations] for r in (two, shown)]
    assert scores[0][0] == scores[1][0] and scores[0][1] != scores[1][1]
    assert json.loads((elsewhere / "run.json").read_text())["judge"]["references_sha256"]


class Vowels:
    """A rater: the more vowels, the better."""

    from_store = failed = 0
    description: Mapping[str, Any] = {"rater": "vowels", "of": 5}

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        counts = [sum(c in "aeiou" for c in record.response) for record in records]
        return [Judgment("", count, None, None) for count in counts]


@pytest.mark.parametrize(
    ("judge", "scores", "said"),
    [
        (Vowels(), [0, 0, 1], {"name": "Vowels", "rater": "vowels", "of": 5}),
        ("length", [7, 9, 4], {"name": "length", "rater": "LengthRater", "log": "False"}),
    ],
)
def test_whatever_rates_answers_compares_models(
    judge: Any, scores: list[float], said: dict[str, Any], tmp_path: Path
) -> None:
    found = alpaca.evaluate(
        rows("mine", MINE), judge=judge, baseline=rows("base", BASE), output=tmp_path
    )
    assert [a["score_2"] for a in found.models[0].annotations] == scores
    # On another scale than a judge's only the higher score counts.
    assert {a["preference"] for a in found.models[0].annotations} <= {1, 1.5, 2}
    made = json.loads((tmp_path / "run.json").read_text())
    assert made["temperature"] == 0
    assert made["judge"] == said | {"references_sha256": None}


def test_a_configuration_of_version_0_1_is_read(tmp_path: Path) -> None:
    from selfj_eval.alpaca import client
    from selfj_eval.demo import JUDGE_DIR
    from selfj_eval.engines.models.weights import model_folders

    written = {
        "model": str(JUDGE_DIR),
        "max_tokens": 160,
        "allow_markers": False,
        "dtype": "auto",
        "device": "auto",
        "trust_remote_code": False,
        "fingerprint": list(model_folders("demo", None).identity().values()),
    }
    more = {"temperature": 0.5, "references": None, "references_sha256": None}
    prompt = client.TEMPLATE.replace("{instruction}", TEXTS[1])
    prompt = prompt.replace("{output_1}", "5").replace("{output_2}", "blue")
    asked = client.Client(judge=written, store=str(tmp_path / "judgments.store"), **more)
    choice = asked.create(prompt=[prompt]).choices[0]
    assert 1 <= json.loads(choice.text)["preference"] <= 2
    for wrong, said in (
        ({"max_token": 160}, "client.yaml, field 'max_token': no such option. Did you mean"),
        ({"max_tokens": 0}, "client.yaml, field 'max_tokens': must be at least 1"),
    ):
        with pytest.raises(DataError, match=said):
            client.Client(judge=written | wrong, store=str(tmp_path / "judgments.store"), **more)


def test_a_configuration_has_the_judges_options(tmp_path: Path, tiny_judge: Path) -> None:
    import yaml

    made = alpaca.config(
        judge=str(tiny_judge), output=tmp_path / "a", max_tokens=300, template="self-j-unwrapped"
    )
    (client,) = yaml.safe_load((made.folder / "client.yaml").read_text())["default"]
    assert client["judge"]["max_tokens"] == 300
    assert client["judge"]["template"] == "self-j-unwrapped"
    again = alpaca.config(judge=str(tiny_judge), output=tmp_path / "a", max_tokens=301)
    assert (again.replaced, again.name == made.name) == (made.name, False)
    assert client["temperature"] == 1
    (tmp_path / "five.yaml").write_text('without_reference: "{response} Grade:"\nlabels: 1-5\n')
    five = alpaca.config(
        judge=str(tiny_judge), output=tmp_path / "c", template=str(tmp_path / "five.yaml")
    )
    (client,) = yaml.safe_load((five.folder / "client.yaml").read_text())["default"]
    assert client["temperature"] == pytest.approx(4 / 9)
    with pytest.raises(JudgeError, match="no folder"):
        alpaca.config(judge="./nothing", output=tmp_path / "b")
    with pytest.raises(DataError, match="`engine` openai"):
        alpaca.config(judge="x", output=tmp_path / "b", engine="openai")


def test_the_former_name_of_the_ranking_judge(
    small_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(small_pack))
    line = ["alpaca", "rank", "--resamples", "20", "--output", str(tmp_path), "--json"]
    line += ["--instructions", "10"]
    assert main([*line, "--scorer", "length", "--scorer", "demo"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("note: --scorer is called --judge now.") == 2
    documents = json.loads(printed.out)
    assert [document["scorer"] for document in documents] == ["length", "demo"]
    alone = alpaca.rank(judge="length", output=tmp_path, resamples=20, instructions=10)
    assert alone.document() == documents[:1]
    assert alone.rankings[0].models[0].rank == 1 and alone.rankings[0].temperature == 0
    with pytest.raises(DataError, match="`judge` is missing"):
        alpaca.rank(judge=[], output=tmp_path)


def test_a_row_is_filled_step_by_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(data))
    told: list[tuple[str, bool]] = []
    found = alpaca.run(
        "llama-2-13b-87k",
        model="demo",
        judge="demo",
        judge_options={"max_tokens": 160},
        generate_options={"max_new_tokens": 4},
        output=tmp_path,
        limit=2,
        report=lambda step: told.append((step.name, step.result is not None)),
    )
    steps = ["generate", "alpaca evaluate", "alpaca evaluate"]
    assert told == [(name, over) for name in steps for over in (False, True)]
    assert {v: rates.models[0].line.n_total for v, rates in found.by_judge.items()} == {
        "v1": 2,
        "v2": 2,
    }
    assert not found.complete  # 803 instructions have no answer
    # The result of a step stands for its file.
    again = alpaca.evaluate(found.answers, judge="length", baseline="v1", output=tmp_path / "own")
    assert again.models[0].line.n_total == 2
    table = alpaca.table(results=tmp_path)
    cells = next(row.cells for row in table.table if row.row == "llama-2-13b-87k")
    assert cells["v1"].by_judge["demo"].n_missing == 803


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--judge-options=--max-tokens 0", "max_tokens"),
        ("--judge-options=--reference", "unrecognized argument: --reference"),
        ("--generate=--no-such 3", "unrecognized argument: --no-such"),
    ],
)
def test_wrong_options_of_a_step_are_refused_before_any_runs(
    flag: str, said: str, data: Path, tmp_path: Path, in_process: Any
) -> None:
    line = ("alpaca", "run", "llama-2-13b-87k", "--model", "demo", "--judge", "demo", flag)
    done = in_process("selfj", *line, "--output", tmp_path / "runs", SELFJ_DATA=str(data))
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()
