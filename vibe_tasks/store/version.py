"""Which schema version a database has, and whether this program can work with it.

Kept apart from `upgrade`, so that a worker starts without importing Alembic.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, inspect, select, text

from vibe_tasks.errors import MovedError, SchemaError
from vibe_tasks.store.engine import Database, check_reachable
from vibe_tasks.store.extras import POSTGRES_EXTRAS, SQLITE_EXTRAS
from vibe_tasks.store.operation_tables import COPY_FROM, MOVED_TO, ledger_facts, metadata
from vibe_tasks.store.statement import LEFT

SCHEMA_VERSION = 7
"""The version this program works with; the newest of `migrations/versions`."""

OLDEST_PROGRAM = 5
"""The oldest schema version whose programs can work on this program's schema. A migration that
only adds leaves it; one that takes away or changes raises it. So one version of workers runs beside
the next (expand, migrate, contract). The migration says so too, as its `oldest_program`, and writes
it down as a fact of the ledger."""


CHANGING = 827309
"""Number of PostgreSQL's advisory lock that whoever changes the schema holds."""


def fits(program: int, *, schema: int, oldest: int) -> bool:
    """Whether a program can work on a schema.

    Args:
        program: The schema version that the program was made for.
        schema: The ledger's.
        oldest: The oldest version whose programs can work on that schema.
    """
    return oldest <= program <= schema


def found_version(database: Database) -> int | None:
    """The database's schema version; None when it has no schema.

    Raises:
        SchemaError: It has somebody else's schema.
    """
    with database.read() as connection:
        return version_in(connection)


def version_in(connection: Connection) -> int | None:
    """As `found_version`, on an open connection."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    name = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if name is None:
        return None
    if not str(name).isdecimal():
        raise SchemaError(f"the database is no ledger of vibe_tasks: its version is {name!r}")
    return int(name)


def oldest_program(database: Database) -> int:
    """The oldest schema version whose programs can work on this ledger; its own version where it
    does not say so.
    """
    with database.read() as connection:
        version = version_in(connection) or 0
        if not inspect(connection).has_table("ledger_facts"):
            return version
        # Of this version: what an earlier one allowed says nothing about what came after it.
        name = oldest_program_fact(version)
        found = connection.execute(
            select(ledger_facts.c.value).where(ledger_facts.c.name == name)
        ).scalar()
        return version if found is None else int(found)


def oldest_program_fact(version: int) -> str:
    """The name of the fact under which a schema version says which programs can work on it."""
    return f"oldest_program.{version:04d}"


def require_current(database: Database) -> None:
    """Refuse a database of another version, but for a newer one that says that this program can
    work on it.

    Raises:
        SchemaError: It is newer, older or empty; the message says what to do.
        MovedError: It was moved, or is a copy that is not finished.
        UnavailableError: It does not answer.
    """
    check_reachable(database)
    version = found_version(database)
    if version is None:
        raise SchemaError("the ledger's database is empty; run `vibe db upgrade`")
    if version > SCHEMA_VERSION and not fits(
        SCHEMA_VERSION, schema=version, oldest=oldest_program(database)
    ):
        raise SchemaError(
            f"the ledger has schema {version}, newer than this program's {SCHEMA_VERSION}; "
            "upgrade vibe_tasks"
        )
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the ledger has schema {version}, this program needs {SCHEMA_VERSION}; "
            "run `vibe db upgrade`"
        )
    _require_in_place(database)


def _require_in_place(database: Database) -> None:
    names = (MOVED_TO, COPY_FROM)
    wanted = select(ledger_facts.c.name, ledger_facts.c.value).where(ledger_facts.c.name.in_(names))
    with database.read() as connection:
        found = dict(tuple(row) for row in connection.execute(wanted))
    if COPY_FROM in found:
        raise MovedError(
            f"this ledger is a copy that is not finished, of {found[COPY_FROM]}; "
            "`vibe db copy … --switch` finishes it; delete it where that copy was ended"
        )
    if MOVED_TO in found:
        raise MovedError(f"{LEFT}{found[MOVED_TO]}; set VIBE_DATABASE_URL to it")


def is_in_place(connection: Connection) -> bool:
    """Whether work goes on here: it did not move, and is no unfinished copy."""
    names = (MOVED_TO, COPY_FROM)
    found = select(ledger_facts.c.name).where(ledger_facts.c.name.in_(names))
    return connection.execute(found).first() is None


def is_copy(connection: Connection) -> bool:
    """Whether this is the copy of a ledger, which nobody has switched to."""
    if not inspect(connection).has_table(ledger_facts.name):
        return False
    found = select(ledger_facts.c.name).where(ledger_facts.c.name == COPY_FROM)
    return connection.execute(found).first() is not None


def create(database: Database) -> None:
    """Build the newest schema in an empty database, in one transaction.

    The same tables as all migrations in a row (a test compares them), without the
    time that importing Alembic takes; a first start should feel instant. When several
    processes come at once, one builds and the others find it built.
    """
    with database.begin() as connection:
        wait_for_others(connection)
        if inspect(connection).has_table("jobs"):
            return
        metadata.create_all(connection)
        for statement in SQLITE_EXTRAS if database.is_sqlite else POSTGRES_EXTRAS:
            connection.exec_driver_sql(statement)
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
        connection.execute(
            text("INSERT INTO alembic_version VALUES (:name)"), {"name": f"{SCHEMA_VERSION:04d}"}
        )
        connection.execute(
            insert(ledger_facts).values(
                name=oldest_program_fact(SCHEMA_VERSION), value=str(OLDEST_PROGRAM)
            )
        )


def wait_for_others(connection: Connection) -> None:
    """Let one process at a time change the schema, until the end of this transaction."""
    if connection.dialect.name == "postgresql":  # on SQLite the transaction does it
        connection.execute(text(f"SELECT pg_advisory_xact_lock({CHANGING})"))
