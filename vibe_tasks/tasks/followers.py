"""Telling Celery's chords, chains and error links of a job that died without its worker.

A worker tells them itself when an attempt fails for the last time. Where the worker is gone, the
dispatcher finds out; it knows from the job's row what Celery would have known from the message.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from celery.app.task import Context

from vibe_tasks.store.engine import Database
from vibe_tasks.store.jobs import find_job
from vibe_tasks.tasks.publisher import BROKER_ERRORS, log
from vibe_tasks.tasks.results import JobFailedError


def tell(app: Celery, ledger: Database, job_ids: Iterable[str]) -> None:
    """Tell all that wait for these dead jobs. Chords live in the broker: without it, nobody is."""
    for job_id in job_ids:
        with ledger.read() as connection:
            row = find_job(connection, job_id)
        canvas = dict(row["canvas"] or {})
        request = Context(
            id=job_id, task=row["name"], group=canvas.pop("group_id", None), delivery_info={},
            **canvas,
        )  # fmt: skip
        try:
            app.backend.mark_as_failure(job_id, JobFailedError(row["error"]), request=request)
        except BROKER_ERRORS as error:
            log.warning("nobody was told that job %s is dead: %s", job_id, error)
