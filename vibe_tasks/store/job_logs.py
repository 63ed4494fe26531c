"""What jobs said while they ran: written in pieces, read from a position on, deleted by age.

The lines of an attempt are numbered from 1, those that are not kept too. A piece has the number of
its last line as its `seq`; whoever has read up to a piece goes on after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.log_buffer import Batch, in_words
from vibe_tasks.store.engine import Database, now, server_time
from vibe_tasks.store.event_tables import job_logs
from vibe_tasks.store.history import SECONDS_PER_DAY
from vibe_tasks.store.sealing import sealed

_L = job_logs.c
BATCH = 500
"""Pieces deleted in one transaction."""

LOGGER = "vibe_tasks.job_log"
"""Who says, in a log, what the job itself does not: how it failed, that something is missing."""


def write(connection: Connection, job_id: str, attempt: int, batch: Batch) -> None:
    """Write what an attempt has said since the last time. Twice is once.

    Args:
        connection: A writing transaction.
        job_id: The job.
        attempt: The attempt.
        batch: What it said.
    """
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    of = {"job_id": job_id, "attempt": attempt}
    if batch.dropped:
        connection.execute(
            delete(job_logs).where(
                _L.job_id == job_id, _L.attempt == attempt, _L.seq.in_(batch.dropped)
            )
        )
    if batch.missing is not None:
        said = {"at": None, "level": "warning", "logger": LOGGER, "text": in_words(batch.missing)}
        mark = kind.insert(job_logs).values(
            **of, seq=batch.missing.seq, at=now(), lines=sealed(connection, [said])
        )
        connection.execute(
            mark.on_conflict_do_update(
                index_elements=[_L.job_id, _L.attempt, _L.seq],
                set_={"lines": mark.excluded.lines, "at": mark.excluded.at},
            )
        )
    for piece in batch.pieces:
        row = kind.insert(job_logs).values(
            **of, seq=piece.seq, at=now(),
            lines=sealed(connection, [dict(line) for line in piece.lines]),
        )  # fmt: skip
        connection.execute(row.on_conflict_do_nothing())


def latest_attempt(connection: Connection, job_id: str) -> int:
    """The newest attempt of the job that said anything; 0 where none did."""
    found = select(func.max(_L.attempt)).where(_L.job_id == job_id)
    return connection.execute(found).scalar() or 0


def pieces_of(
    connection: Connection, job_id: str, attempt: int, *, after: int = 0, limit: int
) -> tuple[dict[str, Any], ...]:
    """Pieces of an attempt's log, oldest first: `attempt`, `seq`, `at` and `lines`.

    Args:
        connection: A connection.
        job_id: The job's whole id.
        attempt: The attempt.
        after: Only pieces with a greater `seq`.
        limit: At most so many.
    """
    wanted = (
        select(_L.attempt, _L.seq, _L.at, _L.lines)
        .where(_L.job_id == job_id, _L.attempt == attempt, _L.seq > after)
        .order_by(_L.seq)
        .limit(limit)
    )
    return tuple(dict(row) for row in connection.execute(wanted).mappings())


def trim(
    database: Database, days: float, *, pause: Callable[[], object] = lambda: None,
    most: int | None = None, batch: int = BATCH,
) -> int:  # fmt: skip
    """Delete what was said more than so many days ago; how many pieces.

    Args:
        database: The ledger.
        days: Age; 0: nothing is deleted.
        pause: Called between two batches, to leave others their turn.
        most: Batches at most; None: until nothing is left to delete.
        batch: Pieces in one transaction.
    """
    if not days:
        return 0
    oldest = server_time(database) - days * SECONDS_PER_DAY
    with database.read() as connection:  # most of the time nobody need wait for a write
        if connection.execute(select(_L.at).where(_L.at < oldest).limit(1)).first() is None:
            return 0
    key = (_L.job_id, _L.attempt, _L.seq)
    gone = batches = 0
    while most is None or batches < most:
        if batches:
            pause()
        old = select(*key).where(_L.at < oldest).order_by(_L.at).limit(batch)
        with database.begin() as connection:
            removed = connection.execute(delete(job_logs).where(tuple_(*key).in_(old))).rowcount
        batches += 1
        gone += removed
        if removed < batch:
            break
    return gone
