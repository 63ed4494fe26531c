"""A ledger moves from one database to another while it is in use: SQLite to PostgreSQL and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tests.copies import (
    AWKWARD,
    LINES,
    copied,
    copier_of,
    filled,
    history_count,
    rows_of,
    run,
    writing,
)
from tests.documents import ROOT
from tests.ledgers import new_job, submit
from tests.migration.test_schema import description
from tests.processes import unmeasured, until
from vibe_tasks.errors import InputError, MovedError, SchemaError
from vibe_tasks.store import upgrade, version
from vibe_tasks.store.checkup import lock_waits
from vibe_tasks.store.copying import change_log, facts, fence, switch
from vibe_tasks.store.copying.comparison import Compared, compare
from vibe_tasks.store.copying.rows import READY, TABLES, batches
from vibe_tasks.store.copying.target import Target
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import COPY_LOG

PATIENCE = Patience(rest=0.01)
KEYS = "SELECT unique_key, args FROM jobs WHERE unique_key LIKE 'key %' ORDER BY seq"


@pytest.fixture(
    params=[
        pytest.param(("sqlite", "postgres"), id="to-postgres", marks=pytest.mark.postgres),
        pytest.param(("postgres", "sqlite"), id="to-sqlite", marks=pytest.mark.postgres),
    ]
)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Database, Database]]:
    """A ledger without jobs, and an empty database of the other kind."""
    source, copy = (open_database(request.getfixturevalue(f"{kind}_url")) for kind in request.param)
    version.create(source)
    yield source, copy
    source.close()
    copy.close()


def test_a_ledger_moves_under_load_and_loses_nothing(
    pair: tuple[Database, Database], tmp_path: Path
) -> None:
    """Every answered write is in the copy, every value is the same, no transition is there twice,
    and no number comes back. The old ledger refuses writes and names the new one; the new one has
    all that a new ledger has, and works.
    """
    source, copy = pair
    filled(source, tmp_path / "filled")
    awkward = rows_of(source, KEYS)
    as_new = description(source)
    with writing(source) as writer:
        copier = copied(source, copy)
        with pytest.raises(MovedError, match="a copy that is not finished"):
            version.require_current(copy)
        assert copier.compare().wrong == 0
        assert upgrade.differences(source) == ()
        found = switch.switch(copier)
    assert found == Compared(rows=found.rows, mismatches=(), count=0)
    assert found.rows > LINES + len(AWKWARD) + 3 * len(writer.done)
    assert copier.progress.changes > 0
    with pytest.raises(MovedError, match="has moved to"):
        version.require_current(source)
    with pytest.raises(SQLAlchemyError, match="this ledger has moved to"):
        submit(source, new_job())

    version.require_current(copy)
    assert upgrade.differences(copy) == ()
    done = rows_of(copy, "SELECT id FROM jobs WHERE status = 'completed' AND id LIKE 'busy-%'")
    assert {(job_id,) for job_id in writer.done} <= set(done)
    assert history_count(copy, writer.done[0]) in {0, 3}
    if copy.is_sqlite:  # which tells how it was made
        again = open_database(f"sqlite:///{tmp_path / 'again.db'}")
        version.create(again)
        assert description(copy) == description(again)
        again.close()
        assert rows_of(copy, KEYS) == [
            (key, args if isinstance(args, str) else _text(source, key)) for key, args in awkward
        ]
    else:
        tables = rows_of(source, "SELECT name FROM sqlite_master WHERE type = 'table'")
        assert (COPY_LOG,) not in tables
        assert not {what for kind, what in description(copy) if "copy" in what}
    assert len(as_new) > 50
    submit(copy, new_job(id="afterwards"))
    assert history_count(copy, "afterwards") == 1
    (newest,) = rows_of(copy, "SELECT max(id) FROM events")[0]
    run(copy, EVENT)
    ((event_id,),) = rows_of(copy, "SELECT max(id) FROM events")
    assert event_id > newest + 1  # the deleted one's number is not given out again


EVENT = """
INSERT INTO events (source_app, session_id, hook_event_type, payload, timestamp)
VALUES ('a', 's', 'Stop', '{}', 1)
"""


def _text(database: Database, key: str) -> str:
    found = rows_of(database, f"SELECT args::text FROM jobs WHERE unique_key = '{key}'")  # noqa: S608
    return str(found[0][0])


def test_a_copy_that_is_killed_twice_goes_on(
    pair: tuple[Database, Database], tmp_path: Path
) -> None:
    """Killed in the middle of a transaction each time, with writes in between; what was copied is
    not copied again, and at the end all rows are the same.
    """
    source, copy = pair
    filled(source, tmp_path / "filled")
    urls = [each.engine.url.render_as_string(hide_password=False) for each in pair]
    for fatal in ("9", "12"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.dying_copy", *urls, fatal],
            cwd=ROOT, env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT)},
            timeout=120, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        submit(source, new_job())
        run(source, "UPDATE jobs SET priority = 4 WHERE id = 'report-1'")
        run(source, "DELETE FROM lanes")
    copier = copied(source, copy)
    assert copier.progress.resumed
    found = copier.compare()
    assert (found.count, found.pending) == (0, 0)
    assert copier.progress.rows < found.rows - LINES / 2
    assert switch.switch(copier).count == 0


def test_a_row_changed_by_hand_is_found_on_either_side(pair: tuple[Database, Database]) -> None:
    """Changed, gone or added, in the copy or in the source: each is listed with its key and
    columns, and the switch is refused, after which the ledger goes on.
    """
    source, copy = pair
    submit(source, *(new_job(id=f"j{at}", args=(at,)) for at in range(5)))
    copier = copied(source, copy)
    ((changed,), (gone,)) = rows_of(source, "SELECT seq FROM jobs WHERE id IN ('j1', 'j2')")
    run(copy, "UPDATE jobs SET args = '{\"args\": [1.0]}', priority = 4 WHERE id = 'j1'")
    run(copy, "DELETE FROM jobs WHERE id = 'j2'")
    run(copy, "INSERT INTO event_rules VALUES ('new', '1', 2.5)")
    run(source, "UPDATE jobs SET lane = 'other' WHERE id = 'j3'")  # which the log has noted
    found = compare(source, copy)
    listed = {(each.table, each.key): (each.columns, each.lacking) for each in found.mismatches}
    assert listed.pop(("jobs", (changed,))) == (("priority", "args"), None)
    assert listed.pop(("jobs", (gone,))) == ((), "copy")
    assert listed.pop(("event_rules", ("new",))) == ((), "source")
    ((_, noted),) = listed.items()
    assert noted == (("lane",), None)
    assert (found.count, found.pending, found.wrong) == (4, 1, 3)

    refused = switch.switch(copier)
    assert refused.count == 3
    version.require_current(source)
    submit(source, new_job(id="still"))
    with pytest.raises(MovedError):
        version.require_current(copy)

    change_log.end(source, PATIENCE)
    run(source, "UPDATE jobs SET error = 'by hand' WHERE id = 'j4'")  # nobody notes it
    columns = [each.columns for each in compare(source, copy).mismatches]
    assert ("error",) in columns


def test_a_stopped_switch_goes_on_or_is_taken_back(pair: tuple[Database, Database]) -> None:
    """After a death the ledger stays closed: `--undo` opens it, as if there had been no copy, and
    another `--switch` brings it to its end. Once it is at its end, there is no way back.
    """
    source, copy = pair
    submit(source, new_job(id="one"))
    killed = copied(source, copy)
    fence.put_up(source, killed.address, PATIENCE, by=killed.name)
    assert switch.closed_for(source) == killed.address
    assert not switch.is_over(source, copy, PATIENCE)

    copier = copied(source, copy)
    with pytest.raises(MovedError, match="another process"):
        killed.target.release()
    fence.take_down(source, PATIENCE, by=killed.name)  # which has been taken over meanwhile
    assert switch.switch(copier).count == 0
    assert switch.is_over(source, copy, PATIENCE)
    with pytest.raises(MovedError, match="already"):
        copier_of(source, copy)
    with pytest.raises(MovedError, match="was released"):
        switch.undo(source, copy, PATIENCE)


def test_a_release_that_is_under_way_is_waited_for(sqlite_url: str, postgres_url: str) -> None:
    """Whoever takes the switch back, goes on with it, or wonders how it ended, hears that the copy
    was released: none of them opens the old ledger, or copies over the new one.
    """
    source, copy = open_database(sqlite_url), open_database(postgres_url)
    version.create(source)
    submit(source, new_job())
    copier = copied(source, copy)
    fence.put_up(source, copier.address, PATIENCE, by=copier.name)
    other = Target(copy, holder="another")
    with ThreadPoolExecutor() as pool:
        with copy.begin() as connection, copy.read() as looks:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            copier.target._check(connection)
            copy_id = facts.own_facts(connection)[facts.COPY_ID]
            facts.drop_copy_facts(connection)
            facts.keep(connection, READY, copy_id)
            undone = pool.submit(switch.undo, source, copy, PATIENCE)
            taken = pool.submit(other.take, copy_id, "origin")
            heard = pool.submit(switch._was_released, copier)
            until(lambda: lock_waits(looks, 0.0).sessions == 3)
        for late in (undone, taken):
            with pytest.raises(MovedError):
                late.result(60)
        assert heard.result(60)
    assert switch.closed_for(source)
    assert switch.is_over(source, copy, PATIENCE)
    version.require_current(copy)
    with copy.read() as connection:
        assert set(facts.own_facts(connection)) == {READY}
    source.close()
    copy.close()


def test_a_walk_ends_whoever_writes_meanwhile(database: Database) -> None:
    """One that adds a row for each that is read would be followed for ever."""
    submit(database, new_job())
    (table,) = (each for each in TABLES if each.name == "jobs")
    seen = []
    for number, rows in enumerate(batches(database, table)):
        assert number < 5
        seen.append(len(rows))
        submit(database, new_job())
    assert seen == [1]


def test_the_log_is_read_once_and_then_what_is_new(sqlite_url: str) -> None:
    """Of thousands of entries each batch that differs would ask all; and none is overlooked that
    became visible after one with a higher number.
    """
    source = open_database(sqlite_url)
    version.create(source)
    change_log.begin(source, PATIENCE)
    put = text(f"INSERT INTO {COPY_LOG} (id, name, key) VALUES (:id, 'jobs', :key)")  # noqa: S608
    log, keys = change_log.Noted(), [(number,) for number in (5, 7, 6)]
    with source.write_once() as connection:
        assert log.among(connection, "jobs", keys) == set()
        for number, found in ((5, {5}), (7, {5, 7}), (6, {5, 6, 7})):
            connection.execute(put, {"id": number, "key": f"[{number}]"})
            assert log.among(connection, "jobs", keys) == {(each,) for each in found}
        connection.execute(text(f"DELETE FROM {COPY_LOG}"))  # noqa: S608
        assert log.among(connection, "jobs", keys) == set(keys)
        assert log.among(connection, "events", keys) == set()
    source.close()


def test_an_undone_copy_leaves_nothing_behind(pair: tuple[Database, Database]) -> None:
    """The source is as it was, and the copy can neither be written to nor worked on."""
    source, copy = pair
    before = description(source)
    assert not switch.undo(source, copy, PATIENCE)
    copier = copied(source, copy)
    fence.put_up(source, copier.address, PATIENCE, by=copier.name)
    assert switch.undo(source, copy, PATIENCE)
    assert description(source) == before
    version.require_current(source)
    submit(source, new_job())
    with pytest.raises(MovedError, match="another process goes on"):
        copier.target.release()
    with pytest.raises(InputError, match="is not empty"):
        copier_of(source, copy)


def test_what_cannot_be_two_sides_of_a_copy_is_refused(
    pair: tuple[Database, Database], tmp_path: Path
) -> None:
    """A ledger and itself, one with jobs, one without a schema, a second copy at a time."""
    source, copy = pair
    with pytest.raises(InputError, match="to itself"):
        copier_of(source, source)
    with pytest.raises(SchemaError, match="the source has no schema"):
        copier_of(copy, source)
    third = open_database(f"sqlite:///{tmp_path / 'third.db'}")
    version.create(third)
    submit(third, new_job())
    with pytest.raises(InputError, match="is not empty"):
        copier_of(source, third)
    copier = copied(source, copy)
    itself = Target(open_database(source.url), holder="me")
    with pytest.raises(InputError, match="is the ledger itself"):
        itself.take(copier.name, "under another name")
    itself.database.close()
    with pytest.raises(InputError, match="not empty any more"):
        Target(copy, holder="me").take("another copy", "elsewhere")
    submit(source, new_job(id="counted"))
    assert history_count(source, "counted") == 1
    with pytest.raises(InputError, match="--undo ends that copy"):
        copier_of(source, open_database(f"sqlite:///{tmp_path / 'fourth.db'}"))
    third.close()
    with pytest.raises(MovedError, match="the source is a copy itself"):
        copier_of(copy, open_database(f"sqlite:///{tmp_path / 'fifth.db'}"))


def test_a_value_that_postgres_cannot_hold_is_named(sqlite_url: str, postgres_url: str) -> None:
    """Nothing is cut or replaced in silence: the row and the column are told, and once somebody
    has changed it the copy goes on.
    """
    source, copy = open_database(sqlite_url), open_database(postgres_url)
    version.create(source)
    submit(source, new_job(id="bad"))
    for column, bad, good in (("error", "'a' || char(0)", "NULL"), ("effort", f"{2**40}", "3")):
        run(source, f"UPDATE jobs SET {column} = {bad}")  # noqa: S608
        with pytest.raises(InputError, match=rf"jobs \[1\]: {column} has a value"):
            copied(source, copy)
        run(source, f"UPDATE jobs SET {column} = {good}")  # noqa: S608
    assert copied(source, copy).compare().count == 0
    source.close()
    copy.close()
