"""Moving a database from one schema version to another, both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Dialect, Index, inspect, text
from sqlalchemy.exc import DBAPIError

from vibe_tasks.errors import InputError, SchemaError, UnavailableError
from vibe_tasks.store.engine import Database, check_reachable
from vibe_tasks.store.in_use import Patience, is_in_use, user_of, wait_at_most
from vibe_tasks.store.operation_tables import COPY_LOG, metadata
from vibe_tasks.store.programs import refuse_unfit
from vibe_tasks.store.version import SCHEMA_VERSION, is_copy, version_in, wait_for_others

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""Where the versions are: one file each, named by its number."""

_PATIENCE = Patience()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a migration did.

    Attributes:
        before: Schema version it found, 0 for an empty database.
        after: Schema version it left.
    """

    before: int
    after: int


def upgrade(
    database: Database,
    *,
    to: int = SCHEMA_VERSION,
    versions: Path = VERSIONS,
    lease: float | None = None,
    patience: Patience = _PATIENCE,
) -> Moved:
    """Bring the schema up to this version; nothing happens when it is there already.

    All versions are one transaction: what dies half way leaves the schema as it was.

    Args:
        database: The ledger.
        to: The version.
        versions: Where the versions are.
        lease: Refuse while workers are online that could not go on; seconds of silence after which
            a worker counts as gone. None: whoever is online.
        patience: How to wait for tables that others use.

    Raises:
        InputError: Such workers are online, which the message names; or it is one side of a copy.
        SchemaError: The database is newer than this program, or somebody else's.
        UnavailableError: It does not answer, or others used its tables all the time.
    """
    return _Move(versions=versions, lease=lease, target=lambda before: max(before, to)).done(
        database, patience
    )


def downgrade(
    database: Database,
    *,
    to: int,
    versions: Path = VERSIONS,
    lease: float | None = None,
    patience: Patience = _PATIENCE,
) -> Moved:
    """Take the schema back to this version; 0 removes all tables and what is in them.

    Arguments and errors as those of `upgrade`.

    Raises:
        InputError: The database is older than that already.
    """

    def target(before: int) -> int:
        if to > before:
            raise InputError(f"the ledger has schema {before}; it cannot be taken down to {to}")
        return to

    return _Move(versions=versions, lease=lease, target=target).done(database, patience)


def differences(database: Database) -> tuple[str, ...]:
    """Where the database's tables differ from the code's, one line each; empty is good."""
    with database.read() as connection:
        considered = {"include_name": _is_ours, "include_object": partial(_has, connection.dialect)}
        context = MigrationContext.configure(connection, opts=considered)
        changes = compare_metadata(context, metadata)
        if (version_in(connection) or 0) > SCHEMA_VERSION:  # the next version may have more
            changes = [each for each in changes if not str(each[0]).startswith("remove_")]
        found = [repr(change) for change in changes]
        if database.is_sqlite:
            found += [str(row) for row in connection.execute(text("PRAGMA foreign_key_check"))]
            answer = connection.execute(text("PRAGMA quick_check")).scalar()
            found += [] if answer == "ok" else [f"quick_check: {answer}"]
    return tuple(found)


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name != COPY_LOG  # there while the ledger is being copied


def _has(dialect: Dialect, item: object, *_: object) -> bool:
    """Whether the code has this on this database; Alembic does not ask `ddl_if`."""
    return not isinstance(item, Index) or item.info.get("only", dialect.name) == dialect.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    versions: Path
    lease: float | None
    target: Callable[[int], int]

    def done(self, database: Database, patience: Patience) -> Moved:
        check_reachable(database)
        tries = 0
        while True:
            tries += 1
            try:
                return self._once(database, patience.at_once)
            except DBAPIError as error:
                if not is_in_use(error):
                    raise
                user = user_of(database)
                if tries >= patience.tries:
                    raise UnavailableError(f"the schema is as it was: {user}") from error
            patience.tell(f"waits: {user}")
            patience.sleep(patience.rest)

    def _once(self, database: Database, at_once: float) -> Moved:
        config = Config()
        config.set_main_option("script_location", str(VERSIONS.parent))
        config.set_main_option("version_locations", str(self.versions))
        config.set_main_option("path_separator", "newline")
        newest = max(int(path.name[:4]) for path in self.versions.glob("[0-9]*.py"))
        with database.begin() as connection:
            wait_at_most(connection, at_once)
            wait_for_others(connection)
            before = version_in(connection) or 0
            if before > newest:
                raise SchemaError(
                    f"the ledger has schema {before}, newer than this program's {newest}; "
                    "upgrade vibe_tasks"
                )
            after = self.target(before)
            if after != before:
                if inspect(connection).has_table(COPY_LOG):
                    raise InputError(
                        "the ledger is being copied, and both sides must have one schema: "
                        "`vibe db copy --undo FROM TO` ends the copy"
                    )
                if is_copy(connection):
                    raise InputError(
                        "this is a copy of a ledger that is not finished, and both sides must have "
                        "one schema; one that is not wanted any more is deleted as a whole"
                    )
                if self.lease is not None:
                    refuse_unfit(
                        connection, before=before, after=after, lease=self.lease,
                        oldest=_oldest_program(config, after),
                    )  # fmt: skip
                config.attributes["connection"] = connection
                move = command.upgrade if after > before else command.downgrade
                move(config, f"{after:04d}" if after else "base")
        return Moved(before=before, after=after)


def _oldest_program(config: Config, version: int) -> int:
    """What a version says of itself; that only its own programs can work on it where it is
    silent.
    """
    if not version:
        return 0
    script = ScriptDirectory.from_config(config).get_revision(f"{version:04d}")
    return int(getattr(script.module, "oldest_program", version))
