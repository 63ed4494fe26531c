"""An SQLite ledger as one file that lies still: how a copy is made while it is in use, and proved.

The copy is of one moment: a read transaction is held meanwhile. In WAL mode that holds up nobody;
the write-ahead log grows until it is over, as no checkpoint can pass that moment. Without it, each
write of another process would make SQLite begin the copy again.

A file is never seen half written: it is made under another name, flushed, proved and renamed.
Sources: https://www.sqlite.org/backup.html; https://www.sqlite.org/howtocorrupt.html, section 1.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vibe_tasks.errors import InputError, UnavailableError

Pause = Callable[[float], object]
"""Waits so many seconds."""

PAGES = 1024
"""Pages that are copied at a time, 4 MB."""

BREATH = 0.002
"""Seconds between two such pieces: disk and processors are others' too."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database, by the end of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What is in a ledger.

    Attributes:
        schema: Its schema version.
        definitions: Tables, indexes, views and triggers: kind, name and SQL of each.
        rows: Rows by table.
    """

    schema: int
    definitions: tuple[tuple[str, str, str], ...]
    rows: Mapping[str, int]


def census(raw: sqlite3.Connection, name: object) -> Census:
    """What is in this ledger now.

    Args:
        raw: A connection, inside a transaction where others write.
        name: What it is called in messages.

    Raises:
        InputError: It is no ledger of ours.
    """
    found = raw.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2")
    definitions = tuple((kind, each, sql) for kind, each, sql in found)
    tables = [each for kind, each, _ in definitions if kind == "table"]
    schema = _schema(raw, tables, name)
    return Census(
        schema=schema, definitions=definitions, rows={each: _count(raw, each) for each in tables}
    )


def schema_of(path: Path) -> int:
    """The schema version of the ledger in this file, which nobody need read to its end for that.

    Raises:
        InputError: It is no ledger.
    """
    try:
        with closing(lying(path)) as raw:
            found = raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return _schema(raw, [name for (name,) in found], path)
    except sqlite3.Error as error:
        raise InputError(f"{path} is no ledger that can be read: {error}") from error


def _schema(raw: sqlite3.Connection, tables: Collection[str], name: object) -> int:
    version = None
    if {"alembic_version", "jobs"} <= set(tables):
        version = raw.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0]
    if version is None or not str(version).isdecimal():
        raise InputError(f"{name} is no ledger of vibe_tasks")
    return int(version)


def copy_into(source: sqlite3.Connection, part: Path, name: object, *, pause: Pause) -> Census:
    """Copy a ledger that may be in use into this file, and prove that it is all there.

    Args:
        source: A connection to it, in no transaction.
        part: An empty file, `taken` by us; afterwards nothing lies beside it.
        name: What the source is called in messages.
        pause: Called between two pieces.

    Raises:
        InputError: The source is no ledger.
        UnavailableError: The copy cannot be written, or is not what it should be.
    """
    with closing(sqlite3.connect(part, isolation_level=None)) as target:
        # Nobody else reads it, and it is flushed once, at its end.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.execute("BEGIN")
        try:
            expected = census(source, name)
            source.backup(target, pages=PAGES, progress=lambda *_: pause(BREATH))
        finally:
            source.execute("ROLLBACK")
    with closing(sqlite3.connect(part, isolation_level=None)) as target:
        # Not WAL: one file, that can be read where nothing can be written.
        target.execute("PRAGMA journal_mode = DELETE")
    flush(part)
    if prove(part) != expected:
        raise UnavailableError(f"the copy of {name} is not what it should be: try again")
    return expected


def prove(path: Path) -> Census:
    """Read this file from beginning to end; what is in it.

    Raises:
        InputError: It is no ledger, or a damaged one.
    """
    try:
        with closing(lying(path)) as raw:
            answer = str(raw.execute("PRAGMA integrity_check(1)").fetchone()[0])
            orphan = raw.execute("PRAGMA foreign_key_check").fetchone()
            if answer != "ok":
                raise InputError(f"{path} is damaged: {' '.join(answer.split())}")
            if orphan is not None:
                raise InputError(f"{path} is damaged: a row of {orphan[0]} lacks its {orphan[2]}")
            return census(raw, path)
    except sqlite3.Error as error:
        raise InputError(f"{path} is no ledger that can be read: {error}") from error


def lying(path: Path) -> sqlite3.Connection:
    """A connection that only reads. Where no log lies beside it nobody uses the file: SQLite is
    told so and puts nothing beside it either, which it could not in a folder that is read-only.
    """
    still = not path.with_name(f"{path.name}-wal").exists()
    how = "immutable=1" if still else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)


@contextmanager
def taken(part: Path) -> Iterator[None]:
    """An empty file of this name that is ours alone, readable by nobody else. It is gone at the
    end unless it was renamed; what was left of a process that was killed is thrown away.

    Raises:
        InputError: It cannot be made, or somebody else is writing it.
    """
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"cannot write {part}: {error.strerror}") from error
    try:
        if not _lock(part, descriptor):
            raise InputError(f"another process is writing {part}")
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o600)
        _throw_away(part, *SIDE_FILES)
        try:
            yield
        finally:
            if _is(part, descriptor):
                _throw_away(part, "", *SIDE_FILES)
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """See to it that this file, or the names in this folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_same(one: Path, other: Path) -> bool:
    """Whether both are there and one file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def is_part_of(file: Path, ledger: Path) -> bool:
    """Whether a name is that of the ledger or of what SQLite puts beside it, there or not: its log
    has the newest rows, and who writes over it loses them.
    """
    own = ledger.resolve()
    names = {own.with_name(f"{own.name}{end}") for end in ("", *SIDE_FILES)}
    return file.resolve() in names or is_same(file, ledger)


def _lock(part: Path, descriptor: int) -> bool:
    """Whether this open file is ours now. Whoever had it may have renamed it since we opened it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is(part, descriptor)


def _is(part: Path, descriptor: int) -> bool:
    try:
        return part.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _throw_away(path: Path, *ends: str) -> None:
    for end in ends:
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)


def _count(raw: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    found: int = raw.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608
    return found
