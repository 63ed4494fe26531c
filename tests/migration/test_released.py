"""Ledgers that released versions left, on their way to this version and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, inspect, text

from tests.ledgers import claim, new_job, row, submit
from tests.migration import freeze, frozen
from tests.migration.test_schema import description
from tests.processes import unmeasured
from vibe_tasks.store import jobs, upgrade, version
from vibe_tasks.store.engine import Database
from vibe_tasks.store.schema import READY
from vibe_tasks.store.upgrade import Moved
from vibe_tasks.store.version import SCHEMA_VERSION

RELEASED = range(1, SCHEMA_VERSION)
ROOT = Path(__file__).parents[2]
SKIPPED = frozenset({"alembic_version", "sqlite_sequence"})
Rows = dict[str, list[dict[str, Any]]]


def rows_of(database: Database) -> Rows:
    """Every row of every table, but for the version's."""
    with database.read() as connection:
        names = [name for name in inspect(connection).get_table_names() if name not in SKIPPED]
        return {
            name: [dict(each) for each in connection.execute(_all_of(connection, name)).mappings()]
            for name in names
        }


def _all_of(connection: Connection, table: str) -> TextClause:
    keys = inspect(connection).get_pk_constraint(table)["constrained_columns"]
    return text(f"SELECT * FROM {table} ORDER BY {', '.join(keys)}")  # noqa: S608


def as_known(rows: Rows, before: Rows) -> Rows:
    """Of these rows what the older version had: its tables, and their columns, but for the facts
    that newer versions tell of themselves.
    """
    told = {version.oldest_program_fact(number) for number in range(1, SCHEMA_VERSION + 1)}
    told -= {each["name"] for each in before.get("ledger_facts", [])}
    return {
        name: [
            {key: each[key] for key in old[0]}
            for each in rows[name]
            if name != "ledger_facts" or each["name"] not in told
        ]
        for name, old in before.items()
    }


def upgrading_until(database: Database, fatal: str) -> subprocess.Popen[str]:
    """A process that brings this ledger up, and has died right after that statement."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.migration.killed_upgrade", database.url, fatal],
        env=unmeasured(os.environ), text=True, cwd=ROOT,
    )  # fmt: skip


def test_each_released_version_has_its_ledgers() -> None:
    """Whoever begins a version writes down first what the one before leaves."""
    expected = {frozen.file_of(n, sqlite=sqlite) for n in RELEASED for sqlite in (True, False)}
    assert set(frozen.FOLDER.iterdir()) == expected


def test_this_version_can_be_frozen(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger with rows in every table is written down and comes back, for the version to come."""
    monkeypatch.setattr(frozen, "FOLDER", tmp_path)
    freeze.fill(database)
    before, schema = rows_of(database), description(database)
    assert all(len(rows) > 1 for rows in before.values()), "each table has rows"
    file = frozen.file_of(SCHEMA_VERSION, sqlite=database.is_sqlite)
    file.write_text(freeze.written(database), encoding="utf-8")
    upgrade.downgrade(database, to=0)
    with database.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    frozen.load(database, SCHEMA_VERSION)
    assert rows_of(database) == before
    assert description(database) == schema
    assert upgrade.differences(database) == ()


@pytest.mark.parametrize("number", RELEASED)
def test_a_released_ledger_comes_along_and_goes_back(empty_database: Database, number: int) -> None:
    """Each row keeps all that its version knew of it, work goes on where it was, and the way back
    leaves the very schema and the very rows that were there.
    """
    database = empty_database
    frozen.load(database, number)
    before, schema = rows_of(database), description(database)
    assert all(len(rows) > 1 for rows in before.values()), "each table has rows"

    assert upgrade.upgrade(database) == Moved(before=number, after=SCHEMA_VERSION)
    assert upgrade.differences(database) == ()
    version.require_current(database)
    assert as_known(rows_of(database), before) == before

    assert upgrade.downgrade(database, to=number) == Moved(before=SCHEMA_VERSION, after=number)
    assert description(database) == schema
    assert rows_of(database) == before

    upgrade.upgrade(database)
    with database.read() as connection:
        due = connection.execute(text(f"SELECT id FROM jobs WHERE {READY}")).scalars().all()  # noqa: S608
    assert due
    added = new_job(id="added since", args=(1,))
    submit(database, added)
    for each in (*due, added.id):
        taken = claim(database, each)
        with database.begin() as connection:
            jobs.complete_job(connection, each, taken.attempt, "done")
    assert {row(database, each)["status"] for each in due} == {"completed"}
    assert row(database, added.id)["seq"] > max(each["seq"] for each in before["jobs"])


@pytest.mark.parametrize("fatal", ["CREATE TABLE lanes", "oldest_program.0006"])
def test_an_upgrade_that_is_killed_leaves_the_ledger_as_it_was(
    empty_database: Database, fatal: str
) -> None:
    """SIGKILL early or at the very end: the old version finds its schema and its rows, and the
    upgrade can be done again.
    """
    frozen.load(empty_database, 1)
    before, schema = rows_of(empty_database), description(empty_database)
    with upgrading_until(empty_database, fatal) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert version.found_version(empty_database) == 1
    assert rows_of(empty_database) == before
    assert description(empty_database) == schema
    assert upgrade.upgrade(empty_database) == Moved(before=1, after=SCHEMA_VERSION)
    assert as_known(rows_of(empty_database), before) == before
