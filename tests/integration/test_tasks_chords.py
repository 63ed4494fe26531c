"""Chords and what follows a job are in the ledger: neither a broker nor a worker can lose them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError

from tests.cluster import Cluster, databases, ready, running_cluster
from tests.processes import until
from vibe_tasks.flow.control import cancel_job


@pytest.fixture(scope="module", params=databases("postgres"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes, and a dispatcher."""
    with running_cluster(request, request.param, measured=False) as made:
        ready(made.start_worker("code", processes=2))
        made.dispatcher()
        yield made


@dataclass(frozen=True)
class Gated:
    """Members that wait for a gate each."""

    gates: list[Path]
    members: list[Any]

    def open(self) -> None:
        """Let all of them go on."""
        for gate in self.gates:
            gate.touch()


@pytest.fixture
def gated(cluster: Cluster, tmp_path: Path) -> Iterator[Gated]:
    """Two members; their gates are open at the end, so that no worker waits on."""
    gates = [tmp_path / f"gate-{number}" for number in range(2)]
    members = [cluster.jobs.hold.s(str(gate.with_suffix(".log")), str(gate)) for gate in gates]
    made = Gated(gates, members)
    yield made
    made.open()


def test_a_chord_outlives_an_emptied_broker(cluster: Cluster, gated: Gated) -> None:
    """The broker forgets everything while one member is done and another runs."""
    result = chord(gated.members)(cluster.jobs.echo.s())
    assert cluster.status(result.id) == "blocked"
    gated.gates[0].touch()
    cluster.until(result.parent.results[0].id, "completed")
    with cluster.broker() as broker:
        broker.flushall()
    gated.open()
    assert len(result.get(timeout=60)) == 2


def test_a_chord_submitted_without_a_broker_runs_later(cluster: Cluster) -> None:
    """Its members and its body are in the ledger."""
    with cluster.stopped_broker():
        result = chord([cluster.jobs.add.s(number, 1) for number in range(3)])(
            cluster.jobs.total.s()
        )
        assert cluster.status(result.id) == "blocked"
    assert result.get(timeout=60) == 6


def test_a_member_retried_by_hand_completes_its_chord(cluster: Cluster, tmp_path: Path) -> None:
    """The body failed with its member, and runs after all once the member has made it."""
    jobs, gate = cluster.jobs, tmp_path / "gate"
    result = chord([jobs.add.s(1, 1), jobs.refuse_until.s(str(gate))])(jobs.echo.s())
    with pytest.raises(ChordError, match="not yet"):
        jobs.echo.AsyncResult(result.id).get(timeout=60)
    gate.touch()
    cluster.retry_by_hand(result.parent.results[1].id)
    cluster.until(result.id, "completed")
    assert jobs.echo.AsyncResult(result.id).get(timeout=60) == [2, "now"]


def test_a_member_that_is_cancelled_fails_its_chord(cluster: Cluster, gated: Gated) -> None:
    """Whoever waits for the body is told at once; the other member does not start it."""
    result = chord(gated.members)(cluster.jobs.echo.s())
    cancel_job(cluster.ledger, result.parent.results[0].id, "not this one")
    with pytest.raises(ChordError, match="not this one"):
        cluster.jobs.echo.AsyncResult(result.id).get(timeout=60)
    gated.open()
    cluster.until(result.parent.results[1].id, "completed")
    assert cluster.status(result.id) == "cancelled"


def test_a_body_retried_by_hand_waits_again(cluster: Cluster, gated: Gated) -> None:
    """Without its members' results it has nothing to work on."""
    result = chord(gated.members)(cluster.jobs.echo.s())
    cancel_job(cluster.ledger, result.id, "by mistake")
    cluster.retry_by_hand(result.id)
    assert cluster.status(result.id) == "blocked"
    gated.open()
    cluster.until(result.id, "completed")


def test_a_chain_into_a_group_is_in_the_ledger_with_its_first_link(cluster: Cluster) -> None:
    """The job that applies the group is written with the completion; applied a second time, as
    after a crash, it makes nothing twice.
    """
    jobs = cluster.jobs
    flow = chain(jobs.add.s(1, 2), group(jobs.add.s(10), jobs.add.s(20)), jobs.total.s())
    assert flow.apply_async().get(timeout=60) == 36
    with cluster.ledger.read() as connection:
        row = cluster.module("follow").jobs.list_jobs(connection, where={"kind": "follow"})[0]
    before = cluster.count_jobs()
    cluster.module("follow").apply(cluster.app, tuple(row["args"]["args"]), **row["args"]["kwargs"])
    assert cluster.count_jobs() == before


def test_a_chord_into_a_chain(cluster: Cluster) -> None:
    """The body may be several links; the last one's result is the chord's."""
    jobs = cluster.jobs
    body = chain(jobs.total.s(), jobs.add.s(100))
    result = chord([jobs.add.s(number, 0) for number in range(4)])(body)
    assert result.get(timeout=60) == 106


def test_an_immutable_body_gets_no_results(cluster: Cluster) -> None:
    """`si()` as in Celery."""
    jobs = cluster.jobs
    result = chord([jobs.add.s(1, 1), jobs.add.s(2, 2)])(jobs.add.si(20, 22))
    assert result.get(timeout=60) == 42


def test_a_failed_link_inside_a_member_fails_the_chord(cluster: Cluster, tmp_path: Path) -> None:
    """A member may be a chain; what dies in it is told to the chord in the same transaction."""
    jobs = cluster.jobs
    member = chain(jobs.refuse.si(str(tmp_path / "log")), jobs.add.si(1, 1))
    result = chord([member, jobs.add.s(1, 1)])(jobs.total.s())
    with pytest.raises(ChordError, match="it will never work"):
        jobs.total.AsyncResult(result.id).get(timeout=60)
    until(lambda: cluster.status(result.id) == "cancelled")


def test_chords_in_chords(cluster: Cluster) -> None:
    """The inner body is a member of the outer one."""
    jobs = cluster.jobs
    inner = chord([jobs.add.s(1, 1), jobs.add.s(2, 2)], jobs.total.s())
    assert chord([inner, jobs.add.s(10, 0)])(jobs.total.s()).get(timeout=60) == 16


def test_a_failure_climbs_through_chords_in_chords(cluster: Cluster, tmp_path: Path) -> None:
    """The inner body never runs, so the outer one is told too; both run after all once the member
    has made it.
    """
    jobs, gate = cluster.jobs, tmp_path / "gate"
    inner = chord([jobs.refuse_until.s(str(gate))], jobs.echo.s())
    result = chord([inner, jobs.add.s(10, 0)])(jobs.echo.s())
    cluster.until(result.id, "cancelled")
    with pytest.raises(ChordError, match="not yet"):
        jobs.echo.AsyncResult(result.id).get(timeout=60)
    gate.touch()
    letters = cluster.dead_letters().values()
    (dead,) = [each["id"] for each in letters if each["name"] == jobs.refuse_until.name]
    cluster.retry_by_hand(dead)
    cluster.until(result.id, "completed")
    assert jobs.echo.AsyncResult(result.id).get(timeout=60) == [["now"], 10]


def test_a_member_whose_key_is_taken_fails_its_chord(cluster: Cluster, gated: Gated) -> None:
    """The job that has the key is no member; the chord must not wait for ever."""
    jobs = cluster.jobs
    holder = jobs.hold.apply_async(gated.members[0].args, unique_key="taken")
    member = jobs.add.s(1, 1).set(unique_key="taken")
    result = chord([member, jobs.add.s(2, 2)])(jobs.total.s())
    with pytest.raises(ChordError, match=f"job {holder.id} has its unique_key 'taken'"):
        jobs.total.AsyncResult(result.id).get(timeout=60)


def test_a_body_whose_key_is_taken_is_refused(cluster: Cluster, gated: Gated) -> None:
    """Before any member is submitted."""
    jobs = cluster.jobs
    jobs.hold.apply_async(gated.members[0].args, unique_key="body")
    before = cluster.count_jobs()
    with pytest.raises(Exception, match="has the unique_key 'body' of the chord's body"):
        chord([jobs.add.s(1, 1)])(jobs.total.s().set(unique_key="body"))
    assert cluster.count_jobs() == before


def test_a_body_cancelled_while_it_waits_keeps_its_results(cluster: Cluster, gated: Gated) -> None:
    """Retried after its members have completed, it runs with what they returned."""
    result = chord(gated.members)(cluster.jobs.echo.s())
    cancel_job(cluster.ledger, result.id, "by mistake")
    gated.open()
    for member in result.parent.results:
        cluster.until(member.id, "completed")
    assert cluster.status(result.id) == "cancelled"
    cluster.retry_by_hand(result.id)
    cluster.until(result.id, "completed")
    assert cluster.row(result.id)["result"] == ["started", "started"]
