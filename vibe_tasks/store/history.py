"""The history of jobs: a row for each change of status, and the archive of old ones."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select

from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.schema import job_history, job_history_archive

_H = job_history.c
SECONDS_PER_DAY = 86_400.0


def history_of(database: Database, job_id: str) -> tuple[dict[str, Any], ...]:
    """Every transition of a job, oldest first, archived ones included."""
    found: list[dict[str, Any]] = []
    with database.read() as connection:
        for table in (job_history_archive, job_history):
            rows = connection.execute(
                select(table).where(table.c.job_id == job_id).order_by(table.c.id)
            )
            found.extend(dict(row) for row in rows.mappings())
    return tuple(found)


def archive_old_history(database: Database, days: float, *, batch: int = 1_000) -> int:
    """Move history rows older than this many days to the archive; how many.

    Each batch is one transaction, so a claim never waits for more than one batch and a death
    half way leaves every row in exactly one of the two tables.

    Args:
        database: The ledger's database.
        days: Age in days from which a row is old. Zero or more.
        batch: Rows in one transaction. At least 1.
    """
    if not days >= 0:
        raise ValueError(f"days must be zero or more, got {days}")
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, got {batch}")
    # One look at the clock: rows that are written meanwhile must not keep us here for ever.
    oldest_kept = server_time(database) - days * SECONDS_PER_DAY
    old = (
        select(_H.id)
        .where(_H.timestamp < oldest_kept)
        .order_by(_H.timestamp)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    moved = 0
    while True:
        with database.begin() as connection:
            ids = list(connection.execute(old).scalars())
            if not ids:
                return moved
            connection.execute(
                insert(job_history_archive).from_select(
                    list(job_history_archive.c.keys()),
                    select(job_history).where(_H.id.in_(ids)),
                )
            )
            connection.execute(delete(job_history).where(_H.id.in_(ids)))
        moved += len(ids)


def count_history(database: Database) -> tuple[int, int]:
    """Rows in the history and in its archive."""
    with database.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(job_history)).scalar_one(),
            connection.execute(select(func.count()).select_from(job_history_archive)).scalar_one(),
        )
