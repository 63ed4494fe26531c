"""All routers of the API, and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from vibe_tasks.web.api import (
    audit,
    claims,
    dead_letters,
    events,
    jobs,
    lanes,
    plans,
    standing,
    upkeep,
)
from vibe_tasks.web.models.kinds import Problem
from vibe_tasks.web.services import Services

PREFIX = "/api/v1"

VERSION = "1"
"""Of the API. A field may be added to an answer at any time; what is taken away waits for 2."""

# First those whose paths have a word where others have an id.
PARTS = tuple(
    part.router
    for part in (claims, dead_letters, jobs, plans, lanes, standing, events, upkeep, audit)
)
"""The routers of the API, below `PREFIX`."""

TAGS = {
    "status": "How everything stands.", "jobs": "The ledger's jobs.",
    "claims": "Jobs for workers in any language.", "dead letters": "What will not be tried again.",
    "plans": "Plans, approvals and budgets.", "lanes": "Lanes and their rules.",
    "workers": "The worker registry.", "scale": "The size of the fleet.",
    "events": "Events, their rules and handlers.", "upkeep": "The ledger, settings, the doctor.",
}  # fmt: skip


def routers(_services: Services | None) -> list[APIRouter]:
    """The routers; services come with each request."""
    made = APIRouter(prefix=PREFIX, generate_unique_id_function=_operation)
    for part in PARTS:
        made.include_router(part)
    return [made]


def _operation(route: APIRoute) -> str:
    return route.name


def document() -> dict[str, Any]:
    """The OpenAPI document of the API alone."""
    app = FastAPI(title="vibe-tasks", openapi_url=None)
    for each in routers(None):
        app.include_router(each)
    describe(app)
    return app.openapi()


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document of this application."""
    app.version = VERSION
    app.summary = "Durable work for coding agents and plain programs."
    app.openapi_tags = [{"name": name, "description": text} for name, text in TAGS.items()]
    make = app.openapi

    def with_problems() -> dict[str, Any]:
        made = make()
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        return made

    app.openapi = with_problems  # type: ignore[method-assign]
