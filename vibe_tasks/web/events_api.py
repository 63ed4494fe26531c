"""`/events`: what agents' hooks have always posted, and what old clients ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from vibe_tasks.errors import UnavailableError
from vibe_tasks.protocol import MAX_NAME, NewEvent, cleaned, event_json, loads, read_event
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_query
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, Transaction
from vibe_tasks.store.event_rules import EventRules, effective
from vibe_tasks.web.frames import json_bytes
from vibe_tasks.web.intake import Intake, IntakeFullError
from vibe_tasks.web.problems import problem
from vibe_tasks.web.security import needs, require
from vibe_tasks.web.services import Services

PATH = "/events"

RECENT, MOST_RECENT = 300, 10_000
"""Events that `/events/recent` gives where no number is asked for, and at most."""

SOURCE_HEADER = "x-source-app"
"""Header by which an agent's own HTTP hook names the application; its body has no place for it."""

RETRY_AFTER = {"Retry-After": "1"}
"""Seconds after which it is worth another try."""

_JSON: dict[str, Any] = {"content": {"application/json": {"schema": {}}}}


def router(services: Services) -> APIRouter:
    """The routes below `/events`."""
    made = APIRouter(tags=["events"])
    post, reader = Post(services.intake), Reader(services.ledger, services.settings)
    # A plain route: FastAPI's own costs as much again as all that is done here.
    made.add_route(PATH, post.answer, methods=["POST"])
    reads: dict[str, Any] = {
        "methods": ["GET"], "dependencies": [Depends(needs("read"))], "response_class": Response,
    }  # fmt: skip
    made.add_api_route(
        "/events/recent", reader.recent, summary="The newest events of both buckets",
        openapi_extra={"parameters": _PARAMETERS}, responses={200: _JSON}, **reads,
    )  # fmt: skip
    made.add_api_route(
        "/events/filter-options", reader.filter_options, summary="What can be filtered by",
        responses={200: _JSON}, **reads,
    )  # fmt: skip
    return made


class Post:
    """Takes one event in.

    Args:
        intake: Where it goes.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def answer(self, request: Request) -> Response:
        """The event as it is stored, or what is wrong with it."""
        require(request.scope, "operate")
        body = await request.body()
        try:
            value = loads(body)
            native = is_native(value)
            event = _of_header(read_event(value), request) if native else read_event(value)
            stored = await asyncio.wrap_future(self._intake.put([event], size=len(body)))
        except ValueError as error:
            return problem(PATH, 400, str(error))
        except (IntakeFullError, UnavailableError) as error:
            return problem(PATH, 503, str(error), headers=RETRY_AFTER)
        # An agent takes fields of an answer for orders; it is given none.
        return _json({} if native else event_json(stored[0]))


class Reader:
    """Answers what old clients ask for.

    Args:
        ledger: The ledger.
        settings: The settings of this process.
    """

    def __init__(self, ledger: Database, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings

    def recent(self, request: Request) -> Response:
        """The newest events of both buckets, oldest first."""
        query = request.query_params
        try:
            limit = _number(query, "limit", RECENT, 1, MOST_RECENT)
            least = _number(query, "min_priority", 0, 0, 3)
        except ValueError as error:
            return problem(PATH, 400, str(error))
        sessions = tuple(cleaned(name) for name in query.getlist("session_id") if name)
        try:
            with self._ledger.read() as connection:
                rules = effective(connection, self._settings)
                rows = _recent(connection, rules, limit, least, sessions)
        except DATABASE_ERRORS:
            return problem(PATH, 503, "the ledger is away", headers=RETRY_AFTER)
        return _json([event_json(row) for row in rows])

    def filter_options(self) -> Response:
        """The applications, sessions and event types that there are."""
        try:
            with self._ledger.read() as connection:
                return _json(event_query.filter_options(connection))
        except DATABASE_ERRORS:
            return problem(PATH, 503, "the ledger is away", headers=RETRY_AFTER)


def is_native(body: Any) -> bool:
    """Whether an agent's own HTTP hook sent this, not a hook script."""
    return isinstance(body, dict) and "hook_event_name" in body and "hook_event_type" not in body


def _of_header(event: NewEvent, request: Request) -> NewEvent:
    """The event, with the application that the header names."""
    given = cleaned(request.headers.get(SOURCE_HEADER, "")[:MAX_NAME])
    return replace(event, source_app=given) if given else event


def _recent(
    connection: Transaction,
    rules: EventRules,
    limit: int,
    least: int,
    sessions: tuple[str, ...],
) -> tuple[Mapping[str, Any], ...]:
    """As many as the buckets hold; where more is asked for, the buckets are larger."""
    priority, regular = rules.priority_limit, rules.regular_limit
    if least:
        priority = limit
    elif limit > priority + regular:
        priority, regular = limit - regular, limit
    return event_query.recent(
        connection, limit=limit, session_ids=sessions, min_priority=least,
        priority_limit=priority, regular_limit=regular,
    )  # fmt: skip


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    value = int(text)
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, got {value}")
    return value


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type="application/json")


def _parameter(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": dict(schema), "description": description}


_PARAMETERS = [
    _parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MOST_RECENT, "default": RECENT},
        "Most events.",
    ),
    _parameter(
        "session_id", {"type": "array", "items": {"type": "string"}}, "Only of these sessions."
    ),
    _parameter(
        "min_priority",
        {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
        "Only of this level and above.",
    ),
]
