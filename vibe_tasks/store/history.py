"""The history of jobs: a row for each change of status, and the archive of old ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, tuple_

from vibe_tasks.store.batches import Walk, first_since, steps, surplus
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.event_tables import metric_marks
from vibe_tasks.store.job_rows import among, as_parameter
from vibe_tasks.store.schema import job_history, job_history_archive

_H, _A, _M = job_history.c, job_history_archive.c, metric_marks.c
SECONDS_PER_DAY = 86_400.0


def history_of(database: Database, job_id: str) -> tuple[dict[str, Any], ...]:
    """Every transition of a job, oldest first, archived ones included."""
    found: dict[int, dict[str, Any]] = {}
    with database.read() as connection:
        # The archive afterwards: what goes there meanwhile is found in both, and not in neither.
        for table in (job_history, job_history_archive):
            rows = connection.execute(select(table).where(table.c.job_id == job_id))
            found.update((row["id"], dict(row)) for row in rows.mappings())
    return tuple(found[each] for each in sorted(found))


def archive_old_history(
    database: Database,
    days: float,
    *,
    batch: int = 1_000,
    pause: Callable[[], object] | None = None,
) -> int:
    """Move history rows older than this many days to the archive; how many.

    Each batch is one transaction, so a claim never waits for more than one batch and a death
    half way leaves every row in exactly one of the two tables.

    Args:
        database: The ledger's database.
        days: Age in days from which a row is old. Zero or more.
        batch: Rows in one transaction. At least 1.
        pause: Called after each batch, to leave others their turn.
    """
    if not days >= 0:
        raise ValueError(f"days must be zero or more, got {days}")
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, got {batch}")
    # One look at the clock: rows that are written meanwhile must not keep us here for ever.
    old = old_history(server_time(database) - days * SECONDS_PER_DAY)
    moved = 0
    for step in steps(database, old, monotonic=lambda: 0.0, most=batch):
        moved += step.rows
        if pause is not None:
            pause()
    return moved


def old_history(oldest_kept: float) -> Walk:
    """Rows of the history from before this moment, to the archive.

    They are found by their time, for which there is an index, from the last one on: PostgreSQL
    would go over the places of all that were moved before, until they are vacuumed.
    """

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        old = select(_H.id, _H.timestamp).where(_H.timestamp < oldest_kept)
        if last is not None:
            after = tuple_(_H.timestamp, _H.id) > (last.timestamp, last.id)
            old = old.where(_H.timestamp >= last.timestamp, after)
        return connection.execute(old.order_by(_H.timestamp, _H.id).limit(size)).all()

    return Walk(table=job_history.name, verb="archived", look=look, act=_move)


def long_history(connection: Connection, keep: int) -> Walk:
    """The oldest rows of the history that are more than so many, to the archive."""

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        old = select(_H.id).where(_H.id > (0 if last is None else last.id))
        return connection.execute(old.order_by(_H.id).limit(size)).all()

    return Walk(
        table=job_history.name, verb="archived", look=look, act=_move,
        limit=surplus(connection, _H.id, keep),
    )  # fmt: skip


def _move(connection: Connection, found: Sequence[Any]) -> int:
    """Move those of these rows that nobody else is moving; how many."""
    chosen = among(_H.id, "ids", connection.dialect.name)
    given = {"ids": as_parameter(connection, [row.id for row in found])}
    free = select(_H.id).where(chosen).order_by(_H.id).with_for_update(skip_locked=True)
    given = {"ids": as_parameter(connection, connection.execute(free, given).scalars().all())}
    copied = insert(job_history_archive).from_select(
        list(job_history_archive.c.keys()), select(job_history).where(chosen)
    )
    connection.execute(copied, given)
    return connection.execute(delete(job_history).where(chosen), given).rowcount


def old_archive(connection: Connection, *, before: float | None = None, keep: int | None = None
                ) -> Walk:  # fmt: skip
    """Rows of the history's archive, to be deleted; never one that the counters do not have yet.

    Args:
        connection: A connection.
        before: Those of before this moment.
        keep: Those that are more than so many, the oldest.
    """
    end = connection.execute(select(func.max(_M.position)).where(_M.source == "job_history"))
    bound = (end.scalar() or 0) + 1
    if before is not None:
        bound = min(
            bound, first_since(connection, job_history_archive, _A.id, _A.timestamp, before)
        )
    is_old = _A.id < bound if before is None else (_A.id < bound) & (_A.timestamp < before)

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        old = select(_A.id).where(is_old, _A.id > (0 if last is None else last.id))
        return connection.execute(old.order_by(_A.id).limit(size)).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        return delete_archived(connection, [row.id for row in found])

    return Walk(
        table=job_history_archive.name, verb="deleted", look=look, act=act,
        limit=None if keep is None else surplus(connection, _A.id, keep),
    )  # fmt: skip


def delete_archived(connection: Connection, ids: Sequence[int]) -> int:
    """Delete these rows of the archive; how many there were."""
    chosen = among(_A.id, "ids", connection.dialect.name)
    given = {"ids": as_parameter(connection, ids)}
    return connection.execute(delete(job_history_archive).where(chosen), given).rowcount


def count_history(database: Database) -> tuple[int, int]:
    """Rows in the history and in its archive."""
    with database.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(job_history)).scalar_one(),
            connection.execute(select(func.count()).select_from(job_history_archive)).scalar_one(),
        )
