"""An SQLite file that is to be replaced: whether anybody uses it, and where the old one goes.

Who has a file open goes on writing into it when another one takes its name, and all of that would
be lost. SQLite knows: in WAL mode everybody who has it open holds a lock on it, and it leaves that
mode only for who is alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from vibe_tasks.errors import InputError
from vibe_tasks.store.ledger_copy import SIDE_FILES
from vibe_tasks.store.retries import SQLITE_BUSY_CODES

PATIENCE = 2.0
"""Seconds for those who are about to close it."""


@contextmanager
def alone_with(file: Path) -> Iterator[None]:
    """Nobody else has this SQLite file open, and nobody comes in meanwhile; all that was in logs
    beside it is in it. A file that SQLite cannot read is left as it is.

    Raises:
        InputError: Somebody uses it.
    """
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as raw:
        try:
            raw.execute("PRAGMA journal_mode = DELETE").fetchall()
            raw.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE_BUSY_CODES:
                raise InputError(
                    f"{file} is in use: stop every program that has it open, workers, servers and "
                    "producers alike"
                ) from error
        yield


def require_unused(file: Path) -> None:
    """Refuse a file that somebody has open.

    Raises:
        InputError: Somebody uses it.
    """
    with alone_with(file):
        pass


def replace(file: Path, new: Path) -> Path | None:
    """Let a new file take this one's name, from one moment to the next; where the old one is now.

    None where there was none. The old one is `FILE.old`, `FILE.old.2` and so on.

    Raises:
        InputError: Somebody uses it.
    """
    if not file.exists():
        _move_sides(file, None)
        new.replace(file)
        return None
    with alone_with(file):
        aside = _free_name(file)
        # A log that is left is that of a damaged file; beside the new one it would be taken for
        # the new one's.
        _move_sides(file, aside)
        try:
            os.link(file, aside)  # so that at no moment there is none
        except OSError:  # not every file system has links
            file.replace(aside)
        new.replace(file)
    return aside


def _free_name(file: Path) -> Path:
    names = (file.with_name(f"{file.name}.old{f'.{n}' if n > 1 else ''}") for n in count(1))
    return next(name for name in names if not name.exists())


def _move_sides(file: Path, aside: Path | None) -> None:
    for end in SIDE_FILES:
        side = file.with_name(f"{file.name}{end}")
        if aside is None or end == "-shm":
            side.unlink(missing_ok=True)
        elif side.exists():
            side.replace(aside.with_name(f"{aside.name}{end}"))
