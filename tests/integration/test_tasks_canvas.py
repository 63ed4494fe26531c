"""Groups, chains, chords and links of jobs, alone and mixed with plain Celery tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError

from tests.cluster import Cluster, ready, running_cluster
from tests.processes import until


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes, and a dispatcher."""
    with running_cluster(request, "sqlite", measured=False) as made:
        worker = made.start_worker("code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def test_a_group_returns_its_results_in_order(cluster: Cluster) -> None:
    """One get() for all of them."""
    add = cluster.jobs.add
    result = group(add.s(number, 1) for number in range(10)).apply_async()
    assert result.get(timeout=60) == list(range(1, 11))
    assert result.successful()


def test_a_chain_hands_each_result_on(cluster: Cluster) -> None:
    """Three jobs in the ledger; the last one's result is the chain's."""
    add = cluster.jobs.add
    result = chain(add.s(1, 2), add.s(3), add.s(4)).apply_async()
    assert result.get(timeout=60) == 10
    assert [cluster.status(each.id) for each in (result, result.parent, result.parent.parent)] == [
        "completed"
    ] * 3


def test_an_immutable_link_of_a_chain_gets_no_result(cluster: Cluster) -> None:
    """`si()` as in Celery."""
    add = cluster.jobs.add
    assert chain(add.s(1, 2), add.si(10, 10)).apply_async().get(timeout=60) == 20


def test_a_chain_ends_where_a_job_fails(cluster: Cluster, tmp_path: Path) -> None:
    """What follows is not run; whoever waits for the chain is told."""
    jobs, log = cluster.jobs, tmp_path / "log"
    result = chain(jobs.refuse.si(str(tmp_path / "refused")), jobs.note.si(str(log))).apply_async()
    with pytest.raises(Exception, match="it will never work"):
        result.get(timeout=60)
    with pytest.raises(Exception, match="it will never work"):
        jobs.note.AsyncResult(result.id).get(timeout=60)
    assert not log.exists()


def test_a_chain_may_wait_between_its_links(cluster: Cluster) -> None:
    """A link's countdown waits in the ledger."""
    add = cluster.jobs.add
    result = chain(add.s(1, 2), add.s(3).set(countdown=0.5, priority="high")).apply_async()
    assert result.get(timeout=60) == 6
    rows = cluster.history(result.id)
    assert rows[1]["timestamp"] - rows[0]["timestamp"] >= 0.5
    assert cluster.row(result.id)["priority"] == 2


@pytest.mark.parametrize("body", ["total", "plain_total"])
@pytest.mark.parametrize("header", ["add", "plain_add"])
def test_a_chord_of_any_kinds(cluster: Cluster, header: str, body: str) -> None:
    """Header and body may be jobs or plain tasks."""
    member, callback = getattr(cluster.jobs, header), getattr(cluster.jobs, body)
    result = chord([member.s(number, number) for number in range(5)])(callback.s())
    assert result.get(timeout=60) == 20


def test_a_chain_into_a_group_into_a_job(cluster: Cluster) -> None:
    """Fan out and in again."""
    add, total = cluster.jobs.add, cluster.jobs.total
    result = chain(add.s(1, 2), group(add.s(10), add.s(20)), total.s()).apply_async()
    assert result.get(timeout=60) == 36


def test_a_chain_into_a_group(cluster: Cluster) -> None:
    """The group's results, in order."""
    add = cluster.jobs.add
    assert chain(add.s(1, 2), group(add.s(10), add.s(20))).apply_async().get(timeout=60) == [13, 23]


@pytest.mark.parametrize(("first", "second"), [("add", "plain_add"), ("plain_add", "add")])
def test_jobs_and_plain_tasks_make_one_chain(cluster: Cluster, first: str, second: str) -> None:
    """Both ways, three long."""
    one, two = getattr(cluster.jobs, first), getattr(cluster.jobs, second)
    assert chain(one.s(1, 2), two.s(3), one.s(4)).apply_async().get(timeout=60) == 10


def test_a_plain_task_keeps_its_result(cluster: Cluster) -> None:
    """It is no job: no row; its result and its error are Celery's."""
    before = cluster.count_jobs()
    assert cluster.jobs.plain_add.delay(1, 2).get(timeout=60) == 3
    with pytest.raises(RuntimeError, match="plain failure"):
        cluster.jobs.plain_fail.delay().get(timeout=60)
    assert cluster.count_jobs() == before


@pytest.mark.parametrize("follower", ["note", "plain_note"])
def test_a_link_runs_after_the_job(cluster: Cluster, tmp_path: Path, follower: str) -> None:
    """With the result as its argument, whatever kind of task it is."""
    log = tmp_path / "log"
    link = getattr(cluster.jobs, follower).signature((str(log),), immutable=False)
    # The result comes first: a link's own arguments follow it.
    noted = cluster.jobs.noted_add.signature((5, str(log)))
    cluster.jobs.add.apply_async((1, 2), link=noted).get(timeout=60)
    until(lambda: cluster.jobs.lines(log) == ["8"])
    link = getattr(cluster.jobs, follower).si(str(log), "linked")
    cluster.jobs.add.apply_async((1, 2), link=[link]).get(timeout=60)
    until(lambda: cluster.jobs.lines(log) == ["8", "linked"])


def test_an_error_link_runs_once_after_the_last_failure(cluster: Cluster, tmp_path: Path) -> None:
    """Not after the failures before; it gets the job's id."""
    log = tmp_path / "log"
    result = cluster.jobs.fail.apply_async(
        (str(tmp_path / "tries"),), link_error=cluster.jobs.note_failure.s(str(log))
    )
    cluster.until(result.id, "failed")
    until(lambda: cluster.jobs.lines(log) == [result.id])
    assert cluster.jobs.lines(tmp_path / "tries") == ["started"] * 3


def test_an_error_link_does_not_run_when_a_retry_helps(cluster: Cluster, tmp_path: Path) -> None:
    """A failure that was made good is nobody's business."""
    log = tmp_path / "log"
    result = cluster.jobs.fail_until.apply_async(
        (str(tmp_path / "tries"), 3), link_error=cluster.jobs.note_failure.s(str(log))
    )
    assert result.get(timeout=60) == 3
    cluster.jobs.add.delay(1, 1).get(timeout=60)  # what was sent before has been done
    assert not log.exists()


def test_a_chord_fails_with_its_member(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever waits for the body is told; the body does not run."""
    jobs = cluster.jobs
    result = chord([jobs.add.s(1, 1), jobs.refuse.s(str(tmp_path / "log"))])(jobs.total.s())
    with pytest.raises((ChordError, Exception), match="it will never work"):
        result.get(timeout=60)


def test_a_chord_fails_with_a_member_that_cancels_itself(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody waits for ever."""
    jobs = cluster.jobs
    result = chord([jobs.add.s(1, 1), jobs.give_up.s(str(tmp_path / "log"))])(jobs.total.s())
    with pytest.raises(ChordError, match="no longer wanted"):
        jobs.total.AsyncResult(result.id).get(timeout=60)


def test_a_member_that_needs_a_retry_does_not_fail_its_chord(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Neither after an error nor after the death of its process."""
    jobs = cluster.jobs
    result = chord([
        jobs.fail_until.s(str(tmp_path / "fails"), 2), jobs.die.s(str(tmp_path / "dies"), 1),
    ])(jobs.echo.s())  # fmt: skip
    assert result.get(timeout=60) == [2, "survived"]
