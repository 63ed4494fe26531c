"""The end of a job that nobody runs as a Celery task: what follows from it all the same."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from celery import Celery
from celery.app.task import Context

from vibe_tasks.flow import chords, outside
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.jobs import Publication
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Transaction
from vibe_tasks.tasks import canvas


def complete(
    connection: Transaction, app: Celery, attempt: outside.Attempt, result: Any
) -> tuple[Publication, ...]:
    """Write the result, the next jobs of its plan, links, chain and chord; the messages to send.

    Args:
        connection: A writing transaction.
        app: The application that knows the tasks of links and chains.
        attempt: What was claimed.
        result: A JSON value; of a plan's job as `flow.outside.complete` has it.

    Raises:
        InputError: The result is not what a job of this kind must have.
        LeaseLostError: The attempt is no longer the job's current one.
        TypeError: The result is no JSON value.
    """
    row = jobs.find_job(connection, attempt.id)
    following = outside.complete(connection, row, attempt.attempt, result)
    called = row["canvas"]
    if not called:
        return following
    linked = canvas.take_following(_in_request(app, row), result, lane=row["lane"])
    submitted = jobs.submit(connection, linked, published=True) if linked else ()
    if called.get("chord") and called.get("group_id"):
        bodies = chords.member_completed(connection, called["group_id"], lane=row["lane"])
        following += bodies or ()
    due = {each.id for each in submitted if each.fresh and each.due}
    return (*following, *(publication_of(job) for job in linked if job.id in due))


def _in_request(app: Celery, row: Mapping[str, Any]) -> Any:
    """A job's task as it would be in the middle of its request."""
    request = Context(id=row["id"], task=row["name"], delivery_info={}, **row["canvas"])
    return SimpleNamespace(app=app, request=request)
