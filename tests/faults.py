"""A ledger whose clock a test sets and whose processes die at a statement that a test names.

Both work below SQLAlchemy, at the driver's cursors, so that every statement counts: those of
SQLAlchemy, those that go to the driver directly, BEGIN and COMMIT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import event

from vibe_tasks.store import version
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, open_database
from vibe_tasks.store.timed_cursor import TimedCursor

START = 1_000_000.0
"""Epoch seconds at which every example begins; whole numbers keep the arithmetic exact."""

POSTGRES_CLOCK = (
    "CREATE TABLE test_clock (at double precision NOT NULL)",
    "INSERT INTO test_clock VALUES (0)",
    """
CREATE OR REPLACE FUNCTION vibe_now() RETURNS double precision LANGUAGE sql STABLE AS
$$ SELECT at FROM test_clock $$
""",
)
TABLES = (
    "agent_outputs", "consensus_runs",
    "jobs", "job_history", "events", "lanes", "worker_health", "task_needs", "tasks", "plans",
)  # fmt: skip


class Died(BaseException):
    """The process was killed here; nobody in it could do anything about that."""


class Fault:
    """What strikes a process: death, or an error of the database.

    Attributes:
        struck: Whether it has struck since it was armed.
    """

    def __init__(self) -> None:
        self.struck = False
        self._left: int | None = None
        self._deadly = True

    def arm(self, statements: int, *, deadly: bool) -> None:
        """Strike after so many statements."""
        self.struck, self._left, self._deadly = False, statements, deadly

    def disarm(self) -> None:
        """Do not strike any more."""
        self._left = None

    def strike(self, error: Exception) -> None:
        """A statement is about to run."""
        if self._left is None:
            return
        if self._left > 0:
            self._left -= 1
            return
        self.struck, self._left = True, None
        if self._deadly:
            raise Died
        raise error


class World:
    """A ledger under a clock and a fault of the test's.

    Attributes:
        ledger: The open database.
        fault: What may strike it.
        now: The database's clock.
    """

    def __init__(self, url: str) -> None:
        self.now = START
        self.fault = Fault()
        self.ledger = open_database(url, clock=lambda: self.now)
        event.listen(self.ledger.engine, "do_connect", self._break_cursors)
        version.create(self.ledger)
        if not self.ledger.is_sqlite:
            with self.ledger.write_once() as connection:
                for statement in POSTGRES_CLOCK:
                    connection.exec_driver_sql(statement)

    def _break_cursors(self, dialect: Any, *arguments: Any) -> None:
        parameters = arguments[-1]
        if dialect.name == "sqlite":
            parameters["factory"] = _sqlite_connection(self.fault)
        else:
            parameters["cursor_factory"] = _postgres_cursor(self.fault)

    def set_clock(self, now: float) -> None:
        """Set the database's clock."""
        self.now = now
        if not self.ledger.is_sqlite:
            with self.ledger.write_once() as connection:
                connection.exec_driver_sql(f"UPDATE test_clock SET at = {now}")  # noqa: S608

    def reset(self) -> None:
        """Empty the ledger and set the clock back."""
        self.fault.disarm()
        with self.ledger.begin() as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
        self.set_clock(START)

    @contextmanager
    def process(self) -> Iterator[Database]:
        """What one process does; where it is struck, the rest of the block is left out."""
        self.fault.struck = False
        try:
            yield self.ledger
        except (Died, *DATABASE_ERRORS):
            if not self.fault.struck:
                raise
        finally:
            self.fault.disarm()


def _sqlite_connection(fault: Fault) -> type[sqlite3.Connection]:
    class FaultyCursor(sqlite3.Cursor):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            fault.strike(sqlite3.OperationalError("disk I/O error"))
            return super().execute(*arguments)

        def executemany(self, *arguments: Any) -> sqlite3.Cursor:
            fault.strike(sqlite3.OperationalError("disk I/O error"))
            return super().executemany(*arguments)

    class FaultyConnection(sqlite3.Connection):
        def cursor(self, factory: Any = FaultyCursor) -> Any:
            return super().cursor(factory)

    return FaultyConnection


def _postgres_cursor(fault: Fault) -> type[psycopg.Cursor[Any]]:
    class FaultyCursor(TimedCursor):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            fault.strike(psycopg.OperationalError("could not extend file"))
            return super().execute(*arguments, **options)

        def executemany(self, *arguments: Any, **options: Any) -> None:
            fault.strike(psycopg.OperationalError("could not extend file"))
            super().executemany(*arguments, **options)

    return FaultyCursor
