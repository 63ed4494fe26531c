"""How everything stands: `vibe status`, `vibe cache`, `vibe health`, and figures over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from vibe_tasks.errors import InputError
from vibe_tasks.flow.views import caches
from vibe_tasks.flow.views.standing import breaker_values, figures
from vibe_tasks.masking import masked
from vibe_tasks.store import breakers, series
from vibe_tasks.store.mix import mix
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import health, resources
from vibe_tasks.tasks.health import Health as Answer
from vibe_tasks.web.api.parts import PROBLEMS, Asker, Served, Tagged, may
from vibe_tasks.web.models.kinds import AboveZero, Name, Page
from vibe_tasks.web.models.standing import (
    Breaker,
    CacheFigures,
    Cleared,
    ClearGiven,
    Health,
    Series,
    Status,
)
from vibe_tasks.web.services import Services

MIX_LOOK = 10.0
"""Seconds between two looks at the mix, which reads all jobs of plans."""

router = APIRouter(route_class=Tagged, tags=["status"], responses=PROBLEMS)


@router.get("/status", response_model=Status, **may("read"))
def show_status(services: Served) -> Any:
    """Jobs by lane and status, the age of the oldest due one, workers, breakers and cache; and
    lanes with due jobs that no worker serves.
    """
    return {**figures(services.ledger, services.settings), "mix": _mix(services)}


@router.get("/breakers", response_model=Page[Breaker], **may("read"))
def list_breakers(services: Served) -> Any:
    """Circuit breakers, those of agents among them."""
    window = services.settings.breaker_window_seconds
    with services.ledger.read() as connection:
        found = breakers.states(connection, window=window)
    return {"items": [breaker_values(each) for each in found], "next": None}


@router.get("/series", response_model=Series, **may("read"))
def show_series(
    services: Served,
    minutes: Annotated[int, Query(ge=1, le=10_080, description="How far to look back.")] = 60,
) -> Any:
    """Jobs that ended and how long they had waited, in 60 steps of time, oldest first."""
    with services.ledger.read() as connection:
        step, points = series.series(connection, minutes=minutes)
    return {"step": step, "points": [asdict(each) for each in points]}


@router.get("/cache", response_model=dict[str, CacheFigures], **may("read"))
def show_cache(services: Served) -> Any:
    """What is in each cache of results, and what became of the looks into it."""
    with services.ledger.read() as connection:
        return caches.stats(connection)


@router.post("/cache/clear", response_model=Cleared, **may("admin"))
def clear_cache(services: Served, by: Asker, body: ClearGiven) -> Any:
    """Forget the results of a cache, or of all; the figures stay."""
    place = masked(resources.database_url())
    with services.ledger.begin() as connection:
        return {"cleared": caches.clear(connection, body.cache, place=place, by=by)}


Part = Literal["worker", "beat", "dispatcher", "ledger", "broker"]


@router.get("/health/{part}", response_model=Health, **may("read"))
def show_health(
    services: Served, part: Part, *,
    name: Annotated[Name | None, Query(description="Of the worker that is asked about.")] = None,
    max_age: Annotated[
        AboveZero | None, Query(description="Seconds that are still well.")
    ] = None,
) -> Any:  # fmt: skip
    """Is this part of the deployment at work? The answer is 200 in either case."""
    try:
        return _looks(services, name, max_age)[part]()
    except InputError as error:
        if part == "worker" and name is None:
            raise
        return Answer(part=part, healthy=False, text=" ".join(str(error).split()))


def _looks(
    services: Services, name: str | None, max_age: float | None
) -> dict[str, Callable[[], Answer]]:
    ledger, lease = services.ledger, services.settings.lease_seconds

    def worker() -> Answer:
        if name is None:
            raise InputError("name: which worker?")
        return health.worker(ledger, name, max_age or lease)

    def schema() -> Answer:
        with ledger.read():
            return Answer(part="ledger", healthy=True, text=f"schema {SCHEMA_VERSION}")

    return {
        "worker": worker,
        "beat": partial(health.beat, ledger, max_age or health.SILENT_BEAT),
        "dispatcher": partial(health.dispatcher, ledger, max_age or health.SLOW_DISPATCHER),
        "ledger": schema,
        "broker": partial(health.broker, resources.broker_url()),
    }


def _mix(services: Services) -> dict[str, float]:
    at, known = _mixes.get(id(services.ledger), (float("-inf"), {}))
    now = services.monotonic()
    if now - at >= MIX_LOOK:
        with services.ledger.read() as connection:
            known = mix(connection).to_json()
        _mixes.clear()
        _mixes[id(services.ledger)] = (now, known)
    return known


_mixes: dict[int, tuple[float, dict[str, float]]] = {}
