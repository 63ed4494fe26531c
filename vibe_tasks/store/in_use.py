"""Tables that others use just now, and how a migration waits for them.

A change of a table waits for all transactions that use it, and whoever comes after it waits behind
it: one long report would stop every claim for as long as it takes. So a migration asks for a moment
only, gives up all that it has done so far, and comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Self

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.operation_tables import metadata
from vibe_tasks.store.retries import SQLITE_BUSY_CODES
from vibe_tasks.store.version import CHANGING

IN_USE = frozenset({"55P03", "40P01"})
"""PostgreSQL: lock not available, and deadlock, which is two that wait for each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a migration waits for tables that others use.

    Attributes:
        at_once: Seconds to wait for a table on PostgreSQL, and so the longest that claims wait
            behind it. SQLite waits as long as for any other writer, 5 seconds.
        rest: Seconds between two tries, in which the others go on.
        tries: Tries in all. At least 1.
        sleep: Waits so many seconds.
        tell: Gets a line that says who uses the tables, after each try that failed.
    """

    at_once: float = 1.0
    rest: float = 2.0
    tries: int = 100
    sleep: Callable[[float], object] = Event().wait
    tell: Callable[[str], object] = lambda _line: None

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")

    @classmethod
    def lasting(
        cls, seconds: float, *, sleep: Callable[[float], object], tell: Callable[[str], object]
    ) -> Self:
        """The patience that comes to its end after about so many seconds."""
        usual = cls(sleep=sleep, tell=tell)
        return replace(usual, tries=max(1, round(seconds / (usual.at_once + usual.rest))))


# What others hold that a migration may wait for: the tables, and the right to change the schema.
_HOLDERS = text("""
SELECT COALESCE(NULLIF(a.application_name, ''), a.backend_type, 'a program') AS program, a.pid,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float AS seconds,
       string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname) AS names
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_class c ON c.oid = l.relation AND c.relname = ANY(:tables)
WHERE l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
  AND (c.oid IS NOT NULL OR (l.locktype = 'advisory' AND l.objid = :changing))
GROUP BY program, a.pid, a.xact_start ORDER BY a.xact_start LIMIT 1
""")


def wait_at_most(connection: Connection, seconds: float) -> None:
    """Let this transaction wait so long for what others hold; on SQLite it has all it needs."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{seconds * 1000:.0f}ms'"))


def is_in_use(error: DBAPIError) -> bool:
    """Whether a statement failed because others use the tables."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in SQLITE_BUSY_CODES
    return getattr(error.orig, "sqlstate", None) in IN_USE


def user_of(database: Database) -> str:
    """Who uses the tables, the one that has done so for longest, as the end of a sentence."""
    if database.is_sqlite:
        return "another program writes to the file"
    values = {"tables": [*metadata.tables], "changing": CHANGING}
    try:
        with database.read() as connection:
            found = connection.execute(_HOLDERS, values).first()
    except DATABASE_ERRORS:
        found = None
    if found is None:
        return "others use its tables"
    if found.names is None:
        return f"another program changes the schema, {found.program} (process {found.pid})"
    since = "" if found.seconds is None else f", for {found.seconds:.0f} s"
    return f"{found.program} (process {found.pid}) uses {found.names}{since}"
