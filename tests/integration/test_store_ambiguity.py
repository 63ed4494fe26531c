"""Calls whose answer was lost: the transaction was committed, and nobody knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from tests.ledgers import claim, history, middle, new_job, row, submit
from vibe_tasks.errors import LeaseLostError
from vibe_tasks.flow import attempts, writing
from vibe_tasks.store import jobs, workers
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.retries import Retries


class Forgetful(Database):
    """A ledger that commits, and whose first answer is lost on its way."""

    __slots__ = ()
    lost = 1

    def begin(self) -> AbstractContextManager[Connection]:
        """As it is, but for the answer."""
        return self._answerless(super().begin())

    def write_once(self) -> AbstractContextManager[Connection]:
        """As it is, but for the answer."""
        return self._answerless(super().write_once())

    @contextmanager
    def _answerless(self, inner: AbstractContextManager[Connection]) -> Iterator[Connection]:
        with inner as connection:
            yield connection
        if type(self).lost:
            type(self).lost -= 1
            raise OperationalError("", None, Exception("gone"), connection_invalidated=True)


@pytest.fixture
def forgetful(database: Database) -> Database:
    """The same ledger over a bad line."""
    Forgetful.lost = 1
    return Forgetful(engine=database.engine, url=database.url)


@pytest.fixture
def retries() -> Retries:
    """That do not wait."""
    return Retries(monotonic=lambda: 0.0, sleep=lambda _: None, uniform=middle)


@pytest.mark.parametrize("key", [None, "key"])
def test_a_job_is_submitted_once(
    database: Database, forgetful: Database, retries: Retries, key: str | None
) -> None:
    """The second try finds it, as the submission that made it."""
    new = [new_job(id="a", unique_key=key), *([] if key else [new_job(id="b", delay=60)])]
    made = writing.submit(forgetful, new, retries=retries, published=True)
    assert [(each.id, each.fresh) for each in made] == [(job.id, True) for job in new]
    assert made[0].due
    assert retries.counts.retried == 1
    assert history(database, "a") == [(None, "pending")]


def test_a_key_that_was_taken_before_stays_taken(
    database: Database, forgetful: Database, retries: Retries
) -> None:
    """Lost answer or not: the other job is returned."""
    submit(database, new_job(id="first", unique_key="key"))
    (made,) = writing.submit(forgetful, [new_job(id="a", unique_key="key")], retries=retries)
    assert (made.id, made.fresh) == ("first", False)


def test_a_claim_is_ours_after_all(
    database: Database, forgetful: Database, retries: Retries
) -> None:
    """Under a new number: whoever had the answer to the first one would be refused."""
    submit(database, new_job(id="a"))
    taken = writing.claim(
        forgetful, "a", worker="w", lease=30, retries=retries, in_use=lambda *_: False
    )
    assert taken is not None
    assert (taken.attempt, taken.retry_count) == (2, 0)
    assert row(database, "a")["worker"] == "w"


@pytest.mark.parametrize(("worker", "in_use"), [("w", True), ("other", False)])
def test_a_claim_of_somebody_else_stays_his(
    database: Database, forgetful: Database, retries: Retries, worker: str, in_use: bool
) -> None:
    """Of another worker, or of another process of this one."""
    submit(database, new_job(id="a"))
    claim(database, "a", worker=worker)
    taken = writing.claim(
        forgetful, "a", worker="w", lease=30, retries=retries, in_use=lambda *_: in_use
    )
    assert taken is None
    assert row(database, "a")["attempt"] == 1


ENDINGS: dict[str, tuple[Any, bool, str]] = {
    "failure": (attempts.Ending(kind="failure", text="no luck"), True, "pending"),
    "permanent": (attempts.Ending(kind="permanent", text="no luck"), False, "failed"),
    "snooze": (attempts.Ending(kind="snooze", text="later", wait=5), True, "pending"),
    "cancel": (attempts.Ending(kind="cancel", text="no"), False, "cancelled"),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_attempt_ends_once(
    database: Database, forgetful: Database, retries: Retries, kind: str
) -> None:
    """The second try sees what the first has done, and is not told that it lost its lease."""
    ending, again, status = ENDINGS[kind]
    submit(database, new_job(id="a"))
    taken = claim(database, "a")
    assert attempts.settle(forgetful, taken, ending, uniform=middle, retries=retries) == (again, ())
    found = row(database, "a")
    assert (found["status"], found["retry_count"]) == (
        status,
        int(kind in {"failure", "permanent"}),
    )


def test_an_end_that_another_wrote_is_no_success(
    database: Database, forgetful: Database, retries: Retries
) -> None:
    """The reaper was faster than the second try."""
    submit(database, new_job(id="a"))
    taken = claim(database, "a", lease=-1)
    assert attempts.reap(database, uniform=middle).taken == 1
    with pytest.raises(LeaseLostError):
        attempts.settle(forgetful, taken, ENDINGS["failure"][0], uniform=middle, retries=retries)


def test_another_process_may_hold_sqlites_lock_for_seconds(sqlite_url: str) -> None:
    """Nothing fails: whoever wants to write waits."""
    from vibe_tasks.store import version  # noqa: PLC0415

    first, second = open_database(sqlite_url), open_database(sqlite_url)
    version.create(first)
    submit(first, new_job(id="a"))
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with second.begin() as connection:
            connection.execute(text("UPDATE jobs SET effort = 3"))
            held.set()
            release.wait(3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    retries = Retries(monotonic=lambda: 0.0, sleep=lambda _: None, uniform=middle)
    writing.submit(first, [new_job(id="b")], retries=retries)
    assert claim(first, "a").attempt == 1
    assert retries.counts.failed == 0
    holder.join()
    first.close()
    second.close()


def registered(worker: str, process: str) -> workers.Registered:
    return workers.Registered(worker=worker, host="here", process=process)


@pytest.fixture
def gone() -> Callable[[workers.Registered], bool]:
    """Whose process is gone: the one that says so."""
    return lambda each: each.process == "dead"


def sign_on(database: Database, worker: str, process: str) -> None:
    with database.begin() as connection:
        workers.register(
            connection, registered(worker, process), ["code", "qa"], tier="standard", capacity=1
        )


def test_the_jobs_of_a_dead_process_are_taken_back_before_their_lease(
    database: Database, gone: Callable[[workers.Registered], bool]
) -> None:
    """At once, counted as a failure, without a wait; those of the living and of elsewhere stay."""
    for name, process in (("w1", "dead"), ("w2", "alive")):
        sign_on(database, name, process)
    for number in (1, 2, 3):
        submit(database, new_job(id=f"j{number}"))
        claim(database, f"j{number}", worker=f"w{number}")
    assert attempts.reap(database, uniform=middle, host="elsewhere", gone=gone).taken == 0
    assert attempts.reap(database, uniform=middle, late=False, host="here", gone=gone).taken == 1
    assert attempts.reap(database, uniform=middle, late=False, host="here", gone=gone).taken == 0
    found = row(database, "j1")
    assert (found["status"], found["retry_count"], found["backoff_until"]) == ("pending", 1, None)
    assert found["error"] == "WorkerLost: its process is gone: w1"
    assert {row(database, f"j{number}")["status"] for number in (2, 3)} == {"processing"}


def test_a_new_worker_of_a_dead_ones_name_is_not_robbed(database: Database) -> None:
    """Who saw the old one dead comes too late."""
    sign_on(database, "w1", "dead")
    dead = registered("w1", "dead")
    sign_on(database, "w1", "alive")
    submit(database, new_job(id="a"))
    claim(database, "a")
    assert attempts.abandon(database, dead, uniform=middle).taken == 0
    assert row(database, "a")["status"] == "processing"


def test_two_workers_of_one_name_stand_for_no_process(
    database: Database, gone: Callable[[workers.Registered], bool]
) -> None:
    """The first one's next beat says so; then the second one's death takes nothing from it."""
    sign_on(database, "w1", "dead")
    submit(database, new_job(id="a"))
    claim(database, "a")
    with database.begin() as connection:
        workers.beat(connection, "w1", active=1, process="first")
    assert attempts.reap(database, uniform=middle, host="here", gone=gone).taken == 0
    with database.begin() as connection:
        assert not workers.sign_off(connection, registered("w1", "dead"))


def test_the_last_of_one_name_signs_it_off(database: Database) -> None:
    """The name is online as long as one of them is there, or was killed: nobody knows of that."""
    for name in ("kept", "killed"):
        sign_on(database, name, "1")
        sign_on(database, name, "12")
        with database.begin() as connection:
            for process in ("1", "12", "1", "12"):
                workers.beat(connection, name, active=0, process=process)
            assert not workers.sign_off(connection, registered(name, "1"))
            assert workers.registered_as(connection, name) is not None
    with database.begin() as connection:
        assert workers.sign_off(connection, registered("kept", "12"))
        assert workers.registered_as(connection, "kept") is None
        workers.beat(connection, "killed", active=0, process="3")
        assert not workers.sign_off(connection, registered("killed", "12"))
        assert workers.registered_as(connection, "killed") is not None


def test_a_beat_that_comes_late_changes_nothing(database: Database) -> None:
    """It hung while its worker signed off; another's beat under this name still counts."""
    sign_on(database, "w1", "mine")
    with database.begin() as connection:
        assert workers.sign_off(connection, registered("w1", "mine"))
        workers.beat(connection, "w1", active=1, process="mine")
        assert workers.registered_as(connection, "w1") is None
        workers.beat(connection, "w1", active=1, process="another")
        found = workers.registered_as(connection, "w1")
    assert found is not None
    assert found.host is None


def test_a_lost_process_takes_back_only_its_own_attempt(database: Database) -> None:
    """A late notice of a dead child does not hit a later attempt of the same job and worker."""
    submit(database, new_job(id="a"))
    claim(database, "a")
    with database.begin() as connection:
        jobs.snooze_job(connection, "a", 1, 0.0, "put back")
    claim(database, "a")
    attempts.lose(database, "a", "w1", "killed", uniform=middle, attempt=1)
    assert row(database, "a")["status"] == "processing"
    attempts.lose(database, "a", "w1", "killed", uniform=middle, attempt=2)
    assert row(database, "a")["status"] == "pending"
