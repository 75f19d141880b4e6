"""The documentation site: it is built without a warning, and works from a folder."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import selfj_eval

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def maker(name: str) -> ModuleType:
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def navigation() -> list[tuple[str, str]]:
    """Titles and pages of the site, in order."""
    config = tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))
    return list(maker("make_site").titles(config["project"]["nav"]))


@pytest.mark.parametrize("name", ["make_api", "make_commands", "make_formats"])
def test_made_pages_are_up_to_date(name: str) -> None:
    module = maker(name)
    assert module.PAGE.read_text(encoding="utf-8") == module.render(), f"run: python docs/{name}.py"


def test_every_page_is_in_the_navigation_once() -> None:
    shown = [page for _, page in navigation()]
    pages = [str(f.relative_to(ROOT)) for f in maker("make_site").files() if f.suffix == ".md"]
    assert sorted(shown) == sorted(pages)


def test_the_index_for_language_models_has_every_page_with_a_sentence() -> None:
    text = (ROOT / "llms.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^- \[(.+)\]\((.+)\): (.+\.)$", text, flags=re.M)
    assert [(title, page) for title, page, _ in entries] == navigation()
    assert len(entries) == text.count("](")


def test_every_public_name_and_every_command_has_a_place() -> None:
    from selfj_eval.cli import all_commands

    api = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in selfj_eval.__all__:
        assert f"### `{name}`\n" in api or f"## Namespace `{name}`\n" in api, name
    commands = (DOCS / "commands.md").read_text(encoding="utf-8")
    for name in all_commands():
        assert f"\n### selfj {name}\n" in commands, name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built here."""
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed: tox -e docs")
    folder = tmp_path_factory.mktemp("site") / "site"
    maker("make_site").make(folder)
    return folder


class Page(HTMLParser):
    """Where a page's links lead, and what can be linked in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors.add(values.get("id") or "")
        self.links += [values[name] or "" for name in ("href", "src") if name in values]


@pytest.mark.long
def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """Those within it; what is fetched on its own must be within it."""
    pages = {file: Page(file) for file in site.rglob("*.html") if "reports" not in file.parts}
    pages.pop(site / "404.html")  # of web servers, with addresses that begin at their root
    assert len(pages) == len(navigation())
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.exists(), f"{file.name}: {link}"
            if target in pages:
                assert parts.fragment in pages[target].anchors, f"{file.name}: {link}"


@pytest.mark.long
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_the_site_works_from_a_folder(site: Path, browser: Any, width: int, scheme: str) -> None:
    """It asks no server, fits the screen, follows the system's style, and can be searched."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True
    )
    page = context.new_page()
    asked, faults = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    for name in ("index.html", "docs/scoring.html", "docs/commands.html"):
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        style = page.evaluate("document.body.dataset.mdColorScheme")
        assert style == {"light": "default", "dark": "slate"}[scheme]
    page.keyboard.press("Control+k")
    page.keyboard.type("Krippendorff")
    # The navigation names the page, too; and Enter opens what is selected at that moment.
    page.locator("[role=option][aria-selected=true]", has_text="Use several raters").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"docs/annotators\.html"))
    outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
    context.close()
    assert (outside, faults) == ([], [])


def test_the_site_is_refused_if_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed: tox -e docs")
    module = maker("make_site")
    (tmp_path / "README.md").write_text("# Page\n\n[gone](gone.md)\n", encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="1 issue"):
        module.make(tmp_path / "site")
    assert not (tmp_path / "site").exists()
