"""Moving or deleting many rows, a batch at a time, each batch a short transaction of its own.

The rows of a batch are looked for before its transaction, for which SQLite's other writers wait,
and are looked at again in it. A walk passes over each row once: what another process holds at that
moment is left for the next walk, so none waits for another, and a death half way leaves whole
batches done and the rest as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Table, func, select

from vibe_tasks.retention import AIM, AIM_ON_SERVER, next_size
from vibe_tasks.store.engine import Database

FIRST = 200
"""Rows of the first batch, before it is known how long they take."""


_NO_FLUSH = "SET LOCAL synchronous_commit TO off"
"""A server that loses its power right after a batch has all of it or nothing, and then it is done
again: nobody need wait for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Rows to pass over.

    Attributes:
        table: Where they are.
        verb: What becomes of them.
        look: Finds at most so many after the one that is given, None at the start; none where there
            are no more.
        act: Does it to those that were found; how many rows it was done to.
        limit: Rows to which it is done at most; None: all that are found.
    """

    table: str
    verb: Literal["archived", "deleted"]
    look: Callable[[Connection, Any, int], Sequence[Any]]
    act: Callable[[Connection, Sequence[Any]], int]
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A batch that is done.

    Attributes:
        table: Where its rows were.
        verb: What became of them.
        rows: How many they were.
        seconds: For which it held its locks.
    """

    table: str
    verb: Literal["archived", "deleted"]
    rows: int
    seconds: float


def steps(
    database: Database, walk: Walk, *, monotonic: Callable[[], float], most: int
) -> Iterator[Step]:
    """Walk; a batch is done each time that the next step is asked for.

    Args:
        database: The ledger.
        walk: What to pass over.
        monotonic: Seconds that only ever grow.
        most: Rows of a batch at most.
    """
    aim = AIM if database.is_sqlite else AIM_ON_SERVER
    last, size, left = None, min(FIRST, most), walk.limit
    while left is None or left > 0:
        wanted = size if left is None else min(size, left)
        with database.read() as connection:
            found = walk.look(connection, last, wanted)
        if not found:
            return
        last = found[-1]
        with database.begin() as connection:
            began = monotonic()
            if not database.is_sqlite:
                connection.exec_driver_sql(_NO_FLUSH)
            rows = walk.act(connection, found)
        seconds = monotonic() - began
        # Whoever looks may give fewer than were wanted, where they are large.
        size = next_size(min(size, len(found)), seconds, aim=aim, most=most)
        left = None if left is None else left - rows
        yield Step(table=walk.table, verb=walk.verb, rows=rows, seconds=seconds)


def surplus(connection: Connection, key: ColumnElement[int], keep: int) -> int:
    """How many rows of a table are more than are kept.

    They are counted only where the range of their keys says that there may be too many: to count
    ten million rows takes seconds.
    """
    ends: Any = connection.execute(select(func.min(key), func.max(key))).one()
    if ends[0] is None or ends[1] - ends[0] < keep:
        return 0
    return max(0, connection.execute(select(func.count(key))).scalar_one() - keep)


def first_since(
    connection: Connection, table: Table, key: ColumnElement[int], time: ColumnElement[float],
    moment: float,
) -> int:  # fmt: skip
    """The lowest key whose row is not older than this moment; one past the highest where all are.

    A search by halves over keys that rise with the time, which no index need know. Where two rows
    stand in the wrong order, as they may that were written at once, it is one of the keys around.
    """
    ends: Any = connection.execute(select(func.min(key), func.max(key))).one()
    if ends[0] is None:
        return 0
    low, high = int(ends[0]), int(ends[1]) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            select(key, time).select_from(table).where(key >= middle).order_by(key).limit(1)
        ).first()
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = int(row[0]) + 1
    return high
