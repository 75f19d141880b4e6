"""Options of every page that a command serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.jobs.options import Options, option

LOCAL = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class PageOptions(Options):
    """Where a page is served."""

    group_title: ClassVar[str] = "the page"

    host: str = option(
        LOCAL,
        "address to serve the page at; if other machines can reach it, everybody there can use "
        "the page",
        placeholder="ADDRESS",
    )
    port: int | None = option(
        None, "port of the page (default: 8765, or a free one if it is taken)", low=1, high=65535
    )
    open_browser: bool | None = option(
        None, "open the page in a browser (default: only at a terminal with a screen)"
    )
