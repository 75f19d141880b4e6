"""Every error as JSON of one form: code, message and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from selfj_eval.errors import DataError, counted, shown
from selfj_eval.serving.batching import BusyError, StoppingError
from selfj_eval.serving.bodies import Fault, FaultBody, JudgeBody, RecordBody

_KINDS = {
    **{"str": "text", "int": "a number", "float": "a number", "bool": "true or false"},
    **{"list": "a list", "dict": "an object", "NoneType": "null"},
}
_EXPECTED = {"string": "text", "list": "a list", "model": "an object", "int": "text or an integer"}
_FIELDS: Mapping[int, type[BaseModel]] = {0: JudgeBody, 2: RecordBody}
"""Whose field is missing or unknown, by how deep it stands in the body."""


class RefusedError(HTTPException):
    """A request that is not answered with judgments.

    Args:
        status: The answer's.
        code: For programs.
        message: What is wrong, and what to do.
        field: Where in the body.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(status, message)
        self.code, self.field = code, field


def fault(
    status: int,
    code: str,
    message: str,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error as an answer."""
    own = FaultBody(error=Fault(code=code, message=shown(message), field=field))
    return JSONResponse(own.model_dump(), status, dict(headers or {}))


def internal_fault() -> JSONResponse:
    """The answer to what nobody foresaw; its reason is in the log."""
    return fault(500, "internal", "the service failed; its log says why.")


def add_handlers(application: FastAPI) -> None:
    """Answer errors as ``fault`` does."""
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(DataError, _no_record)
    application.add_exception_handler(BusyError, _busy)
    application.add_exception_handler(StoppingError, _stopping)
    application.add_exception_handler(HTTPException, _http)


def _invalid(request: Request, error: Any) -> JSONResponse:
    """A body that is no JSON, or not of the form that is wanted."""
    found: Sequence[Mapping[str, Any]] = error.errors()
    # A misspelt field is unknown, and the right one missing: the first explains both.
    first = min(found, key=lambda own: own["type"] != "extra_forbidden")
    place = first["loc"][1:]
    if first["type"] == "json_invalid":
        message = f"the body is not JSON: {first['ctx']['error']}, at character {place[0]}."
        return fault(400, "broken_json", message)
    if not place and isinstance(error.body, bytes):
        message = "send JSON, and say so with the header Content-Type: application/json."
        return fault(415, "not_json", message)
    if not place and error.body is None:
        return fault(400, "broken_json", 'the body is empty; send {"records": [...]}.')
    place = place[:3]  # behind it stand the types of which it could have been one
    field = "".join(f"[{own}]" if isinstance(own, int) else f".{own}" for own in place)
    code, message = _said(first, place)
    faults = len({own["loc"][:4] for own in found})
    more = f" There {'is' if faults == 2 else 'are'} {counted(faults - 1, 'more fault')}."
    return fault(422, code, message + (more if faults > 1 else ""), shown(field)[1:200] or None)


def _said(error: Mapping[str, Any], place: Sequence[int | str]) -> tuple[str, str]:
    kind, given = error["type"], error["input"]
    own = _FIELDS.get(len(place) - 1)
    if kind == "extra_forbidden" and own is not None:
        near = get_close_matches(str(place[-1]), own.model_fields, 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        names = ", ".join(own.model_fields)
        return "unknown_field", f"there is no such field{hint} There are: {names}."
    if kind == "missing":
        return "missing_field", "is missing; give it."
    if kind == "too_short":
        return "no_records", "is empty; give at least one record."
    if kind == "string_unicode":
        return "wrong_value", "holds half of a surrogate pair, which is not valid Unicode text."
    expected = "text or an integer" if place[-1:] == ("id",) else _EXPECTED.get(kind.split("_")[0])
    got = _KINDS.get(type(given).__name__, type(given).__name__)
    return "wrong_type", f"expected {expected or 'something else'}, got {got}."


def _no_record(request: Request, error: Any) -> JSONResponse:
    place = error.field if error.place is None else f"{error.place}.{error.field}"
    return fault(422, "wrong_value", error.message, place)


def _busy(request: Request, error: Any) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after)}
    message = f"too many records wait; try again in {error.retry_after} s."
    return fault(429, "busy", message, headers=headers)


def _stopping(request: Request, error: Any) -> JSONResponse:
    return fault(503, "stopping", "the service stops.", headers={"Retry-After": "1"})


def _http(request: Request, error: Any) -> JSONResponse:
    if isinstance(error, RefusedError):
        return fault(error.status_code, error.code, str(error.detail), error.field)
    codes = {404: "no_such_path", 405: "wrong_method"}
    messages = {
        404: "there is no such path; /openapi.json describes those that there are.",
        405: "the path takes another method; /openapi.json says which.",
    }
    if error.status_code == 400:  # such as nesting beyond what can be read
        return fault(400, "broken_json", "the body cannot be read as JSON.")
    code = codes.get(error.status_code, "refused")
    message = messages.get(error.status_code, str(error.detail))
    return fault(error.status_code, code, message, headers=error.headers)
