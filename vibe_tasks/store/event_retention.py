"""What the ledger keeps of events: each bucket by count and by age, the oldest go first.

Rows go in batches, each a short transaction of its own, so that a claim never waits for more than
one batch. What an event's sender gives as its time decides which is older; but nothing goes for its
age before it has been here for as long, for clocks are wrong, and old events may be brought in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.event_priority import EventPriority
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.event_query import TRIMMED
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.event_tables import events, metric_marks
from vibe_tasks.store.history import SECONDS_PER_DAY

_E = events.c
_M = metric_marks.c
BATCH = 500
"""Events in one transaction: about 5 ms on SQLite, for which claims wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What went.

    Attributes:
        priority: Events of the levels 1 to 3.
        regular: Events of level 0.
        more: Whether there is more to go.
    """

    priority: int = 0
    regular: int = 0
    more: bool = False


def trim(
    database: Database,
    rules: EventRules,
    *,
    pause: Callable[[], object] = lambda: None,
    most: int | None = None,
    batch: int = BATCH,
) -> Trimmed:
    """Delete what the rules do not keep.

    Any number of processes may do so at once: no event goes that one alone would have kept.

    Args:
        database: The ledger.
        rules: What is kept.
        pause: Called between two batches, to leave others their turn.
        most: Batches at most; None: until nothing is left to delete.
        batch: Events in one transaction. At least 1.
    """
    gone = {"priority": 0, "regular": 0}
    batches = 0
    for bucket, levels, condition in _superfluous(database, rules):
        for level in levels:
            removed = batch
            while removed == batch:
                if batches == most:
                    return Trimmed(priority=gone["priority"], regular=gone["regular"], more=True)
                if batches:
                    pause()
                removed = _delete(database, level, condition, batch)
                # A look that finds nothing costs nothing: it is no batch.
                batches += removed > 0
                gone[bucket] += removed
    return Trimmed(priority=gone["priority"], regular=gone["regular"])


def _superfluous(
    database: Database, rules: EventRules
) -> Iterator[tuple[str, tuple[int, ...], ColumnElement[bool]]]:
    """Buckets with something to delete: name, levels, and the condition of what goes."""
    moment = server_time(database)
    grave = tuple(int(level) for level in EventPriority if level)
    for bucket, levels, keep, days in (
        ("regular", (int(EventPriority.REGULAR),), rules.regular_keep, rules.regular_days),
        ("priority", grave, rules.priority_keep, rules.priority_days),
    ):
        if days:
            oldest = moment - days * SECONDS_PER_DAY
            yield bucket, levels, _older_than(oldest)
        last = _first_too_many(database, levels, keep) if keep else None
        if last is not None:
            # An order of two columns: many events may have the same time.
            yield bucket, levels, tuple_(_E.timestamp, _E.id) <= tuple_(*last)


def _older_than(moment: float) -> ColumnElement[bool]:
    here = or_(_E.received_at.is_(None), _E.received_at < moment)
    return (_E.timestamp < int(moment * 1000)) & here


def _first_too_many(
    database: Database, levels: tuple[int, ...], keep: int
) -> tuple[int, int] | None:
    """Time and id of the newest event that is one too many; None where there are not so many."""
    of_bucket = _has_level(*levels)
    newest = select(_E.timestamp, _E.id).where(of_bucket)
    newest = newest.order_by(_E.timestamp.desc(), _E.id.desc()).offset(keep).limit(1)
    with database.read() as connection:
        counted = select(func.count()).select_from(events).where(of_bucket)
        if connection.execute(counted).scalar_one() <= keep:
            return None
        row = connection.execute(newest).first()
    return None if row is None else (row.timestamp, row.id)


def _delete(database: Database, level: int, condition: ColumnElement[bool], batch: int) -> int:
    """Delete a batch of a level's events; how many. That some went is remembered.

    They are looked for before the transaction, for which SQLite's other writers wait: old events
    that were brought in lately stay, and may be a million to look past.
    """
    found = select(_E.id).where(_has_level(level), condition).order_by(_E.timestamp).limit(batch)
    with database.read() as connection:
        ids = list(connection.execute(found).scalars())
    if not ids:
        return 0
    with database.begin() as connection:
        return _delete_these(connection, ids)


def _delete_these(connection: Connection, wanted: list[int]) -> int:
    """Delete these but for those that another process is deleting; how many."""
    free = select(_E.id).where(_E.id.in_(wanted)).with_for_update(skip_locked=True)
    ids = sorted(connection.execute(free).scalars())
    if not ids:
        return 0
    connection.execute(delete(events).where(_E.id.in_(ids)))
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    mark = kind.insert(metric_marks).values(source=TRIMMED, position=ids[-1])
    latest = mark.excluded.position
    further = case((_M.position > latest, _M.position), else_=latest)
    connection.execute(
        mark.on_conflict_do_update(index_elements=[_M.source], set_={"position": further})
    )
    return len(ids)


def _has_level(*levels: int) -> ColumnElement[bool]:
    """In literals: each level is a range of the index."""
    return _E.priority.in_([literal_column(str(level)) for level in levels])
