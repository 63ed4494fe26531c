"""Jobs for workers in any language: `vibe jobs claim`, `heartbeat`, `complete` and `fail`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import Request
from fastapi.responses import Response

from vibe_tasks.access import Identity
from vibe_tasks.flow.outside import Held, claimed
from vibe_tasks.store.job_rows import find_job, whole_job_id
from vibe_tasks.tasks.consumers.job_queue import JobQueue
from vibe_tasks.web.api.jobs import JobId
from vibe_tasks.web.api.parts import PROBLEMS, Served, Tagged, may
from vibe_tasks.web.models.claims import (
    Claimed,
    ClaimGiven,
    Completed,
    CompleteGiven,
    Failed,
    FailGiven,
    HeartbeatGiven,
    Renewed,
)
from vibe_tasks.web.security import needs

LOOK = 0.25
"""Seconds between two looks for a job; no thread is held while somebody waits."""

router = APIRouter(route_class=Tagged, tags=["claims"], responses=PROBLEMS)

Operator = Annotated[Identity, Depends(needs("operate"))]


@router.post(
    "/jobs/claim", response_model=Claimed, **may("operate"),
    responses={204: {"description": "There is no job, or none came in time."}},
)  # fmt: skip
async def claim_job(request: Request, services: Served, who: Operator, body: ClaimGiven) -> Any:
    """Take the most urgent due job of the first of these lanes that has one, for one attempt.

    Whoever claims a job ends it, with `complete` or `fail`; after the lease it counts as failed.
    """
    worker = body.worker or f"{who.name}@http"
    with JobQueue(worker=worker, lease=body.lease, labels=body.labels) as queue:
        until = services.monotonic() + body.wait
        while True:
            found = await run_in_threadpool(_claim, queue, body.lanes)
            if found is not None:
                return found
            left = until - services.monotonic()
            if left <= 0 or await request.is_disconnected():
                break
            await asyncio.sleep(min(LOOK, left))
        await run_in_threadpool(queue.tidy, *body.lanes)
    return Response(status_code=204)


@router.post("/jobs/{job_id}/heartbeat", response_model=Renewed, **may("operate"))
def heartbeat_job(job_id: JobId, body: HeartbeatGiven) -> Any:
    """Renew the lease of a job that takes longer; ask for it every third of the lease. 409 where
    the attempt is over: stop, and write nothing.
    """
    with JobQueue() as queue:
        held = _held(queue, job_id, body.attempt)
        return {"job_id": held.id, "lease_until": queue.heartbeat(held, lease=body.lease)}


@router.post("/jobs/{job_id}/complete", response_model=Completed, **may("operate"))
def complete_job(job_id: JobId, body: CompleteGiven) -> Any:
    """Record the result of a job that you have claimed; what needs it goes on."""
    with JobQueue() as queue:
        held = _held(queue, job_id, body.attempt)
        queue.complete(held, body.result)
    return {"completed": [held.id]}


@router.post("/jobs/{job_id}/fail", response_model=Failed, **may("operate"))
def fail_job(job_id: JobId, body: FailGiven) -> Any:
    """Count a failure of a job that you have claimed, and say whether it will run again."""
    with JobQueue() as queue:
        held = _held(queue, job_id, body.attempt)
        again = queue.fail(
            held, body.error, permanent=body.permanent, retry_after=body.retry_after
        )  # fmt: skip
    return {"job_id": held.id, "will_retry": again}


def _claim(queue: JobQueue, lanes: list[str]) -> dict[str, Any] | None:
    taken = queue.claim(*lanes)
    if taken is None:
        return None
    with queue.ledger.read() as connection:
        return claimed(taken, find_job(connection, taken.id))


def _held(queue: JobQueue, text: str, attempt: int) -> Held:
    with queue.ledger.read() as connection:
        return Held(id=whole_job_id(connection, text), attempt=attempt)
