"""The fence around a ledger that is being left: triggers refuse every write to it.

Whoever writes hears where the ledger went. On PostgreSQL the refusal looks like a database that is
read-only; SQLite's is made into an error of that kind by `store.statement`, so that no one takes it
for a fault of his own row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, delete

from vibe_tasks.store.copying.facts import FENCE, keep, own_facts
from vibe_tasks.store.copying.patience import patiently
from vibe_tasks.store.copying.rows import TABLES
from vibe_tasks.store.engine import Database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import MOVED_TO, ledger_facts
from vibe_tasks.store.statement import LEFT

_WRITES = ("insert", "update", "delete")

_IN_THEIR_ORDER = ("plans", "tasks", "jobs", "job_history", "events")
"""The tables that whoever writes takes first, in that order; so must we, who take all of them."""

_AT_ONCE = 0.4
"""Seconds to wait for a table. PostgreSQL looks for deadlocks after one second, and then ends one
side: before that we step back, so that it is never a worker's transaction."""


def put_up(database: Database, address: str, patience: Patience, *, by: str) -> None:
    """Refuse every write from now on; a fence that somebody left is taken over.

    All tables are closed in one transaction, which waits for those who write just now: what they
    wrote is there, and noted, when this returns.

    Args:
        database: The source.
        address: Where the ledger goes, without a password.
        patience: How to wait for tables that others use.
        by: The process that does it; no other one takes the fence down on its own account.
    """

    def close(connection: Connection) -> None:
        _lock_all(connection)
        _open(connection)  # of an earlier try
        keep(connection, MOVED_TO, address)
        keep(connection, FENCE, by)
        statements = _sqlite(address) if database.is_sqlite else _server(address)
        for statement in statements:
            connection.exec_driver_sql(statement)

    patiently(database, close, replace(patience, at_once=min(_AT_ONCE, patience.at_once)))


def take_down(database: Database, patience: Patience, *, by: str | None = None) -> None:
    """Let everybody write again.

    Args:
        database: The source.
        patience: How to wait for tables that others use.
        by: Only the fence of this process; None: whoever put it up.
    """

    def reopen(connection: Connection) -> None:
        _lock_all(connection)
        if by is not None and own_facts(connection).get(FENCE) != by:
            return
        _open(connection)
        name = ledger_facts.c.name
        connection.execute(delete(ledger_facts).where(name.in_([MOVED_TO, FENCE])))

    patiently(database, reopen, replace(patience, at_once=min(_AT_ONCE, patience.at_once)))


def _lock_all(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        return
    names = {table.name: None for table in TABLES}
    for name in (*_IN_THEIR_ORDER, *(name for name in names if name not in _IN_THEIR_ORDER)):
        connection.exec_driver_sql(f'LOCK TABLE "{name}" IN ACCESS EXCLUSIVE MODE')


def _open(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    for table in TABLES:
        if not sqlite:
            statement = f'DROP TRIGGER IF EXISTS fence_{table.name} ON "{table.name}"'
            connection.exec_driver_sql(statement)
            continue
        for write in _WRITES:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS fence_{table.name}_{write}")
    if not sqlite:
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS copy_fence()")


def _sqlite(address: str) -> Iterator[str]:
    said = _quoted(LEFT + address)
    for table in TABLES:
        for write in _WRITES:
            yield (
                f"CREATE TRIGGER fence_{table.name}_{write} "
                f'BEFORE {write.upper()} ON "{table.name}" '
                f"BEGIN SELECT RAISE(ABORT, {said}); END"
            )


def _server(address: str) -> Iterator[str]:
    # The driver takes % for a place of a parameter, and RAISE does too: no format, a bare message.
    said = _quoted(LEFT + address).replace("%", "%%")
    yield (
        "CREATE FUNCTION copy_fence() RETURNS trigger LANGUAGE plpgsql AS $fence$ BEGIN "
        f"RAISE read_only_sql_transaction USING MESSAGE = {said}; END $fence$"
    )
    for table in TABLES:
        yield (
            f"CREATE TRIGGER fence_{table.name} "
            f'BEFORE INSERT OR UPDATE OR DELETE ON "{table.name}" '
            "FOR EACH STATEMENT EXECUTE FUNCTION copy_fence()"
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
