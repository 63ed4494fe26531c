"""A statement on the hot path: compiled once, handed straight to the database's driver.

SQLAlchemy writes the SQL, but its execution costs two to three times what the statement
itself costs in SQLite. A worker claims and completes hundreds of jobs a second, so these few
statements go to the driver directly. Errors are translated as SQLAlchemy would.

All values that decide which index serves a statement must be literals in it: neither database
uses a partial index for `status = ?`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, OperationalError

Values = Mapping[str, object]
Row = tuple[Any, ...]

DIALECTS: Mapping[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": psycopg.dialect(),  # type: ignore[no-untyped-call]
}
"""How statements are written: with named parameters on both."""

_PLACES = {"sqlite": r":{}\b", "postgresql": r"%\({}\)s(?:::\w+)?"}
"""How a parameter stands in the text."""

LEFT = "this ledger has moved to "
"""How a database answers every write once the ledger was moved; its new address follows."""

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class Statement:
    """One statement, on either database.

    Args:
        clause: The same for both databases, or one for each by dialect name.
    """

    __slots__ = ("_clauses", "_texts")

    def __init__(self, clause: Executable | Mapping[str, Executable]) -> None:
        self._clauses = clause
        self._texts: dict[str, str] = {}

    def text(self, dialect: str) -> str:
        """The SQL for `sqlite` or `postgresql`."""
        found = self._texts.get(dialect)
        if found is None:
            clause = self._clauses[dialect] if isinstance(self._clauses, Mapping) else self._clauses
            compiled = clause.compile(dialect=DIALECTS[dialect])  # type: ignore[attr-defined]
            found = str(compiled)
            for name, value in compiled.params.items():
                if type(value) is int:  # such as the OFFSET 0 that comes with a LIMIT
                    found = re.sub(_PLACES[dialect].format(re.escape(name)), str(value), found)
                elif value is not None:
                    raise TypeError(f"write {name} as a literal: {found}")
            self._texts[dialect] = found
        return found

    def first(self, connection: Connection, values: Values) -> Row | None:
        """Run it and return its first row."""
        # All rows are fetched: a statement that is not finished has not been committed.
        rows = self.all(connection, values)
        return rows[0] if rows else None

    def all(self, connection: Connection, values: Values) -> list[Row]:
        """Run it and return its rows."""
        rows: list[Row] = self._run(connection, values).fetchall()
        return rows

    def count(self, connection: Connection, values: Values) -> int:
        """Run it and return how many rows it wrote."""
        written: int = self._run(connection, values).rowcount
        return written

    def many(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Run it for each of these, in one go; how many rows were written."""
        text = self.text(connection.dialect.name)
        cursor = driver(connection).cursor()
        try:
            cursor.executemany(text, rows)
        except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
            give_up(connection, text, error)
        written: int = cursor.rowcount
        return written

    def _run(self, connection: Connection, values: Values) -> Any:
        text = self.text(connection.dialect.name)
        try:
            return driver(connection).execute(text, values)
        except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
            give_up(connection, text, error)


def driver(connection: Connection) -> Any:
    """The driver's own connection below SQLAlchemy's."""
    return connection.connection.dbapi_connection


def give_up(connection: Connection, text: str, error: BaseException) -> NoReturn:
    """Raise the driver's error as SQLAlchemy would, and drop a connection that is of no more use.

    Parameters are left out of the message: they may hold what nobody should read in a log.
    """
    dialect = connection.dialect
    errors = dialect.loaded_dbapi.Error
    if not isinstance(error, errors):
        connection.invalidate()  # interrupted in the middle: its state is not known
        raise error
    lost = dialect.is_disconnect(error, driver(connection), None)
    if lost:
        connection.invalidate(error)
        connection.engine.dispose()  # a server that was restarted has closed the idle ones too
    if was_left(error):
        raise OperationalError(text, None, error) from error
    raise DBAPIError.instance(
        text, None, error, errors, connection_invalidated=lost, dialect=dialect
    ) from error


def was_left(error: BaseException) -> bool:
    """Whether SQLite refused a write because the ledger was moved. It calls that a broken
    constraint, which some would take for a job that is there twice; it is a ledger that is away.
    """
    return str(error).startswith(LEFT)


def encoded(value: object) -> str:
    """The value as JSON text.

    Raises:
        TypeError: It is no JSON value, or holds a number that JSON has no word for.
    """
    try:
        return _encoder.encode(value)
    except (ValueError, RecursionError) as error:  # NaN, infinity, or a value that holds itself
        raise TypeError(str(error)) from error


def decoded(value: Any) -> Any:
    """A JSON object as the driver returns it: text from SQLite, parsed from PostgreSQL."""
    return json.loads(value) if isinstance(value, str) else value
