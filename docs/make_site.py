"""Make the documentation site: python docs/make_site.py [FOLDER].

The site has the pages where the repository has them, so every link works in both. The generator
needs its pages in a folder without anything else: README.md, docs/ and all files that they link to
are copied into a temporary one. llms.txt is an index for language models, which read the pages as
Markdown, so these are in the site, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "docs" / "zensical.toml"
WORKER = "https://unpkg.com/iframe-worker/shim"
"""What Zensical's offline pages would fetch; docs/offline.js takes its place."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
_FENCED = re.compile(r"^```.*?^```", re.S | re.M)


def links(page: Path) -> list[Path]:
    """The files of the repository to which a page links."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in _LINK.findall(text) if "://" not in target]
    return [(page.parent / target).resolve() for target in targets]


def files() -> list[Path]:
    """All files of the site: those of the navigation and of docs/, and what they link to."""
    project = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]
    own = [p for p in (ROOT / "docs").rglob("*") if p.suffix not in (".py", ".pyc", ".toml")]
    left = [*(ROOT / page for _, page in titles(project["nav"])), *filter(Path.is_file, own)]
    found = set[Path]()
    while left:
        page = left.pop()
        if page not in found and page.is_file():
            found.add(page)
            left += links(page) if page.suffix == ".md" else []
    return sorted(found)


def titles(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Titles and pages of a navigation, in its order."""
    for entry in nav:
        for title, below in entry.items():
            if isinstance(below, str):
                yield title, below
            else:
                yield from titles(below)


def make(folder: Path) -> None:
    """Build the site into a folder, which is replaced.

    Raises:
        RuntimeError: With what the generator said, if there was any warning.
    """
    with tempfile.TemporaryDirectory() as draft:
        shutil.copy(CONFIG, draft)
        for file in files():
            _copy(file, Path(draft, "pages"))
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"],
            cwd=draft,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(_COLOUR.sub("", done.stdout + done.stderr))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(draft, "site"), folder)
    for file in [ROOT / "llms.txt", *(file for file in files() if file.suffix == ".md")]:
        _copy(file, folder)
    for page in folder.rglob("*.html"):
        shim = os.path.relpath(folder / "docs" / "offline.js", page.parent)
        page.write_text(page.read_text(encoding="utf-8").replace(WORKER, shim), encoding="utf-8")


def _copy(file: Path, folder: Path) -> None:
    copy = folder / file.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")
    try:
        make(target)
    except RuntimeError as error:
        sys.exit(str(error))
    print(target / "index.html")
