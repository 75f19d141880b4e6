"""Every verb of the library gives what its command gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from selfj_eval.cli import main
from selfj_eval.results import Result

CHANGING = {"seconds", "made", "command", "from_store"}
"""Keys that differ from run to run; what is below them is not compared."""


class Case(NamedTuple):
    """A verb, called both ways with equal arguments in two folders of equal content."""

    argv: list[str]
    call: Callable[[], Result]
    needs: str | None = None
    """A package without which it cannot run."""


def _score() -> Result:
    from selfj_eval.judging.score import score

    return score("answers.jsonl", judge="demo", limit=40)


CASES = {
    "score": Case(["score", "answers.jsonl", "--judge", "demo", "--limit", "40"], _score),
}


@pytest.mark.parametrize("name", CASES)
def test_a_verb_gives_what_its_command_gives(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    if case.needs is not None:
        pytest.importorskip(case.needs)
    files = {}
    for way in ("command", "verb"):
        folder = tmp_path / way / "work"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        _inputs(folder)
        capsys.readouterr()
        if way == "command":
            main([*case.argv, "--json"])
            given = json.loads(capsys.readouterr().out)
        else:
            result = case.call()
            assert _lasting(json.loads(json.dumps(result.to_dict()))) == _lasting(given)
            assert str(result) and result._repr_html_()
            assert len(result.to_frame()) == len(result.rows())
        files[way] = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files["verb"] == files["command"]


def _inputs(folder: Path) -> None:
    """What the cases read."""
    assert main(["ladder", "--output", str(folder / "answers.jsonl"), "--instructions", "10"]) == 0


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in CHANGING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
