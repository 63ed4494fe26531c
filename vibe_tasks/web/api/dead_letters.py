"""`/api/v1/dlq`: what `vibe dlq` does, to one dead letter and to many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter

from vibe_tasks.errors import InputError, LedgerError
from vibe_tasks.flow import by_hand, control
from vibe_tasks.flow.views import jobs as views
from vibe_tasks.store.engine import Database
from vibe_tasks.web.api.jobs import JobId, seq_of
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
from vibe_tasks.web.models.jobs import Discarded, Job, Retried, Some
from vibe_tasks.web.models.kinds import Page

router = APIRouter(route_class=Tagged, tags=["dead letters"], responses=PROBLEMS)


@router.get("/dlq", response_model=Page[Job], **may("read"))
def list_dead_letters(services: Served, *, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """The dead letters, newest job first; `error` says why each is one."""
    key = key_of(cursor, int)
    with services.ledger.read() as connection:
        found = views.dead_letters(
            connection, limit=limit + 1, before=key[0] if key else None
        )  # fmt: skip
    rows, after = page(found, limit, seq_of)
    return {"items": [views.listed(row) for row in rows], "next": after}


@router.post("/dlq/retry", response_model=Retried, **may("operate"))
def retry_dead_letters(services: Served, by: Asker, body: Some) -> Any:
    """Bring dead letters back to work. All that are named must be dead letters, or nothing is done;
    one that changes meanwhile is told among `refused`.
    """
    done, refused = _each(services.ledger, body, partial(by_hand.retry, by=by))
    return {"retried": done, "refused": refused}


@router.post("/dlq/discard", response_model=Discarded, **may("operate"))
def discard_dead_letters(services: Served, by: Asker, body: Some) -> Any:
    """Take dead letters off the list; the jobs and their history stay in the ledger."""
    done, refused = _each(services.ledger, body, partial(control.discard_job, by=by))
    return {"discarded": done, "refused": refused}


@router.post("/dlq/{job_id}/retry", response_model=Retried, **may("operate"))
def retry_dead_letter(services: Served, by: Asker, job_id: JobId) -> Any:
    """Bring a dead letter back to work: a job that failed gets its attempts back, a task that QA
    refused gets one more fix round.
    """
    (known,) = by_hand.known(services.ledger, [job_id], refuse=by_hand.refuse_living)
    by_hand.retry(services.ledger, known, by=by)
    return {"retried": [known]}


@router.post("/dlq/{job_id}/discard", response_model=Discarded, **may("operate"))
def discard_dead_letter(services: Served, by: Asker, job_id: JobId) -> Any:
    """Take a dead letter off the list; the job and its history stay in the ledger."""
    (known,) = by_hand.known(services.ledger, [job_id], refuse=by_hand.refuse_living)
    control.discard_job(services.ledger, known, by=by)
    return {"discarded": [known]}


def _each(
    ledger: Database, wanted: Some, act: Callable[[Database, str], None]
) -> tuple[list[str], list[dict[str, str]]]:
    """Do this to each that is wanted; those it was done to, and those that had changed."""
    if bool(wanted.ids) == wanted.all:
        raise InputError("give one or more ids, or all: true")
    if wanted.all:
        chosen = by_hand.every_dead_letter(ledger)
    else:
        chosen = by_hand.known(ledger, wanted.ids, refuse=by_hand.refuse_living)
    done, refused = [], []
    for job_id in chosen:
        try:
            act(ledger, job_id)
            done.append(job_id)
        except LedgerError as error:
            refused.append({"id": job_id, "why": str(error)})
    return done, refused
