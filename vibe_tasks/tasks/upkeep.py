"""Maintenance as Celery tasks of the lane `control`, which beat calls.

They are no jobs: a lost tick is made good by the next one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vibe_tasks.store.history import archive_old_history
from vibe_tasks.tasks import dispatcher, resources
from vibe_tasks.tasks.app import app


@app.task(name="vibe.dispatch", ignore_result=True, queue="control")
def dispatch() -> dict[str, Any]:
    """Send what is due, notice what the broker lost, take back expired leases."""
    settings = resources.settings()
    return asdict(dispatcher.dispatch(app, resources.ledger(), grace=settings.republish_seconds))


@app.task(name="vibe.archive", ignore_result=True, queue="control")
def archive(days: float = 7.0) -> int:
    """Move old history to the archive; how many rows."""
    return archive_old_history(resources.ledger(), days)
