"""The copy's side: rows are written there with how far the copy has come, in one transaction, and
by one process alone. A second one that goes on with a copy takes the pen from the first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import BigInteger, Column, Connection, Integer, delete, event, select

from vibe_tasks.errors import InputError, MovedError
from vibe_tasks.store.copying import facts, numbers, structure
from vibe_tasks.store.copying.rows import READY, TABLES, Copied, Key, Row, has_key, is_own
from vibe_tasks.store.engine import Database
from vibe_tasks.store.operation_tables import COPY_FROM, OWN_PREFIX, ledger_facts
from vibe_tasks.store.statement import driver, give_up

DONE = "done"
"""The position of a table that was copied to its end."""

_F = ledger_facts.c


class Target:
    """A database that a ledger is copied to.

    Args:
        database: The database; its connections look at no foreign keys from now on.
        holder: A name for this process that no other has.

    Attributes:
        releasing: Whether a release was begun; once it was, it may have been done.
    """

    def __init__(self, database: Database, *, holder: str) -> None:
        self.database = database
        self.releasing = False
        self._holder = holder
        if database.is_sqlite:
            event.listen(database.engine, "connect", _without_foreign_keys)
            database.engine.dispose()  # those that are open already look at them

    def take(self, copy_id: str, origin: str) -> None:
        """Make it this copy, or go on with it; from now on only this process writes to it.

        Args:
            copy_id: Which copy it is.
            origin: Where it comes from, without a password.

        Raises:
            MovedError: It has been released meanwhile.
            InputError: It has become something else meanwhile, or is the ledger itself under
                another name.
        """
        with self.database.begin() as connection:
            # At first: this waits for another process that is releasing it just now.
            facts.keep(connection, facts.HOLDER, self._holder)
            known = facts.own_facts(connection)
            fresh = facts.COPY_ID not in known
            if known.get(READY) == copy_id:
                raise MovedError("the ledger has moved there already, as another process did it")
            if known.get(facts.COPY_ID, copy_id) != copy_id or (fresh and not is_empty(connection)):
                raise InputError("the copy is not empty any more, and no copy of this ledger")
            if facts.COPY_TO in known:
                raise InputError("the copy is the ledger itself, or is being copied elsewhere")
            if fresh:
                connection.execute(
                    delete(ledger_facts).where(~_F.name.startswith(OWN_PREFIX, autoescape=True))
                )
                facts.keep(connection, facts.COPY_ID, copy_id)
                facts.keep(connection, COPY_FROM, origin)
            structure.strip(connection, indexes=fresh)

    def position(self, table: Copied) -> Key | str | None:
        """The key up to which the table was copied, `DONE`, or None before its first row."""
        with self.database.read() as connection:
            found = facts.own_facts(connection).get(facts.POSITION + table.name)
        if found is None:
            return None
        value = json.loads(found)
        return DONE if value == DONE else tuple(value)

    def write(
        self,
        table: Copied,
        rows: Sequence[Row],
        *,
        gone: Collection[Key] = (),
        position: Key | str | None = None,
    ) -> int:
        """Put rows in; how many there were, without those that belong to the source itself.

        Args:
            table: The table.
            rows: Rows, none of which is there but for those of `gone`.
            gone: Rows with these keys are taken out first.
            position: How far the table has come with this.

        Raises:
            MovedError: Another process has gone on with this copy.
            InputError: A row has a value that this database cannot hold.
        """
        ours = [row for row in rows if not is_own(table, table.key_of(row))]
        old = [key for key in gone if not is_own(table, key)]
        with self.database.begin() as connection:
            self._check(connection)
            if old:
                connection.execute(delete(table.table).where(has_key(table, old)))
            if ours:
                _put(connection, table, ours)
            if position is not None:
                facts.keep(connection, facts.POSITION + table.name, json.dumps(position))
        return len(ours)

    def add_indexes(self) -> None:
        """Put the indexes back that rows may come in with."""
        with self.database.begin() as connection:
            self._check(connection)
            structure.add_indexes(connection)

    def complete(self, last: Mapping[str, int]) -> None:
        """Give it all that a ledger has; rows are not to come in any more.

        Args:
            last: The last number that the source gave out, by table.
        """
        with self.database.begin() as connection:
            self._check(connection)
            structure.complete(connection)
            for table in numbers.numbered():
                numbers.give_from(connection, table, last[table.name])

    def release(self) -> None:
        """Make it a ledger that may be worked on."""
        self.releasing = True
        with self.database.begin() as connection:
            self._check(connection)
            copy_id = facts.own_facts(connection)[facts.COPY_ID]
            facts.drop_copy_facts(connection)
            facts.keep(connection, READY, copy_id)

    def _check(self, connection: Connection) -> None:
        # The row stays locked until our transaction ends: who takes over waits for it.
        found = select(_F.value).where(_F.name == facts.HOLDER).with_for_update(read=True)
        if connection.execute(found).scalar() != self._holder:
            raise MovedError("another process goes on with this copy, or has ended it")


def is_empty(connection: Connection) -> bool:
    """Whether there is no row in any table but for facts about the ledger."""
    return not any(
        connection.execute(select(table.key[0]).limit(1)).first()
        for table in TABLES
        if table.table is not ledger_facts
    )


def _without_foreign_keys(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")


def _put(connection: Connection, table: Copied, rows: Sequence[Row]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = driver(connection).cursor()
    if connection.dialect.name == "sqlite":
        # A row that has what only one can have is newer than the other, which has changed since.
        places = ", ".join("?" * len(table.columns))
        statement = f'INSERT OR REPLACE INTO "{table.name}" ({names}) VALUES ({places})'  # noqa: S608
        try:
            cursor.executemany(statement, rows)
        except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
            _refuse(connection, table, rows, statement, error)
        return
    statement = f'COPY "{table.name}" ({names}) FROM STDIN'
    try:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
        _refuse(connection, table, rows, statement, error)


def _refuse(
    connection: Connection, table: Copied, rows: Sequence[Row], text: str, error: BaseException
) -> NoReturn:
    if isinstance(error, (connection.dialect.loaded_dbapi.DataError, UnicodeEncodeError)):
        for row in rows:
            for column, value in zip(table.columns, row, strict=True):
                if _is_unfit(column, value):
                    raise InputError(
                        f"{table.name} {list(table.key_of(row))}: {column.name} has a value that "
                        f"{connection.dialect.name} cannot hold; change it, then go on"
                    ) from error
    give_up(connection, text, error)


def _is_unfit(column: Column[Any], value: object) -> bool:
    """Whether it is a value that SQLite holds and PostgreSQL does not."""
    if isinstance(value, str):
        return "\x00" in value
    small = isinstance(column.type, Integer) and not isinstance(column.type, BigInteger)
    return small and isinstance(value, int) and not -(2**31) <= value < 2**31
