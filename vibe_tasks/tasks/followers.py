"""Telling Celery's chords, chains and error links of a job that died without its worker.

A worker tells them itself when an attempt fails for the last time. Where the worker is gone, the
dispatcher finds out; it knows from the job's row what Celery would have known from the message.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from celery.app.task import Context

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import Database
from vibe_tasks.store.jobs import find_job
from vibe_tasks.tasks.publisher import BROKER_ERRORS, log
from vibe_tasks.tasks.results import JobFailedError


def tell(app: Celery, ledger: Database, job_ids: Iterable[str]) -> bool:
    """Tell all that wait for these jobs, dead or cancelled; whether the broker answered.

    Celery's own chords live in the broker: without it, nobody is told.
    """
    for job_id in job_ids:
        with ledger.read() as connection:
            row = find_job(connection, job_id)
        if not row["canvas"]:
            continue
        canvas = dict(row["canvas"])
        request = Context(
            id=job_id, task=row["name"], group=canvas.pop("group_id", None), delivery_info={},
            **canvas,
        )  # fmt: skip
        try:
            if row["status"] == JobStatus.CANCELLED:
                app.backend.mark_as_revoked(
                    job_id, row["error"] or "cancelled", request=request, store_result=False
                )
            else:
                # The row has the result, also where this process does not know the function.
                app.backend.mark_as_failure(
                    job_id, JobFailedError(row["error"]), request=request, store_result=False
                )
        except BROKER_ERRORS as error:
            log.warning("nobody was told that job %s is %s: %s", job_id, row["status"], error)
            return False  # the others would wait for it as long
    return True
