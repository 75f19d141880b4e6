"""The command line is a shell over the library: what keeps the two apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import selfj_eval

PACKAGE = Path(selfj_eval.__file__).parent
CLI = sorted((PACKAGE / "cli").rglob("*.py"))
LIBRARY = sorted(set(PACKAGE.rglob("*.py")) - set(CLI))
INFRASTRUCTURE = {"command", "flags", "guard", "log", "parser", "unforeseen"}
"""Modules of ``cli/`` that are no command."""
LONGEST_FUNCTION = 40
MOST_LINES = 3000


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", LIBRARY, ids=_name)
def test_the_library_knows_no_command_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bargparse\b|\bNamespace\b", text)
    if path.name != "__main__.py":
        assert not re.search(r"^\s*(from|import) selfj_eval\.cli\b", text, re.M)
    flags = [
        f"line {line}: {found[0]}"
        for line, literal in _texts(path)
        if (found := re.search(r"--[a-z][a-z_-]*", literal))
    ]
    assert not flags, "name the option in backquotes, as Python calls it"


def test_the_command_line_is_small() -> None:
    lines = {_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in CLI}
    assert sum(lines.values()) <= MOST_LINES, sorted(lines.items(), key=lambda x: -x[1])


@pytest.mark.parametrize("path", CLI, ids=_name)
def test_functions_of_commands_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


def test_the_options_of_score_are_made_once_and_go_down_only() -> None:
    """``cli/score.py`` makes them; no library module takes the command line's own."""
    source = (PACKAGE / "cli" / "score.py").read_text(encoding="utf-8")
    assert source.count("options_from(") == 1
    makers = [
        _name(p)
        for p in CLI
        if "ScoreOptions" in p.read_text(encoding="utf-8") and p.name != "score.py"
    ]
    assert not makers


def _layers() -> list[str]:
    """The packages in the order of the table in ``docs/architecture.md``."""
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## The layers")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)/?` \|", table, re.M)


def _imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of what a module imports of this package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("selfj_eval"):
            yield from ((node.lineno, str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("selfj_eval.")]
            yield from ((node.lineno, name, "") for name in names)


def _package(module: str, name: str) -> str:
    parts = f"{module}.{name}".split(".")
    return parts[1] if parts[1] != "__version__" else "errors"


@pytest.mark.parametrize("path", [p for p in (*LIBRARY, *CLI) if p.parent != PACKAGE], ids=_name)
def test_a_package_imports_from_those_above_it_only(path: Path) -> None:
    layers = _layers()
    own = path.relative_to(PACKAGE).parts[0]
    above = set(layers[: layers.index(own) + 1])
    for line, module, name in _imports(path):
        package = _package(module, name)
        assert package in above, f"line {line}: {own} imports {module}.{name}, of a layer below it"
        private = name.startswith("_") and not name.startswith("__")
        assert not private or package == own, f"line {line}: {module}.{name} is private"


def test_nothing_is_loose_and_every_package_has_its_layer() -> None:
    modules = {p.stem for p in PACKAGE.glob("*.py")}
    packages = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert modules == {"__init__", "__main__", "errors"}
    assert packages | {"errors"} == set(_layers())
