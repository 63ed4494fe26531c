"""The archive as a file, the commands around it, and archived jobs wherever jobs are asked for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tests.archives import JOBS, age, ended, plan, tidied
from tests.homes import own_home
from tests.ledgers import new_job, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import InputError
from vibe_tasks.flow.export import delete_exported, export, exported_rows, read_export
from vibe_tasks.retention import Keeping
from vibe_tasks.store import audit
from vibe_tasks.store.engine import Database
from vibe_tasks.store.history import count_history
from vibe_tasks.store.job_archive import count_jobs
from vibe_tasks.store.jobs import complete_job
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own."""
    with own_home(tmp_path, monkeypatch):
        yield resources.ledger()


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def told(*arguments: str) -> Any:
    """What the command prints with `--json`."""
    result = vibe(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def age_audit(database: Database, days: float) -> None:
    """Put all entries of the audit trail back by so many days."""
    with database.begin() as connection:
        connection.execute(text("UPDATE audit SET at = at - :by"), {"by": days * 86_400})


def filled(database: Database) -> None:
    """Three archived jobs with their history, two of them older than the third."""
    ended(database, "old-1", "old-2", days=100)
    ended(database, "old-3", days=40)
    ended(database, "newest", days=0)
    tidied(database, Keeping())


def test_a_file_holds_what_the_archive_held(database: Database, tmp_path: Path) -> None:
    """Every row of before a moment, as JSON; then exactly those can be deleted."""
    filled(database)
    file = tmp_path / "old.jsonl.gz"
    ann = audit.By(actor="ann@desk", source="cli", origin="desk")
    audit.note_apart(database, ann, "lane.pause", "code")
    age_audit(database, days=100)
    audit.note_apart(database, ann, "lane.resume", "code")
    with database.read() as connection:
        now = float(connection.execute(text("SELECT vibe_now()")).scalar_one())
    made = export(database, file, before=now - 60 * 86_400)
    assert made.rows == {"job_history_archive": 6, "jobs_archive": 2, "events": 0, "audit": 1}
    assert made.size == file.stat().st_size
    assert read_export(file) == made.rows
    rows = [row for table, row in exported_rows(file) if table == "jobs_archive"]
    assert [row["row"]["result"]["big"] for row in rows] == [2**70, 2**70]
    (entry,) = (row for table, row in exported_rows(file) if table == "audit")
    assert (entry["actor"], entry["action"]) == ("ann@desk", "lane.pause")
    gone = delete_exported(database, file, monotonic=lambda: 0.0, pause=lambda _: None)
    assert gone == {"job_history_archive": 6, "jobs_archive": 2}
    assert count_history(database) == (3, 3)
    with database.read() as connection:
        assert count_jobs(connection) == (1, 1)
    again = delete_exported(database, file, monotonic=lambda: 0.0, pause=lambda _: None)
    assert sum(again.values()) == 0
    with database.read() as connection:
        assert len(audit.entries(connection)) == 2


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has fewer tables; the proof at its end is of those."""
    line = b'{"vibe_export":1,"schema":6,"before":null}\n'
    row = b'{"table":"events","row":{"id":1}}\n'
    ends = {"events": 1, "jobs_archive": 0}
    for end, whole in ((ends, True), ({"jobs_archive": 0}, False), ({}, False)):
        told = {"end": end, "sha256": sha256(line + row).hexdigest()}
        file = tmp_path / "old.jsonl.gz"
        file.write_bytes(gzip.compress(line + row + json.dumps(told).encode() + b"\n"))
        if whole:
            assert read_export(file)["events"] == 1
        else:
            with pytest.raises(InputError, match="is damaged: its end"):
                read_export(file)


def test_a_damaged_file_deletes_nothing(database: Database, tmp_path: Path) -> None:
    """Cut, changed, or something else altogether: it is refused before anything is done."""
    filled(database)
    file = tmp_path / "old.jsonl.gz"
    export(database, file)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    changed = [line.replace(b"old-1", b"old-9") for line in lines]
    damaged = (
        gzip.compress(b"".join(lines[:-1])), gzip.compress(b"".join(changed)),
        gzip.compress(b"".join([*lines, lines[-1]])), gzip.compress(b'{"rows": 1}\n'),
        gzip.compress(b"[]\n"), file.read_bytes()[:-20], b"no gzip",
    )  # fmt: skip
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"is damaged|is no export"):
            delete_exported(database, file, monotonic=lambda: 0.0, pause=lambda _: None)
    assert count_history(database) == (3, 9)


def test_many_rows_are_deleted_a_batch_at_a_time(database: Database, tmp_path: Path) -> None:
    """Each is followed by a rest."""
    submit(database, *(new_job() for _ in range(1_500)))
    with database.begin() as connection:
        connection.execute(text('UPDATE job_history SET "timestamp" = id'))
    tidied(database, Keeping())
    file = tmp_path / "old.jsonl.gz"
    assert export(database, file).rows["job_history_archive"] == 1_500
    rests: list[float] = []
    delete_exported(database, file, monotonic=lambda: 0.0, pause=rests.append)
    assert len(rests) == 2
    assert count_history(database) == (0, 0)


def test_a_file_that_cannot_be_written_leaves_nothing(ledger: Database, tmp_path: Path) -> None:
    """Nothing is written over, and no half of a file is left; the archive stays whole."""
    filled(ledger)
    there = tmp_path / "there.jsonl.gz"
    there.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export(ledger, there)
    with pytest.raises(InputError, match="No such file or directory"):
        export(ledger, tmp_path / "nowhere" / "old.jsonl.gz")
    before = set(tmp_path.iterdir())
    for words in (
        ["--before", "soon"], ["--before", "2026-01-01", "--days", "3"], ["--days", "nan"],
        ["--before", "0001-01-01"],
    ):  # fmt: skip
        result = vibe("db", "export", "old.jsonl.gz", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1
    for end in ("", "-wal", "-journal"):
        result = vibe("db", "export", f"home/ledger.db{end}")
        assert "is the ledger itself, or its log" in result.stderr
    assert set(tmp_path.iterdir()) == before
    assert there.read_text() == "mine"


def test_the_commands_tell_what_they_did(ledger: Database) -> None:
    """In figures, and in words."""
    plan(ledger, "over")
    ended(ledger, "of-plan", plan_id="over", task_id="a")
    ended(ledger, "call")
    ended(ledger, "newest", days=0)
    done = told("db", "archive", "--days", "60", "--jobs-days", "60")
    assert done == {
        "moved": 0, "history": 9, "archive": 0, "deleted": {}, "folders": 0,
        "jobs": {"moved": 0, "ended": 3, "archive": 0},
    }  # fmt: skip
    said = vibe("db", "archive").stdout
    assert "6 rows moved; the history has 3, the archive 6" in said
    assert "2 jobs moved; 1 ended ones stay, the archive has 2" in said
    made = told("db", "export", "--days", "1", "one.jsonl.gz")
    assert made["rows"] == {
        "job_history_archive": 6, "jobs_archive": 2, "events": 0, "audit": 0,
    }  # fmt: skip
    assert made["deleted"] == {}
    said = vibe("db", "export", "--before", "2100-01-01", "--delete", "two.jsonl.gz").stdout
    assert "two.jsonl.gz: 6 of job_history_archive, 2 of jobs_archive" in said
    assert "2 rows of jobs_archive deleted" in said
    assert told("jobs", "list", "--archived") == []


def test_an_archived_job_is_shown_like_any_other(ledger: Database) -> None:
    """Also in lists where that is asked for; nothing can be done to it, and that is said."""
    ended(ledger, "long-ago", args=(1,))
    ended(ledger, "newest", days=0)
    before = told("jobs", "show", "long-ago")
    tidied(ledger, JOBS)
    after = told("jobs", "show", "long-a")
    assert after.pop("archived_at") > 0
    assert after == before
    assert "archived " in vibe("jobs", "show", "long-ago").stdout
    assert [each["id"] for each in told("jobs", "list", "--archived")] == ["long-ago"]
    assert told("jobs", "list", "--archived", "--status", "failed") == []
    assert "no archived jobs in" in vibe("jobs", "list", "--archived", "--lane", "x").stdout
    assert told("jobs", "explain", "long-ago")["status"] == "completed"
    assert told("jobs", "log", "long-ago") == []
    for words in (["retry"], ["cancel"]):
        result = vibe("jobs", *words, "long-ago")
        assert result.exit_code == 2
        assert "job long-ago is archived" in result.stderr


def test_a_result_is_got_from_the_archive(ledger: Database) -> None:
    """By whoever asks late, and by whoever waits while it is archived."""
    ended(ledger, "long-ago")
    ended(ledger, "newest", days=0)
    tidied(ledger, JOBS)
    result = app.AsyncResult("long-ago")
    assert result.state == "SUCCESS"
    assert result.get(timeout=60)["name"] == "long-ago"
    submit(ledger, new_job(id="awaited"), new_job(id="last"))
    with ledger.begin() as connection:
        connection.execute(text("UPDATE jobs SET status = 'processing', attempt = 1 "
                                "WHERE id = 'awaited'"))  # fmt: skip

    def end_and_archive() -> None:
        with ledger.begin() as connection:
            complete_job(connection, "awaited", 1, 42)
        age(ledger, ("awaited",), 31)
        tidied(ledger, JOBS)

    looks: list[None] = []

    def between() -> None:
        if not looks:
            end_and_archive()
        looks.append(None)

    (found,) = app.backend.get_many(["awaited"], timeout=60, on_interval=between)
    assert found[1]["result"] == 42
