"""The log of a copy's source: triggers note the key of every row that is written while a copy is
on, in the transaction that writes it. Whoever carries a row over reads it anew, so an entry says
that something changed, not what.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, bindparam, inspect, text

from vibe_tasks.store.copying.patience import patiently
from vibe_tasks.store.copying.rows import TABLES, Copied, Key
from vibe_tasks.store.engine import Database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import COPY_LOG

_NUMBERED = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the log.

    Attributes:
        id: Its number; entries of two transactions may become visible in another order.
        table: Name of the table.
        key: Key of the row.
    """

    id: int
    table: str
    key: Key


def is_on(connection: Connection) -> bool:
    """Whether changes are being noted."""
    return inspect(connection).has_table(COPY_LOG)


def begin(database: Database, patience: Patience) -> None:
    """Note from now on what changes; tables that have the triggers already are left alone.

    What a transaction writes that was under way before is seen by whoever reads after this.

    Args:
        database: The source.
        patience: How to wait for tables that others use.
    """
    patiently(database, _make_log, patience)
    for table in TABLES:
        patiently(database, partial(_watch, table), patience)


def end(database: Database, patience: Patience) -> None:
    """Note nothing more, and take the log away with what is in it."""
    for table in TABLES:
        patiently(database, partial(_unwatch, table), patience)
    patiently(database, _drop_log, patience)


def backlog(connection: Connection) -> int:
    """About how many entries wait; 0 where no copy is on. Counted by their numbers alone."""
    if not is_on(connection):
        return 0
    ends = connection.execute(text(f"SELECT min(id), max(id) FROM {COPY_LOG}")).one()  # noqa: S608
    return 0 if ends[0] is None else int(ends[1] - ends[0] + 1)


def oldest(connection: Connection, limit: int) -> list[Change]:
    """The entries that have waited longest."""
    found = connection.execute(
        text(f"SELECT id, name, key FROM {COPY_LOG} ORDER BY id LIMIT :limit"),  # noqa: S608
        {"limit": limit},
    )
    return [Change(id=row.id, table=row.name, key=tuple(json.loads(row.key))) for row in found]


def forget(connection: Connection, changes: Sequence[Change]) -> None:
    """Take out entries that were carried over; those alone, for one with a lower number may have
    become visible since.
    """
    statement = text(f"DELETE FROM {COPY_LOG} WHERE id IN :ids")  # noqa: S608  a name of ours
    connection.execute(
        statement.bindparams(bindparam("ids", [change.id for change in changes], expanding=True))
    )


class Noted:
    """The keys that have an entry, as far as the log was read: a log of thousands is not to be read
    anew for each batch of rows that is compared, while nobody takes anything out of it.
    """

    def __init__(self) -> None:
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)
        self._last = 0

    def among(self, connection: Connection, table: str, keys: Collection[Key]) -> set[Key]:
        """Those of these keys that have an entry."""
        known = self._keys[table]
        for since in (self._last, 0):  # one with a lower number may have become visible since
            if known.issuperset(keys):
                break
            self._read(connection, since)
        return known.intersection(keys)

    def _read(self, connection: Connection, since: int) -> None:
        entries = text(f"SELECT id, name, key FROM {COPY_LOG} WHERE id > :since")  # noqa: S608
        for number, name, key in connection.execute(entries, {"since": since}):
            self._keys[name].add(tuple(json.loads(key)))
            self._last = max(self._last, number)


def _make_log(connection: Connection) -> None:
    number = _NUMBERED[connection.dialect.name]
    _run(
        connection,
        f"CREATE TABLE IF NOT EXISTS {COPY_LOG} "
        f"(id {number}, name TEXT NOT NULL, key TEXT NOT NULL)",
    )


def _drop_log(connection: Connection) -> None:
    _run(connection, f"DROP TABLE IF EXISTS {COPY_LOG}")


def _watch(table: Copied, connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for statement in _sqlite_triggers(table):
            _run(connection, statement)
        return
    there = text("SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = to_regclass(:table)")
    names = {"name": f"copy_{table.name}", "table": f'"{table.name}"'}
    if connection.execute(there, names).first() is None:
        for statement in _server_trigger(table):
            _run(connection, statement)


def _unwatch(table: Copied, connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for what in ("insert", "update", "delete"):
            _run(connection, f"DROP TRIGGER IF EXISTS copy_{table.name}_{what}")
        return
    _run(connection, f'DROP TRIGGER IF EXISTS copy_{table.name} ON "{table.name}"')
    _run(connection, f"DROP FUNCTION IF EXISTS copy_note_{table.name}()")


def _sqlite_triggers(table: Copied) -> Iterator[str]:
    old, new = _key("json_array", "OLD", table), _key("json_array", "NEW", table)
    noted = f"INSERT INTO {COPY_LOG} (name, key) SELECT '{table.name}',"
    for what, body in {
        "insert": f"{noted} {new};",
        "update": f"{noted} {old}; {noted} {new} WHERE {old} <> {new};",
        "delete": f"{noted} {old};",
    }.items():
        yield (
            f"CREATE TRIGGER IF NOT EXISTS copy_{table.name}_{what} "
            f'AFTER {what.upper()} ON "{table.name}" BEGIN {body} END'
        )


def _server_trigger(table: Copied) -> Iterator[str]:
    old, new = (f"{_key('json_build_array', which, table)}::text" for which in ("OLD", "NEW"))
    noted = f"INSERT INTO {COPY_LOG} (name, key) SELECT '{table.name}',"
    # With the rights of who copies: workers may have another user, who has none on the log.
    yield f"""
CREATE OR REPLACE FUNCTION copy_note_{table.name}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN {noted} {old}; END IF;
  IF TG_OP = 'INSERT' THEN {noted} {new}; END IF;
  IF TG_OP = 'UPDATE' THEN {noted} {new} WHERE {old} <> {new}; END IF;
  RETURN NULL;
END $$"""
    yield (
        f'CREATE TRIGGER copy_{table.name} AFTER INSERT OR UPDATE OR DELETE ON "{table.name}" '
        f"FOR EACH ROW EXECUTE FUNCTION copy_note_{table.name}()"
    )


def _key(function: str, which: str, table: Copied) -> str:
    columns = ", ".join(f'{which}."{column.name}"' for column in table.key)
    return f"{function}({columns})"


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
