"""`JobProcessor`: lanes worked off by plain functions, in processes that are no Celery workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster, databases, running_cluster
from tests.processes import until
from vibe_tasks.errors import Cancel, InputError, LeaseLostError, PermanentError, Snooze
from vibe_tasks.store import workers

DATABASES = databases("sqlite")


@pytest.fixture(scope="module", params=DATABASES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger, without workers."""
    with running_cluster(request, request.param) as made:
        yield made


@pytest.fixture
def queue(cluster: Cluster) -> Iterator[Any]:
    """A queue of the settings' ledger."""
    with cluster.module("consumers.job_queue").JobQueue() as made:
        yield made


def processor(cluster: Cluster, queue: Any, lane: str, handler: Any, **options: Any) -> Any:
    """A processor of this lane whose jobs are all called `do`."""
    made: Any = cluster.module("consumers.job_processor").JobProcessor(
        queue, [lane], {"do": handler}, **options
    )
    return made


# --- what handlers may do ---


def test_functions_and_coroutines_are_handlers(cluster: Cluster, queue: Any) -> None:
    """They get the job's arguments; what they come to is the result."""

    async def later(left: int, *, right: int) -> int:
        await asyncio.sleep(0)
        return left + right

    made = cluster.module("consumers.job_processor").JobProcessor(
        queue, ["mixed"], {"now": lambda text: text.upper(), "later": later},
        default=lambda: current(cluster).claim.name,
    )  # fmt: skip
    now = queue.submit("now", ("a",), lane="mixed")
    soon = queue.submit("later", (1,), {"right": 2}, lane="mixed")
    other = queue.submit("other", lane="mixed")
    with made:
        assert cluster.until(now, "completed")["result"] == "A"
        assert cluster.until(soon, "completed")["result"] == 3
        assert cluster.until(other, "completed")["result"] == "other"
        added = queue.submit("now", ("later",), lane="mixed")
        assert cluster.until(added, "completed")["result"] == "LATER"


def current(cluster: Cluster) -> Any:
    """The job that runs in this thread."""
    return cluster.module("consumers.in_hand").current_job()


@pytest.mark.parametrize(
    ("error", "status", "end"),
    [
        (PermanentError("no paper"), "failed", (1, "no paper")),
        (Cancel("no use"), "cancelled", (0, "no use")),
        (Snooze(3600), "pending", (0, "snoozed")),
        (RuntimeError("boom"), "pending", (1, "boom")),
        (SystemExit(3), "pending", (1, "exit(3)")),
        (asyncio.CancelledError("gone"), "pending", (1, "CancelledError: gone")),
    ],
)
def test_what_a_handler_raises_decides(
    cluster: Cluster, queue: Any, error: BaseException, status: str, end: tuple[int, str]
) -> None:
    """As in a Celery worker: failures, for good or not, a snooze, a cancellation."""

    def handler() -> None:
        raise error

    lane = f"raises-{type(error).__name__}"
    job_id = queue.submit("do", lane=lane, retry_base=3600)
    with processor(cluster, queue, lane, handler):
        row = {}

        def ended() -> bool:
            row.update(cluster.row(job_id))
            return bool(row["attempt"] == 1 and row["status"] != "processing")

        until(ended)
    assert (row["status"], row["retry_count"]) == (status, end[0])
    assert end[1] in row["error"]


def test_a_job_without_a_handler_fails(cluster: Cluster, queue: Any) -> None:
    """It says so, and is tried again like any other."""
    job_id = queue.submit("unheard", lane="unheard", max_retries=1)
    with processor(cluster, queue, "unheard", print):
        assert "no handler for unheard" in cluster.until(job_id, "failed")["error"]


def test_a_result_that_is_no_json_is_a_failure(cluster: Cluster, queue: Any) -> None:
    """The job is not lost, and the processor goes on."""
    job_id = queue.submit("do", lane="odd", max_retries=1)
    with processor(cluster, queue, "odd", object):
        assert "JSON" in cluster.until(job_id, "failed")["error"]


# --- time and leases ---


def test_leases_are_renewed_and_the_registry_knows(cluster: Cluster) -> None:
    """A job that takes longer than its lease stays whose it is."""
    gate = threading.Event()
    with cluster.module("consumers.job_queue").JobQueue(lease=0.6) as queue:
        job_id = queue.submit("do", lane="long")
        with processor(cluster, queue, "long", lambda: gate.wait(60), concurrency=3) as made:
            first = cluster.until(job_id, "processing")["lease_until"]
            until(lambda: cluster.row(job_id)["lease_until"] > first + 1.2)
            (row,) = registered(cluster, made)
            told = (row["lane"], row["capacity_limit"], row["active_tasks"], row["status"])
            assert told == ("long", 3, 1, "online")
            gate.set()
            assert cluster.until(job_id, "completed")["attempt"] == 1


def registered(cluster: Cluster, made: Any) -> list[dict[str, Any]]:
    """The registry's rows of a processor."""
    with cluster.ledger.read() as connection:
        rows = workers.list_workers(connection)
    return [each for each in rows if each["worker_id"] == made.worker]


def test_an_error_link_that_fails_ends_no_heartbeat(cluster: Cluster) -> None:
    """One job is too late and what it leads to cannot be sent; the other keeps its lease."""
    gate, link = threading.Event(), cluster.jobs.note_failure.s("log").set(nonsense=1)
    with cluster.module("consumers.job_queue").JobQueue(lease=0.6) as queue:
        late = cluster.jobs.echo.apply_async((1,), lane="links", time_limit=0.2, link_error=link)
        with cluster.ledger.begin() as connection:
            connection.exec_driver_sql("UPDATE jobs SET max_retries = 1 WHERE lane = 'links'")
        other = queue.submit("do", lane="links")
        handlers = {"do": lambda: gate.wait(60), cluster.jobs.echo.name: lambda _: gate.wait(60)}
        made = cluster.module("consumers.job_processor").JobProcessor(
            queue, ["links"], handlers, concurrency=2, grace=30
        )
        with made:
            cluster.until(late.id, "failed")
            first = cluster.row(other)["lease_until"]
            until(lambda: cluster.row(other)["lease_until"] > first + 0.6)
            gate.set()
    assert cluster.row(other)["attempt"] == 1


def test_a_function_that_takes_too_long_has_failed(cluster: Cluster, queue: Any) -> None:
    """It cannot be ended, but the fence stops what it does afterwards."""
    gate, refused = threading.Event(), threading.Event()

    def handler() -> None:
        gate.wait(60)
        try:
            current(cluster).check_lease()
        except LeaseLostError:
            refused.set()

    job_id = queue.submit("do", lane="late", time_limit=0.2, max_retries=1)
    with processor(cluster, queue, "late", handler):
        assert "TimeLimitExceeded" in cluster.until(job_id, "failed")["error"]
        gate.set()
        until(refused.is_set)
    assert cluster.status(job_id) == "failed"


def test_a_coroutine_that_takes_too_long_is_cancelled(cluster: Cluster, queue: Any) -> None:
    """Its thread is free for the next job."""
    cancelled = threading.Event()

    async def handler(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    late = queue.submit("do", (30,), lane="slow", time_limit=0.2, max_retries=1)
    quick = queue.submit("do", (0,), lane="slow", time_limit=30)
    with processor(cluster, queue, "slow", handler):
        assert "TimeLimitExceeded" in cluster.until(late, "failed")["error"]
        cluster.until(quick, "completed")
    assert cancelled.is_set()


def test_a_cancelled_job_is_known_to_its_handler(cluster: Cluster, queue: Any) -> None:
    """Who asks before an effect is refused."""
    refused = threading.Event()

    def handler() -> None:
        queue.cancel(current(cluster).claim.id)
        try:
            current(cluster).check_lease()
        except LeaseLostError:
            refused.set()

    job_id = queue.submit("do", lane="cancelled")
    with processor(cluster, queue, "cancelled", handler):
        until(refused.is_set)
    assert cluster.status(job_id) == "cancelled"


# --- messages that nobody reads ---


def test_superfluous_messages_are_thrown_away(cluster: Cluster, queue: Any) -> None:
    """No Celery worker takes them out of the broker, which must not fill up for ever."""
    throw_away, lane = cluster.module("leftovers").throw_away, "unread"
    done = [queue.submit("do", lane=lane) for _ in range(5)]
    urgent = queue.submit("do", lane=lane, priority="high")
    assert cluster.messages(lane) == 6
    assert throw_away(cluster.app, cluster.ledger, [lane]) == 0, "their jobs wait"
    with processor(cluster, queue, lane, print):
        for job_id in (*done, urgent):
            cluster.until(job_id, "completed")
        queue.submit("other", lane="elsewhere")
        throw_away(cluster.app, cluster.ledger, [lane, "elsewhere"])
        assert (cluster.messages(lane), cluster.messages("elsewhere")) == (0, 1)


def test_messages_of_others_stay(cluster: Cluster, queue: Any) -> None:
    """Plain Celery tasks, jobs by name, and what another program keeps under a lane's name."""
    cluster.jobs.plain_note.apply_async(("log", "plain"), queue="shared")
    cluster.app.send_task(cluster.jobs.add.name, (1, 2), queue="shared")
    ended = queue.submit("do", lane="shared")
    with cluster.broker() as broker:
        broker.lpush("shared", "theirs", b"\xff", "[]", '{"headers": 1}')
        broker.set("theirs", "no list")
        queue.complete(queue.claim("shared"))
        queue.tidy("theirs")
        queue.tidy("shared")
        assert (broker.llen("shared"), broker.get("theirs")) == (6, b"no list")
    assert cluster.status(ended) == "completed"


# --- the end ---


def test_jobs_in_hand_get_their_grace(cluster: Cluster, queue: Any) -> None:
    """A stop waits for them; nothing new is begun."""
    begun, gate = threading.Event(), threading.Event()

    def handler() -> str:
        begun.set()
        gate.wait(60)
        return "done"

    first, second = queue.submit("do", lane="grace"), queue.submit("do", lane="grace")
    with processor(cluster, queue, "grace", handler, grace=30) as made:
        begun.wait(60)
        made.stop()
        threading.Timer(0.2, gate.set).start()
    assert cluster.row(first)["result"] == "done"
    assert (cluster.status(second), cluster.row(second)["attempt"]) == ("pending", 0)


def test_what_does_not_end_is_handed_back(cluster: Cluster, queue: Any) -> None:
    """After the grace the job may run elsewhere; it counts no failure, and is fenced here."""
    begun, gate = threading.Event(), threading.Event()

    def handler() -> str:
        begun.set()
        gate.wait(60)
        return "too late"

    job_id = queue.submit("do", lane="returned")
    with processor(cluster, queue, "returned", handler, grace=0.1):
        begun.wait(60)
    row = cluster.row(job_id)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
    elsewhere = queue.claim("returned")
    gate.set()
    queue.complete(elsewhere, "elsewhere")
    assert cluster.row(job_id)["result"] == "elsewhere"


def test_a_neighbour_keeps_its_jobs(cluster: Cluster, queue: Any) -> None:
    """Two processors of one queue: the end of one hands back nothing of the other, and leaves no
    trace of itself in the registry.
    """
    gate = threading.Event()
    job_id = queue.submit("do", lane="mine")
    with processor(cluster, queue, "mine", lambda: gate.wait(60)) as mine:
        cluster.until(job_id, "processing")
        with processor(cluster, queue, "theirs", print) as theirs:
            until(lambda: registered(cluster, theirs))
        assert (len(registered(cluster, mine)), len(registered(cluster, theirs))) == (1, 0)
        gate.set()
    assert (cluster.row(job_id)["status"], cluster.row(job_id)["attempt"]) == ("completed", 1)
    assert not registered(cluster, mine)


def test_a_start_waits_for_the_ledger(
    cluster: Cluster, queue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Locked for longer than anybody waits for it: the processor works once it can."""
    if not cluster.ledger.is_sqlite:
        pytest.skip("a server's registry is not locked by one writer")
    job_id = queue.submit("do", lane="locked")
    with sqlite3.connect(str(cluster.ledger.engine.url.database), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with processor(cluster, queue, "locked", lambda: "done"):
            until(lambda: "ledger away" in caplog.text)
            other.execute("COMMIT")
            assert cluster.until(job_id, "completed")["result"] == "done"


SCRIPT = """
import signal, sys, time
from vibe_tasks import JobProcessor, JobQueue

def handler():
    print("begun", flush=True)
    while True:
        time.sleep(0.05)

with JobQueue(lease=1.0) as queue:
    processor = JobProcessor(queue, ["killed"], {"do": handler}, concurrency=2, grace=0.2)
    signal.signal(signal.SIGTERM, lambda *_: processor.stop())
    processor.run()
print("stopped", flush=True)
"""


def test_a_killed_processor_loses_its_jobs_to_another(cluster: Cluster, queue: Any) -> None:
    """SIGKILL: the lease ends, one failure is counted, and the job runs elsewhere."""
    wanted = [queue.submit("do", lane="killed") for _ in range(2)]
    child = cluster.start("processor", sys.executable, "-c", SCRIPT)
    until(lambda: child.log.read_text().count("begun") == 2)
    os.kill(child.pid, signal.SIGKILL)
    cluster.dispatcher()
    with processor(cluster, queue, "killed", lambda: "done"):
        rows = [cluster.until(job_id, "completed") for job_id in wanted]
    assert [(row["attempt"], row["retry_count"]) for row in rows] == [(2, 1), (2, 1)]


def test_a_signal_stops_a_processor(cluster: Cluster, queue: Any) -> None:
    """SIGTERM: the jobs in hand are handed back whole, and the process ends."""
    job_id = queue.submit("do", lane="killed")
    child = cluster.start("processor", sys.executable, "-c", SCRIPT)
    until(lambda: "begun" in child.log.read_text())
    os.kill(child.pid, signal.SIGTERM)
    until(lambda: child.exit_code() is not None)
    assert (child.exit_code(), "stopped" in child.log.read_text()) == (0, True)
    assert (cluster.status(job_id), cluster.row(job_id)["retry_count"]) == ("pending", 0)
    queue.cancel(job_id)


def test_wrong_values_are_refused(cluster: Cluster, queue: Any) -> None:
    """With the name of what is wrong."""
    with pytest.raises(InputError, match="concurrency"):
        processor(cluster, queue, "x", print, concurrency=0)
    with pytest.raises(InputError, match="lane"):
        processor(cluster, queue, "no lane", print)
    with pytest.raises(InputError, match="lane"):
        cluster.module("consumers.job_processor").JobProcessor(queue, [], {})
    with pytest.raises(InputError, match="grace"):
        processor(cluster, queue, "x", print, grace=-1)
    with pytest.raises(RuntimeError, match="no job"):
        current(cluster)
