"""Every verb of the library gives what its command gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from selfj_eval.cli import main
from selfj_eval.results import Result
from selfj_eval.writing import write_rows

CHANGING = {"seconds", "made", "command", "from_store"}
"""Keys that differ from run to run; what is below them is not compared."""


class Case(NamedTuple):
    """A verb, called both ways with equal arguments in two folders of equal content."""

    argv: list[str]
    call: Callable[[], Result]
    needs: str | None = None
    """A package without which it cannot run."""
    data: str | None = None
    """The fixture whose folder SELFJ_DATA names."""


def _score() -> Result:
    from selfj_eval.judging.score import score

    return score("answers.jsonl", judge="demo", limit=40)


def _evaluate() -> Result:
    from selfj_eval import alpaca

    return alpaca.evaluate("mine.json", judge="demo", baseline="base.json", output="board")


def _rank() -> Result:
    from selfj_eval import alpaca

    return alpaca.rank(judge=["length", "demo"], output="ranking", resamples=20)


def _table() -> Result:
    from selfj_eval import alpaca

    return alpaca.table()


def _config() -> Result:
    from selfj_eval import alpaca

    return alpaca.config(judge="demo", output="annotator", temperature=0.5)


_RANK = ["alpaca", "rank", "--judge", "length", "--judge", "demo", "--output", "ranking"]
_CONFIG = ["alpaca", "config", "--judge", "demo", "--output", "annotator", "--temperature", "0.5"]
_EVALUATE = ["alpaca", "evaluate", "mine.json", "--judge", "demo", "--output", "board"]


def _ladder() -> Result:
    from selfj_eval.demo import write_ladder

    return write_ladder(output="ladder.csv", instructions=3, seed=4)


def _doctor() -> Result:
    from selfj_eval.installation import examine

    return examine()


def _data_list() -> Result:
    from selfj_eval import registry as data

    return data.list()


def _data_verify() -> Result:
    from selfj_eval import registry as data

    return data.verify("mtbench")


def _data_get() -> Result:
    from selfj_eval import registry as data

    return data.get("mtbench", origin="downloads", to="data")


def _collect_run() -> Result:
    from selfj_eval import collection as collect

    chosen = {"sources": ["qasc", "mbpp"], "evaluation": ()}
    return collect.run(output="made", origin="downloads", workers=1, **chosen)


def _collect_sample() -> Result:
    from selfj_eval import collection as collect

    return collect.sample("collection", n=3, category=["Common"], output="sample.csv", seed=2)


def _collect_stats() -> Result:
    from selfj_eval import collection as collect

    return collect.stats("collection", sample=0)


COLLECT = ["--from", "downloads", "--sources", "qasc,mbpp", "--evaluation", "none"]
SAMPLE = ["--n", "3", "--category", "Common", "--output", "sample.csv", "--seed", "2"]

CASES = {
    "alpaca.evaluate": Case([*_EVALUATE, "--baseline", "base.json"], _evaluate, "alpaca_eval"),
    "alpaca.rank": Case([*_RANK, "--resamples", "20"], _rank, "matplotlib", "small_pack"),
    "alpaca.table": Case(["alpaca", "table"], _table, "alpaca_eval", "data"),
    "alpaca.config": Case(_CONFIG, _config, "alpaca_eval", "data"),
    "score": Case(["score", "answers.jsonl", "--judge", "demo", "--limit", "40"], _score),
    "ladder": Case(
        ["ladder", "--output", "ladder.csv", "--instructions", "3", "--seed", "4"], _ladder
    ),
    "doctor": Case(["doctor"], _doctor),
    "data list": Case(["data", "list"], _data_list),
    "data verify": Case(["data", "verify", "mtbench"], _data_verify),
    "data get": Case(["data", "get", "mtbench", "--from", "downloads", "--to", "data"], _data_get),
    "collect run": Case(
        ["collect", "run", "--output", "made", "--workers", "1", *COLLECT],
        _collect_run,
        needs="py3langid",
    ),
    "collect sample": Case(["collect", "sample", "collection", *SAMPLE], _collect_sample),
    "collect stats": Case(
        ["collect", "stats", "collection", "--sample", "0"], _collect_stats, needs="matplotlib"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_verb_gives_what_its_command_gives(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    case = CASES[name]
    if case.needs is not None:
        pytest.importorskip(case.needs)
    if case.data is not None:
        monkeypatch.setenv("SELFJ_DATA", str(request.getfixturevalue(case.data)))
    files = {}
    for way in ("command", "verb"):
        folder = tmp_path / way / "work"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        _inputs(folder)
        capsys.readouterr()
        if way == "command":
            main([*case.argv, "--json"])
            given = json.loads(capsys.readouterr().out.replace(str(folder), "."))
        else:
            result = case.call()
            text = json.dumps(result.document()).replace(str(folder), ".")
            assert _lasting(json.loads(text)) == _lasting(given)
            assert str(result) and result._repr_html_()
            assert len(result.to_frame()) == len(result.rows())
        files[way] = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files["verb"] == files["command"]


def _inputs(folder: Path) -> None:
    """What the cases read."""
    assert main(["ladder", "--output", str(folder / "answers.jsonl"), "--instructions", "10"]) == 0
    for name, answer in (("base", "5"), ("mine", "It is 5.")):
        row = {"instruction": "What is 2 + 3?", "output": answer, "generator": name}
        (folder / f"{name}.json").write_text(json.dumps([row]))
    questions = [f"What is it that falls as snow in winter, number {k}?" for k in range(5)]
    downloads = folder / "downloads" / "qasc"
    downloads.mkdir(parents=True)
    lines = [json.dumps({"question": question}) + "\n" for question in questions]
    (downloads / "part.jsonl").write_text("".join(lines))
    common = folder / "collection" / "Common"
    common.mkdir(parents=True)
    rows = [
        {"id": f"q-{k}", "instruction": text, "source": "quora", "category": "Common"}
        for k, text in enumerate(questions)
    ]
    write_rows(common / "quora.parquet", rows)
    (folder / "collection" / "summary.json").write_text('{"kind": "selfj-collection"}')


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in CHANGING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
