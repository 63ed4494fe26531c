"""What all routes of the API share: services, roles, cursors, ETags."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from vibe_tasks.errors import InputError
from vibe_tasks.store.audit import By
from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.web.models.kinds import Page, Problem
from vibe_tasks.web.problems import problem
from vibe_tasks.web.security import RoleName, identity, needs
from vibe_tasks.web.services import Services

MOST = 1_000
"""Items of one page."""

LONGEST_CURSOR = 500

PAGING = ("limit", "cursor")
"""What every listing may be asked for; one that has no pages comes whole."""

MOST_WRONG = 20
"""Unknown parameters that an answer names."""

Row = TypeVar("Row")

_SAID = {
    400: "The request makes no sense.", 401: "A token is needed.",
    403: "The token's role is too low, or another site asks.", 404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "It is not as it must be for that.", 413: "The body is too large.",
    415: "The body does not say that it is JSON.",
    422: "A value is wrong.", 429: "Too many requests; see Retry-After.",
    503: "The ledger is away, or too much waits.",
}  # fmt: skip
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for status, text in _SAID.items()
}
"""What any route may answer instead."""

Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(max_length=LONGEST_CURSOR, description="`next` of the page before.")
]


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Served = Annotated[Services, Depends(_services)]
"""The parts of this web process."""


async def _by(request: Request) -> By:
    who = identity(request.scope)
    name, role = (who.name, who.role.word) if who is not None else ("nobody", None)
    origin = request.client.host if request.client is not None else "unknown"
    return By(actor=name, role=role, source="http", origin=origin)


Asker = Annotated[By, Depends(_by)]
"""Who asks, for the audit trail."""


def may(role: RoleName) -> dict[str, Any]:
    """Arguments of a route that callers of this role may use."""
    return {"dependencies": [Depends(needs(role))], "openapi_extra": {"x-role": role}}


def when(epoch: float | None) -> str | None:
    """A moment as people of all time zones read it, of epoch seconds."""
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cursor_of(*key: float | str) -> str:
    """The cursor behind the item with this key."""
    return urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()


def key_of(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The key of the item that a page comes after; None for the first page.

    Args:
        cursor: As `cursor_of` made it.
        kinds: The type of each part of the key: int, float or str.

    Raises:
        InputError: It is no cursor of this listing.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key: Any = json.loads(urlsafe_b64decode(padded))
    except (ValueError, Base64Error, RecursionError) as error:
        raise InputError("cursor: not one of this listing") from error
    if not isinstance(key, list) or len(key) != len(kinds):
        raise InputError("cursor: not one of this listing")
    if not all(_is_part(part, kind) for part, kind in zip(key, kinds, strict=True)):
        raise InputError("cursor: not one of this listing")
    return tuple(key)


def _is_part(part: object, kind: type) -> bool:
    """Whether a part of a key is what every database can compare with."""
    if isinstance(part, bool) or not isinstance(part, kind):
        return False
    if isinstance(part, str):
        return part.isprintable()
    if isinstance(part, float):
        return isfinite(part)
    return isinstance(part, int) and 0 <= part < 2**63


def page(
    rows: Sequence[Row], limit: int, key: Callable[[Row], tuple[float | str, ...]]
) -> tuple[Sequence[Row], str | None]:
    """The rows of a page and the cursor of the next.

    Args:
        rows: One more than the page has, where there are more.
        limit: Rows of a page.
        key: Of a row.
    """
    shown = rows[:limit]
    return shown, cursor_of(*key(shown[-1])) if len(rows) > limit else None


class Tagged(APIRoute):
    """A route whose answers to GET have a weak ETag: who has seen a body is told that it is the
    same. A parameter that it does not know, and a body that is not said to be JSON, are refused
    in words that help.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with tags."""
        handle = super().get_route_handler()
        found = get_flat_params(self.dependant)
        known = [each.alias for each in found if isinstance(each.field_info, params.Query)]
        if getattr(self.response_model, "__name__", "").startswith(Page.__name__):
            known += [name for name in PAGING if name not in known]
        takes_json = self.body_field is not None

        async def tagged(request: Request) -> Response:
            refusal = _unknown(request, known) or (await _not_json(request) if takes_json else None)
            if refusal is not None:
                return refusal
            response = await handle(request)
            if request.method != "GET" or response.status_code != 200:
                return response
            tag = f'W/"{sha256(bytes(response.body)).hexdigest()[:32]}"'
            response.headers["ETag"] = tag
            response.headers["Cache-Control"] = "no-cache"
            if _is_known(request.headers.get("if-none-match"), tag):
                headers = {"ETag": tag, "Cache-Control": "no-cache"}
                return Response(status_code=304, headers=headers)
            return response

        return tagged


def _unknown(request: Request, known: Sequence[str]) -> Response | None:
    """The refusal of parameters of a GET that there are not; a misspelt filter would give all."""
    wrong = [name for name in request.query_params if name not in known]
    if request.method != "GET" or not wrong:
        return None
    there = f"those of this path are {', '.join(known)}" if known else "this path has none"
    errors = [
        {
            "at": f"query.{name[:100]}",
            "error": f"no such parameter{did_you_mean(name, known) or f'; {there}'}",
        }
        for name in wrong[:MOST_WRONG]
    ]
    detail = f"{errors[0]['at']}: {errors[0]['error']}"
    return problem(request.url.path, 422, detail, errors=errors)


async def _not_json(request: Request) -> Response | None:
    """The refusal of a body whose content type is not JSON's; None also where there is no body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or re.fullmatch(r"application/[^/]+\+json", kind)
    if is_json or not await request.body():
        return None
    return problem(request.url.path, 415, "send Content-Type: application/json")


def _is_known(seen: str | None, tag: str) -> bool:
    """Whether one of the tags that somebody has seen is this one; weak ones compare as strong."""
    if seen is None:
        return False
    tags = [each.strip().removeprefix("W/") for each in seen.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags


__all__ = [
    "PROBLEMS", "Asker", "Cursor", "Limit", "Problem", "Served", "Tagged", "cursor_of", "key_of",
    "may", "page", "when",
]  # fmt: skip
