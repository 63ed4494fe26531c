from __future__ import annotations

import re

from sqlalchemy import text

from vibe_tasks.store import upgrade, version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.version import SCHEMA_VERSION

POSTGRES = """
SELECT 'column', table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
       || ' ' || COALESCE(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint',
       conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'view', viewname || ' ' || definition FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT 'function', pg_get_functiondef(oid) FROM pg_proc
  WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'options', relname || ' ' || reloptions::text FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""


def description(database: Database) -> set[tuple[str, str]]:
    """All that the database says of its schema."""
    with database.read() as connection:
        if not database.is_sqlite:
            return {(kind, what) for kind, what in connection.execute(text(POSTGRES))}
        rows = connection.execute(text("SELECT type, sql FROM sqlite_master WHERE sql <> ''"))
        return {(kind, _parts(sql)) for kind, sql in rows}


def _parts(sql: str) -> str:
    """The statement without the order of a table's constraints, which means nothing."""
    one_line = re.sub(r"\s+", " ", sql).replace("( ", "(")
    return "\n".join(sorted(re.sub(r" ?\)?,? ?$", "", part) for part in one_line.split(", ")))


def test_migrations_build_what_the_code_describes(empty_database: Database) -> None:
    """Tables, columns, indexes with their conditions, triggers, views and functions are equal,
    whether the schema came from the migrations or, on a first start, from the code.
    """
    upgrade.upgrade(empty_database)
    migrated = description(empty_database)
    assert upgrade.differences(empty_database) == ()
    upgrade.downgrade(empty_database, to=0)
    with empty_database.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    version.create(empty_database)
    assert description(empty_database) == migrated
    assert len({what for kind, what in migrated if kind == "trigger"}) == (
        2 if empty_database.is_sqlite else 3
    )
    assert len({what for kind, what in migrated if kind == "index"}) > 15


def test_the_newest_migration_is_the_programs_version() -> None:
    """Whoever adds a version raises `SCHEMA_VERSION` with it."""
    numbers = [int(path.name[:4]) for path in upgrade.VERSIONS.glob("[0-9]*.py")]
    assert max(numbers) == SCHEMA_VERSION
    assert sorted(numbers) == list(range(1, SCHEMA_VERSION + 1))


def test_an_unknown_index_or_column_is_a_difference(database: Database) -> None:
    """`vibe db check` sees what somebody changed by hand."""
    assert upgrade.differences(database) == ()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN mood TEXT"))
    assert "mood" in " ".join(upgrade.differences(database))


def test_a_reopened_ledger_is_the_same(database: Database) -> None:
    """Making the schema twice changes nothing and loses nothing."""
    before = description(database)
    again = open_database(database.url)
    version.create(again)
    version.require_current(again)
    again.close()
    assert description(database) == before
