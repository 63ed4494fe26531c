"""All rows of the archives, the events and the audit trail, for who copies them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select

from vibe_tasks.store import metric_totals
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_tables import events, metric_marks
from vibe_tasks.store.history import delete_archived
from vibe_tasks.store.job_archive import delete_archived_jobs
from vibe_tasks.store.operation_tables import audit, jobs_archive
from vibe_tasks.store.schema import job_history_archive
from vibe_tasks.store.sealing import sealed

BATCH = 1_000
"""Rows that are read, or deleted, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A table, its key, and its time in epoch seconds."""

    table: Table
    key: ColumnElement[int]
    time: ColumnElement[Any]


_SOURCES: Mapping[str, _Source] = {
    each.table.name: each
    for each in (
        _Source(table=job_history_archive, key=job_history_archive.c.id,
                time=job_history_archive.c.timestamp),
        _Source(table=jobs_archive, key=jobs_archive.c.seq, time=jobs_archive.c.status_updated_at),
        _Source(table=events, key=events.c.id, time=events.c.timestamp / 1000.0),
        _Source(table=audit, key=audit.c.id, time=audit.c.at),
    )
}  # fmt: skip

TABLES = tuple(_SOURCES)
"""What is exported, in this order."""

KEYS: Mapping[str, str] = {"job_history_archive": "id", "jobs_archive": "seq"}
"""What may be deleted once it was exported, and what its rows are known by. The others go by rules
of their own."""


def rows_of(ledger: Database, name: str, *, before: float | None) -> Iterator[dict[str, Any]]:
    """The rows of one of `TABLES`, oldest first.

    Args:
        ledger: The ledger.
        name: Which.
        before: Only those of before this moment.
    """
    source = _SOURCES[name]
    wanted = select(source.table).order_by(source.key).limit(BATCH)
    if before is not None:
        wanted = wanted.where(source.time < before)
    last = 0
    while True:
        with ledger.read() as connection:
            rows = connection.execute(wanted.where(source.key > last)).mappings().all()
            read = [dict(row) for row in rows]
            for row in read:
                if "row" in row:  # what is sealed at rest leaves the ledger sealed
                    row["row"] = sealed(connection, row["row"])
        yield from read
        if len(rows) < BATCH:
            return
        last = rows[-1][source.key.name]


def summed_up_to(ledger: Database) -> int:
    """The last row of history that the counters have, once they have all they can get."""
    metric_totals.sum_history(ledger, batches=1_000_000)
    with ledger.read() as connection:
        mark = select(func.max(metric_marks.c.position)).where(
            metric_marks.c.source == metric_totals.HISTORY
        )
        return int(connection.execute(mark).scalar() or 0)


def delete_rows(ledger: Database, name: str, keys: Sequence[int]) -> int:
    """Delete these rows of an archive, in one transaction; how many there were."""
    delete = {"job_history_archive": delete_archived, "jobs_archive": delete_archived_jobs}[name]
    with ledger.begin() as connection:
        return delete(connection, keys)
