"""One way to open the ledger's database, SQLite or PostgreSQL, and its clock.

SQLite runs in WAL mode with the settings of `PRAGMAS`, each verified on every new connection.
A writing transaction begins with BEGIN IMMEDIATE, so that two writers queue up at the start
instead of failing in the middle.

`vibe_now()` is the database's clock on both: an SQL function on PostgreSQL (made by the first
migration), a function of the connection on SQLite, whose machine's clock it reads.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from vibe_tasks.errors import SchemaError, UnavailableError

PRAGMAS: Mapping[str, tuple[str, object]] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("NORMAL", 1),
    "foreign_keys": ("ON", 1),
    "cache_size": ("-32000", -32000),
    "temp_store": ("MEMORY", 2),
    "mmap_size": ("1073741824", 1073741824),
    "busy_timeout": ("5000", 5000),
}
"""What is set on every SQLite connection, and what it must answer (phase-1-sqlite-retry).
`auto_vacuum` is the database's, not the connection's: it is set before the first table."""

AUTO_VACUUM_INCREMENTAL = 2

now = func.vibe_now
"""The database's clock in a statement: epoch seconds as a float."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        engine: The connection pool; connections are opened when they are first needed.
        url: As given, password included; do not print it.
    """

    engine: Engine
    url: str

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; else it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: committed at the end, rolled back on any error."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; every statement sees the latest commits."""
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def forget_inherited(self) -> None:
        """After a fork: leave the parent's connections to the parent."""
        self.engine.dispose(close=False)


def open_database(url: str, *, clock: Callable[[], float] = time.time) -> Database:
    """Open the database of this URL; nothing is connected yet.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://…`.
        clock: What `vibe_now()` answers on SQLite, in epoch seconds.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, connect_args={"timeout": 5.0, "check_same_thread": False}, pool_size=10
        )
        _prepare_sqlite(engine, clock)
    else:
        engine = create_engine(
            parsed,
            pool_size=10,
            pool_pre_ping=False,
            connect_args={"connect_timeout": 5, "application_name": "vibe_tasks"},
        )
    return Database(engine=engine, url=url)


def _prepare_sqlite(engine: Engine, clock: Callable[[], float]) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction handling would begin late and without IMMEDIATE.
        connection.isolation_level = None
        connection.create_function("vibe_now", 0, clock)
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for name, (value, _) in PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        verify_pragmas(connection)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def verify_pragmas(connection: sqlite3.Connection) -> None:
    """Check that SQLite took every setting.

    Raises:
        SchemaError: One was not applied, for example WAL on a network file system.
    """
    for name, (_, expected) in PRAGMAS.items():
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != expected:
            raise SchemaError(f"SQLite did not take {name}: wanted {expected}, has {found}")
    vacuum = connection.execute("PRAGMA auto_vacuum").fetchone()[0]
    if vacuum != AUTO_VACUUM_INCREMENTAL:
        raise SchemaError("the SQLite file was made without incremental auto-vacuum; run VACUUM after setting it")


def check_reachable(database: Database) -> None:
    """Connect once.

    Raises:
        UnavailableError: The database does not answer; the message names it without a password.
    """
    where = database.engine.url.render_as_string(hide_password=True)
    if database.is_sqlite and database.engine.url.database:
        folder = Path(database.engine.url.database).parent
        if not folder.is_dir():
            raise UnavailableError(f"the ledger's folder does not exist: {folder}")
    try:
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
    except (OperationalError, DBAPIError) as error:
        reason = str(error.orig).strip().splitlines()
        raise UnavailableError(f"cannot open the ledger {where}: {reason[0] if reason else error}") from error


def server_time(database: Database) -> float:
    """The database's clock in epoch seconds."""
    with database.read() as connection:
        value: Any = connection.execute(text("SELECT vibe_now()")).scalar_one()
        return float(value)
