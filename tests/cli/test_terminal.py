"""What people see on a terminal: colours there only, commands in groups, words suggested."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from selfj_eval.cli import all_commands, main
from selfj_eval.jobs.terminal import say

SGR = re.compile(r"\x1b\[[\d;]*m")
ROW = "  Pearson   0.771   0.756 to 0.786"


def _on_terminal(text: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "40", **variables}.items():
        monkeypatch.setenv(name, value)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        say(text, file=stream)
        found = os.read(ours, 65536).decode().replace("\r\n", "\n")
    os.close(ours)
    return found


def test_numbers_errors_and_the_verdict_have_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"one\n\nThe scores agree with the ratings.\n\n{ROW}\n\nnote: try `score` --limit 3"
    found = _on_terminal(text, monkeypatch)
    assert SGR.sub("", found) == text + "\n"
    assert "\x1b[1mThe scores agree with the ratings." in found and "\x1b[1;33mnote:" in found
    assert {"0.771", "`score`", "--limit"} <= set(re.findall(r"\x1b\[36m([^\x1b]+)", found))
    assert "\x1b[34m0.756" in found


def test_long_lines_and_brackets_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[red]x[/red] :smile: " + "word " * 40
    assert SGR.sub("", _on_terminal(text, monkeypatch)) == text + "\n"


def test_a_hostile_text_only_has_our_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _on_terminal("error: \x1b[31mx\x1b]0;t\x07 \u202e", monkeypatch)
    assert "\x1b" not in SGR.sub("", found) and "\x1b[31m" not in found and "\u202e" not in found


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colour_gets_none(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _on_terminal(f"{ROW}\nerror: no", monkeypatch, **{name: value})
    assert not re.search(r"\x1b\[[\d;]*3\d", found)
    assert SGR.sub("", found) == f"{ROW}\nerror: no\n"


def test_elsewhere_there_is_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    say(ROW)
    assert capsys.readouterr().out == f"{ROW}\n"


def test_selfj_alone_shows_all_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    said = capsys.readouterr()
    assert ended.value.code == 0 and not said.err
    assert re.findall(r"^  ([a-z][a-z-]+)  +\S", said.out, re.M) == all_commands()
    assert {"judge answers:", "decide:", "train:"} <= set(said.out.split("\n"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("scor x", "'scor'; did you mean score?"),
        ("train jugde", "'jugde'; did you mean judge?"),
        ("score x --jugde demo", "unrecognized argument: --jugde; did you mean --judge?"),
        ("train judge --bas x --epoch=2 --lora-rr 3", "--lora-rr; did you mean --lora-r?"),
        ("score x --judge demo --engine transformer", "did you mean transformers?"),
        ("score x --judge demo --nothing", "--nothing; `selfj score --help` lists the options\n"),
        ("quux", "choose from 'score'"),
    ],
)
def test_a_slip_of_the_pen(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_shell_completes_commands_options_and_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "selfj.bash"
    script.write_text(capsys.readouterr().out)
    ask = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_shtab_selfj selfj "${!#}" x; printf \'%s\\n\' "${COMPREPLY[@]}"'
    )

    def completed(*words: str) -> set[str]:
        command = ["bash", "-c", ask, str(script), "selfj", *words]
        return set(subprocess.check_output(command, text=True, stderr=subprocess.PIPE).split())

    assert completed("sc") == {"score"}
    assert completed("score", "--ju") == {"--judge"}
    assert completed("score", "--dtype", "b") == {"bfloat16"}
    assert completed("train", "") == {"judge", "sft"}
    assert set(all_commands()) <= completed("")


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_other_shells_get_a_script_too(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "best-of" in capsys.readouterr().out
