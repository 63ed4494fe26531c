"""Jobs whose function a worker does not know.

While a live worker of the lane knows it the job goes back, uncounted, and the router passes this
worker over. Else it is a failed attempt, so that somebody hears of it: Celery logs such a message
and drops it; the job would be sent again and again without a word.
"""

from __future__ import annotations

import logging
from typing import Any

from vibe_tasks.flow import attempts
from vibe_tasks.jobs import Claim
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.store import candidates, jobs
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.event_handlers import KIND
from vibe_tasks.tasks import followers, publisher, resources
from vibe_tasks.tasks.labels import worker_labels

log = logging.getLogger(__name__)

BACK = RetryPolicy(max_retries=1000, base=0.5, factor=2.0, cap=30.0, jitter=0.0)
"""Waits of 1, 2, 4 … 30 s of a job that another worker knows, and that one is full: who does not
know it takes it from the lane each time."""

TOLD = 5
"""Workers that a refusal names."""


def known(app: Any) -> frozenset[str]:
    """The functions that this process knows, but Celery's own."""
    return frozenset(name for name in app.tasks if not name.startswith("celery."))


def refuse(sender: Any, id: str, **_: Any) -> None:  # noqa: A002  the signal's name
    """Put the job back that this message is about, or count a failure and say what is missing.

    Args:
        sender: The worker's consumer.
        id: The job, if the message is one of ours.
    """
    ledger = resources.ledger()
    try:
        with ledger.write_once() as connection:
            claim = jobs.claim(
                connection, id, worker=sender.hostname, lease=resources.settings().lease_seconds,
                labels=worker_labels(),
            )  # fmt: skip
        if claim is None:
            return  # no job, or another worker has it
        again, following = attempts.settle(
            ledger, claim, _ending(ledger, claim, sender.hostname), uniform=resources.uniform
        )
    except DATABASE_ERRORS as error:
        log.warning("ledger away, job %s will be sent again: %s", id, error)
        return
    publisher.publish(sender.app, ledger, following)
    if not again:
        followers.tell(sender.app, ledger, [id])


def _ending(ledger: Database, claim: Claim, worker: str) -> attempts.Ending:
    lease = resources.settings().lease_seconds
    with ledger.read() as connection:
        required = jobs.find_job(connection, claim.id)["required"] or ()
        lane = [each.worker for each in candidates.workers_of(connection, claim.lane, lease=lease)]
    others = [each for each in lane if each.worker_id != worker and set(required) <= each.labels]
    able = [each.worker_id for each in others if claim.name in (each.functions or ())]
    text = f"worker {worker} knows no function {claim.name}"
    if able:
        refusals = max(1, claim.attempt - claim.retry_count)
        wait = BACK.wait_after(refusals, uniform=lambda low, _high: low)
        return attempts.Ending(kind="snooze", text=f"{text}, {_listed(able)} does", wait=wait)
    text += ": is its module in VIBE_IMPORTS?"
    if others:
        text += f" Nor do the others of the lane: {_listed([each.worker_id for each in others])}."
    if claim.kind == KIND:
        text += f" If there is no such handler any more: vibe events forget {claim.name}"
    return attempts.Ending(kind="failure", text=text)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return f"{', '.join(names[:TOLD])}{more}"
