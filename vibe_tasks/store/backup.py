"""A backup of the ledger while it is in use: one file of one moment, proved before it has its name.

For SQLite. PostgreSQL has tools of its own, which the page on backups shows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.store.engine import Database
from vibe_tasks.store.ledger_copy import Pause, copy_into, flush, is_part_of, taken
from vibe_tasks.store.moving_aside import require_unused
from vibe_tasks.store.statement import driver
from vibe_tasks.store.vacuum import sqlite_file

PART = ".part"
"""End of a backup's name until it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """A backup.

    Attributes:
        file: Where it is.
        size: Its bytes.
        schema: The ledger's schema version.
        rows: Rows by table.
    """

    file: str
    size: int
    schema: int
    rows: Mapping[str, int]


def back_up(database: Database, file: Path, *, pause: Pause, force: bool = False) -> BackedUp:
    """Write a copy of the ledger as it is at this moment, and prove it: read from end to end, its
    schema and the number of rows of each table those of that moment.

    Nobody is held up. What dies half way, or finds the disk full, leaves no file of this name, or
    the one that was there.

    Args:
        database: The ledger, of any schema version.
        file: Where the backup goes; only its owner may read it.
        pause: Waits so many seconds, between two pieces.
        force: Whether to write over a file.

    Raises:
        InputError: There is no ledger, or the file is not to be written.
        UnavailableError: It cannot be written, or the copy is not what it should be.
    """
    if not database.is_sqlite:
        raise InputError(
            "the ledger is on PostgreSQL: back it up with `pg_dump --format=custom`, as "
            "docs/backup.md shows"
        )
    ledger = sqlite_file(database)
    if not ledger.is_file():
        raise InputError(f"there is no ledger at {ledger}")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    if is_part_of(file, ledger):
        raise InputError(f"{file} is the ledger itself, or its log")
    part = file.with_name(f"{file.name}{PART}")
    try:
        with taken(part):
            _require_free(file, force=force)
            with database.read() as connection:
                found = copy_into(driver(connection), part, ledger, pause=pause)
            size = part.stat().st_size
            part.replace(file)
        flush(file.parent)
    except OSError as error:
        raise UnavailableError(f"cannot write {file}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise UnavailableError(f"cannot copy {ledger} to {file}: {error}") from error
    return BackedUp(file=str(file), size=size, schema=found.schema, rows=found.rows)


def _require_free(file: Path, *, force: bool) -> None:
    """Refuse to write over what is there."""
    if not file.exists():
        return
    if not file.is_file():
        raise InputError(f"{file} is no file")
    if not force:
        raise InputError(f"{file} is there already: take another name, or give --force")
    require_unused(file)
