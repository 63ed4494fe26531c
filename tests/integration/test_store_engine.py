from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.half_open import door_to
from tests.ledgers import new_job, put_into, row, submit
from vibe_tasks.errors import DuplicateJobError, SchemaError, UnavailableError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import engine, jobs, version
from vibe_tasks.store.engine import (
    AWAY_ERRORS,
    PRAGMAS,
    Database,
    Transaction,
    check_reachable,
    open_database,
    server_time,
    verify_pragmas,
)
from vibe_tasks.store.statement import driver


def test_a_transaction_is_committed_whole(database: Database) -> None:
    """What a transaction wrote is there after it, for everybody."""
    submit(database, new_job(id="a"), new_job(id="b"))
    other = open_database(database.url)
    assert row(other, "b")["status"] == "pending"
    other.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_any_error_rolls_a_transaction_back(database: Database, error: type[BaseException]) -> None:
    """Nothing is left of it, and the connection serves the next one."""
    with pytest.raises(error), database.begin() as connection:  # noqa: PT012
        jobs.submit(connection, [new_job(id="a")])
        raise error
    with database.read() as connection:
        assert jobs.list_jobs(connection) == ()
    submit(database, new_job(id="a"))


def test_an_error_of_the_database_rolls_back_too(database: Database) -> None:
    """A refused statement undoes those before it."""
    submit(database, new_job(id="a"))
    with pytest.raises(DuplicateJobError), database.begin() as connection:  # noqa: PT012
        jobs.submit(connection, [new_job(id="b")])
        jobs.submit(connection, [new_job(id="a")])
    with database.read() as connection:
        assert [each["id"] for each in jobs.list_jobs(connection)] == ["a"]


def test_an_error_does_not_tell_the_arguments(database: Database) -> None:
    """What jobs carry does not end up in logs."""
    submit(database, new_job(id="a"))
    with pytest.raises(DuplicateJobError) as caught, database.begin() as connection:
        jobs.submit(connection, [new_job(id="a", args=("my secret",))])
    assert "my secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_hundred_writers_at_once_all_get_through(database: Database) -> None:
    """S8: more threads than connections queue up; none fails, nothing is lost."""

    def one(number: int) -> None:
        with database.begin() as connection:
            jobs.submit(connection, [new_job(id=f"t{number}")])
            jobs.claim(connection, f"t{number}", worker="w", lease=30)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(one, range(100)))
    with database.read() as connection:
        assert len(jobs.list_jobs(connection, where={"status": "processing"})) == 100


def test_the_clock_is_in_epoch_seconds(database: Database) -> None:
    """Both databases tell the same kind of time, and it does not stand still."""
    first = server_time(database)
    assert 1_700_000_000 < first < 5_000_000_000
    assert server_time(database) >= first


def test_a_fork_leaves_the_parents_connections_alone(database: Database) -> None:
    """A child works on connections of its own; the parent's go on working."""
    job_id = put_into(database, JobStatus.PENDING)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            database.forget_inherited()
            with database.begin() as connection:
                jobs.cancel_job(connection, job_id, "by the child")
            database.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert row(database, job_id)["error"] == "by the child"
    put_into(database, JobStatus.COMPLETED)


@pytest.mark.postgres
def test_a_lost_connection_is_replaced(postgres_url: str) -> None:
    """The statement that meets it fails with a storage error; the next one works."""
    database = open_database(postgres_url)
    version.create(database)
    submit(database, new_job(id="a"))
    with database.read() as connection:
        mine = driver(connection).info.backend_pid
    other = open_database(postgres_url)
    with other.begin() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({mine})"))
    with pytest.raises(OperationalError) as caught, database.begin():
        pass
    assert caught.value.connection_invalidated
    assert row(database, "a")["status"] == "pending"
    other.close()
    database.close()


def cancelled_in_one_statement(connection: Transaction) -> None:
    """By the child, which is about to be stopped."""
    jobs.cancel_job(connection, "a", "by the child")


def written_in_one_go(connection: Transaction) -> None:
    """As a heartbeat renews leases: many rows for one statement."""
    statement = text("UPDATE jobs SET error = :why WHERE id = :id")
    connection.execute(statement, [{"why": "by the child", "id": each} for each in ("a", "b")])


def written_by_the_driver(connection: Transaction) -> None:
    """As attempts are claimed in bulk, below SQLAlchemy."""
    rows = [{"why": "by the child", "id": "a"}]
    driver(connection).cursor().executemany(
        "UPDATE jobs SET error = %(why)s WHERE id = %(id)s", rows
    )


@pytest.mark.postgres
@pytest.mark.parametrize(
    "write", [cancelled_in_one_statement, written_in_one_go, written_by_the_driver]
)
def test_a_stopped_process_does_not_keep_its_locks(
    postgres_url: str, write: Callable[[Transaction], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped in the middle of a transaction loses it; what it woke up for fails."""
    monkeypatch.setattr(engine, "STOPPED_AFTER", 1.0)
    database = open_database(postgres_url)
    version.create(database)
    submit(database, new_job(id="a"), new_job(id="b"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            database.forget_inherited()
            with database.begin() as connection:
                write(connection)
                os.kill(os.getpid(), signal.SIGSTOP)
                connection.execute(text("SELECT 1"))
        except AWAY_ERRORS:
            code = 7
        finally:
            os._exit(code)
    try:
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        with database.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '30s'"))
            jobs.cancel_job(connection, "a", "by the parent")
        os.kill(pid, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert row(database, "a")["error"] == "by the parent"
    database.close()


@pytest.mark.postgres
def test_a_server_that_falls_silent_is_given_up_soon(postgres_server: str) -> None:
    """The system is told so for each connection: by itself it waits for a quarter of an hour."""
    folder = Path(make_url(postgres_server).query["host"])  # type: ignore[arg-type]
    with door_to(next(folder.glob(".s.PGSQL.*[0-9]"))) as door:
        database = open_database(f"postgresql+psycopg://postgres@127.0.0.1:{door.port}/postgres")
        with database.read() as connection:
            end = socket.socket(fileno=os.dup(driver(connection).fileno()))
            with end:
                assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        database.close()


def test_every_pragma_is_set_and_verified(sqlite_url: str) -> None:
    """S1: each new connection has all of them, and the file has incremental auto-vacuum."""
    database = open_database(sqlite_url)
    version.create(database)
    with database.read() as connection:
        for name, (_, expected) in PRAGMAS.items():
            assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == expected, name
        assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() == 2
    database.close()


@pytest.mark.parametrize("name", [name for name in PRAGMAS if name != "mmap_size"])
def test_an_unapplied_pragma_is_an_error(tmp_path: Path, name: str) -> None:
    """A setting that SQLite did not take is named, not passed over."""
    path = tmp_path / "ledger.db"
    open_database(f"sqlite:///{path}").engine.connect().close()
    other = {"journal_mode": "DELETE", "synchronous": "OFF", "foreign_keys": "OFF",
             "cache_size": "-1", "temp_store": "FILE", "busy_timeout": "1"}  # fmt: skip
    connection = sqlite3.connect(path)
    for each, (value, _) in PRAGMAS.items():
        connection.execute(f"PRAGMA {each} = {value}")
    verify_pragmas(connection)
    connection.execute(f"PRAGMA {name} = {other[name]}")
    with pytest.raises(SchemaError, match=f"did not take {name}"):
        verify_pragmas(connection)
    connection.close()


def test_who_runs_jobs_leaves_checkpoints_to_others(database: Database) -> None:
    """Also on connections that were open before; PostgreSQL has none to leave."""
    with database.read():
        pass
    database.leave_checkpoints()
    with database.read() as connection:
        if database.is_sqlite:
            found = connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar()
            assert found == engine.LATE


def test_a_file_without_incremental_vacuum_is_refused(tmp_path: Path) -> None:
    """A file that somebody made without it could never shrink; the message says what to do."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(SchemaError, match="vibe db vacuum --full"):
        check_reachable(open_database(f"sqlite:///{path}"))


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """One clear line, no traceback of the driver."""
    path = tmp_path / "ledger.db"
    path.write_text("this is a shopping list, not a database\n" * 100, encoding="utf-8")
    with pytest.raises(UnavailableError, match=r"cannot open the ledger .*not a database"):
        check_reachable(open_database(f"sqlite:///{path}"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The folder is not made here: a typo would make another ledger."""
    with pytest.raises(UnavailableError, match=r"folder does not exist: .*nowhere"):
        check_reachable(open_database(f"sqlite:///{tmp_path}/nowhere/ledger.db"))


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    """The message may go into a log."""
    url = "postgresql+psycopg://ann:secret@127.0.0.1:1/ledger"
    with pytest.raises(UnavailableError, match=r"cannot open the ledger .*ann") as caught:
        check_reachable(open_database(url))
    assert "secret" not in str(caught.value)


def test_a_locked_ledger_is_a_storage_error(sqlite_url: str, tmp_path: Path) -> None:
    """A writer that waits in vain fails with an error that callers know, and works later."""
    database = open_database(sqlite_url)
    version.create(database)
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 10")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(DBAPIError, match="locked"), database.begin():
        pass
    blocker.execute("ROLLBACK")
    blocker.close()
    submit(database, new_job(id="a"))
    database.close()


def test_a_thousand_jobs_are_a_small_file(sqlite_url: str, tmp_path: Path) -> None:
    """S8: 1,000 jobs with their history leave a database under 10 MB."""
    database = open_database(sqlite_url)
    version.create(database)
    for _ in range(10):
        submit(database, *(new_job(args=("x" * 100,)) for _ in range(100)))
    while True:
        with database.begin() as connection:
            taken = jobs.claim_next_job(connection, "code", worker="w", lease=30)
            if taken is None:
                break
            jobs.complete_job(connection, taken.id, 1, {"answer": 42})
    database.close()
    assert sum(each.stat().st_size for each in tmp_path.glob("ledger.db*")) < 10_000_000
