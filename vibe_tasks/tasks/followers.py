"""Telling Celery's chords, chains and error links of a job that died without its worker.

A worker tells them itself when an attempt fails for the last time. Where the worker is gone, the
dispatcher finds out; it knows from the job's row what Celery would have known from the message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from celery.app.task import Context

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.jobs import find_job
from vibe_tasks.tasks.queues import BROKER_ERRORS
from vibe_tasks.tasks.results import JobFailedError

log = logging.getLogger(__name__)


def tell(app: Celery, ledger: Database, job_ids: Iterable[str]) -> bool:
    """Tell all that wait for these jobs, dead or cancelled; whether the broker answered.

    Celery's own chords live in the broker: without it, nobody is told. What cannot be done with
    an error link is logged.
    """
    for job_id in job_ids:
        with ledger.read() as connection:
            row = find_job(connection, job_id)
        try:
            _tell_of(app, row)
        except BROKER_ERRORS as error:
            log.warning("nobody was told that job %s is %s: %s", job_id, row["status"], error)
            return False  # the others would wait for it as long
        except DATABASE_ERRORS:
            raise
        except Exception:  # the edge of user code: an error link may be anything
            log.exception("not all were told that job %s is %s", job_id, row["status"])
    return True


def _tell_of(app: Celery, row: Mapping[str, Any]) -> None:
    if not row["canvas"]:
        return
    canvas = dict(row["canvas"])
    request = Context(
        id=row["id"], task=row["name"], group=canvas.pop("group_id", None), delivery_info={},
        **canvas,
    )  # fmt: skip
    if row["status"] == JobStatus.CANCELLED:
        app.backend.mark_as_revoked(
            row["id"], row["error"] or "cancelled", request=request, store_result=False
        )
    else:
        # The row has the result, also where this process does not know the function.
        app.backend.mark_as_failure(
            row["id"], JobFailedError(row["error"]), request=request, store_result=False
        )
