"""Errors as answers: `application/problem+json` (RFC 9457), and what `/events` has always said."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from vibe_tasks.errors import (
    DuplicateJobError,
    IllegalMoveError,
    InputError,
    LeaseLostError,
    LedgerError,
    PlanError,
    SchemaError,
    UnavailableError,
    UnknownJobError,
    UnknownWorkerError,
    VibeError,
)
from vibe_tasks.store.engine import AWAY_ERRORS, REFUSED_VALUES

PROBLEM = "application/problem+json"

STATUSES: dict[type[VibeError], int] = {
    UnknownJobError: 404,
    UnknownWorkerError: 404,
    IllegalMoveError: 409,
    LeaseLostError: 409,
    DuplicateJobError: 409,
    LedgerError: 409,
    PlanError: 422,
    SchemaError: 503,
    UnavailableError: 503,
    InputError: 400,
    VibeError: 500,
}
"""What each of our errors is over HTTP; the nearest class counts."""

BUSY = {"Retry-After": "1"}

log = logging.getLogger(__name__)


def problem(
    path: str,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """An answer that says what is wrong.

    Args:
        path: What was asked for. Clients of `/events` expect `{"error": …}`.
        status: HTTP status.
        detail: What a person can act on; never a token.
        headers: More headers.
        more: More members of the problem.
    """
    if path == "/events" or path.startswith("/events/"):
        return JSONResponse({"error": detail}, status, dict(headers or {}))
    body = {
        "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status,
        "detail": detail, **more,
    }  # fmt: skip
    return JSONResponse(body, status, dict(headers or {}), media_type=PROBLEM)


def add_handlers(app: FastAPI) -> None:
    """Let this application answer all errors so."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(VibeError, _ours)
    for away in AWAY_ERRORS:
        app.add_exception_handler(away, _away)
    for refused in REFUSED_VALUES:
        app.add_exception_handler(refused, _unstorable)
    app.add_exception_handler(Exception, _broken)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
    path, status = request.url.path, error.status_code
    detail, headers = str(error.detail), error.headers
    if status < 400:
        return Response(status_code=status, headers=headers)
    if (status, detail) == (404, HTTPStatus(404).phrase):  # the router's own
        detail = "there is no such path; the paths are in /api/v1/openapi.json"
    elif status == 405:
        # The router names those of the first of several routes with this path.
        allowed = ", ".join(_allowed(request)) or (headers or {}).get("Allow", "")
        detail, headers = f"{request.method} is not for this path: {allowed}", {"Allow": allowed}
    return problem(path, status, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods that there are for a path."""
    names = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    routes = request.app.router.routes
    return [
        name for name in names
        if any(each.matches({**request.scope, "method": name})[0] is Match.FULL for each in routes)
    ]  # fmt: skip


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it alone
    wrong = [_place(each, error.body) for each in error.errors()]
    first = f"{wrong[0]['at']}: {wrong[0]['error']}" if wrong else "not valid"
    return problem(request.url.path, 422, first, errors=wrong)


def _place(wrong: Mapping[str, Any], body: Any) -> dict[str, str]:
    """Where something is wrong, and what."""
    if wrong["type"] == "json_invalid" and isinstance(body, str):
        said = json.JSONDecodeError(wrong["ctx"]["error"], body, wrong["loc"][-1])
        return {"at": "body", "error": f"no JSON: {said}"}
    return {"at": ".".join(map(str, wrong["loc"])), "error": str(wrong["msg"])}


async def _ours(request: Request, error: Exception) -> Response:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if status == 500:
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
        return problem(request.url.path, status, "an error of ours, see the log")
    if isinstance(error, PlanError):
        lines = [line for line in str(error).splitlines() if line.strip()]
        errors = [_mistake(each) for each in lines]
        return problem(request.url.path, status, lines[0], errors=errors)
    return problem(
        request.url.path, status, str(error), headers=BUSY if status == 503 else None
    )  # fmt: skip


def _mistake(line: str) -> dict[str, str]:
    """One of a plan's, of the line that tells it: `plan:4: repo: must be an address`."""
    place, colon, said = line.partition(": ")
    return {"at": place, "error": said} if colon else {"at": "body", "error": line}


async def _away(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return problem(request.url.path, 503, "the ledger did not do it: try again", headers=BUSY)


async def _unstorable(request: Request, _error: Exception) -> Response:
    return problem(request.url.path, 422, "a value cannot be kept: too large, or no valid text")


async def _broken(request: Request, _error: Exception) -> Response:
    return problem(request.url.path, 500, "an error of ours, see the log")
