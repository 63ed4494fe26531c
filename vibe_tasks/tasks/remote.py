"""Celery's remote control, where the ledger has a say.

Celery tells the workers that are there to drop a revoked task; one that starts later has not
heard of it, and those that have remember it for hours, also when somebody wants the task again.
A job is cancelled in the ledger instead, which everybody asks before they run it, and whose
answer the worker that runs it sees at its next heartbeat.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.app.control import Control
from celery.worker import control as celerys
from kombu.utils.functional import maybe_list

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.flow.control import cancel_job
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.jobs import find_job
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.queues import BROKER_ERRORS

log = logging.getLogger(__name__)


class LedgerControl(Control):
    """`app.control`; Flower and `AsyncResult.revoke` use it too."""

    def revoke(
        self, task_id: Any, destination: Any = None, terminate: bool = False, **options: Any
    ) -> Any:
        """Cancel these jobs; plain Celery tasks are revoked as ever.

        A job that runs goes on to its end, unless its process is to be ended: `terminate`. It is
        ended at its worker's next heartbeat, wherever that is.
        """
        left = [each for each in maybe_list(task_id) if not cancelled(each, running=terminate)]
        if not left:
            return None
        return super().revoke(left, destination=destination, terminate=terminate, **options)


def revoke(state: Any, task_id: Any, terminate: bool = False, **options: Any) -> Any:
    """Revoke task by task id (or list of ids); a job is cancelled in the ledger.

    The worker's side, for those who tell the workers by themselves: `celery control revoke`,
    or a Flower of another application.
    """
    try:
        left = [each for each in maybe_list(task_id) if not cancelled(each, running=terminate)]
    except DATABASE_ERRORS as error:
        log.warning("ledger away, nothing is revoked: %s", reason(error))
        return {"error": "the ledger is away"}
    if not left:
        return {"ok": f"jobs {task_id} cancelled"}
    return celerys.revoke(state, left, terminate=terminate, **options)


def cancelled(job_id: str, *, running: bool) -> bool:
    """Cancel a job, where it has not ended; whether this is one of the ledger's.

    Args:
        job_id: A task's id.
        running: Also while it runs.

    Raises:
        One of `DATABASE_ERRORS`: The ledger cannot be written.
    """
    ledger = resources.ledger()
    try:
        with ledger.read() as connection:
            status = JobStatus(find_job(connection, job_id)["status"])
        if running or status is not JobStatus.PROCESSING:
            cancel_job(ledger, job_id, "revoked", status=None if running else status)
    except UnknownJobError:
        return False
    except IllegalMoveError as error:
        log.info("nothing to cancel: %s", error)
    return True


def tell_to_drain(app: Celery, workers: Sequence[str]) -> None:
    """Tell these workers at once what their next heartbeat would tell them; not where the broker
    is away.
    """
    try:
        app.control.broadcast("drain", destination=list(workers))
    except BROKER_ERRORS as error:
        log.info("the workers hear of it with their next heartbeat: %s", error)


def install() -> None:
    """Let workers that are told to revoke a job cancel it."""
    celerys.control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")(
        revoke
    )
