"""`/api/v1/events`: events in the ledger, their rules and their handlers."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.requests import Request
from starlette.exceptions import HTTPException

from vibe_tasks.errors import InputError
from vibe_tasks.flow.views import event_rules, handlers
from vibe_tasks.protocol import NewEvent, event_json, loads, read_event
from vibe_tasks.store import event_query
from vibe_tasks.store.event_feed import EventFeed
from vibe_tasks.web.api.parts import (
    PROBLEMS,
    Asker,
    Cursor,
    Limit,
    Served,
    Tagged,
    key_of,
    may,
    page,
)
from vibe_tasks.web.intake import IntakeFullError
from vibe_tasks.web.models.events import (
    EVENTS_BODY,
    Event,
    FilterOptions,
    Forgotten,
    Handler,
    Ingested,
    Rule,
    RulesGiven,
)
from vibe_tasks.web.models.kinds import Name, Page

router = APIRouter(route_class=Tagged, tags=["events"], responses=PROBLEMS)

MOST = 1_000
"""Events in one POST."""


@router.get("/events", response_model=Page[Event], **may("read"))
def list_events(
    services: Served, *,
    session_id: Annotated[
        list[Name], Query(max_length=100, description="Of these sessions; may be repeated.")
    ] = [],  # noqa: B006  FastAPI makes a new one each time
    min_priority: Annotated[
        int, Query(ge=0, le=3, description="Only of this level and above.")
    ] = 0,
    after: Annotated[
        int, Query(ge=0, lt=2**63, description="Only those with a greater id.")
    ] = 0,
    limit: Limit = 100, cursor: Cursor = None,
) -> Any:  # fmt: skip
    """Events by their id, the oldest first. At the end `after` with the last id goes on with what
    has come since: none is left out, none comes twice.
    """
    key = key_of(cursor, int)
    until = EventFeed.from_end(services.ledger).position
    with services.ledger.read() as connection:
        found = event_query.after(
            connection, max(after, key[0] if key else 0), limit=limit + 1, until=until,
            session_ids=session_id, min_priority=min_priority,
        )  # fmt: skip
    rows, following = page(found, limit, lambda row: (row["id"],))
    return {"items": [event_json(row) for row in rows], "next": following}


def _posting() -> dict[str, Any]:
    given = may("operate")
    return {**given, "openapi_extra": {**given["openapi_extra"], "requestBody": EVENTS_BODY}}


@router.post("/events", response_model=Ingested, **_posting())
async def post_events(request: Request, services: Served) -> Any:
    """Take up to 1,000 events in, all of them or none; as they are stored, in the same order."""
    body = await request.body()
    try:
        stored = await asyncio.wrap_future(services.intake.put(_read(body), size=len(body)))
    except ValueError as error:
        raise InputError(str(error)) from error
    except IntakeFullError as error:
        raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
    return {"items": [event_json(row) for row in stored]}


@router.get("/events/recent", response_model=Page[Event], **may("read"))
def list_recent_events(
    services: Served, *,
    session_id: Annotated[
        list[Name], Query(max_length=100, description="Of these sessions; may be repeated.")
    ] = [],  # noqa: B006  FastAPI makes a new one each time
    hook_event_type: Annotated[
        list[Name], Query(max_length=100, description="Of these types; may be repeated.")
    ] = [],  # noqa: B006  as above
    min_priority: Annotated[
        int, Query(ge=0, le=3, description="Only of this level and above.")
    ] = 0,
    limit: Limit = 100,
) -> Any:  # fmt: skip
    """The newest events by their time, the oldest first; where they are more than the limit, it is
    regular ones that are left out.
    """
    with services.ledger.read() as connection:
        found = event_query.recent(
            connection, limit=limit, session_ids=session_id, types=hook_event_type,
            min_priority=min_priority, priority_limit=limit, regular_limit=limit,
        )  # fmt: skip
    return {"items": [event_json(row) for row in found], "next": None}


def _read(body: bytes) -> list[NewEvent]:
    value = loads(body)
    if not isinstance(value, list) or not 1 <= len(value) <= MOST:
        raise InputError(f"the body must be a list of 1 to {MOST} events")
    return [_read_one(place, each) for place, each in enumerate(value)]


def _read_one(place: int, value: Any) -> NewEvent:
    try:
        return read_event(value)
    except ValueError as error:
        raise InputError(f"body[{place}]: {error}") from error


@router.get("/events/filter-options", response_model=FilterOptions, **may("read"))
def list_filter_options(services: Served) -> Any:
    """The applications, sessions and event types that there are."""
    with services.ledger.read() as connection:
        return event_query.filter_options(connection)


@router.get("/events/rules", response_model=Page[Rule], **may("read"))
def list_event_rules(services: Served) -> Any:
    """The rules of events: sizes of the two buckets, what the ledger keeps, priorities."""
    found = event_rules.listed(services.ledger, services.settings)
    return {"items": found, "next": None}


@router.put("/events/rules", response_model=Page[Rule], **may("admin"))
def set_event_rules(services: Served, by: Asker, body: RulesGiven) -> Any:
    """Set rules for all processes, which know them within two seconds; null leaves a rule to the
    settings again, and one that is not named stays as it is.
    """
    for name, value in body.model_dump(exclude_unset=True).items():
        event_rules.change(services.ledger, services.settings, name, value, by=by)
    found = event_rules.listed(services.ledger, services.settings)
    return {"items": found, "next": None}


@router.get("/events/handlers", response_model=Page[Handler], **may("read"))
def list_event_handlers(services: Served) -> Any:
    """Who is told of which events."""
    return {"items": handlers.listed(services.ledger), "next": None}


@router.delete("/events/handlers/{handler}", response_model=Forgotten, **may("admin"))
def forget_event_handler(
    services: Served, by: Asker,
    handler: Annotated[Name, Path(examples=["billing.note_failure"])],
) -> Any:  # fmt: skip
    """Tell a handler of no further events: for functions that are no more. A worker that knows it
    subscribes it again when it starts.
    """
    handlers.forget(services.ledger, handler, by=by)
    return {"forgotten": handler}
