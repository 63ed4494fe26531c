"""Sums over the history of jobs, for counters.

Who wants to tell them first sums what is new: from the mark up to the newest row, in batches. The
mark moves in the transaction of the sums and only from where it was read, so that several processes
at once count nothing twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Connection,
    ScalarSelect,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.metrics import OTHER, Labels, Step, increments
from vibe_tasks.store.agent_tables import agent_usage
from vibe_tasks.store.engine import Database, now
from vibe_tasks.store.event_tables import metric_marks, metric_totals
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.schema import job_history, job_history_archive, jobs

HISTORY = "job_history"
"""The source whose mark this is."""

BATCH = 1_000
"""Rows of one transaction."""

OPEN = 60.0
"""Seconds that a transaction may take to commit an id that it drew: a gap before a row that is
older will not be filled any more."""

MOST_VALUES = 50
"""Agents, and classes of errors, that are told apart; the rest is `other`."""

_J, _O, _U = jobs.c, jobs_archive.c, agent_usage.c


def _of(table: Table) -> Select[Any]:
    """The next rows of the history or of its archive, to which a row may have gone unsummed."""
    # So many of each: neither database sorts, or copies, all that is in them.
    some = select(table).where(table.c.id > bindparam("position")).order_by(table.c.id)
    return select(some.limit(bindparam("most")).subquery())


def _before(table: Table) -> ScalarSelect[Any]:
    """When the row before was written."""
    before = table.alias()
    return (
        select(before.c.timestamp)
        .where(before.c.job_id == _H.job_id, before.c.id < _H.id)
        .order_by(before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


_H = union_all(_of(job_history), _of(job_history_archive)).subquery("steps").c
_SINCE = func.coalesce(_before(job_history), _before(job_history_archive))
_STEPS = (
    select(
        _H.id, _H.from_status, _H.status, _H.attempt, _H.details, _H.timestamp,
        (_H.timestamp - _SINCE).label("since"), func.coalesce(_J.kind, _O.kind).label("kind"),
        func.coalesce(_J.lane, _O.lane).label("lane"), _U.agent,
        (now() - _H.timestamp).label("age"),
    )
    .outerjoin(jobs, _J.id == _H.job_id)
    .outerjoin(jobs_archive, _O.id == _H.job_id)
    .outerjoin(agent_usage, and_(_U.job_id == _H.job_id, _U.attempt == _H.attempt))
    .order_by(_H.id)
    .limit(bindparam("most"))
)  # fmt: skip

Totals = Mapping[tuple[str, Labels], float]
"""Sums by name and labels."""


def sum_history(ledger: Database, *, batches: int = 20) -> bool:
    """Add what is new to the sums; whether all of it is in them.

    Args:
        ledger: The ledger.
        batches: At most so many transactions.
    """
    for _ in range(batches):
        with ledger.begin() as connection:
            if not _sum_batch(connection):
                return True
    return False


def totals(connection: Connection) -> Totals:
    """All sums."""
    rows = connection.execute(select(metric_totals.c.name, metric_totals.c.labels,
                                     metric_totals.c.value))  # fmt: skip
    return {(row.name, _labels(row.labels)): row.value for row in rows}


def add(connection: Connection, amounts: Mapping[tuple[str, Labels], float]) -> None:
    """Add to the sums."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    rows = [
        {"name": name, "labels": json.dumps(labels), "value": value}
        for (name, labels), value in sorted(amounts.items())  # in one order: no two lock crosswise
    ]
    if rows:
        insert = kind.insert(metric_totals)
        more = {"value": metric_totals.c.value + insert.excluded.value}
        connection.execute(insert.on_conflict_do_update(index_elements=["name", "labels"],
                                                        set_=more), rows)  # fmt: skip


def _sum_batch(connection: Connection) -> bool:
    """Whether there may be more."""
    position = _mark(connection)
    rows = connection.execute(_STEPS, {"position": position, "most": BATCH}).all()
    found = list(rows) if connection.dialect.name == "sqlite" else _settled(rows, position)
    if not found or not _move(connection, position, found[-1].id):
        return False
    amounts: Counter[tuple[str, Labels]] = Counter()
    for row in found:
        for name, labels, value in increments(_step(row)):
            amounts[name, labels] += value  # type: ignore[assignment]  # a sum of seconds
    add(connection, _bounded(amounts, totals(connection)))
    return len(found) == BATCH


def _mark(connection: Connection) -> int:
    wanted = select(metric_marks.c.position).where(metric_marks.c.source == HISTORY)
    return connection.execute(wanted).scalar() or 0


def _move(connection: Connection, old: int, new: int) -> bool:
    """Whether the mark stood where we began; another process's sums make it stand elsewhere."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    first = kind.insert(metric_marks).values(source=HISTORY, position=0)
    connection.execute(first.on_conflict_do_nothing())
    moved = connection.execute(
        update(metric_marks)
        .where(metric_marks.c.source == HISTORY, metric_marks.c.position == old)
        .values(position=new)
    )
    return moved.rowcount == 1


def _settled(rows: Iterable[Any], position: int) -> list[Any]:
    """The rows before the first gap that may still be filled: ids are drawn before the commit."""
    found: list[Any] = []
    for row in rows:
        if row.id != position + 1 and row.age < OPEN:
            break
        position = row.id
        found.append(row)
    return found


def _step(row: Any) -> Step:
    return Step(
        before=row.from_status, status=row.status, attempt=row.attempt, error=row.details,
        since=row.since, kind=row.kind or OTHER, lane=row.lane or OTHER, agent=row.agent or "",
    )  # fmt: skip


def _bounded(amounts: Totals, known: Totals) -> Totals:
    """The same sums; a label's values beyond `MOST_VALUES` become `other`.

    A metrics system holds a row for each combination for ever, and errors' names are anybody's.
    """
    values: dict[str, set[str]] = {"agent": set(), "error_class": set()}
    for _, labels in known:
        for name, value in labels:
            if name in values:
                values[name].add(value)
    bounded: Counter[tuple[str, Labels]] = Counter()
    for (metric, labels), amount in amounts.items():
        kept = tuple((name, _one_of(values.get(name), value)) for name, value in labels)
        bounded[metric, kept] += amount  # type: ignore[assignment]  # a sum of seconds
    return bounded


def _one_of(known: set[str] | None, value: str) -> str:
    if known is None or value in known:
        return value
    if len(known) >= MOST_VALUES:
        return OTHER
    known.add(value)
    return value


def _labels(text: str) -> Labels:
    return tuple((name, value) for name, value in json.loads(text))


def unsummed(connection: Connection) -> int:
    """How many rows of history are not in the sums yet, or a few more."""
    last = [connection.execute(select(func.max(each.c.id))).scalar() or 0
            for each in (job_history, job_history_archive)]  # fmt: skip
    return max(0, *last, _mark(connection)) - _mark(connection)
