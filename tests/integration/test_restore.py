"""A backup in the place of the ledger: what becomes of the old one, and how work goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import select, text

from tests.documents import ROOT
from tests.ledgers import claim, history, middle, new_job, put_into, row, submit
from tests.processes import unmeasured
from vibe_tasks.errors import InputError, SchemaError, UnavailableError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import (
    audit,
    events,
    jobs,
    ledger_copy,
    moving_aside,
    outbox,
    restored,
    upgrade,
    version,
    workers,
)
from vibe_tasks.store.backup import back_up
from vibe_tasks.store.copying import change_log, fence
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import ledger_facts
from vibe_tasks.store.restore import Restored, restore
from vibe_tasks.store.workers import Registered

ME = audit.By(actor="me@here", source="cli", origin="here")
DIES = """
import os, signal, sys
from pathlib import Path
from vibe_tasks.store import moving_aside, restore
from vibe_tasks.store.engine import open_database
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "late":
    moving_aside.os.link = die
restore.restore(
    Path(sys.argv[2]), open_database(sys.argv[1]), lease=8.0, force=True,
    pause=die if sys.argv[3] == "early" else lambda _: None,
)
"""


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    """A ledger on SQLite with a job in each status."""
    opened = open_database(sqlite_url)
    version.create(opened)
    for status in JobStatus:
        put_into(opened, status)
    yield opened
    opened.close()


@pytest.fixture
def file(ledger: Database, tmp_path: Path) -> Path:
    """A backup of it."""
    place = tmp_path / "ledger.backup"
    back_up(ledger, place, pause=no_pause)
    return place


def no_pause(_seconds: float) -> None:
    """Nobody is to be left a turn."""


def put_back(file: Path, database: Database, *, force: bool = False) -> Restored:
    """Restore it."""
    return restore(file, database, lease=60.0, pause=no_pause, force=force, by=ME)


def count_jobs(file: Path) -> int:
    """Jobs in this file, whoever has it open."""
    with closing(sqlite3.connect(file)) as raw:
        return int(raw.execute("SELECT count(*) FROM jobs").fetchone()[0])


def test_work_goes_on(database: Database) -> None:
    """On both databases: what ran when the backup was made may run again at once, without a failure
    counted, under a new attempt; what was sent is sent again; nobody is registered; a job that has
    ended, or waits for its time, is left alone.
    """
    submit(database, new_job(id="sent"), new_job(id="turn", lane="full"), published=True)
    submit(database, new_job(id="later", delay=3600), new_job(id="due", delay=0.001))
    ended = {status: put_into(database, status) for status in JobStatus}
    running = ended.pop(JobStatus.PROCESSING)
    ended.pop(JobStatus.PENDING)
    before = {job: row(database, job) for job in (*ended.values(), "later")}
    with database.begin() as connection:
        workers.register(
            connection, Registered(worker="w1", host="h", process="1"), ["code"],
            tier="standard", capacity=1,
        )  # fmt: skip
        with pytest.raises(InputError, match="online: w1"):
            workers.refuse_while_online(connection, lease=60.0)
        done = restored.resume(connection, by=ME)
    assert (done.taken_back, done.due) == (1, 5)
    with database.begin() as connection:
        workers.refuse_while_online(connection, lease=60.0)
        messages = {each.id for each in outbox.take_unpublished(connection)}
    assert {"sent", "turn", "due", running} < messages
    assert {job: row(database, job) for job in before} == before
    again = row(database, running)
    assert (again["retry_count"], again["error"]) == (0, restored.WHY)
    assert history(database, running)[-1] == ("processing", "pending")
    assert claim(database, running).attempt == 2
    with pytest.raises(jobs.LeaseLostError), database.begin() as connection:
        jobs.complete_job(connection, running, 1, None)


def test_a_restored_ledger_says_so(database: Database) -> None:
    """As a fact, as an event, and in the audit trail. Whoever follows events or history misses
    none: no id that was given out after the backup comes back.
    """
    submit(database, new_job(id="a"))
    with database.begin() as connection:
        seen = events.record(connection, "Stop", session="s", payload={}, summary="").id
        restored.resume(connection, by=ME)
        restored.resume(connection)
    assert seen is not None
    with database.read() as connection:
        fact = select(ledger_facts.c.value).where(ledger_facts.c.name == restored.FACT)
        assert float(connection.execute(fact).scalar_one()) > 0
        told = events.recent(connection)
        assert [each["hook_event_type"] for each in told] == ["Stop", *["LEDGER_RESTORED"] * 2]
        assert [each["id"] - seen for each in told[1:]] == sorted(
            each["id"] - seen for each in told[1:]
        )
        assert told[1]["id"] > seen + restored.GAP
        assert told[1]["payload"] == {"taken_back": 0, "due": 1}
        (entry,) = audit.entries(connection)
    assert (entry["actor"], entry["action"]) == ("me@here", "db.restore")
    claim(database, "a")
    with database.read() as connection:
        ids = connection.execute(text("SELECT id FROM job_history ORDER BY id")).scalars().all()
    assert ids[-1] > ids[0] + 2 * restored.GAP


def test_a_backup_comes_to_another_place(file: Path, tmp_path: Path) -> None:
    """It is what it was, its work goes on, and the backup is untouched, with nothing beside it."""
    before = file.read_bytes()
    place = tmp_path / "elsewhere" / "ledger.db"
    place.parent.mkdir()
    other = open_database(f"sqlite:///{place}")
    done = put_back(file, other)
    assert (done.jobs, done.taken_back, done.due, done.aside) == (len(JobStatus), 1, 2, None)
    assert done.schema == done.schema_before == version.SCHEMA_VERSION
    version.require_current(other)
    assert upgrade.differences(other) == ()
    with other.read() as connection:
        assert len(jobs.list_jobs(connection)) == len(JobStatus)
    assert file.read_bytes() == before
    assert {each.name for each in tmp_path.glob("ledger.backup*")} == {file.name}
    assert not list(place.parent.glob("*.restoring*"))
    other.close()


def test_a_ledger_with_work_in_it_is_moved_aside_when_told(
    ledger: Database, file: Path, tmp_path: Path
) -> None:
    """Without `--force` nothing changes. With it the old ledger keeps all it had, under names that
    were free; but one that somebody has open is left where it is.
    """
    submit(ledger, new_job(id="since"))
    with pytest.raises(InputError, match=r"has 7 jobs and 0 plans: --force moves it aside"):
        put_back(file, ledger)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
        other.execute("SELECT count(*) FROM jobs").fetchone()
        with pytest.raises(InputError, match="in use: stop every program"):
            put_back(file, ledger, force=True)
    assert count_jobs(tmp_path / "ledger.db") == 7
    assert put_back(file, ledger, force=True).aside == str(tmp_path / "ledger.db.old")
    assert count_jobs(tmp_path / "ledger.db.old") == 7
    assert count_jobs(tmp_path / "ledger.db") == 6
    assert put_back(file, ledger, force=True).aside == str(tmp_path / "ledger.db.old.2")
    assert not list(tmp_path.glob("ledger.db.old*-wal"))


def test_workers_that_are_online_stop_it(ledger: Database, file: Path, tmp_path: Path) -> None:
    """They are named, before anything else is looked at."""
    with ledger.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
        workers.register(
            connection, Registered(worker="w1", host="h", process="1"), ["code"],
            tier="standard", capacity=1,
        )  # fmt: skip
    with pytest.raises(InputError, match="online: w1; stop them first"):
        put_back(file, ledger)
    with ledger.begin() as connection:
        workers.leave(connection, "w1")
    assert put_back(file, ledger).aside == str(tmp_path / "ledger.db.old")


def test_a_damaged_ledger_makes_room_with_all_that_lies_beside_it(
    ledger: Database, file: Path, tmp_path: Path
) -> None:
    """That is what backups are for. A log that SQLite could not bring into it goes with it: beside
    the new one it would be taken for the new one's.
    """
    ledger.close()
    place = tmp_path / "ledger.db"
    place.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(InputError, match=r"cannot be read \(file is not a database\): --force"):
        put_back(file, ledger)
    with pytest.MonkeyPatch.context() as patch:

        def no_links(*_: object) -> None:
            raise PermissionError("this file system has none")

        patch.setattr(moving_aside.os, "link", no_links)
        patch.setattr(moving_aside, "alone_with", lambda _: nullcontext())
        (tmp_path / "ledger.db-wal").write_bytes(b"a log")
        (tmp_path / "ledger.db-shm").write_bytes(b"")
        done = put_back(file, ledger, force=True)
    assert done.aside == str(tmp_path / "ledger.db.old")
    assert (tmp_path / "ledger.db.old-wal").read_bytes() == b"a log"
    assert count_jobs(place) == 6


def test_a_log_without_its_ledger_is_not_taken_for_the_new_ones(file: Path, tmp_path: Path) -> None:
    """What is left of a ledger that somebody deleted goes."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "ledger.db-wal").write_bytes(b"a log")
    other = open_database(f"sqlite:///{home / 'ledger.db'}")
    assert put_back(file, other).jobs == len(JobStatus)
    assert upgrade.differences(other) == ()
    other.close()


def test_a_bad_backup_changes_nothing(ledger: Database, file: Path, tmp_path: Path) -> None:
    """A file that is not there, damaged, no ledger, the ledger itself, or of a newer program."""
    place = tmp_path / "ledger.db"
    with pytest.raises(InputError, match="there is no file"):
        put_back(tmp_path / "nothing", ledger, force=True)
    with pytest.raises(InputError, match="is the ledger itself"):
        put_back(place, ledger, force=True)
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(SchemaError, match="schema 999, newer than this program"):
        put_back(file, ledger, force=True)
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = 'theirs'")
    with pytest.raises(InputError, match="is no ledger of vibe_tasks"):
        put_back(file, ledger, force=True)
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"is (damaged|no ledger)"):
        put_back(file, ledger, force=True)
    assert count_jobs(place) == len(JobStatus)
    assert {each.name for each in tmp_path.glob("ledger.db*")} <= {
        "ledger.db", "ledger.db-wal", "ledger.db-shm",
    }  # fmt: skip


def test_an_older_backup_is_brought_up(ledger: Database, tmp_path: Path) -> None:
    """A ledger that was backed up before an upgrade comes back as one of this program."""
    upgrade.downgrade(ledger, to=4)
    file = tmp_path / "ledger.backup"
    assert back_up(ledger, file, pause=no_pause).schema == 4
    done = put_back(file, ledger, force=True)
    assert (done.schema_before, done.schema) == (4, version.SCHEMA_VERSION)
    assert upgrade.differences(ledger) == ()


def test_a_copy_that_was_under_way_is_over(database: Database) -> None:
    """It has gone on without this ledger: nothing is noted for it any more."""
    change_log.begin(database, Patience())
    submit(database, new_job())
    restored.end_copy(database, force=False)
    submit(database, new_job())
    assert upgrade.differences(database) == ()
    with database.begin() as connection:
        assert not change_log.is_on(connection)
        assert restored.resume(connection).due == 2


def test_a_backup_of_a_closed_ledger_is_open(ledger: Database, tmp_path: Path) -> None:
    """One that was made in the middle of a switch would refuse all that is written to it; whether
    work goes on in the copy, only a person knows.
    """
    change_log.begin(ledger, Patience())
    fence.put_up(ledger, "postgresql://db/vibe", Patience(), by="a switch")
    file = tmp_path / "ledger.backup"
    back_up(ledger, file, pause=no_pause)
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(InputError, match="was being moved to postgresql://db/vibe: "):
        put_back(file, other)
    assert not (tmp_path / "other.db").exists()
    assert put_back(file, ledger, force=True).jobs == len(JobStatus)
    version.require_current(ledger)
    submit(ledger, new_job(id="since"))
    assert upgrade.differences(ledger) == ()


def test_what_refuses_its_rows_is_told(ledger: Database, tmp_path: Path) -> None:
    """Such as a ledger that was moved to another database, which refuses every write."""
    with ledger.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER fence BEFORE UPDATE ON jobs "
                "BEGIN SELECT RAISE(ABORT, 'this ledger was moved'); END"
            )
        )
    file = tmp_path / "ledger.backup"
    back_up(ledger, file, pause=no_pause)
    with pytest.raises(UnavailableError, match=r"cannot bring .* back: this ledger was moved"):
        put_back(file, ledger, force=True)
    assert count_jobs(tmp_path / "ledger.db") == len(JobStatus)


@pytest.mark.parametrize("moment", ["early", "late"])
def test_a_killed_restore_leaves_the_ledger(
    ledger: Database, file: Path, tmp_path: Path, moment: str
) -> None:
    """While it copies, and right before the names change: the old ledger works on, and the next try
    comes to its end.
    """
    submit(ledger, new_job(id="since"))
    ledger.close()
    killed = subprocess.run(
        [sys.executable, "-c", DIES, ledger.url, file, moment], check=False, timeout=120,
        env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert row(ledger, "since")["status"] == "pending"
    with ledger.begin() as connection:
        assert jobs.claim(connection, "since", worker="w", lease=30) is not None
        jobs.fail_job(connection, "since", 1, "boom", uniform=middle)
    done = put_back(file, ledger, force=True)
    assert (done.jobs, done.aside) == (len(JobStatus), str(tmp_path / "ledger.db.old"))
    assert not list(tmp_path.glob("*.restoring*"))


def test_a_copy_by_other_means_is_taken_with_its_log(
    ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that lies still, copied by hand together with the log beside it, is a backup too."""
    submit(ledger, new_job(id="in-the-log"))
    for end in ("", "-wal"):
        (tmp_path / f"copy{end}").write_bytes((tmp_path / f"ledger.db{end}").read_bytes())
    monkeypatch.setattr(ledger_copy, "PAGES", 8)
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    assert put_back(tmp_path / "copy", other).jobs == len(JobStatus) + 1
    assert row(other, "in-the-log")["status"] == "pending"
    other.close()


@pytest.mark.postgres
def test_a_server_is_restored_by_its_own_tools(postgres_url: str, tmp_path: Path) -> None:
    """The line names the tool, the command after it, and the page."""
    database = open_database(postgres_url)
    with pytest.raises(InputError, match=r"pg_restore`, then run `vibe db restored`, as docs/b"):
        put_back(tmp_path / "file", database)
    database.close()
