"""Maintenance as Celery tasks of the lane `control`, which beat calls.

They are no jobs: a lost tick is made good by the next one.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from vibe_tasks.store import job_logs, upkeep
from vibe_tasks.store.history import archive_old_history
from vibe_tasks.tasks import dispatcher, resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.event_trimming import BREATH, trim_events

MOST_PIECES = 100
"""Batches of jobs' logs that one tick deletes."""

MOST_BATCHES = 400
"""Of events that one tick deletes: some ten seconds of work on SQLite."""


# Without events: once a second would be all that Flower remembers.
@app.task(name="vibe.dispatch", ignore_result=True, queue="control", send_events=False)
def dispatch() -> dict[str, Any]:
    """Send what is due, notice what the broker lost, take back expired leases.

    Any process of any worker may do the next look, so the ledger remembers when the last one was:
    after a pause of all, leases are not taken back at once.
    """
    settings, ledger = resources.settings(), resources.ledger()
    with ledger.begin() as connection:
        last = upkeep.last_look(connection, upkeep.DISPATCH)
        patience = dispatcher.Patience(
            settings.lease_seconds, now=last.at, until=last.patient_until
        )
        reap = patience.over(last.now)
        upkeep.keep_look(
            connection, upkeep.DISPATCH, at=patience.seen, patient_until=patience.until
        )
    done = dispatcher.dispatch(app, ledger, grace=settings.republish_seconds, reap=reap)
    with ledger.begin() as connection:
        upkeep.mark_end(connection, upkeep.DISPATCH)
    return asdict(done)


@app.task(name="vibe.archive", ignore_result=True, queue="control")
def archive(days: float = 7.0) -> int:
    """Move old history to the archive; how many rows."""
    return archive_old_history(resources.ledger(), days)


@app.task(name="vibe.trim_events", ignore_result=True, queue="control")
def trim_old_events() -> dict[str, Any]:
    """Delete the events that the rules do not keep; how many of each bucket, and whether there are
    more, which the next tick deletes.
    """
    settings, ledger = resources.settings(), resources.ledger()
    return asdict(trim_events(ledger, settings, pause=resources.pause, most=MOST_BATCHES))


@app.task(name="vibe.trim_job_logs", ignore_result=True, queue="control")
def trim_old_job_logs() -> int:
    """Delete what jobs said too long ago to be kept; how many pieces."""
    return job_logs.trim(
        resources.ledger(), resources.settings().job_log_days,
        pause=partial(resources.pause, BREATH), most=MOST_PIECES,
    )  # fmt: skip
