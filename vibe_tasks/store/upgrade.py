"""Moving a database from one schema version to another, both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from vibe_tasks.errors import InputError, SchemaError
from vibe_tasks.store.engine import Database, check_reachable
from vibe_tasks.store.operation_tables import metadata
from vibe_tasks.store.version import SCHEMA_VERSION, version_in, wait_for_others

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""Where the versions are: one file each, named by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a migration did.

    Attributes:
        before: Schema version it found, 0 for an empty database.
        after: Schema version it left.
    """

    before: int
    after: int


def upgrade(database: Database, *, to: int = SCHEMA_VERSION, versions: Path = VERSIONS) -> Moved:
    """Bring the schema up to this version; nothing happens when it is there already.

    All versions are one transaction: what dies half way leaves the schema as it was.

    Raises:
        SchemaError: The database is newer than this program, or somebody else's.
        UnavailableError: It does not answer.
    """
    return _move(database, lambda before: max(before, to), versions)


def downgrade(database: Database, *, to: int, versions: Path = VERSIONS) -> Moved:
    """Take the schema back to this version; 0 removes all tables and what is in them.

    Raises:
        InputError: The database is older than that already.
        SchemaError: It is newer than this program, or somebody else's.
        UnavailableError: It does not answer.
    """

    def target(before: int) -> int:
        if to > before:
            raise InputError(f"the ledger has schema {before}; it cannot be taken down to {to}")
        return to

    return _move(database, target, versions)


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


def _move(database: Database, target: Callable[[int], int], versions: Path) -> Moved:
    check_reachable(database)
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    newest = max(int(path.name[:4]) for path in versions.glob("[0-9]*.py"))
    with database.begin() as connection:
        wait_for_others(connection)
        before = version_in(connection) or 0
        if before > newest:
            raise SchemaError(
                f"the ledger has schema {before}, newer than this program's {newest}; "
                "upgrade vibe_tasks"
            )
        after = target(before)
        if after != before:
            config.attributes["connection"] = connection
            move = command.upgrade if after > before else command.downgrade
            move(config, f"{after:04d}" if after else "base")
    return Moved(before=before, after=after)
