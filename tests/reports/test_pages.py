"""Pages are filled from templates that a process compiles once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfj_eval.reports.pages import rendered

pytest.importorskip("jinja2", reason="the extra report is not installed")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with two templates."""
    name = f"made_up_{tmp_path.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "plain.html").write_text("<p>{{ text }}</p>")
    (folder / "loud.html").write_text("<p>{{ text | loud }}</p>")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_template_is_compiled_once(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from jinja2 import Environment

    compiled = []
    monkeypatch.setattr(
        Environment, "compile",
        lambda self, source, *more, own=Environment.compile: (
            compiled.append(source) or own(self, source, *more)
        ),
    )  # fmt: skip
    pages = [rendered("plain.html", package=package, text=text) for text in ("a", "<b>")]
    assert pages == ["<p>a</p>", "<p>&lt;b&gt;</p>"]
    assert len(compiled) == 1


def test_a_page_has_no_filter_of_another(package: str) -> None:
    from jinja2 import TemplateAssertionError

    assert rendered("loud.html", package=package, filters={"loud": str.upper}, text="a")
    with pytest.raises(TemplateAssertionError, match="loud"):
        rendered("loud.html", package=package, text="a")
