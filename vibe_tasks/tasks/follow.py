"""What follows a job and is no single job itself: a group, a chord, a chain, a plain task.

It is applied by a job of its own, which is written in the transaction that it follows from. So
a worker that dies in between breaks no chain. Applied twice, it makes nothing twice: all its
ids were drawn beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.canvas import Signature, maybe_signature
from celery.result import GroupResult
from celery.utils import gen_unique_id
from kombu.utils.json import dumps, loads

from vibe_tasks.errors import InputError
from vibe_tasks.jobs import NewJob
from vibe_tasks.store import chords, jobs
from vibe_tasks.store.engine import Database

NAME = "vibe.follow"
KIND = "follow"

_repeating: ContextVar[bool] = ContextVar("repeating", default=False)


@contextmanager
def repeating() -> Iterator[None]:
    """In here, a call whose id is in the ledger already is that job, not a mistake."""
    token = _repeating.set(True)
    try:
        yield
    finally:
        _repeating.reset(token)


def may_repeat() -> bool:
    """Whether calls may be repeated just now."""
    return _repeating.get()


def is_job(app: Celery, signature: Mapping[str, Any]) -> bool:
    """Whether a signature is one call of a job."""
    if signature.get("subtask_type"):
        return False
    return getattr(app.tasks.get(signature.get("task")), "lane", None) is not None


def job_of(
    app: Celery,
    signature: Signature,
    args: tuple[Any, ...] = (),
    *,
    lane: str | None = None,
    **options: Any,
) -> NewJob:
    """The job that applies this signature to these arguments.

    Args:
        app: The application.
        signature: What is to be applied; its ids are drawn here if they are not yet.
        args: Arguments that come before the signature's own, if it takes any.
        lane: Where the job runs.
        options: Options of `apply_async`: `chain`, `root_id`, `parent_id`.
    """
    signature.freeze()
    given = {name: value for name, value in options.items() if value}
    made: NewJob = app.tasks[NAME].new_job(
        args, {"signature": dumps(signature), "options": dumps(given)}, gen_unique_id(),
        {"lane": lane},
    )  # fmt: skip
    return made


def apply(app: Celery, args: tuple[Any, ...], signature: str, options: str) -> None:
    """Apply a signature that `job_of` wrote."""
    with repeating():
        maybe_signature(loads(signature), app=app).apply_async(args, **loads(options))


def open_chord(app: Celery, ledger: Database, group_id: str, members: Any, body: Signature) -> bool:
    """Write a chord into the ledger, its body as a blocked job; False where it must stay Celery's.

    That is where members are groups themselves: Celery knows how their results are nested.

    Raises:
        InputError: A live job has the body's unique key.
    """
    results = list(members)
    if any(isinstance(each, GroupResult) for each in results):
        return False
    # Their time counts from the moment that the last member has completed.
    waits = {"countdown", "eta", "expires"} & body.options.keys()
    if is_job(app, body) and not waits:
        task_id = body.options.get("task_id")
        made = app.tasks[body.task].new_job(
            tuple(body.args), dict(body.kwargs), task_id, _options(body)
        )
        takes_results = not body.immutable
    else:
        made, takes_results = job_of(app, body), True
    with ledger.begin() as connection:
        if (
            not jobs.results_of(connection, [made.id])
            and chords.body_of(connection, group_id) is None
        ):
            (submitted,) = jobs.submit(connection, [replace(made, blocked=True)])
            if not submitted.fresh:
                raise InputError(
                    f"job {submitted.id} has the unique_key {made.unique_key!r} of the chord's body"
                )
            chords.open_chord(
                connection, group_id, body_id=made.id, members=[each.id for each in results],
                takes_results=takes_results,
            )  # fmt: skip
    return True


def _options(signature: Signature) -> dict[str, Any]:
    return {name: value for name, value in signature.options.items() if name != "task_id"}
