"""Giving back the room of rows that are gone, and the figures that tell how much there is.

SQLite puts the pages of deleted rows on a free list and uses them again; incremental vacuum moves
pages from the end of the file into them and cuts it. Here it goes in slices, each a transaction
of some 20 ms with a pause after it, so that a claim waits for one slice at most.

SQLite gets no ANALYZE: without figures its planner takes the index that was made for each query,
which a test holds. Figures changed no plan when it was tried, and those of a quiet night, when the
partial indexes are empty, could. PostgreSQL looks at the size of a table itself; there autovacuum
does the work, set for our tables in `extras`, and VACUUM (ANALYZE) by hand does it now.
Source: requirements S3; phase-1-sqlite-retry, "Auto-Vacuum".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.store import upkeep, workers
from vibe_tasks.store.engine import PRAGMAS, Database, run_plain
from vibe_tasks.store.extras import TABLE_OPTIONS
from vibe_tasks.store.moving_aside import require_unused
from vibe_tasks.store.statement import driver

VACUUM = "vacuum"
"""Name under which is kept when the ledger was last vacuumed."""

SLICE_SECONDS = 0.01
"""Seconds for which a slice moves pages; its commit takes about as long again, and other writers
wait for both."""

BREATH = 0.01
"""Seconds between two slices: SQLite gives the next turn to whoever asks at that moment."""

MOST_SLICES = 500
"""In one go where somebody waits for it to end: some fifteen seconds, and gigabytes."""

BITE = 16
"""Pages between two looks at the clock."""

CHECKPOINTS = 20
"""Tries to empty the write-ahead log; each waits 50 ms at most for readers: writers wait too."""

BLOATED_ROWS = 10_000
"""Dead rows from which a table is looked at: a small one is read in no time, dead rows and all."""

BLOATED_SHARE = 0.4
"""Dead rows for each live one. Autovacuum begins at a tenth of that, so it does not keep up."""

BLOATED_BYTES = 64_000_000
"""Free bytes of an SQLite file, more than in use, that a daily vacuum should have given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a ledger takes.

    Attributes:
        size: Bytes of the SQLite file, or of the server's database.
        free: Bytes in it that hold nothing; None on a server, which does not count them.
        log: Bytes of SQLite's write-ahead log; 0 on a server.
        dead: Rows of the hot tables that nobody sees any more, as a server counts them.
    """

    size: int
    free: int | None
    log: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuumed:
    """What a vacuum did.

    Attributes:
        before: What the ledger took.
        after: What it takes now.
        slices: Transactions on SQLite, tables on a server.
        more: Whether there is more to give back.
    """

    before: Room
    after: Room
    slices: int
    more: bool = False


def vacuum(
    database: Database,
    *,
    monotonic: Callable[[], float],
    pause: Callable[[float], object],
    most: int | None = None,
) -> Vacuumed:
    """Give back what is free, while others work.

    Args:
        database: The ledger.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
        most: Slices at most, on SQLite; None: until nothing is free.
    """
    if not database.is_sqlite:
        return _vacuum_tables(database, "ANALYZE")
    before = room(database)
    slices, left = 0, before.free
    while left and slices != most:
        if slices:
            pause(BREATH)
        left = _slice(database, monotonic)
        slices += 1
    if not left:
        empty_log(database, pause=pause)
    return Vacuumed(before=before, after=room(database), slices=slices, more=bool(left))


def vacuum_full(database: Database, *, lease: float | None, patience: float = 5.0) -> Vacuumed:
    """Write the whole ledger anew, without gaps; nobody else can use it meanwhile.

    It also makes incremental vacuum possible in a file that was made without it, which nothing
    else of this program opens.

    Args:
        database: The ledger.
        lease: Refuse while others use it: seconds of silence after which a worker counts as gone.
            None: they wait meanwhile.
        patience: Seconds to wait for who writes to an SQLite file.

    Raises:
        InputError: There is no such file, or others use it.
        UnavailableError: Others hold it, or there is no room for a second copy.
    """
    if not database.is_sqlite:
        if lease is not None:
            with database.read() as connection:
                workers.refuse_while_online(connection, lease=lease)
        return _vacuum_tables(database, "FULL, ANALYZE")
    file = sqlite_file(database)
    if not file.is_file():
        raise InputError(f"there is no ledger at {file}")
    database.close()
    if lease is not None:
        require_unused(file)
    try:
        with closing(sqlite3.connect(file, timeout=patience, isolation_level=None)) as raw:
            before = _file_room(raw, file)
            raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            after = _file_room(raw, file)
    except sqlite3.Error as error:
        raise UnavailableError(f"cannot vacuum {file}: {error}") from error
    return Vacuumed(before=before, after=after, slices=1)


def room(database: Database) -> Room:
    """What the ledger takes now."""
    with database.read() as connection:
        if database.is_sqlite:
            return _file_room(driver(connection), sqlite_file(database))
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        dead = sum(each.dead for each in _rows_of_hot_tables(connection))
    return Room(size=size, free=None, dead=dead)


def sqlite_file(database: Database) -> Path:
    """The file of an SQLite ledger."""
    return Path(str(database.engine.url.database))


def empty_log(database: Database, *, pause: Callable[[float], object]) -> bool:
    """Bring SQLite's write-ahead log into the file and cut it to nothing; whether that was done.

    A reader that is in the middle of something holds it up; then the next one does it.
    """
    with database.read() as connection:
        raw = driver(connection)
        raw.execute("PRAGMA busy_timeout = 50")
        try:
            for number in range(CHECKPOINTS):
                if number:
                    pause(BREATH)
                # Most of it without holding up writers, then the rest.
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                if not raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return True
        finally:
            raw.execute(f"PRAGMA busy_timeout = {PRAGMAS['busy_timeout'][0]}")
    return False


def is_due(database: Database, *, every: float) -> bool:
    """Whether nobody has vacuumed for so many seconds; then it is the caller's turn.

    Of several processes of one SQLite ledger one gets the turn.
    """
    with database.read() as connection:
        if not _is_due(connection, every):
            return False
    with database.begin() as connection:
        if not _is_due(connection, every):
            return False
        moment = upkeep.last_look(connection, VACUUM).now
        upkeep.keep_look(connection, VACUUM, at=moment, patient_until=moment)
    return True


def leave_due(database: Database) -> None:
    """More than one turn could do is left: the next one goes on at once."""
    with database.begin() as connection:
        upkeep.forget(connection, VACUUM)


def bloat(connection: Connection) -> list[tuple[str, int, int, str]]:
    """Where much is dead that vacuum should have given back: table, dead rows, live rows, and a
    line that says so. On SQLite it is the file, and its free pages and those in use.
    """
    if connection.dialect.name == "sqlite":
        return _free_pages(connection)
    oldest = connection.execute(_OLDEST).scalar() or 0.0
    kept = f"; a transaction of {oldest / 60:.0f} minutes keeps them" if oldest > 600 else ""
    return [
        (row.name, row.dead, row.live,
         f"{row.name} has {row.dead} dead rows beside {row.live} live ones{kept}")
        for row in _rows_of_hot_tables(connection)
        if row.dead >= BLOATED_ROWS and row.dead > BLOATED_SHARE * row.live
    ]  # fmt: skip


_HOT_ROWS = text(
    "SELECT relname AS name, n_dead_tup AS dead, n_live_tup AS live FROM pg_stat_user_tables "
    "WHERE schemaname = current_schema() ORDER BY n_dead_tup DESC"
)
_OLDEST = text(
    "SELECT extract(epoch FROM max(now() - xact_start))::double precision FROM pg_stat_activity "
    "WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
)


def _rows_of_hot_tables(connection: Connection) -> list[Any]:
    return [row for row in connection.execute(_HOT_ROWS) if row.name in TABLE_OPTIONS]


def _free_pages(connection: Connection) -> list[tuple[str, int, int, str]]:
    pages, free, size = _pages(driver(connection))
    if free * size < BLOATED_BYTES or free <= pages - free:
        return []
    said = f"the file has {free * size / 1e6:.0f} MB free beside {(pages - free) * size / 1e6:.0f}"
    return [("the file", free, pages - free, f"{said} MB in use")]


def _is_due(connection: Connection, every: float) -> bool:
    age = upkeep.seconds_since(connection, VACUUM)
    return age is None or age >= every


def _slice(database: Database, monotonic: Callable[[], float]) -> int:
    """Give back pages for a moment; how many are left to give back."""
    with database.begin() as connection:
        raw, end = driver(connection), monotonic() + SLICE_SECONDS
        left: int = raw.execute("PRAGMA freelist_count").fetchone()[0]
        while left:
            for _ in range(min(BITE, left)):
                # The driver takes one step of it, which is a page, whatever the number.
                raw.execute("PRAGMA incremental_vacuum(1)")
            left = raw.execute("PRAGMA freelist_count").fetchone()[0]
            if monotonic() >= end:
                break
        return left


def _file_room(raw: sqlite3.Connection, file: Path) -> Room:
    _, free, size = _pages(raw)
    log = file.with_name(f"{file.name}-wal")
    logged = log.stat().st_size if log.exists() else 0
    return Room(size=file.stat().st_size, free=free * size, log=logged)


def _pages(raw: sqlite3.Connection) -> tuple[int, int, int]:
    """Pages, those of them that are free, and the bytes of one."""
    pages, free, size = (
        raw.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, size


def _vacuum_tables(database: Database, how: str) -> Vacuumed:
    before = room(database)
    with database.read() as connection:
        for table in TABLE_OPTIONS:
            run_plain(connection, f"VACUUM ({how}) {table}")
    return Vacuumed(before=before, after=room(database), slices=len(TABLE_OPTIONS))
