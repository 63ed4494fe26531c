"""Migrations of a ledger whose tables others use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import event

from tests.ledgers import claim, new_job, submit
from tests.migration.test_upgrade import NEXT, NOW, with_another
from vibe_tasks.errors import UnavailableError
from vibe_tasks.store import upgrade, version
from vibe_tasks.store.engine import Database, open_database, run_plain
from vibe_tasks.store.in_use import Patience, user_of
from vibe_tasks.store.upgrade import Moved

REPORT = "LOCK TABLE jobs IN ACCESS SHARE MODE"
CHANGE = "SELECT pg_advisory_xact_lock(827309)"


@pytest.fixture
def on_server(postgres_url: str) -> Iterator[Database]:
    """An open ledger on PostgreSQL."""
    opened = open_database(postgres_url)
    version.create(opened)
    yield opened
    opened.close()


@contextmanager
def held(database: Database, statement: str) -> Iterator[None]:
    """In here, somebody's transaction has done this and goes on."""
    with database.read() as connection:
        run_plain(connection, "BEGIN")
        try:
            run_plain(connection, "SET LOCAL idle_in_transaction_session_timeout = 0")
            run_plain(connection, statement)
            yield
        finally:
            run_plain(connection, "ROLLBACK")


@pytest.mark.postgres
def test_no_claim_waits_behind_a_migration_that_waits(on_server: Database, tmp_path: Path) -> None:
    """A report reads the jobs for as long as it likes: the migration says who keeps it waiting,
    jobs are submitted and claimed meanwhile, and once the report is done so is the migration.
    """
    told, lines = Event(), list[str]()

    def tell(line: str) -> None:
        lines.append(line)
        told.set()

    patience = Patience(at_once=0.2, rest=0.05, tries=100_000, tell=tell)
    versions = with_another(tmp_path / "v")
    with ThreadPoolExecutor(1) as threads:
        with held(on_server, REPORT):
            moving = threads.submit(
                upgrade.upgrade, on_server, to=NEXT, versions=versions, patience=patience
            )
            assert told.wait(60)
            for _ in range(5):
                job = new_job()
                submit(on_server, job)
                claim(on_server, job.id)
            assert not moving.done()
        assert moving.result(60) == Moved(before=NOW, after=NEXT)
    assert re.fullmatch(r"waits: vibe_tasks \(process \d+\) uses jobs, for \d+ s", lines[0])


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statement", "who"),
    [
        (REPORT, "vibe_tasks .* uses jobs"),
        (CHANGE, "another program changes the schema, vibe_task"),
    ],
)
def test_patience_comes_to_an_end(
    on_server: Database, tmp_path: Path, statement: str, who: str
) -> None:
    """After so many tries nothing has changed, and one line says why."""
    lines, waits = list[str](), list[float]()
    patience = Patience(at_once=0.05, rest=7, tries=3, tell=lines.append, sleep=waits.append)
    versions = with_another(tmp_path / "v")
    with held(on_server, statement), pytest.raises(UnavailableError, match=f"as it was: {who}"):
        upgrade.upgrade(on_server, to=NEXT, versions=versions, patience=patience)
    assert (len(lines), waits) == (2, [7, 7])
    assert version.found_version(on_server) == NOW
    assert upgrade.upgrade(on_server, to=NEXT, versions=versions).after == NEXT


def test_another_writer_of_the_file_is_waited_for(sqlite_url: str, tmp_path: Path) -> None:
    """A file that somebody writes to is tried again."""
    ours, other = open_database(sqlite_url), open_database(sqlite_url)
    event.listen(ours.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 20"))
    version.create(other)
    versions, lines = with_another(tmp_path / "v"), list[str]()
    with other.read() as connection:
        run_plain(connection, "BEGIN IMMEDIATE")

        def sleep(_seconds: float) -> None:
            run_plain(connection, "ROLLBACK")

        patience = Patience(tell=lines.append, sleep=sleep)
        assert upgrade.upgrade(ours, to=NEXT, versions=versions, patience=patience).after == NEXT
    assert lines == ["waits: another program writes to the file"]
    ours.close()
    other.close()


@pytest.mark.postgres
def test_whoever_uses_the_tables_may_be_gone(on_server: Database) -> None:
    """Nobody is named who is done by the time one looks, or where nobody can be asked."""
    assert user_of(on_server) == "others use its tables"
    nowhere = open_database("postgresql+psycopg://nobody@localhost:1/nothing")
    assert user_of(nowhere) == "others use its tables"


def test_patience_has_at_least_one_try() -> None:
    """A wait of no time is one try; more takes as many as fit."""
    lasting = [Patience.lasting(s, sleep=list, tell=list).tries for s in (0, 3, 300)]
    assert lasting == [1, 1, 100]
    with pytest.raises(ValueError, match="tries must be at least 1, got 0"):
        Patience(tries=0)
