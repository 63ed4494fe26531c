"""The broker may be away, may forget, may deliver twice: the ledger decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cluster import Cluster, ready, running_cluster
from tests.processes import until


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A dispatcher, and a worker of one process for the lane `one`."""
    with running_cluster(request, "sqlite") as made:
        worker = made.start_worker("one,code", processes=1)
        made.dispatcher()
        ready(worker)
        yield made


@pytest.fixture
def busy(cluster: Cluster, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The one process waits at a gate, so that what is submitted queues up behind it."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    cluster.jobs.hold.apply_async((str(log), str(gate), "gate"), lane="one", priority="fix")
    until(lambda: cluster.jobs.lines(log) == ["gate"])

    def started(count: int) -> list[str]:
        """Open the gate and wait for so many jobs; their lines in the order of their starts."""
        gate.touch()
        until(lambda: len(cluster.jobs.lines(log)) > count)
        return list(cluster.jobs.lines(log)[1:])

    yield SimpleNamespace(log=str(log), started=started)
    gate.touch()
    until(lambda: cluster.messages("one") == 0)


# --- priorities ---


def test_the_most_urgent_job_starts_next_and_equals_in_order(
    cluster: Cluster, busy: SimpleNamespace
) -> None:
    """With one busy process and a queue of all five levels."""
    names = ["low", "normal", "high", "critical", "fix"]
    for turn in range(4):
        for name in names:
            cluster.jobs.note.apply_async((busy.log, f"{name} {turn}"), lane="one", priority=name)
    expected = [f"{name} {turn}" for name in reversed(names) for turn in range(4)]
    assert busy.started(20) == expected


def test_a_critical_job_overtakes_two_thousand(cluster: Cluster, busy: SimpleNamespace) -> None:
    """No worker has hoarded messages; the two thousand wait in the broker."""
    note = cluster.jobs.note
    lowly = [note.new_job((busy.log, "low"), {}, None, {"lane": "flood"}) for _ in range(2_000)]
    with cluster.ledger.begin() as connection:
        cluster.module("task").jobs.submit(connection, lowly)
    until(lambda: cluster.messages("flood") == 2_000)
    with cluster.worker("flood") as _:
        until(lambda: "low" in cluster.jobs.lines(busy.log))
        note.apply_async((busy.log, "critical"), lane="flood", priority="critical")
        sent = len(cluster.jobs.lines(busy.log))
        until(lambda: "critical" in cluster.jobs.lines(busy.log))
        place = cluster.jobs.lines(busy.log).index("critical")
        # What started while the call was on its way, and the two that were in hand.
        assert place - sent < 60
        assert cluster.messages("flood") > 1_000
    with cluster.broker() as broker:
        broker.flushall()
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs WHERE lane = 'flood'")


def test_a_later_but_more_urgent_job_is_first(cluster: Cluster, busy: SimpleNamespace) -> None:
    """Also when its turn comes by a countdown, through the dispatcher."""
    note = cluster.jobs.note
    due = note.apply_async((busy.log, "late"), lane="one", priority="critical", countdown=0.3)
    for number in range(3):
        note.apply_async((busy.log, f"early {number}"), lane="one")
    until(lambda: cluster.row(due.id)["published_at"] is not None)
    until(lambda: cluster.messages("one") == 4)
    assert busy.started(4) == ["late", "early 0", "early 1", "early 2"]


# --- loss and doubles ---


def test_a_broker_that_forgets_everything_costs_no_job(
    cluster: Cluster, busy: SimpleNamespace
) -> None:
    """FLUSHALL with a full queue: all jobs are run, each of them once, most urgent first."""
    results = cluster.jobs.note.submit_many([(busy.log, number) for number in range(50)])
    mine = [cluster.jobs.note.apply_async((busy.log, f"one {n}"), lane="one") for n in range(10)]
    with cluster.broker() as broker:
        assert cluster.messages("one") == 10
        broker.flushall()
    assert cluster.messages("one") == 0
    lines = busy.started(60)
    for result in results + mine:
        cluster.until(result.id, "completed")
    assert sorted(lines) == sorted([str(n) for n in range(50)] + [f"one {n}" for n in range(10)])
    assert {cluster.row(each.id)["attempt"] for each in results + mine} == {1}


def test_one_lost_message_of_many_is_noticed(cluster: Cluster, busy: SimpleNamespace) -> None:
    """The queue is not empty, and still what was sent before its head is known to be gone."""
    note = cluster.jobs.note
    first = note.apply_async((busy.log, "first"), lane="one")
    until(lambda: cluster.row(first.id)["published_at"] is not None)
    with cluster.broker() as broker:
        broker.delete(cluster.module("queues").broker_keys("one")[3])
    pause = cluster.row(first.id)["published_at"] + 1.2
    until(lambda: cluster.module("resources").wall_clock() > pause)
    second = note.apply_async((busy.log, "second"), lane="one")
    assert sorted(busy.started(2)) == ["first", "second"]
    cluster.until(first.id, "completed")
    cluster.until(second.id, "completed")


def test_a_message_that_comes_twice_is_run_once(cluster: Cluster, busy: SimpleNamespace) -> None:
    """Three messages of one job."""
    result = cluster.jobs.note.apply_async((busy.log, "once"), lane="one")
    key = cluster.module("queues").broker_keys("one")[3]
    with cluster.broker() as broker:
        message = broker.lindex(key, 0)
        broker.lpush(key, message, message)
    after = cluster.jobs.note.apply_async((busy.log, "after"), lane="one")
    assert busy.started(2) == ["once", "after"]
    cluster.until(after.id, "completed")
    assert cluster.row(result.id)["attempt"] == 1


def test_a_message_of_an_ended_job_is_dropped(cluster: Cluster, busy: SimpleNamespace) -> None:
    """Completed or cancelled in the meantime: nothing runs again."""
    result = cluster.jobs.note.apply_async((busy.log, "no"), lane="one")
    cluster.module("request").control.cancel_job(cluster.ledger, result.id, "not wanted")
    cluster.jobs.note.apply_async((busy.log, "yes"), lane="one")
    assert busy.started(1) == ["yes"]
    assert cluster.status(result.id) == "cancelled"


def test_a_backlog_is_not_published_twice(cluster: Cluster, busy: SimpleNamespace) -> None:
    """Messages that wait longer than the dispatcher's patience are left alone."""
    note = cluster.jobs.note
    results = [note.apply_async((busy.log, n), lane="one") for n in range(20)]
    sent = {result.id: cluster.row(result.id)["published_at"] for result in results}
    due = note.apply_async((busy.log, "x"), countdown=2.5, lane="elsewhere")
    until(lambda: cluster.row(due.id)["published_at"] is not None)  # some looks have passed
    assert cluster.messages("one") == 20
    assert {each.id: cluster.row(each.id)["published_at"] for each in results} == sent


def test_arguments_stay_out_of_the_broker(cluster: Cluster, busy: SimpleNamespace) -> None:
    """The message's body is empty; a person sees the arguments, cut to a line."""
    cluster.jobs.note.apply_async((busy.log, "x" * 100_000), lane="one")
    with cluster.broker() as broker:
        message = broker.lindex(cluster.module("queues").broker_keys("one")[3], 0)
    assert len(message) < 3_000
    assert "xxx" in json.loads(message)["headers"]["argsrepr"]


# --- away ---


def test_producers_do_not_wait_for_a_broker_that_is_away(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """delay() returns, the job is in the ledger, and runs when the broker is back; whoever
    has not started a stack is told so.
    """
    log = str(tmp_path / "log")
    cluster.broker_down()
    try:
        result = cluster.jobs.note.delay(log, "single")
        many = cluster.jobs.note.submit_many([(log, number) for number in range(20)])
        later = cluster.jobs.note.apply_async((log, "later"), countdown=0.1)
        assert cluster.status(result.id) == "pending"
        assert result.state == "PENDING"
    finally:
        cluster.broker_up()
    assert f"no stack runs in {cluster.home}: run `vibe up` in the same folder" in caplog.text
    for each in [result, later, *many]:
        cluster.until(each.id, "completed")
    assert len(cluster.jobs.lines(log)) == 22


def test_a_broker_that_does_not_answer_costs_a_bounded_time(cluster: Cluster) -> None:
    """A stopped process takes connections and says nothing."""
    with cluster.stopped_broker():
        result = cluster.jobs.add.delay(1, 2)  # returns before the broker goes on
    assert result.get(timeout=60) == 3
