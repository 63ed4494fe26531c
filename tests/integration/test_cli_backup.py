"""`vibe db vacuum`, `backup`, `restore` and `restored`, as a user types them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.homes import forget, own_home
from tests.ledgers import new_job, put_into, submit
from vibe_tasks.cli import upkeep
from vibe_tasks.cli.main import cli
from vibe_tasks.jobs import JobStatus
from vibe_tasks.stack.lock import StackLock
from vibe_tasks.store import audit, version
from vibe_tasks.store.copying import change_log, fence
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.tasks import resources


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a ledger that is not there yet."""
    with own_home(tmp_path, monkeypatch) as place:
        yield place


def vibe(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(each) for each in arguments], prog_name="vibe")


def told(*arguments: object) -> Any:
    """What it says as JSON."""
    result = vibe(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: object) -> str:
    """The one line with which it refuses."""
    result = vibe(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def count_jobs(file: Path) -> int:
    """Jobs in this file."""
    with closing(sqlite3.connect(file)) as raw:
        return int(raw.execute("SELECT count(*) FROM jobs").fetchone()[0])


def actions() -> list[tuple[str, str]]:
    """What the audit trail says, newest first."""
    with resources.database().read() as connection:
        return [(each["source"], each["action"]) for each in audit.entries(connection)]


def test_there_and_back(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup, work after it, and the backup in the ledger's place: each step tells what it did,
    and the ledger that was there is kept.
    """
    file = tmp_path / "backup.db"
    for command in (
        ["vacuum"], ["backup", file], ["restored"], ["archive"], ["export", file], ["check"],
        ["downgrade", "--to", "5"],
    ):  # fmt: skip
        assert f"there is no ledger in {home}: is VIBE_HOME" in refused("db", *command)
    assert "no file" in refused("db", "restore", file)
    with monkeypatch.context() as patch:
        patch.setenv("VIBE_DATABASE_URL", f"sqlite:///{tmp_path / 'nowhere.db'}")
        forget()
        assert "nowhere.db: is VIBE_HOME" in refused("db", "archive")
    forget()
    assert not (tmp_path / "nowhere.db").exists()
    home.mkdir(exist_ok=True)
    (home / "ledger.db").touch()
    assert "there is no ledger in" in refused("db", "backup", file)
    assert "no jobs in" in vibe("jobs", "list").stdout
    assert not (home / "ledger.db").stat().st_size
    (home / "ledger.db").unlink()
    assert not (home / "ledger.db").exists()
    ledger = resources.ledger()
    for status in JobStatus:
        put_into(ledger, status)
    said = vibe("db", "backup", file)
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.startswith(f"{file}: 0.")
    assert said.stdout.endswith(f"schema {version.SCHEMA_VERSION}, 6 jobs, proved\n")
    assert "give --force" in refused("db", "backup", file)
    assert told("db", "backup", file, "--force")["rows"]["jobs"] == 6
    submit(ledger, new_job())
    ledger.close()
    assert "has 7 jobs and 0 plans: --force moves it aside" in refused("db", "restore", file)
    (tmp_path / "text").write_text("no ledger")
    assert "text is no ledger that can be read" in refused("db", "restore", tmp_path / "text")
    for command in ("backup", "restore", "export"):
        assert "give the name of a file" in refused("db", command, "")
    assert refused("db", "backup", "nodir/c.db") == "vibe: there is no folder nodir\n"
    assert "--force goes with --full" in refused("db", "vacuum", "--force")
    assert "give --yes where nobody can be asked" in refused("db", "restore", file, "--force")
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "_agreed", lambda: False)
        declined = vibe("db", "restore", file, "--force")
    assert (declined.exit_code, declined.stderr) == (1, "nothing changed\n")
    assert count_jobs(home / "ledger.db") == 7
    done = vibe("db", "restore", file, "--force", "--yes")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "6 jobs restored, 2 jobs may start, 1 attempt taken back\n"
        f"the ledger that was there is {home / 'ledger.db'}.old\n"
    )
    assert count_jobs(home / "ledger.db.old") == 7
    assert actions() == [("cli", "db.restore"), ("cli", "db.backup")]
    assert told("jobs", "list", "--status", "pending")[0]["status"] == "pending"


def test_a_ledger_that_was_being_moved_is_opened_by_force(
    database: Database, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other tools have restored, and a backup that our own command made of it meanwhile."""
    monkeypatch.setenv("VIBE_DATABASE_URL", database.url)
    forget()
    submit(database, new_job())
    change_log.begin(database, Patience())
    fence.put_up(database, "postgresql://db/vibe", Patience(), by="a switch")
    if database.is_sqlite:
        assert vibe("db", "backup", tmp_path / "backup.db").exit_code == 0
    assert "was being moved to postgresql://db/vibe" in refused("db", "restored")
    assert vibe("db", "restored", "--force").stdout == "1 job may start, 0 attempts taken back\n"
    version.require_current(database)
    submit(database, new_job())
    assert not home.exists()


def test_a_restore_into_a_new_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked where nothing is there; an older backup is brought up; and nobody can start
    a stack meanwhile, nor is one overrun.
    """
    file = tmp_path / "backup.db"
    put_into(resources.ledger(), JobStatus.PROCESSING)
    assert vibe("db", "downgrade", "--to", "5", "--yes", "--force").exit_code == 0
    assert vibe("db", "backup", file).exit_code == 0
    resources.database().close()
    monkeypatch.setenv("VIBE_HOME", str(tmp_path / "other"))
    forget()
    lock = StackLock(resources.make_home())
    lock.acquire()
    assert "a stack is already running" in refused("db", "restore", file)
    lock.release()
    done = vibe("db", "restore", file)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "1 job restored, 1 job may start, 1 attempt taken back",
        f"schema 5 → {version.SCHEMA_VERSION}",
    ]
    assert told("db", "check")["differences"] == []
    assert not home.joinpath("ledger.db.old").exists()


def test_vacuum_tells_what_it_did(home: Path) -> None:
    """Sizes before and after, as lines and as JSON; what is left for another time is said; a whole
    rewrite is refused while anybody has the file open.
    """
    ledger = resources.ledger()
    with ledger.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT"
            " INTO job_logs (job_id, attempt, seq, at, lines) SELECT 'a', 1, i, 1.0, "
            "hex(zeroblob(500)) FROM n"
        )
        connection.exec_driver_sql("DELETE FROM job_logs")
    first, second = vibe("db", "vacuum").stdout.splitlines()
    assert first.startswith("before  ")
    assert "MB of it free, log " in first
    assert second.startswith("after   0.")
    assert second.endswith("MB, 0.0 MB of it free, log 0.0 MB")
    assert told("db", "vacuum")["after"]["free"] == 0
    with closing(sqlite3.connect(home / "ledger.db")) as other:
        other.execute("SELECT count(*) FROM jobs").fetchone()
        assert "is in use: stop every program" in refused("db", "vacuum", "--full")
        assert told("db", "vacuum", "--full", "--force")["slices"] == 1
    assert told("db", "vacuum", "--full")["after"]["log"] == 0
    assert set(actions()) == {("cli", "db.vacuum")}


@pytest.mark.postgres
def test_on_a_server(
    home: Path, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are its own tools' business, each line names them; what `pg_restore` has brought back
    goes on after `vibe db restored`, not while workers are online, unless one insists.
    """
    monkeypatch.setenv("VIBE_DATABASE_URL", postgres_url)
    forget()
    database = open_database(postgres_url)
    version.create(database)
    put_into(database, JobStatus.PROCESSING)
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO worker_health (worker_id, lane, tier, active_tasks, capacity_limit, "
            "status, last_seen) VALUES ('w1', 'code', 'standard', 0, 1, 'online', vibe_now() + 600)"
        )
    assert "`pg_dump --format=custom`" in refused("db", "backup", tmp_path / "file")
    assert "`vibe db restored`" in refused("db", "restore", tmp_path / "file")
    assert "online: w1; stop them first" in refused("db", "restored")
    assert "online: w1; stop them first" in refused("db", "vacuum", "--full")
    done = vibe("db", "restored", "--force")
    assert done.stdout == "1 job may start, 1 attempt taken back\n", done.output
    assert told("db", "restored") == {"taken_back": 0, "due": 1}
    assert "dead row" in vibe("db", "vacuum").stdout
    assert not home.joinpath("ledger.db").exists()
    database.close()
