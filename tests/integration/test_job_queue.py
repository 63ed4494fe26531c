"""`JobQueue`: jobs claimed and ended by programs that are no Celery workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import chain, chord

from tests.cluster import Cluster, databases, running_cluster
from tests.crowds import crowd
from tests.processes import until
from vibe_tasks.errors import IllegalMoveError, InputError, LeaseLostError, UnknownJobError

DATABASES = databases("postgres")


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


def status(cluster: Cluster, job_id: str) -> tuple[str, int]:
    """The job's status and its failures."""
    row = cluster.row(job_id)
    return row["status"], row["retry_count"]


# --- claims ---


def test_the_first_lane_with_a_job_is_served(queue: Any) -> None:
    """Lanes are looked into in the order given; among a lane's jobs the most urgent is first."""
    later = queue.submit("b", lane="second", priority="critical")
    low = queue.submit("a", lane="first", priority="low")
    high = queue.submit("a", (1,), {"x": 2}, lane="first", priority="high")
    claims = [queue.claim("first", "second") for _ in range(4)]
    assert [each and each.id for each in claims] == [high, low, later, None]
    assert (claims[0].args, claims[0].kwargs, claims[0].attempt) == ((1,), {"x": 2}, 1)


def test_a_claim_waits_for_a_job(queue: Any) -> None:
    """It comes with the job, long before the next poll; without one it comes to nothing."""
    assert queue.claim("awaited", wait=0.05) is None
    until(lambda: queue.wakeups.listening)
    producer = threading.Timer(0.2, queue.submit, ("a",), {"lane": "awaited"})
    producer.start()
    taken = queue.claim("awaited", wait=None)
    producer.join()
    assert taken is not None


def test_ten_consumers_never_share_a_job(cluster: Cluster, queue: Any) -> None:
    """Ten processes claim at once until nothing is left: each job is somebody's, once."""
    wanted = {queue.submit("a", lane="crowd") for _ in range(100)}
    script = (
        "import sys\n"
        "from vibe_tasks import JobQueue\n"
        "with JobQueue() as queue:\n"
        "    while (claim := queue.claim('crowd')) is not None:\n"
        "        print('took', claim.id, flush=True)\n"
        "        queue.complete(claim)\n"
    )
    with crowd(script, [[]] * 10, environ=cluster.environ, cwd=cluster.folder) as consumers:
        lines = [line for output in consumers.outputs() for line in output.splitlines()]
    taken = [line.removeprefix("took ") for line in lines if line.startswith("took ")]
    assert len(taken) == len(set(taken)) == 100
    assert set(taken) == wanted


def test_what_the_queue_is_given_is_checked(queue: Any) -> None:
    """A wrong value is refused with one line that names it."""
    with pytest.raises(InputError, match="lane"):
        queue.submit("a", lane="no lane")
    with pytest.raises(InputError, match="colour"):
        queue.submit("a", colour="red")
    with pytest.raises(InputError, match="JSON"):
        queue.submit("a", (object(),))
    with pytest.raises(InputError, match="lane"):
        queue.claim()
    with pytest.raises(InputError, match="VIBE_DATABASE_URL"):
        type(queue)("oracle://elsewhere")
    with pytest.raises(InputError, match="lease"):
        type(queue)(lease=0)


def test_a_queue_of_another_ledger(queue: Any, sqlite_url: str) -> None:
    """A URL names the ledger; a new SQLite file gets its schema."""
    with type(queue)(sqlite_url, worker="me", lease=5.0) as other:
        job_id = other.submit("a", lane="own")
        assert queue.claim("own") is None
        assert other.claim("own").id == job_id
        assert other.stats().by_status["processing"] == 1


# --- ends ---


def test_a_failure_says_whether_the_job_runs_again(cluster: Cluster, queue: Any) -> None:
    """At the last failure the job is a dead letter."""
    job_id = queue.submit("a", lane="fails", max_retries=2)
    assert queue.fail(queue.claim("fails"), "no paper", retry_after=0)
    assert status(cluster, job_id) == ("pending", 1)
    assert not queue.fail(queue.claim("fails"), "no ink")
    assert status(cluster, job_id) == ("failed", 2)
    assert cluster.dead_letters()[job_id]["error"] == "no ink"
    second = queue.submit("a", lane="fails")
    assert not queue.fail(queue.claim("fails"), "never", permanent=True)
    assert status(cluster, second) == ("failed", 1)


def test_a_snooze_and_a_return_count_no_failure(cluster: Cluster, queue: Any) -> None:
    """A job that is put off or handed back keeps all its attempts."""
    job_id = queue.submit("a", lane="later")
    queue.snooze(queue.claim("later"), 0)
    assert status(cluster, job_id) == ("pending", 0)
    queue.claim("later")
    assert queue.hand_back("stopped") == 1
    assert status(cluster, job_id) == ("pending", 0)
    queue.end(queue.claim("later"), "no use")
    assert status(cluster, job_id) == ("cancelled", 0)


def test_an_attempt_that_is_over_may_write_nothing(cluster: Cluster, queue: Any) -> None:
    """Every write of it is refused, and so is its heartbeat."""
    job_id = queue.submit("a", lane="fence")
    old = queue.claim("fence")
    queue.hand_back("stopped")
    new = queue.claim("fence")
    for refused in (
        lambda: queue.complete(old, 1),
        lambda: queue.fail(old, "x"),
        lambda: queue.snooze(old, 1),
        lambda: queue.heartbeat(old),
        lambda: queue.check_lease(old),
    ):
        with pytest.raises(LeaseLostError):
            refused()
    queue.check_lease(new)
    queue.complete(new, {"pages": 2})
    assert cluster.row(job_id)["result"] == {"pages": 2}
    with pytest.raises(UnknownJobError):
        queue.complete(SimpleNamespace(id="nobody", attempt=1))


def test_a_heartbeat_renews_the_lease(cluster: Cluster, queue: Any) -> None:
    """It answers when the lease ends now."""
    job_id = queue.submit("a", lane="beats")
    taken = queue.claim("beats")
    before = cluster.row(job_id)["lease_until"]
    after = queue.heartbeat(taken, lease=600)
    assert after == cluster.row(job_id)["lease_until"] > before + 500


def test_a_result_that_is_no_json_is_refused(cluster: Cluster, queue: Any) -> None:
    """The attempt goes on; nothing is written."""
    job_id = queue.submit("a", lane="odd")
    with pytest.raises(InputError, match="JSON"):
        queue.complete(queue.claim("odd"), object())
    assert status(cluster, job_id) == ("processing", 0)


def test_a_cancelled_job_is_taken_away(queue: Any) -> None:
    """Whoever holds it may write no more; a job that has ended cannot be cancelled."""
    job_id = queue.submit("a", lane="cancels")
    taken = queue.claim("cancels")
    queue.cancel(job_id, "wrong")
    with pytest.raises(LeaseLostError):
        queue.complete(taken)
    with pytest.raises(IllegalMoveError):
        queue.cancel(job_id)


# --- what follows ---


def test_links_chains_and_chords_follow(cluster: Cluster, queue: Any) -> None:
    """What Celery's canvas has after a job starts when somebody outside has done it."""
    add, echo, total = cluster.jobs.add, cluster.jobs.echo, cluster.jobs.total
    linked = echo.s().set(lane="follow-link", task_id="linked")
    add.apply_async((1, 2), lane="outside", link=linked)
    queue.complete(queue.claim("outside"), 3)
    assert queue.claim("follow-link").args == (3,)
    chain(add.s(1, 2).set(lane="outside"), add.s(10).set(lane="follow-chain")).apply_async()
    queue.complete(queue.claim("outside"), 3)
    assert queue.claim("follow-chain").args == (3, 10)
    members = [add.s(1, 1).set(lane="outside"), add.s(2, 2).set(lane="outside")]
    chord(members)(total.s().set(lane="follow-chord"))
    for _ in members:
        taken = queue.claim("outside")
        queue.complete(taken, sum(taken.args))
    assert queue.claim("follow-chord").args == ([2, 4],)


def test_error_links_are_told_of_a_dead_job(cluster: Cluster, queue: Any, tmp_path: Path) -> None:
    """Whoever waits for a failure hears of it, also where the job's function is not known here."""
    log = tmp_path / "log"
    told = cluster.jobs.note_failure.s(str(log)).set(lane="code")
    job_id = cluster.jobs.add.apply_async((1, 2), lane="outside", link_error=told).id
    with cluster.worker("code"):
        assert not queue.fail(queue.claim("outside"), "no paper", permanent=True)
        until(lambda: cluster.jobs.lines(log) == [job_id])


def test_a_worker_gets_what_follows_at_once(cluster: Cluster, queue: Any) -> None:
    """The message of the next job goes to the broker; a chain may lead out and in again."""
    add = cluster.jobs.add
    result = chain(add.s(1, 2).set(lane="outside"), add.s(10)).apply_async()
    with cluster.worker("code"):
        queue.complete(queue.claim("outside"), 3)
        assert result.get(timeout=60) == 13


# --- looking ---


def test_a_callback_hears_of_jobs_and_survives_its_own_errors(queue: Any) -> None:
    """One call that raises does not end the subscription."""
    seen: list[str] = []

    def hear(notification: Any) -> None:
        seen.append(notification.channel)
        if len(seen) == 1:
            raise ZeroDivisionError

    with queue.subscribe(hear, lanes=["heard"]):

        def told() -> bool:
            queue.submit("a", lane="heard")
            return len(seen) > 2

        until(told)
    assert set(seen) == {"new_job"}


def test_a_feed_is_read_until_it_is_closed(queue: Any) -> None:
    """Without a callback the notifications are iterated over."""
    feed, found = queue.subscribe(lanes=["read"]), []
    reader = threading.Thread(target=lambda: found.extend(feed))
    reader.start()

    def told() -> bool:
        queue.submit("a", lane="read")
        return queue.wakeups.mark() > 3

    until(told)
    feed.close()
    reader.join(60)
    assert not reader.is_alive()
    assert {each.lane for each in found} == {"read"}


def test_stats_of_a_lane(queue: Any) -> None:
    """Counts by status, and how long the oldest due job has waited."""
    queue.submit("a", lane="counted")
    queue.submit("a", lane="counted", delay=100.0)
    queue.claim("counted")
    stats = queue.stats("counted")
    assert stats.lanes == {"counted": {"pending": 1, "processing": 1}}
    assert queue.stats().by_status["processing"] >= 1
