"""A page of ``selfj view`` in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end nothing was said, and nothing asked for from elsewhere."""
    pages, said, asked = [], list[str](), list[str]()

    def new(address: str, path: str = "", width: int = 1280, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address + path)
        pages.append((page, address.partition("?")[0]))
        return page

    yield new
    for page, address in pages:
        page.close()
        assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert said == []
