"""What every page's server refuses, says in its headers, and does at its end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from fastapi import Body, FastAPI

from selfj_eval.errors import DataError
from selfj_eval.workbench.application import new_application
from selfj_eval.workbench.options import PageOptions
from selfj_eval.workbench.serving import running, serve_page

OWN = {"x-selfj": "1"}


def application(host: str = "127.0.0.1") -> FastAPI:
    app = new_application(host)

    @app.get("/")
    def index() -> dict[str, str]:
        return {"secret": "scores"}

    @app.post("/change")
    def change() -> dict[str, bool]:
        return {"changed": True}

    @app.post("/number")
    def number(value: float = Body(embed=True)) -> None: ...

    @app.get("/wrong")
    def wrong() -> None:
        raise DataError("holds no answer.", path="answers.csv")

    return app


@pytest.fixture(scope="module")
def page() -> Iterator[httpx.Client]:
    with (
        running(application(), PageOptions()) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        yield client


def test_every_response_has_the_security_headers(page: httpx.Client) -> None:
    for path in ("/", "/static/style.css", "/nothing", "/wrong", "/docs", "/openapi.json"):
        found = page.get(path)
        policy = dict(p.split(" ", 1) for p in found.headers["content-security-policy"].split("; "))
        assert policy.pop("default-src") == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in str(policy)
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"
        assert "server" not in found.headers
    assert page.get("/docs").status_code == page.get("/openapi.json").status_code == 404
    assert page.get("/static/../application.py").status_code == 404
    assert page.get("/static/%2e%2e/application.py").status_code == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[", "192.0.2.1"],
)
def test_another_name_is_refused(page: httpx.Client, host: str) -> None:
    found = page.get("/", headers={"host": host})
    assert found.status_code == 421
    assert "scores" not in found.text


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1:8765", "[::1]:80"])
def test_names_of_this_machine_are_taken(page: httpx.Client, host: str) -> None:
    assert page.get("/", headers={"host": host}).json() == {"secret": "scores"}


def test_a_server_for_all_addresses_takes_addresses_but_no_names() -> None:
    with running(application("0.0.0.0"), PageOptions(host="0.0.0.0")) as address:
        place = address.replace("0.0.0.0", "127.0.0.1")
        ask = httpx.Client(trust_env=False).get
        assert ask(place, headers={"host": "192.0.2.1:80"}).status_code == 200
        assert ask(place, headers={"host": "evil.example"}).status_code == 421


def test_only_the_page_itself_changes_something(page: httpx.Client) -> None:
    origin = str(page.base_url).rstrip("/")
    assert page.post("/change", headers=OWN).json() == {"changed": True}
    assert page.post("/change", headers=OWN | {"origin": origin}).status_code == 200
    assert page.post("/change", headers={"origin": origin}).status_code == 403
    assert page.post("/change").status_code == 403
    for other in ("http://evil.example", "null", "http://127.0.0.1:1", ""):
        assert page.post("/change", headers=OWN | {"origin": other}).status_code == 403
    broken = page.post("/change", headers=OWN | {"origin": "http://[::1"})
    assert broken.status_code == 403
    assert page.options("/change", headers={"origin": origin}).status_code == 403
    assert page.post("/change", headers=OWN, content=b"x" * 1_000_001).status_code == 413
    assert page.post("/change", headers=OWN, content=iter([b"x"])).status_code == 411


def test_an_error_of_the_data_is_said(page: httpx.Client) -> None:
    found = page.get("/wrong")
    assert (found.status_code, found.json()) == (400, {"error": "answers.csv: holds no answer."})


def test_a_request_that_is_wrong_is_refused_in_the_same_form(page: httpx.Client) -> None:
    for body, said in (
        ('{"value": "\\ud800"}', "field 'value': Input should be a valid"),
        ('{"value": {"a": NaN}}', "field 'value': Input should be a valid number"),
        ("{}", "field 'value': Field required"),
        ("[", "JSON"),
    ):
        sent = OWN | {"content-type": "application/json"}
        found = page.post("/number", headers=sent, content=body)
        assert found.status_code == 422 and said in found.json()["error"], found.text
    for path, status in (("/nothing", 404), ("/change", 405)):
        found = page.get(path)
        assert (found.status_code, list(found.json())) == (status, ["error"])


def test_a_taken_port() -> None:
    with (
        running(application(), PageOptions()) as one,
        running(application(), PageOptions()) as two,
    ):
        assert one != two
        port = int(two.rsplit(":", 1)[1].strip("/"))
        message = f"127.0.0.1, port {port}: the page cannot be served there"
        with (
            pytest.raises(DataError, match=message),
            running(application(), PageOptions(port=port)),
        ):
            pass
    with socket.socket() as free, pytest.raises(ConnectionError):
        free.connect(("127.0.0.1", port))


def test_a_host_that_is_not_here() -> None:
    with (
        pytest.raises(DataError, match="Give another `host` or `port`"),
        running(application(), PageOptions(host="192.0.2.1")),
    ):
        pass


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), SystemExit(3)])
def test_a_server_that_dies_at_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException
) -> None:
    """Nobody is told an address at which nobody answers, and waits there."""

    async def startup(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("uvicorn.Server.startup", startup)
    said = f"ended at its start \\({type(failure).__name__}: "
    with pytest.raises(DataError, match=said):
        serve_page(application(), PageOptions())
    assert capsys.readouterr().err == ""


def test_the_address_is_said_and_opened_only_if_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for host, open_browser in (("127.0.0.1", None), ("127.0.0.1", True), ("0.0.0.0", False)):
        options = PageOptions(host=host, open_browser=open_browser)
        threading.Timer(1, signal.raise_signal, (signal.SIGINT,)).start()
        serve_page(application(host), options)
        said = capsys.readouterr().err
        assert (address := said.split()[1]).startswith(f"http://{host}:")
        assert opened == ([address] if open_browser else [])
        assert ("no password" in said) == (host == "0.0.0.0")
        opened.clear()
