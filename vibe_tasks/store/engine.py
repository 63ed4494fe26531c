"""One way to open the ledger's database, SQLite or PostgreSQL, and its clock.

SQLite runs in WAL mode with the settings of `PRAGMAS`, each verified on every new connection.
A writing transaction begins with BEGIN IMMEDIATE, so that two writers queue up at the start
instead of failing in the middle.

Connections stay in autocommit; a transaction is begun and ended here. So a single statement
costs one round trip and not three, and a connection that is given back needs no reset.

`vibe_now()` is the database's clock on both: an SQL function on PostgreSQL (made by the first
migration), a function of the connection on SQLite, whose machine's clock it reads.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event, func, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from vibe_tasks.errors import SchemaError, UnavailableError
from vibe_tasks.store.forking import Uses
from vibe_tasks.store.statement import driver, give_up, was_left

if TYPE_CHECKING:
    import psycopg

    from vibe_tasks.redaction import Redaction
    from vibe_tasks.store.sealing import Sealing

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

LATE = 4_000
"""Pages of SQLite's log from which even who has other things to do moves them into the file. All
others do so at 1,000, SQLite's own number."""

AUTO_VACUUM_INCREMENTAL = 2

FORK_PATIENCE = 6.0
"""Seconds for which a fork waits for other threads, more than `busy_timeout`: one that waits for
the file's lock has given up by then. A ledger that hangs does not stop forks for ever."""

SERVER_OPTIONS: Mapping[str, str | int] = {
    "connect_timeout": 5,
    "application_name": "vibe_tasks",
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""How a server is connected to; libpq's names and units. A host that falls silent is given up
after about ten seconds, an idle one as well as one that owes us an answer: by themselves the
systems wait for a quarter of an hour, and a worker would lose its leases meanwhile."""

STOPPED_AFTER = 10.0
"""Seconds without a word, after which a server ends the transaction of a process that was stopped
or hangs in the middle of it: others wait for its locks, to take back its jobs for example."""

EVENT_PRIORITIES = "event_priorities"
"""Execution option of a ledger: levels by event type for what this process records."""

REDACTION = "redaction"
"""Execution option of a ledger: what is taken out of texts that it is given; see `redacting`."""

SEALING = "sealing"
"""Execution option of a ledger: what seals and opens values; see `sealing`."""

COLLECTED = "moved jobs"
"""Where a connection keeps what its current transaction is about to tell others; see `telling`."""

Transaction: TypeAlias = Connection
"""What the store's functions take: a connection inside a transaction, or one for reading."""

DATABASE_ERRORS = (SQLAlchemyError,)
"""What a database that is away, full or locked for too long raises."""

AWAY_ERRORS = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""Those of them that another try may not meet."""

REFUSED_VALUES = (DataError, OverflowError, UnicodeEncodeError)
"""What a value raises that no column can hold: too large a number, a text that is none."""

now = func.vibe_now
"""The database's clock in a statement: epoch seconds as a float."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        engine: The connection pool; connections are opened when they are first needed.
        url: As given, password included; do not print it.
        uses: Entered for each use of a connection.
    """

    engine: Engine
    url: str
    uses: Uses = field(default_factory=Uses, compare=False, repr=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; else it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    def leave_checkpoints(self) -> None:
        """Leave SQLite's checkpoints to others as long as there are any: for who runs jobs, so that
        claims seldom wait for one. Where nobody else writes they are rarer and longer.

        For connections that are opened from now on, which all are: idle ones are closed.
        """
        if self.is_sqlite:
            event.listen(self.engine, "connect", _checkpoint_late)
            self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: committed at the end, rolled back on any error."""
        begin = "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN"
        with self.uses, self.engine.connect() as connection:
            try:
                run_plain(connection, begin)
                yield connection
                run_plain(connection, "COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def write_once(self) -> Iterator[Connection]:
        """A connection for one writing statement, which is a transaction of its own.

        Costs a third less than `begin`, and on a server one round trip instead of three.
        """
        with self.uses, self.engine.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; every statement sees the latest commits."""
        with self.uses, self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def before_fork(self) -> None:
        """Right before a fork: on SQLite nobody else is in the middle of something, see `forking`.

        Its connections are closed if nobody is, for an inherited one keeps the file open unlocked.
        """
        if self.is_sqlite and self.uses.hold(FORK_PATIENCE):
            self.engine.dispose()

    def after_fork(self) -> None:
        """In the parent: others may go on."""
        if self.is_sqlite:
            self.uses.release()

    def forget_inherited(self) -> None:
        """After a fork: leave the parent's connections to the parent.

        They are kept and never closed: closing says goodbye on a socket that is the parent's,
        and makes SQLite tidy up files that the parent has open.
        """
        self.uses.reset()
        _INHERITED.append(self.engine.pool)
        self.engine.dispose(close=False)


_INHERITED: list[object] = []


@contextmanager
def transaction(connection: Connection) -> Iterator[bool]:
    """The writing transaction that this connection is in, or one of its own; whether it is that.

    For what is one statement most of the time, and a transaction where that was not enough.
    """
    sqlite = connection.dialect.name == "sqlite"
    raw = driver(connection)
    if raw.in_transaction if sqlite else raw.info.transaction_status != 0:
        yield False
        return
    try:
        run_plain(connection, "BEGIN IMMEDIATE" if sqlite else "BEGIN")
        yield True
        run_plain(connection, "COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def run_plain(connection: Connection, statement: str) -> None:
    """Run a statement without parameters in the driver, below SQLAlchemy's transactions."""
    try:
        driver(connection).execute(statement)
    except BaseException as error:  # noqa: BLE001  every error leaves the connection clean
        give_up(connection, statement, error)


def _roll_back(connection: Connection) -> None:
    if connection.invalidated:
        return
    connection.info.get(COLLECTED, []).clear()
    try:
        driver(connection).rollback()
    except connection.dialect.loaded_dbapi.Error as error:
        connection.invalidate(error)  # the server rolls back what it hears no more of


def open_database(
    url: str,
    *,
    clock: Callable[[], float] = time.time,  # noqa: TID251  SQLite's clock is the machine's
    event_priorities: Mapping[str, int] | None = None,
    redaction: Redaction | None = None,
    sealing: Sealing | None = None,
) -> Database:
    """Open the database of this URL; nothing is connected yet.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://…`.
        clock: What `vibe_now()` answers on SQLite, in epoch seconds.
        event_priorities: Levels by event type for what is recorded through it, over the defaults.
        redaction: What is taken out of the texts that are written through it; None: nothing.
        sealing: Seals what is written through it, and opens what is read; None: nothing does, and
            what is sealed is read as it is.
    """
    parsed = make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = create_engine(
        parsed,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=10,
        hide_parameters=True,  # they may hold what nobody should read in a log
        execution_options={
            EVENT_PRIORITIES: event_priorities or {}, REDACTION: redaction, SEALING: sealing,
        },
        # A partial, as psycopg keeps one reader for all methods of the same code.
        json_deserializer=None if sealing is None else partial(sealing.loads),
        connect_args={"timeout": 5.0, "check_same_thread": False}
        if sqlite
        else _server_arguments(),
    )  # fmt: skip
    if sqlite:
        _prepare_sqlite(engine, clock, None if sealing is None else sealing.text)
    else:
        _prepare_server(engine)
    return Database(engine=engine, url=url)


def file_of(url: str) -> Path | None:
    """The file of a ledger on SQLite, by its URL; None for one on a server."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def _checkpoint_late(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA wal_autocheckpoint = {LATE}")


def _prepare_sqlite(
    engine: Engine, clock: Callable[[], float], read_text: Callable[[bytes], str] | None
) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction handling would begin late and without IMMEDIATE.
        connection.isolation_level = None
        # "Deterministic" lets SQLite ask it once for a search, not once for each row.
        connection.create_function("vibe_now", 0, clock, deterministic=True)
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for name, (value, _) in PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        verify_pragmas(connection)
        if read_text is not None:  # the driver's own is much faster
            connection.text_factory = read_text

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        return OperationalError(context.statement, None, error) if was_left(error) else None


def _server_arguments() -> dict[str, Any]:
    from vibe_tasks.store.timed_cursor import TimedCursor  # noqa: PLC0415  not with SQLite

    return {**SERVER_OPTIONS, "cursor_factory": TimedCursor}


def _prepare_server(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: psycopg.Connection, _record: object) -> None:
        # A statement and not an `options` of the connection, which a URL or PGOPTIONS may have.
        before, connection.autocommit = connection.autocommit, True
        milliseconds = f"{STOPPED_AFTER * 1000:.0f}"
        connection.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
        connection.autocommit = before


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
        raise SchemaError(
            "the SQLite file was made without incremental auto-vacuum; run `vibe db vacuum --full`"
        )


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
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()
        raise UnavailableError(
            f"cannot open the ledger {where}: {reason[0] if reason else error}"
        ) from error


def server_time(database: Database) -> float:
    """The database's clock in epoch seconds."""
    with database.read() as connection:
        value: Any = connection.execute(text("SELECT vibe_now()")).scalar_one()
        return float(value)
