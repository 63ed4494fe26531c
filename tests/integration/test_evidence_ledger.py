"""Results, cancellations, histories and submissions do not depend on the broker (docs/cured.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from celery.exceptions import TaskRevokedError

from tests.cluster import Cluster, databases, running_cluster
from tests.processes import until
from vibe_tasks.errors import UnknownJobError


@pytest.fixture(scope="module", params=databases("postgres"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A dispatcher; each test starts its own workers."""
    with running_cluster(request, request.param, measured=False) as made:
        made.dispatcher()
        yield made


def test_a_submission_is_part_of_the_callers_transaction(cluster: Cluster, tmp_path: Path) -> None:
    """Rolled back: no job ever was. Committed: it runs, although nobody published it."""
    note, submit = cluster.jobs.note, cluster.module("task").jobs.submit
    log = str(tmp_path / "log")
    with cluster.worker("mine"):
        undone = note.new_job((log, "undone"), {}, "undone", {"lane": "mine"})
        with suppress(ZeroDivisionError), cluster.ledger.begin() as connection:
            submit(connection, [undone])
            1 / 0  # noqa: B018  whatever the caller does wrong
        with cluster.ledger.begin() as connection:
            submit(connection, [note.new_job((log, "done"), {}, "done", {"lane": "mine"})])
            assert cluster.messages("mine") == 0
        cluster.until("done", "completed")
    assert cluster.jobs.lines(log) == ["done"]
    with cluster.ledger.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM jobs WHERE id = 'undone'")
        assert found.scalar_one() == 0


def test_a_cancel_reaches_workers_that_are_offline(cluster: Cluster, tmp_path: Path) -> None:
    """Revoked while no worker runs: one that starts later does not run it, nor after a flush."""
    log = str(tmp_path / "log")
    note = cluster.jobs.note
    doomed = note.apply_async((log, "doomed"), lane="offline")
    doomed.revoke()
    with cluster.broker() as broker:
        broker.flushall()
    after = note.apply_async((log, "after"), lane="offline")
    with cluster.worker("offline"):
        assert after.get(timeout=60) == "after"
        with pytest.raises(TaskRevokedError):
            doomed.get(timeout=60)
    assert cluster.jobs.lines(log) == ["after"]
    assert cluster.status(doomed.id) == "cancelled"


def test_states_results_and_history_outlive_the_broker(cluster: Cluster, tmp_path: Path) -> None:
    """Worker gone, broker emptied: what happened is known, who did it, and why it failed."""
    with cluster.worker("past") as worker:
        good = cluster.jobs.add.apply_async((2, 3), lane="past")
        bad = cluster.jobs.refuse.apply_async((str(tmp_path / "log"),), lane="past")
        cluster.until(good.id, "completed")
        cluster.until(bad.id, "failed")
        worker.kill()
    with cluster.broker() as broker:
        broker.flushall()
    forgotten = cluster.app.AsyncResult(good.id)
    assert (forgotten.state, forgotten.get(timeout=60)) == ("SUCCESS", 5)
    assert cluster.app.AsyncResult(bad.id).state == "FAILURE"
    states = [each["status"] for each in cluster.history(good.id)]
    assert states == ["pending", "processing", "completed"]
    assert "it will never work" in cluster.errors(bad.id)[-1]
    assert bad.id in cluster.dead_letters()


def test_a_job_that_was_never_submitted_is_told_from_one_that_waits(cluster: Cluster) -> None:
    """Celery says PENDING of both; the ledger knows."""
    waiting = cluster.jobs.add.apply_async((1, 2), lane="nobody")
    assert waiting.state == "PENDING"
    assert cluster.status(waiting.id) == "pending"
    with pytest.raises(UnknownJobError):
        cluster.row("no-such-job")


def test_one_key_is_one_live_job_whoever_submits(cluster: Cluster, tmp_path: Path) -> None:
    """A second submission is the first one's job, also when the broker forgot the message."""
    note, log = cluster.jobs.note, str(tmp_path / "log")
    first = note.apply_async((log, "first"), lane="once", unique_key="invoice-7")
    with cluster.broker() as broker:
        broker.flushall()
    second = note.apply_async((log, "second"), lane="once", unique_key="invoice-7")
    assert second.id == first.id
    with cluster.worker("once"):
        assert first.get(timeout=60) == "first"
    third = note.apply_async((log, "third"), lane="once", unique_key="invoice-7")
    assert third.id != first.id
    until(lambda: cluster.jobs.lines(log) == ["first"])
