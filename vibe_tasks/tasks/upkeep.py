"""Maintenance as Celery tasks of the lane `control`, which beat calls.

They are no jobs: a lost tick is made good by the next one.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

from vibe_tasks.flow import archiving
from vibe_tasks.retention import keeping
from vibe_tasks.store import audit, job_logs, upkeep
from vibe_tasks.store.retention import SELDOM
from vibe_tasks.store.vacuum import is_due, leave_due, vacuum
from vibe_tasks.tasks import dispatcher, resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.event_trimming import BREATH, trim_events
from vibe_tasks.tasks.vacuuming import DAILY

log = logging.getLogger(__name__)

MOST_PIECES = 100
"""Batches of jobs' logs that one tick deletes."""

MOST_SECONDS = 5.0
"""Of archiving in one tick, for which a worker does nothing else."""

MOST_FOLDERS = 5_000
"""Of attempts' files that one tick deletes, of which there is one an hour: some seconds."""

MOST_SLICES = 200
"""Of a vacuum in one tick: some five seconds, and hundreds of megabytes."""

MOST_BATCHES = 400
"""Of events that one tick deletes: some ten seconds of work on SQLite."""


# Without events: once a second would be all that Flower remembers.
@app.task(name="vibe.dispatch", ignore_result=True, lane="control", send_events=False)
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


@app.task(name="vibe.archive", ignore_result=True, lane="control")
def archive() -> dict[str, Any]:
    """Archive and delete what the settings do not keep, for some seconds; what became of how many
    rows, and whether there is more, which the next tick goes on with.
    """
    settings, ledger = resources.settings(), resources.ledger()
    done = archiving.tidy(
        ledger, keeping(settings), monotonic=resources.monotonic, pause=resources.pause,
        seconds=MOST_SECONDS, seldom=SELDOM,
    )  # fmt: skip
    return asdict(done)


@app.task(name="vibe.trim_attempts", ignore_result=True, lane="control")
def trim_old_attempts() -> int:
    """Delete the files of attempts that this host keeps no longer; of how many jobs."""
    days = resources.settings().attempts_days
    return archiving.remove_old_attempts(
        resources.ledger(), resources.home(), days, most=MOST_FOLDERS
    )


@app.task(name="vibe.trim_events", ignore_result=True, lane="control")
def trim_old_events() -> dict[str, Any]:
    """Delete the events that the rules do not keep; how many of each bucket, and whether there are
    more, which the next tick deletes.
    """
    settings, ledger = resources.settings(), resources.ledger()
    return asdict(trim_events(ledger, settings, pause=resources.pause, most=MOST_BATCHES))


@app.task(name="vibe.trim_audit", ignore_result=True, lane="control")
def trim_old_audit() -> int:
    """Delete entries of the audit trail that are too old to be kept; how many."""
    return audit.trim(
        resources.ledger(), resources.settings().audit_days, resources.person("upkeep"),
        most=MOST_PIECES,
    )  # fmt: skip


@app.task(name="vibe.vacuum", ignore_result=True, lane="control")
def vacuum_ledger() -> dict[str, Any] | None:
    """Give back the room of what was deleted, with figures of before and after; None where
    somebody has done so today, and on a server, whose autovacuum does it. The next tick goes on
    where there was too much.
    """
    ledger = resources.ledger()
    if not ledger.is_sqlite or not is_due(ledger, every=DAILY):
        return None
    done = vacuum(ledger, monotonic=resources.monotonic, pause=resources.pause, most=MOST_SLICES)
    if done.more:
        leave_due(ledger)
    log.info("vacuum: %s", done)
    return asdict(done)


@app.task(name="vibe.trim_job_logs", ignore_result=True, lane="control")
def trim_old_job_logs() -> int:
    """Delete what jobs said too long ago to be kept; how many pieces."""
    return job_logs.trim(
        resources.ledger(), resources.settings().job_log_days,
        pause=partial(resources.pause, BREATH), most=MOST_PIECES,
    )  # fmt: skip
