"""Backups of a ledger that is in use: of one moment, proved, and never half a file."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.documents import ROOT
from tests.ledgers import new_job, submit
from tests.processes import unmeasured
from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.store import jobs, ledger_copy, version
from vibe_tasks.store.backup import back_up
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.ledger_copy import prove, taken

DIES = """
import os, signal, sys
from pathlib import Path
from vibe_tasks.store import backup, ledger_copy
from vibe_tasks.store.engine import open_database
ledger_copy.PAGES = 4
backup.back_up(
    open_database(sys.argv[1]), Path(sys.argv[2]), force=True,
    pause=lambda _: os.kill(os.getpid(), signal.SIGKILL),
)
"""


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    """A ledger on SQLite with a few hundred jobs."""
    opened = open_database(sqlite_url)
    version.create(opened)
    submit(opened, *(new_job() for _ in range(300)))
    yield opened
    opened.close()


def no_pause(_seconds: float) -> None:
    """Nobody is to be left a turn."""


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As if the disk were full: this process can write no file to a length beyond this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_backup_is_of_one_moment(
    ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write between two pieces: nothing of that is in it, none of them waits, and the copy
    is not begun again. It is one file that only its owner may read.
    """
    monkeypatch.setattr(ledger_copy, "PAGES", 4)
    pieces: list[int] = []

    def others_write(_seconds: float) -> None:
        job = new_job(id=f"later-{len(pieces)}")
        with ledger.begin() as connection:
            jobs.submit(connection, [job])
            jobs.claim(connection, job.id, worker="w", lease=30)
            jobs.complete_job(connection, job.id, 1, None)
        pieces.append(1)

    file = tmp_path / "ledger.backup"
    done = back_up(ledger, file, pause=others_write)
    assert 20 < len(pieces) < 1000
    assert done.rows["jobs"] == 300
    assert done.schema == version.SCHEMA_VERSION
    assert done.size == file.stat().st_size
    assert prove(file).rows == done.rows
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.glob("ledger.backup*")) == [file.name]
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        later = "SELECT count(*) FROM jobs WHERE id LIKE 'later%'"
        assert raw.execute(later).fetchone() == (0,)
    with ledger.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar() == 300 + len(pieces)


def test_nothing_is_written_over(ledger: Database, tmp_path: Path) -> None:
    """A file that is there stays, unless one says so, and never while somebody has it open; nor
    the ledger itself, nor a folder. What cannot be written, and a ledger that is not there, are
    told in a line.
    """
    file = tmp_path / "ledger.backup"
    back_up(ledger, file, pause=no_pause)
    before = file.read_bytes()
    with pytest.raises(InputError, match="there already: take another name, or give --force"):
        back_up(ledger, file, pause=no_pause)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT count(*) FROM jobs").fetchone()
        with pytest.raises(InputError, match="in use"):
            back_up(ledger, file, pause=no_pause, force=True)
    submit(ledger, new_job())
    assert back_up(ledger, file, pause=no_pause, force=True).rows["jobs"] == 301
    assert file.read_bytes() != before
    with pytest.raises(InputError, match="is the ledger itself"):
        back_up(ledger, tmp_path / "ledger.db", pause=no_pause, force=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is no file"):
        back_up(ledger, tmp_path / "folder", pause=no_pause, force=True)
    for end in ("-wal", "-shm", "-journal"):
        with pytest.raises(InputError, match="is the ledger itself, or its log"):
            back_up(ledger, tmp_path / f"ledger.db{end}", pause=no_pause, force=True)
    with pytest.raises(InputError, match="there is no folder"):
        back_up(ledger, tmp_path / "missing" / "file", pause=no_pause)
    nothing = open_database(f"sqlite:///{tmp_path / 'nothing.db'}")
    with pytest.raises(InputError, match="there is no ledger at"):
        back_up(nothing, tmp_path / "other", pause=no_pause)
    (tmp_path / "nothing.db").touch()
    with pytest.raises(InputError, match="is no ledger of vibe_tasks"):
        back_up(nothing, tmp_path / "other", pause=no_pause)
    nothing.close()
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "other").exists()


def test_a_full_disk_leaves_nothing_behind(ledger: Database, tmp_path: Path) -> None:
    """The refusal is one line, there is no file, and the one of yesterday is as it was."""
    file = tmp_path / "ledger.backup"
    with no_file_longer_than(100_000), pytest.raises(UnavailableError, match="cannot copy"):
        back_up(ledger, file, pause=no_pause)
    assert not list(tmp_path.glob("ledger.backup*"))
    back_up(ledger, file, pause=no_pause)
    before = file.read_bytes()
    with no_file_longer_than(100_000), pytest.raises(UnavailableError):
        back_up(ledger, file, pause=no_pause, force=True)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("*.part*"))


def test_a_killed_backup_leaves_the_one_of_yesterday(ledger: Database, tmp_path: Path) -> None:
    """What it had written is no backup, and the next one throws it away."""
    file = tmp_path / "ledger.backup"
    back_up(ledger, file, pause=no_pause)
    before = file.read_bytes()
    submit(ledger, new_job())
    killed = subprocess.run(
        [sys.executable, "-c", DIES, ledger.url, file], check=False, timeout=120,
        env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert file.read_bytes() == before
    part = tmp_path / "ledger.backup.part"
    assert part.exists()
    with pytest.raises(InputError, match="is no ledger"):
        prove(part)
    assert back_up(ledger, file, pause=no_pause, force=True).rows["jobs"] == 301
    assert not part.exists()


def test_two_backups_do_not_meet_in_one_file(ledger: Database, tmp_path: Path) -> None:
    """The second one is refused while the first writes; a name that has gone on to be a backup is
    not taken for what a killed one left.
    """
    part = tmp_path / "ledger.backup.part"
    with taken(part):
        with pytest.raises(InputError, match="another process is writing"):
            back_up(ledger, tmp_path / "ledger.backup", pause=no_pause)
        part.rename(tmp_path / "whole")
    assert (tmp_path / "whole").exists()
    part.symlink_to(tmp_path / "whole")
    with pytest.raises(InputError, match="cannot write"), taken(part):
        pass


def test_a_damaged_copy_gets_no_name(ledger: Database, tmp_path: Path) -> None:
    """What was read back is compared with what was read: a byte that a disk has turned is found."""
    file = tmp_path / "ledger.backup"

    def turn_a_row(_seconds: float) -> None:
        with closing(sqlite3.connect(tmp_path / "ledger.backup.part")) as raw, raw:
            raw.execute("DELETE FROM jobs WHERE seq = 7")

    flush, done = ledger_copy.flush, []

    def after_the_copy(path: Path) -> None:
        if not done:
            turn_a_row(0.0)
            done.append(path)
        flush(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_copy, "flush", after_the_copy)
        with pytest.raises(UnavailableError, match="not what it should be"):
            back_up(ledger, file, pause=no_pause)
    assert not file.exists()


def test_what_is_damaged_is_told(ledger: Database, tmp_path: Path) -> None:
    """Each kind in a line: cut short, overwritten, no ledger, rows without what they belong to."""
    file = tmp_path / "ledger.backup"
    back_up(ledger, file, pause=no_pause)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"ledger.backup is (damaged|no ledger that can be read)"):
        prove(file)
    file.write_bytes(whole[:40_960] + b"\xff" * 8_192 + whole[49_152:])
    with pytest.raises(InputError, match=r"ledger.backup is (damaged|no ledger that can be read)"):
        prove(file)
    file.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(InputError, match="no ledger that can be read"):
        prove(file)
    file.write_bytes(whole)
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO task_needs VALUES ('gone', 'a', 'b')")
    with pytest.raises(InputError, match="a row of task_needs lacks its plans"):
        prove(file)


@pytest.mark.postgres
def test_a_server_is_backed_up_by_its_own_tools(postgres_url: str, tmp_path: Path) -> None:
    """The line names the tool and the page."""
    database = open_database(postgres_url)
    with pytest.raises(InputError, match=r"pg_dump --format=custom`, as docs/backup\.md shows"):
        back_up(database, tmp_path / "file", pause=no_pause)
    database.close()
