"""What the applications of all pages have in common."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, SelfJError
from selfj_eval.reports.pages import rendered
from selfj_eval.workbench.guarding import Guard

if TYPE_CHECKING:
    from fastapi import FastAPI

_NEEDED = ("fastapi", "jinja2", "markdown_it", "uvicorn")


def check_packages(what: str) -> None:
    """Refuse to begin where a package is missing.

    Args:
        what: The command, such as "selfj rate", for the message.

    Raises:
        DataError: If one is.
    """
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            package = "markdown-it-py" if name == "markdown_it" else name
            raise DataError(f"`{what}` needs {package}: pip install 'selfj-eval[web]'.")


def new_application(host: str) -> FastAPI:
    """An application without routes but for ``/static/``, guarded as ``Guard`` says.

    Every error is ``{"error": its text}``: one of this package in a route with the status 400, a
    request of which a value is missing or of the wrong type with 422.

    Args:
        host: The address at which it will be served.
    """
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.exceptions import HTTPException

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, host=host)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))

    @app.exception_handler(SelfJError)
    def refused(_: Request, error: SelfJError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own answer quotes the value, which may be one that JSON cannot hold.
        first = error.errors()[0]
        field = ".".join(part for part in first["loc"][1:] if isinstance(part, str))
        found = DataError(f"{first['msg']}.", field=field or None)
        return JSONResponse({"error": str(found)}, 422)

    @app.exception_handler(HTTPException)
    def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return app


def html(template: str, **values: Any) -> str:
    """A page of this package, which extends ``base.html``; every text in it is escaped."""
    return rendered(template, package="selfj_eval.workbench", **values)
