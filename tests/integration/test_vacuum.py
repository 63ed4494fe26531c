"""Room that deleted rows leave: given back while others work, and told with figures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text

from tests.ledgers import new_job, submit
from tests.long import FULL
from tests.processes import until
from vibe_tasks.errors import InputError, SchemaError, UnavailableError
from vibe_tasks.store import upkeep, vacuum, version, workers
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.event_retention import trim
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.history import archive_old_history
from vibe_tasks.store.upgrade import differences
from vibe_tasks.store.workers import Registered
from vibe_tasks.tasks.vacuuming import DAILY, VacuumTurns

MEGABYTES, LEFT = (150, 5) if FULL else (15, 1)
"""Requirement S3: 150 MB of mostly dead rows shrink to less than 5 MB."""


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    """A ledger on SQLite."""
    opened = open_database(sqlite_url)
    version.create(opened)
    yield opened
    opened.close()


def no_pause(_seconds: float) -> None:
    """Nobody is to be left a turn."""


def fill(database: Database, megabytes: float) -> None:
    """Events of so many megabytes, about 1 kB each."""
    with database.begin() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
                "INSERT INTO events (source_app, session_id, hook_event_type, payload, timestamp,"
                " priority) SELECT 'a', 's', 'Stop', "
                """'{"x": "' || hex(zeroblob(425)) || '"}', i, 0 FROM n"""
            ),
            {"rows": int(megabytes * 1000)},
        )


def test_a_file_of_dead_rows_shrinks(ledger: Database) -> None:
    """S3: what retention has deleted leaves the file, and the figures of before and after say so;
    the log is empty, and what is left is whole.
    """
    fill(ledger, MEGABYTES)
    submit(ledger, *(new_job() for _ in range(100)))
    trim(ledger, EventRules(regular_keep=50, priority_keep=50, regular_days=0, priority_days=0))
    archive_old_history(ledger, 0)
    done = vacuum.vacuum(ledger, monotonic=monotonic, pause=no_pause)
    assert done.before.size > MEGABYTES * 1_000_000
    assert done.before.free is not None
    assert done.before.free > 0.9 * done.before.size
    assert done.after.size < LEFT * 1_000_000
    assert (done.after.free, done.after.log, done.more) == (0, 0, False)
    assert done.slices > 1
    assert vacuum.sqlite_file(ledger).stat().st_size == done.after.size
    assert differences(ledger) == ()
    with ledger.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar() == 100


def test_others_write_between_two_slices(ledger: Database) -> None:
    """Each slice is a short transaction of its own; after any of them it can be left off."""
    fill(ledger, 2)
    with ledger.begin() as connection:
        connection.execute(text("DELETE FROM events"))
    ticks = iter(range(1_000_000))
    turns: list[float] = []

    def others_turn(seconds: float) -> None:
        turns.append(seconds)
        submit(ledger, new_job())

    first = vacuum.vacuum(ledger, monotonic=lambda: next(ticks), pause=others_turn, most=3)
    assert (first.slices, first.more, len(turns)) == (3, True, 2)
    assert first.after.free is not None
    assert first.before.free is not None
    assert 0 < first.after.free < first.before.free
    rest = vacuum.vacuum(ledger, monotonic=lambda: next(ticks), pause=others_turn)
    assert (rest.more, rest.after.free) == (False, 0)
    assert not vacuum.vacuum(ledger, monotonic=monotonic, pause=no_pause).slices


def test_a_reader_holds_up_the_end_of_the_log_alone(ledger: Database) -> None:
    """Who reads for long keeps the log from being cut, and nothing waits for that."""
    submit(ledger, new_job())
    with closing(sqlite3.connect(vacuum.sqlite_file(ledger), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchall()
        submit(ledger, new_job())
        assert not vacuum.empty_log(ledger, pause=no_pause)
    assert vacuum.empty_log(ledger, pause=no_pause)
    with ledger.read() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 5000


def test_a_file_without_incremental_vacuum_is_made_anew(tmp_path: Path) -> None:
    """Nothing of ours opens it, the refusal says what to do, and that helps; not while another
    program has it open, unless one insists and it can be had.
    """
    file = tmp_path / "old.db"
    database = open_database(f"sqlite:///{file}")
    with pytest.raises(InputError, match="no ledger"):
        vacuum.vacuum_full(database, lease=8.0)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE t (x)")
        with pytest.raises(SchemaError, match="vibe db vacuum --full"), database.read():
            pass
        with pytest.raises(InputError, match="in use"):
            vacuum.vacuum_full(database, lease=8.0)
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            vacuum.vacuum_full(database, lease=None, patience=0.1)
    vacuum.vacuum_full(database, lease=8.0)
    with database.read() as connection:
        assert connection.execute(text("PRAGMA auto_vacuum")).scalar() == 2
    database.close()


def test_one_of_many_gets_the_days_turn(database: Database) -> None:
    """Beat and dispatchers look at one mark in the ledger; a new day is a new turn."""
    other = open_database(database.url)
    assert vacuum.is_due(database, every=DAILY)
    assert not vacuum.is_due(other, every=DAILY)
    with database.begin() as connection:
        moment = upkeep.last_look(connection, vacuum.VACUUM).now - DAILY
        upkeep.keep_look(connection, vacuum.VACUUM, at=moment, patient_until=moment)
    assert vacuum.is_due(other, every=DAILY)
    other.close()


def test_the_dispatcher_takes_turns(database: Database) -> None:
    """A little at a time until nothing is left, then not before the next day; on a server never:
    autovacuum does it.
    """
    ticks = iter(range(0, 10**9, 10))
    if database.is_sqlite:
        fill(database, 2)
        with database.begin() as connection:
            connection.execute(text("DELETE FROM events"))
    turns = VacuumTurns(
        database, monotonic=lambda: next(ticks), pause=no_pause, look_every=50.0, most=1
    )
    assert turns.take() is None
    taken = [turns.take() for _ in range(1000)]
    done = [each for each in taken if each is not None]
    if not database.is_sqlite:
        assert not done
        return
    assert len(done) > 2
    assert [each.more for each in done] == [True] * (len(done) - 1) + [False]
    assert done[-1].after.free == 0


@pytest.mark.postgres
def test_dead_rows_of_a_server(postgres_url: str) -> None:
    """They are counted, told as bloat with what keeps them, and gone after a vacuum; the one that
    rewrites tables is refused while workers are online.
    """
    database = open_database(postgres_url)
    version.create(database)
    submit(database, *(new_job() for _ in range(vacuum.BLOATED_ROWS // 3)))
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE jobs SET (autovacuum_enabled = off)"))

    def found() -> list[tuple[str, int, int, str]]:
        with database.read() as connection:
            return vacuum.bloat(connection)

    assert found() == []
    for _ in range(4):
        with database.begin() as connection:
            connection.execute(text("UPDATE jobs SET labels = '{}'"))
    until(lambda: bool(found()))  # the server's counters come a moment later
    (table, dead, live, said) = found()[0]
    assert (table, live) == ("jobs", vacuum.BLOATED_ROWS // 3)
    assert dead >= vacuum.BLOATED_ROWS
    assert f"jobs has {dead} dead rows beside {live} live ones" in said
    assert vacuum.room(database).dead >= dead
    done = vacuum.vacuum(database, monotonic=monotonic, pause=no_pause)
    assert done.before.dead > done.after.dead
    assert (done.after.free, done.more) == (None, False)
    until(lambda: not found())
    with database.begin() as connection:
        workers.register(
            connection, Registered(worker="w@h", host=None, process="1"), ["code"],
            tier="standard", capacity=1,
        )  # fmt: skip
    with pytest.raises(InputError, match="online: w@h; stop"):
        vacuum.vacuum_full(database, lease=60.0)
    before = vacuum.room(database)
    assert vacuum.vacuum_full(database, lease=None).after.size <= before.size
    database.close()


def test_bloat_of_a_file(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much more that is free than in use is told; a little is not."""
    fill(ledger, 2)
    with ledger.begin() as connection:
        connection.execute(text("DELETE FROM events"))
    with ledger.read() as connection:
        assert vacuum.bloat(connection) == []
        monkeypatch.setattr(vacuum, "BLOATED_BYTES", 1_000_000)
        ((name, free, used, said),) = vacuum.bloat(connection)
    assert name == "the file"
    assert free > used
    assert said.startswith("the file has 2 MB free beside 0 MB in use")
