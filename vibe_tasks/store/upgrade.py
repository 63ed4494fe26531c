"""Moving a database from one schema version to another, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from vibe_tasks.errors import InputError, SchemaError
from vibe_tasks.store.engine import Database, check_reachable
from vibe_tasks.store.schema import metadata
from vibe_tasks.store.version import SCHEMA_VERSION, found_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a migration did.

    Attributes:
        before: Schema version it found, 0 for an empty database.
        after: Schema version it left.
    """

    before: int
    after: int


def upgrade(database: Database, *, to: int = SCHEMA_VERSION) -> Moved:
    """Bring the schema up to this version; nothing happens when it is there already.

    Raises:
        SchemaError: The database is newer than this program.
    """
    check_reachable(database)
    before = _understood(database)
    if before < to:
        _run(database, to, up=True)
    return Moved(before=before, after=found_version(database) or 0)


def downgrade(database: Database, *, to: int) -> Moved:
    """Take the schema back to this version; 0 removes all tables and what is in them.

    Raises:
        InputError: The database is older than that already.
    """
    check_reachable(database)
    before = _understood(database)
    if to > before:
        raise InputError(f"the ledger has schema {before}; it cannot be taken down to {to}")
    if to < before:
        _run(database, to, up=False)
    return Moved(before=before, after=found_version(database) or 0)


def differences(database: Database) -> tuple[str, ...]:
    """Where the database's tables differ from the code's, one line each; empty is good."""
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        found = [repr(change) for change in compare_metadata(context, metadata)]
        if database.is_sqlite:
            found += [str(row) for row in connection.execute(text("PRAGMA foreign_key_check"))]
            answer = connection.execute(text("PRAGMA quick_check")).scalar()
            found += [] if answer == "ok" else [f"quick_check: {answer}"]
    return tuple(found)


def _understood(database: Database) -> int:
    version = found_version(database) or 0
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the ledger has schema {version}, newer than this program's {SCHEMA_VERSION}; "
            "upgrade vibe_tasks"
        )
    return version


def _run(database: Database, to: int, *, up: bool) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    target = f"{to:04d}" if to else "base"
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if up else command.downgrade)(config, target)
