"""What `vibe lanes`, `vibe workers` and `vibe scale` do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path

from vibe_tasks.errors import InputError
from vibe_tasks.flow.views import lanes as views
from vibe_tasks.flow.views import registry
from vibe_tasks.rate import parse_rate
from vibe_tasks.store import lanes as rules
from vibe_tasks.store import scale_decisions
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import Database
from vibe_tasks.store.lanes import Keep
from vibe_tasks.tasks import remote
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.fleet.check import check
from vibe_tasks.tasks.queues import check_lane
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
from vibe_tasks.web.models.fleet import (
    CheckGiven,
    Lane,
    LaneChanged,
    LimitsGiven,
    Names,
    ScaleDecision,
    ScaleVerdict,
    Worker,
)
from vibe_tasks.web.models.kinds import Lane as LaneName
from vibe_tasks.web.models.kinds import Name, Page
from vibe_tasks.web.services import Services

router = APIRouter(route_class=Tagged, responses=PROBLEMS)

OfPath = Annotated[LaneName, Path(description="The lane's name.", examples=["code"])]


@router.get("/lanes", tags=["lanes"], response_model=Page[Lane], **may("read"))
def list_lanes(services: Served) -> Any:
    """Lanes with their rules and jobs."""
    with services.ledger.read() as connection:
        found = views.lanes_and_rules(connection)
    return {"items": [views.listed(*each) for each in found], "next": None}


@router.post("/lanes/{lane}/pause", tags=["lanes"], response_model=LaneChanged, **may("operate"))
def pause_lane(services: Served, by: Asker, lane: OfPath) -> Any:
    """Start nothing of a lane any more; what runs goes on, what waits keeps its place."""
    views.pause(services.ledger, check_lane(lane), by=by)
    return _now(services.ledger, lane)


@router.post("/lanes/{lane}/resume", tags=["lanes"], response_model=LaneChanged, **may("operate"))
def resume_lane(services: Served, by: Asker, lane: OfPath) -> Any:
    """Let a paused lane go on."""
    views.resume(services.ledger, check_lane(lane), by=by)
    return _now(services.ledger, lane)


@router.patch("/lanes/{lane}", tags=["lanes"], response_model=LaneChanged, **may("operate"))
def limit_lane(services: Served, by: Asker, lane: OfPath, body: LimitsGiven) -> Any:
    """Limit how many of a lane's jobs run at once or start in a time, on all hosts together, and
    set the rules by which its workers are scaled.
    """
    check_lane(lane)
    scaling = {} if body.scaling is None else body.scaling.model_dump(exclude_unset=True)
    if not body.model_fields_set:
        raise InputError("give concurrency, rate, or scaling")
    try:
        views.limit(
            services.ledger, lane, concurrency=_kept(body, "concurrency"), rate=_rate(body),
            scaling=scaling, by=by,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error)) from error
    return _now(services.ledger, lane)


def _kept(body: LimitsGiven, name: str) -> Any:
    return getattr(body, name) if name in body.model_fields_set else Keep.AS_IT_IS


def _rate(body: LimitsGiven) -> float | Keep | None:
    given = _kept(body, "rate")
    if not isinstance(given, str):
        return None if given is None else Keep.AS_IT_IS
    rate = parse_rate(given)
    if not rate < rules.MANY:
        raise InputError(f"rate is too high to be a limit: {given}")
    return rate


def _now(ledger: Database, lane: str) -> dict[str, Any]:
    """The lane, and whether its name may be misspelt."""
    with ledger.read() as connection:
        found = views.listed(*views.lane_and_rules(connection, lane))
        served = views.is_served(connection, lane)
    return {**found, "warning": None if served else views.unserved(lane)}


@router.get("/workers", tags=["workers"], response_model=Page[Worker], **may("read"))
def list_workers(services: Served) -> Any:
    """The workers that have registered. One that is `lost` has been silent for over a lease; one
    that is `draining` takes nothing new, and ends when it is idle.
    """
    found = registry.registered(services.ledger, lease=services.settings.lease_seconds)
    return {"items": found, "next": None}


@router.post("/workers/drain", tags=["workers"], response_model=Page[Worker], **may("operate"))
def drain_workers(services: Served, by: Asker, body: Names) -> Any:
    """Let workers take nothing new and end when they are idle; what they run goes on to its end."""
    return {"items": _drained(services, body.names, by), "next": None}


@router.post("/workers/{name}/drain", tags=["workers"], response_model=Worker, **may("operate"))
def drain_worker(
    services: Served, by: Asker, name: Annotated[Name, Path(examples=["celery@build-3"])]
) -> Any:
    """Let a worker take nothing new and end when it is idle."""
    (found,) = _drained(services, [name], by)
    return found


def _drained(services: Services, names: list[str], by: By) -> list[dict[str, Any]]:
    lease = services.settings.lease_seconds
    there = registry.drain(services.ledger, names, lease=lease, by=by)
    if there:
        remote.tell_to_drain(app, there)
    found = registry.registered(services.ledger, lease=lease)
    return [each for each in found if each["worker_id"] in names]


@router.get("/scale/history", tags=["scale"], response_model=Page[ScaleDecision], **may("read"))
def list_scale_decisions(
    services: Served, *, lane: LaneName | None = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """Decisions on the size of the fleet, each with its reason, newest first."""
    key = key_of(cursor, int)
    with services.ledger.read() as connection:
        found = scale_decisions.history(
            connection, lane=lane, limit=limit + 1, before=key[0] if key else None
        )  # fmt: skip
    rows, after = page(found, limit, lambda row: (row["id"],))
    return {"items": rows, "next": after}


@router.post("/scale/check", tags=["scale"], response_model=Page[ScaleVerdict], **may("operate"))
def check_scale(services: Served, by: Asker, body: CheckGiven) -> Any:
    """Decide now on each lane of the fleet, and say why; without `apply` nothing is changed."""
    found = check(services.ledger, services.settings, apply=body.apply, by=by)
    return {"items": [asdict(each) for each in found], "next": None}
