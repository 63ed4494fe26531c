"""Processes that are forked while a thread of their parent uses the ledger."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError

from tests.ledgers import new_job, row
from vibe_tasks.store import jobs, version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.forking import Uses

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    """An empty ledger on SQLite."""
    opened = open_database(sqlite_url)
    version.create(opened)
    yield opened
    opened.close()


def write(ledger: Database, job_id: str) -> None:
    with ledger.begin() as connection:
        jobs.submit(connection, [new_job(id=job_id)])


def forked(ledger: Database, job_id: str) -> bool:
    """Fork as `resources.database` has it done; whether the child can write."""
    ledger.before_fork()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ledger.forget_inherited()
            write(ledger, job_id)
            code = 0
        except OperationalError:
            code = 2
        finally:
            os._exit(code)
    ledger.after_fork()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_forked_while_a_thread_writes_can_write(ledger: Database) -> None:
    """The fork waits for the thread: else the child would find the ledger locked for ever."""
    inside, go_on = threading.Event(), threading.Event()

    def heartbeat() -> None:
        with ledger.begin() as connection:
            jobs.submit(connection, [new_job(id="by the thread")])
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=heartbeat)
    thread.start()
    assert inside.wait(60)
    threading.Timer(0.3, go_on.set).start()
    assert forked(ledger, "by the child")
    thread.join()
    assert row(ledger, "by the thread")["status"] == row(ledger, "by the child")["status"]
    write(ledger, "by the parent")


def test_children_and_parent_write_side_by_side(ledger: Database) -> None:
    """A parent that has used the ledger before, and goes on after each fork."""
    for number in range(3):
        write(ledger, f"parent {number}")
        assert forked(ledger, f"child {number}")
        write(ledger, f"parent {number} again")


def test_a_thread_may_fork_in_the_middle_of_its_own_use() -> None:
    """It does not wait for itself; others wait until it has forked."""
    uses, entered = Uses(), threading.Event()

    def other() -> None:
        with uses:
            entered.set()

    with uses, uses:
        assert not uses.hold(60)
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.is_set()
        uses.release()
        assert entered.wait(60)
        thread.join()
    assert uses.hold(60)
    uses.release()


def test_a_thread_that_never_ends_its_use_does_not_stop_forks() -> None:
    """After its patience the fork goes on; a child begins without anybody's uses."""
    uses, inside, go_on = Uses(), threading.Event(), threading.Event()

    def stuck() -> None:
        with uses:
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=stuck)
    thread.start()
    assert inside.wait(60)
    assert not uses.hold(0.05)
    uses.release()
    go_on.set()
    thread.join()
    uses.reset()
    assert uses.hold(0)
    uses.release()
