"""Celery's remote control, where the ledger has a say.

Celery tells the workers that are there to drop a revoked task; one that starts later has not
heard of it. A job is cancelled in the ledger instead, which everybody asks before they run it.
"""

from __future__ import annotations

from typing import Any

from celery.app.control import Control
from kombu.utils.functional import maybe_list

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.flow.control import cancel_job
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.jobs import find_job
from vibe_tasks.tasks import resources


class LedgerControl(Control):
    """`app.control`; Flower and `AsyncResult.revoke` use it too."""

    def revoke(
        self, task_id: Any, destination: Any = None, terminate: bool = False, **options: Any
    ) -> Any:
        """Cancel these jobs; plain Celery tasks are revoked as ever.

        A job that runs goes on to its end, unless its process is to be ended: `terminate`.
        """
        left = [each for each in maybe_list(task_id) if not _cancelled(each, running=terminate)]
        told = maybe_list(task_id) if terminate else left
        if not told:
            return None
        return super().revoke(told, destination=destination, terminate=terminate, **options)


def _cancelled(job_id: str, *, running: bool) -> bool:
    ledger = resources.ledger()
    try:
        with ledger.read() as connection:
            status = find_job(connection, job_id)["status"]
        if status == JobStatus.PROCESSING and not running:
            return False
        cancel_job(ledger, job_id, "revoked")
    except (UnknownJobError, IllegalMoveError):
        return False
    return True
