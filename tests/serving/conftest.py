"""A service with the demo judge, asked in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import selfj_eval

if TYPE_CHECKING:
    import httpx

    from selfj_eval.serving.options import ApplicationOptions
    from selfj_eval.serving.service import Service

    Ask = Callable[..., httpx.Response]


def _asker(application: Any) -> Ask:
    """A function that sends one request, or several at once."""
    import httpx

    async def send(*requests: dict[str, Any]) -> list[httpx.Response]:
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await asyncio.gather(*(client.request(**own) for own in requests))

    def ask(path: str, json: Any = None, method: str | None = None, **more: Any) -> httpx.Response:
        usual = "GET" if json is None and "content" not in more else "POST"
        given = {"method": method or usual, "url": path, **more}
        return asyncio.run(send(given if json is None else given | {"json": json}))[0]

    ask.together = lambda requests: asyncio.run(send(*requests))  # type: ignore[attr-defined]
    return ask


@pytest.fixture(scope="session")
def asker() -> Callable[[Any], Ask]:
    """Makes a function that asks an application."""
    return _asker


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scores file of the demo judge."""
    path = tmp_path_factory.mktemp("scored") / "scores.jsonl"
    selfj_eval.score(selfj_eval.ladder(instructions=60), judge="demo", output=str(path))
    return path


@pytest.fixture(scope="session")
def policy(scored: Path) -> Path:
    """A policy on them."""
    path = scored.with_name("policy.json")
    chosen = selfj_eval.select(str(scored), max_risk=0.4, all_answers=True, output=str(path))
    assert chosen.certified
    return path


@pytest.fixture(scope="session")
def options(policy: Path) -> ApplicationOptions:
    from selfj_eval.serving.options import ApplicationOptions

    return ApplicationOptions(judge="demo", policy=str(policy), max_records=300, max_waiting=400)


@pytest.fixture(scope="session")
def service(options: ApplicationOptions) -> Iterator[Service]:
    from selfj_eval.serving.service import Service

    own = Service(options)
    yield own
    own.close()


@pytest.fixture(scope="session")
def ask(options: ApplicationOptions, service: Service) -> Ask:
    from selfj_eval.serving.application import make_application

    return _asker(make_application(options, service=service))
