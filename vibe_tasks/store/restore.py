"""Putting a backup in the place of an SQLite ledger, from one moment to the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from vibe_tasks.errors import InputError, SchemaError, UnavailableError
from vibe_tasks.store import moving_aside, restored, workers
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, open_database
from vibe_tasks.store.ledger_copy import (
    Pause,
    copy_into,
    flush,
    is_same,
    lying,
    prove,
    schema_of,
    taken,
)
from vibe_tasks.store.schema import jobs, plans
from vibe_tasks.store.upgrade import upgrade
from vibe_tasks.store.vacuum import sqlite_file
from vibe_tasks.store.version import version_in
from vibe_tasks.words import counted

PART = ".restoring"
"""End of the ledger's name until it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A ledger that came back.

    Attributes:
        jobs: Jobs in it.
        taken_back: Attempts that ran when the backup was made; they run again.
        due: Jobs that may start now; all are sent again.
        schema_before: The backup's schema version.
        schema: The ledger's: that of this program.
        aside: Where the ledger is that was there before; None where there was none.
    """

    jobs: int
    taken_back: int
    due: int
    schema_before: int
    schema: int
    aside: str | None


def restore(
    file: Path,
    database: Database,
    *,
    lease: float,
    pause: Pause,
    force: bool = False,
    by: By | None = None,
) -> Restored:
    """Put a backup in the place of this ledger, and let its work go on.

    The backup is proved before anything changes, and it stays as it is. An older one is brought to
    this program's schema. What dies half way leaves the ledger that was there.

    Args:
        file: The backup, or any ledger that lies still.
        database: The ledger, which need not be there; its connections are closed.
        lease: Seconds of silence after which a worker counts as gone.
        pause: Waits so many seconds, between two pieces.
        force: Whether to move a ledger aside that has work in it, or that cannot be read, and
            whose workers count as online though they are gone; and to open a backup of a ledger
            that was being moved to another database.
        by: Who does it.

    Raises:
        InputError: The backup is no ledger, a damaged one, or of one that was being moved; or the
            ledger's place is taken.
        SchemaError: The backup is newer than this program.
        UnavailableError: It cannot be written.
    """
    if not database.is_sqlite:
        raise InputError(
            "the ledger is on PostgreSQL: restore it with `pg_restore`, then run "
            "`vibe db restored`, as docs/backup.md shows"
        )
    ledger = sqlite_file(database)
    require_backup(file, database)
    refuse_over_work(database, lease=lease, force=force)
    database.close()
    part = ledger.with_name(f"{ledger.name}{PART}")
    try:
        with taken(part):
            done = _made(file, part, pause=pause, force=force, by=by)
            aside = moving_aside.replace(ledger, part)
        flush(ledger.parent)
    except OSError as error:
        raise UnavailableError(f"cannot write {ledger}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise UnavailableError(f"cannot copy {file} to {ledger}: {error}") from error
    return Restored(**done, aside=None if aside is None else str(aside))


def require_backup(file: Path, database: Database) -> None:
    """Refuse a file that is no ledger, before anybody is asked about the one that is there. Whether
    it is whole is known once it was read from end to end.

    Raises:
        InputError: There is none, or it is the ledger itself, or no ledger.
    """
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    if is_same(file, sqlite_file(database)):
        raise InputError(f"{file} is the ledger itself")
    schema_of(file)


def refuse_over_work(database: Database, *, lease: float, force: bool) -> None:
    """Refuse to take the place of a ledger that somebody works on, that has work in it, or that
    cannot be read. With `force` nothing of this counts: it is moved aside, unless it is in use.

    Raises:
        InputError: It is so.
    """
    ledger = sqlite_file(database)
    if force or not ledger.exists():
        return
    try:
        with database.read() as connection:
            if not version_in(connection):
                return
            workers.refuse_while_online(connection, lease=lease)
            counts = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (jobs, plans)
            ]
    except (SchemaError, *DATABASE_ERRORS) as error:
        raise InputError(
            f"{ledger} is there and cannot be read ({_reason(error)}): --force moves it aside"
        ) from error
    if any(counts):
        raise InputError(
            f"{ledger} has {counted(counts[0], 'job')} and {counted(counts[1], 'plan')}: --force "
            "moves it aside, or restore into another VIBE_HOME"
        )


def _made(file: Path, part: Path, *, pause: Pause, force: bool, by: By | None) -> dict[str, int]:
    """Make the new ledger under its other name; the figures of `Restored`."""
    prove(file)
    with closing(lying(file)) as source:
        found = copy_into(source, part, file, pause=pause)
    database = open_database(f"sqlite:///{part}")
    try:
        restored.end_copy(database, force=force)
        moved = upgrade(database)
        with database.begin() as connection:
            resumed = restored.resume(connection, by=by)
    except DATABASE_ERRORS as error:
        raise UnavailableError(f"cannot bring {file} back: {_reason(error)}") from error
    finally:
        database.close()
    with closing(sqlite3.connect(part, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE").fetchall()
    flush(part)
    return {
        "jobs": found.rows["jobs"], "taken_back": resumed.taken_back, "due": resumed.due,
        "schema_before": found.schema, "schema": moved.after,
    }  # fmt: skip


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
