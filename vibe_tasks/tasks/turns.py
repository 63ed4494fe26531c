"""Turns after an attempt: the next held job of a lane or key need not wait for the dispatcher."""

from __future__ import annotations

import logging

from celery import Celery

from vibe_tasks.flow import deadlines
from vibe_tasks.jobs import Claim
from vibe_tasks.store import held, outbox
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.tasks import followers, publisher

log = logging.getLogger(__name__)


def pass_on(app: Celery, ledger: Database, claim: Claim) -> None:
    """This attempt has ended: let those start that waited for its place or its key.

    Costs nothing where nobody governs the lane and the job has no key.
    """
    if not claim.governed and claim.concurrency_key is None:
        return
    lane = claim.lane if claim.governed else None
    try:
        _give(app, ledger, lane, claim.concurrency_key)
    except DATABASE_ERRORS as error:
        log.warning("held jobs wait for the dispatcher: %s", error)


def refused(app: Celery, ledger: Database, job_id: str) -> None:
    """A claim came to nothing: give the job up where that is because of its deadline, and its place
    in a governed lane to the next one where its key is busy.
    """
    try:
        if deadlines.give_up_if_late(ledger, job_id):
            log.info("job %s was given up: it has not started by its deadline", job_id)
            followers.tell(app, ledger, [job_id])
            return
        with ledger.read() as connection:
            lane = held.refused_for_key(connection, job_id)
        if lane is not None:
            _give(app, ledger, lane, None)
    except DATABASE_ERRORS as error:
        log.warning("job %s is left to the dispatcher: %s", job_id, error)


def _give(app: Celery, ledger: Database, lane: str | None, key: str | None) -> None:
    with ledger.begin() as connection:
        turns = held.give_turns(connection, lane=lane, key=key)
        messages = outbox.publications(connection, turns.job_ids)
    publisher.publish(app, ledger, messages)
