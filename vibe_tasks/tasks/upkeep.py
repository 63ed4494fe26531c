"""Maintenance as Celery tasks of the lane `control`, which beat calls.

They are no jobs: a lost tick is made good by the next one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vibe_tasks.store import upkeep
from vibe_tasks.store.history import archive_old_history
from vibe_tasks.tasks import dispatcher, resources
from vibe_tasks.tasks.app import app


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
