"""What of a ledger is copied: its tables, their keys, and rows as plain values.

JSON travels as the text that the database holds: nothing is parsed on the way, so no number is
rounded and nothing comes into another order. Rows are read below SQLAlchemy, which would take
longer for each row than both databases together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Connection, Integer, Table, tuple_

from vibe_tasks.store.engine import Database
from vibe_tasks.store.operation_tables import MOVED_TO, OWN_PREFIX, ledger_facts, metadata
from vibe_tasks.store.statement import driver, give_up

Key = tuple[Any, ...]
"""The values of a row's primary key, in the order of the key's columns."""

Row = tuple[Any, ...]
"""A row's values in the order of the table's columns, JSON as text."""

READY = "ready"
"""The fact of a ledger that began as a copy and was released: that copy's id."""

MOST_ROWS, MOST_BYTES = 1_000, 4_000_000
"""A batch: at most so many rows, and about so many characters where rows are long."""

_LOOKED_AT = 25
"""Rows of a batch whose length is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Copied:
    """A table as it is copied.

    Attributes:
        table: The table.
        columns: Its columns, in order.
        key: The columns of its primary key, in order.
        places: Where these are among the columns, from 0.
    """

    table: Table
    columns: tuple[Column[Any], ...]
    key: tuple[Column[Any], ...]
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def key_of(self, row: Row) -> Key:
        """The key of one of its rows."""
        return tuple([row[place] for place in self.places])


def _copied(table: Table) -> Copied:
    columns, key = tuple(table.columns), tuple(table.primary_key.columns)
    places = tuple(columns.index(column) for column in key)
    return Copied(table=table, columns=columns, key=key, places=places)


TABLES = tuple(_copied(table) for table in metadata.sorted_tables)
"""Every table, what others refer to first."""


def is_own(table: Copied, key: Key) -> bool:
    """Whether a row belongs to its database and not to the ledger, and so is never copied."""
    if table.table is not ledger_facts:
        return False
    name = str(key[0])
    return name.startswith(OWN_PREFIX) or name in {MOVED_TO, READY}


def is_json(column: Column[Any]) -> bool:
    """Whether the column holds JSON."""
    return isinstance(column.type, JSON)


def after(connection: Connection, table: Copied, key: Key | None, limit: int) -> list[Row]:
    """The next rows in the order of the key, own ones included.

    Args:
        connection: A connection for reading.
        table: The table.
        key: The last one that was read; None: from the beginning.
        limit: Rows at most.
    """
    return _next(connection, table, _listed(table.columns), key, limit)


def keys_after(connection: Connection, table: Copied, key: Key | None, limit: int) -> list[Key]:
    """As `after`, the keys alone."""
    return _next(connection, table, _listed(table.key), key, limit)


def by_keys(connection: Connection, table: Copied, keys: Collection[Key]) -> dict[Key, Row]:
    """The rows of these keys, as far as they are there."""
    if not keys:
        return {}
    columns = _listed(table.columns)
    same = " AND ".join(
        f'"{table.name}"."{each.name}" = k{at}' for at, each in enumerate(table.key)
    )
    values: list[Any]
    if connection.dialect.name == "sqlite":
        # Keys first, always: for each of them the row is looked up.
        parts = ", ".join(
            f"json_extract(value, '$[{at}]') AS k{at}" for at in range(len(table.key))
        )
        wanted = f"(SELECT {parts} FROM json_each(?)) CROSS JOIN"  # noqa: S608
        values = [json.dumps(list(keys))]
    else:
        kinds = ("bigint" if isinstance(each.type, Integer) else "text" for each in table.key)
        arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
        names = ", ".join(f"k{at}" for at in range(len(table.key)))
        wanted = f"unnest({arrays}) AS wanted ({names}) JOIN"
        values = [list(each) for each in zip(*keys, strict=True)]
    statement = f'SELECT {columns} FROM {wanted} "{table.name}" ON {same}'  # noqa: S608
    return {table.key_of(row): row for row in _ask(connection, statement, values)}


def has_key(table: Copied, keys: Iterable[Key]) -> ColumnElement[bool]:
    """The condition that a row has one of these keys."""
    if len(table.key) == 1:
        return table.key[0].in_([key[0] for key in keys])
    return tuple_(*table.key).in_(list(keys))


def batches(database: Database, table: Copied, key: Key | None = None) -> Iterator[list[Row]]:
    """All rows in the order of the key, in batches of bounded size; each is read by itself, so
    nobody is held up and no transaction is open in between.

    It ends where the table ended when it was looked at: whoever writes faster than is read here
    would be followed for ever.

    Args:
        database: Where they are.
        table: The table.
        key: Begin behind this one; None: at the beginning.
    """
    limit = MOST_ROWS
    while True:
        with database.read() as connection:
            rows = after(connection, table, key, limit)
        if not rows:
            return
        yield rows
        if len(rows) < limit:
            return
        key = table.key_of(rows[-1])
        looked_at = rows[:: 1 + len(rows) // _LOOKED_AT]
        limit = next_limit(len(looked_at), size_of(looked_at))


def size_of(rows: Sequence[Row]) -> int:
    """About how many characters these rows have."""
    return sum(len(value) if isinstance(value, str) else 8 for row in rows for value in row)


def next_limit(rows: int, size: int) -> int:
    """How many rows the next batch may have, after some of so many rows and characters."""
    return max(1, min(MOST_ROWS, MOST_BYTES * rows // max(1, size)))


def _next(
    connection: Connection, table: Copied, columns: str, key: Key | None, limit: int
) -> list[Row]:
    order, place = _listed(table.key), "?" if connection.dialect.name == "sqlite" else "%s"
    beyond = f"WHERE ({order}) > ({', '.join([place] * len(table.key))})" if key else ""
    statement = f'SELECT {columns} FROM "{table.name}" {beyond} ORDER BY {order} LIMIT {limit}'  # noqa: S608
    return _ask(connection, statement, list(key or ()))


def _listed(columns: Sequence[Column[Any]]) -> str:
    names = ((each, f'"{each.table.name}"."{each.name}"') for each in columns)
    return ", ".join(f"CAST({name} AS TEXT)" if is_json(each) else name for each, name in names)


def _ask(connection: Connection, statement: str, values: Sequence[object]) -> list[Row]:
    try:
        found: list[Row] = driver(connection).execute(statement, values).fetchall()
    except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
        give_up(connection, statement, error)
    return found
