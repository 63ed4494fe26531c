"""What a process did to jobs on SQLite, collected in its own transactions.

Triggers of the connection (temporary: the file and other programs know nothing of them) call a
function for each job that became ready or changed its status. When the connection goes back to
its pool, after the commit, the collected notifications are handed on. So nothing that changes a
status can forget to tell, as nothing can on PostgreSQL, whose triggers say the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event

from vibe_tasks.store.engine import COLLECTED, Database
from vibe_tasks.store.listening import NEW_JOB, STATUS_CHANGED, Notification

Moved = tuple[str, str, int | None, str | None, str | None]
"""A job's id and lane; its priority where it became ready; the old status and the new where that
changed. Made into notifications only where somebody listens."""

Tell = Callable[[Sequence[Moved]], None]
"""What gets them; called by the thread that committed, so it must not wait."""

TRIGGERS = (
    """
CREATE TEMP TRIGGER tell_submitted AFTER INSERT ON main.jobs
WHEN NEW.status = 'pending' AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL
BEGIN SELECT vibe_tell(NEW.id, NEW.lane, NEW.priority, NULL, NULL); END
""",
    """
CREATE TEMP TRIGGER tell_moved AFTER UPDATE OF status ON main.jobs WHEN OLD.status <> NEW.status
BEGIN SELECT vibe_tell(NEW.id, NEW.lane,
  CASE WHEN NEW.status = 'pending' AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL
       THEN NEW.priority END,
  OLD.status, NEW.status); END
""",
    """
CREATE TEMP TRIGGER tell_due AFTER UPDATE OF backoff_until, held_at ON main.jobs
WHEN (OLD.backoff_until IS NOT NULL OR OLD.held_at IS NOT NULL)
  AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL
  AND OLD.status = 'pending' AND NEW.status = 'pending'
BEGIN SELECT vibe_tell(NEW.id, NEW.lane, NEW.priority, NULL, NULL); END
""",
)
"""As PostgreSQL's triggers of `store.extras`: when a job is new, moved, or its turn
or time has come."""


def tell_of(database: Database, tell: Tell) -> None:
    """From now on, hand what this process commits to `tell`; on PostgreSQL the server does it.

    The schema must be there.
    """
    if not database.is_sqlite:
        return
    event.listen(database.engine, "connect", _prepare)

    @event.listens_for(database.engine, "checkin")
    def on_checkin(connection: sqlite3.Connection | None, record: Any) -> None:
        collected = record.info.get(COLLECTED)
        if not collected:
            return
        if connection is not None:
            tell(tuple(collected))
        collected.clear()

    database.engine.dispose()  # connections that are open already have no triggers


def notifications_of(moved: Moved) -> list[Notification]:
    """What PostgreSQL would have sent."""
    job_id, lane, priority, old, new = moved
    told = []
    if new is not None:
        told.append(
            Notification(
                channel=STATUS_CHANGED, job_id=job_id, lane=lane, old_status=old, new_status=new
            )
        )
    if priority is not None:
        told.append(Notification(channel=NEW_JOB, job_id=job_id, lane=lane, priority=priority))
    return told


def mark_of(database: Database) -> str:
    """A name for this SQLite file that all its users agree on, whatever path they know it by.

    Two files never have the same one on one machine, and a file in WAL mode is used on one only.

    Raises:
        OSError: The file is gone.
    """
    found = Path(str(database.engine.url.database)).stat()
    return f"{found.st_dev:x}.{found.st_ino:x}"


def _prepare(connection: sqlite3.Connection, record: Any) -> None:
    collected: list[Moved] = []
    record.info[COLLECTED] = collected
    connection.create_function("vibe_tell", 5, lambda *row: collected.append(row))
    for trigger in TRIGGERS:
        connection.execute(trigger)
