"""Jobs that fail: how often they are tried, when, and what is left of each failure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.cluster import Cluster, databases, ready, running_cluster
from tests.processes import until


@pytest.fixture(scope="module", params=databases("sqlite"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes, and a dispatcher."""
    with running_cluster(request, request.param, measured=True) as made:
        worker = made.start_worker("code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def waits(cluster: Cluster, job_id: str) -> list[float]:
    """Seconds between each failure and the start of the next attempt."""
    rows = cluster.history(job_id)
    return [
        after["timestamp"] - before["timestamp"]
        for before, after in pairwise(rows)
        if before["from_status"] == "processing" and after["status"] == "processing"
    ]


def test_three_failures_are_a_dead_letter_with_its_whole_history(
    cluster: Cluster, tmp_path: Path
) -> None:
    """max_retries 3: three attempts, the waits as the policy says, every error kept."""
    log = tmp_path / "log"
    result = cluster.jobs.fail.delay(str(log))
    row = cluster.until(result.id, "failed")
    assert (row["attempt"], row["retry_count"]) == (3, 3)
    assert cluster.jobs.lines(log) == ["started"] * 3
    assert cluster.errors(result.id) == [f"RuntimeError: no luck {n}" for n in (1, 2, 3)]

    first, second = waits(cluster, result.id)
    assert first >= 0.05 * 2 * 0.5  # a start may be late, never early
    assert second >= 0.05 * 4 * 0.5

    letter = cluster.dead_letters()[result.id]
    assert (letter["attempts"], letter["max_retries"]) == (3, 3)
    assert letter["error"] == "RuntimeError: no luck 3"


def test_a_retry_by_hand_brings_a_dead_letter_back(cluster: Cluster, tmp_path: Path) -> None:
    """All its attempts again, under the same id; what had been written stays."""
    log = tmp_path / "log"
    result = cluster.jobs.fail_until.apply_async((str(log), 5))
    cluster.until(result.id, "failed")
    cluster.retry_by_hand(result.id)
    assert cluster.jobs.fail_until.AsyncResult(result.id).get(timeout=60) == 5
    assert result.id not in cluster.dead_letters()
    assert len(cluster.errors(result.id)) == 4


def test_a_permanent_failure_is_not_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    """One attempt, and a dead letter."""
    log = tmp_path / "log"
    row = cluster.until(cluster.jobs.refuse.delay(str(log)).id, "failed")
    assert (row["attempt"], row["error"]) == (1, "it will never work")
    assert row["id"] in cluster.dead_letters()


def test_a_server_that_says_when_to_come_back_is_obeyed(cluster: Cluster, tmp_path: Path) -> None:
    """`retry_after` instead of the policy's wait, which would be a tenth of a second."""
    result = cluster.jobs.asked_to_wait.delay(str(tmp_path / "log"), 0.7)
    assert result.get(timeout=60) == "served"
    assert waits(cluster, result.id)[0] >= 0.7


def test_a_job_that_waits_for_its_retry_says_so(cluster: Cluster, tmp_path: Path) -> None:
    """Its state is RETRY, its error is in the row, and the broker has no message of it."""
    result = cluster.jobs.asked_to_wait.delay(str(tmp_path / "log"), 30)
    until(lambda: result.state == "RETRY")
    assert "429" in cluster.row(result.id)["error"]
    assert cluster.messages("code") == 0


@pytest.mark.parametrize("countdown", [None, 0.4])
def test_celerys_retry_counts_and_waits_in_the_ledger(
    cluster: Cluster, tmp_path: Path, countdown: float | None
) -> None:
    """`raise self.retry(exc=…, countdown=…)`: one failure, with the cause as its error."""
    result = cluster.jobs.retry_with.delay(str(tmp_path / "log"), countdown)
    assert result.get(timeout=60) == 1
    assert cluster.row(result.id)["retry_count"] == 1
    assert cluster.errors(result.id) == ["OSError: the disk is on fire"]
    assert waits(cluster, result.id)[0] >= (countdown or 0.05)


def test_celerys_autoretry_works(cluster: Cluster, tmp_path: Path) -> None:
    """`autoretry_for=` in the decorator."""
    assert cluster.jobs.retry_by_itself.delay(str(tmp_path / "log")).get(timeout=60) == 2


def test_a_job_past_its_time_limit_ends_with_its_children(cluster: Cluster, tmp_path: Path) -> None:
    """Each attempt is killed, the processes that it started too, and counts as a failure."""
    log = tmp_path / "log"
    result = cluster.jobs.overrun.delay(str(log))
    cluster.until(result.id, "failed")
    assert len(cluster.errors(result.id)) == 3
    assert all("TimeLimitExceeded" in error for error in cluster.errors(result.id))
    pids = [int(pid) for line in cluster.jobs.lines(log) for pid in line.split()]
    assert len(pids) == 6
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_calls_own_time_limit(cluster: Cluster, tmp_path: Path) -> None:
    """`time_limit=` of one call."""
    result = cluster.jobs.hold.apply_async(
        (str(tmp_path / "log"), str(tmp_path / "never")), time_limit=0.5
    )
    until(lambda: len(cluster.errors(result.id)) >= 1)
    assert "TimeLimitExceeded: 0.5 s" in cluster.errors(result.id)[0]
    (tmp_path / "never").touch()
    cluster.until(result.id, "completed")


def test_a_job_that_kills_its_process_ends_as_a_dead_letter(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Each death is a failure, at once and not when the lease runs out; the worker goes on."""
    log = tmp_path / "log"
    result = cluster.jobs.die.delay(str(log))
    cluster.until(result.id, "failed")
    errors = cluster.errors(result.id)
    assert len(errors) == 3
    assert all(error.startswith("WorkerLost: the process that ran it died") for error in errors)
    assert result.id in cluster.dead_letters()
    assert cluster.jobs.lines(log) == ["started"] * 3
    assert cluster.jobs.add.delay(1, 2).get(timeout=60) == 3


def test_a_job_that_calls_exit_has_failed(cluster: Cluster, tmp_path: Path) -> None:
    """Three times, like any failure; the code is in the error."""
    log = tmp_path / "log"
    result = cluster.jobs.leave.delay(str(log))
    cluster.until(result.id, "failed")
    assert cluster.errors(result.id) == ["the job called exit(3)"] * 3


@pytest.mark.parametrize(
    ("name", "error"),
    [("cancelled", "CancelledError: odd"), ("interrupt", "KeyboardInterrupt: odd"),
     ("generator", "GeneratorExit: odd")],
)  # fmt: skip
def test_a_job_that_raises_what_is_no_exception_has_failed(
    cluster: Cluster, tmp_path: Path, name: str, error: str
) -> None:
    """Each attempt is recorded under the error's own name; the worker's process goes on."""
    log = tmp_path / "log"
    result = cluster.jobs.raise_strangely.delay(str(log), name)
    row = cluster.until(result.id, "failed")
    assert cluster.errors(result.id) == [error] * 3
    assert (row["error"], row["retry_count"]) == (error, 3)
    with pytest.raises(cluster.module("results").JobFailedError, match=error):
        result.get(timeout=60)


def test_a_job_that_nobody_knows_waits(cluster: Cluster) -> None:
    """A worker without the function does not lose the job; one that has it runs it."""
    made = cluster.jobs.add.new_job((1, 2), {}, None, {})
    stranger = type(made)(
        **{name: getattr(made, name) for name in made.__slots__} | {"name": "elsewhere.unknown"}
    )
    with cluster.ledger.begin() as connection:
        cluster.module("task").jobs.submit(connection, [stranger])
    until(lambda: cluster.row(stranger.id)["published_at"] is not None)
    assert cluster.jobs.add.delay(1, 2).get(timeout=60) == 3
    cluster.until(stranger.id, "pending")  # but for the moment in which a worker looks at it


def test_the_result_of_an_attempt_that_lost_its_job_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A cancelled job stays cancelled when its attempt ends; nothing follows from it."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    follower = tmp_path / "follower"
    result = cluster.jobs.hold.apply_async(
        (str(log), str(gate)), link=cluster.jobs.note.si(str(follower))
    )
    until(log.exists)
    cluster.module("request").control.cancel_job(cluster.ledger, result.id, "changed my mind")
    gate.touch()
    assert cluster.jobs.add.submit_many([(1, 2)] * 4)[-1].get(timeout=60) == 3
    row = cluster.row(result.id)
    assert (row["status"], row["error"], row["result"]) == ("cancelled", "changed my mind", None)
    assert not follower.exists()
