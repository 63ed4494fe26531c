"""The autoscaler inside a worker: a real prefork pool grows and shrinks around real jobs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster import Cluster, databases, running_cluster, said
from tests.processes import descendants, runs, until
from vibe_tasks.stack.children import Child
from vibe_tasks.store.scaling_rules import NAMES, set_rules
from vibe_tasks.store.workers import list_workers

SCALED = {
    "VIBE_SCALE_CHECK_SECONDS": "0.3",
    "VIBE_SCALE_UP_AGE": "0.5",
    "VIBE_SCALE_UP_COOLDOWN": "0.3",
    "VIBE_SCALE_DOWN_AFTER": "1",
    "VIBE_SCALE_DOWN_COOLDOWN": "0.5",
    "VIBE_LEASE_SECONDS": "4",
}
"""The waits of the autoscaler, shortened; and heartbeats every second."""


@pytest.fixture(scope="module", params=databases("sqlite"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with a dispatcher."""
    with running_cluster(request, request.param, measured=True) as made:
        made.dispatcher()
        yield made


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A worker whose pool has one to six processes.

    Attributes:
        cluster: Where it runs.
        worker: Its main process.
        lane: Its lane.
    """

    cluster: Cluster
    worker: Child
    lane: str

    @property
    def name(self) -> str:
        """As it registered."""
        found = re.search(rf"{self.lane}-\w+@test", said(self.worker))
        assert found is not None
        return found.group()

    def processes(self) -> list[psutil.Process]:
        """The live processes of its pool."""
        return [each for each in descendants(psutil.Process(self.worker.pid)) if runs(each)]

    def changes(self) -> list[tuple[int, int]]:
        """From how many processes to how many it went, as it has logged it."""
        found = re.findall(r"the pool goes from (\d+) to (\d+) processes: \w", said(self.worker))
        return [(int(before), int(after)) for before, after in found]

    def control(self, command: str, **arguments: Any) -> Any:
        """The worker's answer to a remote-control command."""
        answers = self.cluster.app.control.broadcast(
            command, arguments=arguments, destination=[self.name], reply=True, timeout=60, limit=1
        )
        return answers[0][self.name]

    def until_it_has(self, number: int) -> None:
        """Wait until the pool has so many processes."""
        until(lambda: len(self.processes()) == number)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that wait at one gate.

    Attributes:
        cluster: Where they run.
        folder: Of their log and gate.
        ids: Their ids.
    """

    cluster: Cluster
    folder: Path
    ids: list[str]

    def open(self) -> None:
        """Let them end."""
        (self.folder / "gate").touch()

    def pids(self, event: str) -> list[str]:
        """The processes that wrote of this event, `start` or `end`."""
        lines = [line.split() for line in self.cluster.jobs.lines(self.folder / "log")]
        return [pid for found, pid, _ in lines if found == event]

    def begun(self) -> list[str]:
        """The ids of those that have begun."""
        lines = [line.split() for line in self.cluster.jobs.lines(self.folder / "log")]
        return [self.ids[int(number)] for event, _, number in lines if event == "start"]

    def until_started(self, number: int) -> None:
        """Wait until so many have begun."""
        until(lambda: len(self.pids("start")) >= number)

    def until_completed(self) -> None:
        """Wait until all are."""
        for each in self.ids:
            self.cluster.until(each, "completed")

    def assert_each_ran_once(self) -> None:
        """All began and ended in one process at the first attempt, none was interrupted."""
        assert sorted(self.pids("start")) == sorted(self.pids("end"))
        assert sorted(self.begun()) == sorted(self.ids)
        self.assert_undisturbed(self.ids)

    def assert_undisturbed(self, ids: list[str]) -> None:
        """These had one attempt, and no error."""
        for each in ids:
            row = self.cluster.row(each)
            assert (row["attempt"], row["retry_count"]) == (1, 0)
            assert self.cluster.errors(each) == []


def send(cluster: Cluster, lane: str, folder: Path, number: int) -> Batch:
    """So many jobs for this lane."""
    folder.mkdir()
    files = [str(folder / "log"), str(folder / "gate")]
    sit = cluster.jobs.sit
    ids = [sit.apply_async((*files, str(each)), queue=lane).id for each in range(number)]
    return Batch(cluster=cluster, folder=folder, ids=ids)


@pytest.fixture(scope="module")
def pool(cluster: Cluster) -> Iterator[Pool]:
    """A worker that begins with one process."""
    with cluster.worker("wide", "--autoscale=6,1", environ=SCALED) as worker:
        yield Pool(cluster=cluster, worker=worker, lane="wide")


def test_a_pool_grows_with_a_burst_and_shrinks_after_it(
    cluster: Cluster, pool: Pool, tmp_path: Path
) -> None:
    """From one process to six and back to one; nothing at work is ended, also where somebody wants
    fewer processes while all are at work and more waits; and it takes no more than it can run.
    """
    first = send(cluster, pool.lane, tmp_path / "first", 6)
    second = send(cluster, pool.lane, tmp_path / "second", 8)
    first.until_started(6)
    assert len(set(first.pids("start"))) == len(pool.processes()) == 6
    until(lambda: cluster.messages(pool.lane) == 8)
    assert pool.control("stats")["autoscaler"]["qty"] == 6
    until(lambda: pool_row(pool)["capacity_limit"] == 6)

    assert pool.control("autoscale", max=3, min=1) == {"ok": "autoscale now max=3 min=1"}
    assert "error" in pool.control("autoscale", max=1, min=2)
    first.open()
    first.until_completed()
    pool.until_it_has(3)
    second.until_started(3)
    assert pool.control("stats")["autoscaler"]["qty"] == 3
    second.open()
    second.until_completed()
    pool.until_it_has(1)

    first.assert_each_ran_once()
    second.assert_each_ran_once()
    assert pool.changes()[0][0] == pool.changes()[-1][1] == 1
    told = pool.control("scaling")
    ups = sum(before < after for before, after in pool.changes())
    assert told | {
        "min_workers": 1, "max_workers": 3, "current_workers": 1,
        "scale_up_count": ups, "scale_down_count": len(pool.changes()) - ups,
    } == told  # fmt: skip
    until(lambda: pool_row(pool)["capacity_limit"] == 1)
    assert pool.control("autoscale", max=6) == {"ok": "autoscale now max=6 min=1"}


def pool_row(pool: Pool) -> dict[str, Any]:
    """The worker's row in the registry."""
    with pool.cluster.ledger.read() as connection:
        rows = list_workers(connection)
    return next(each for each in rows if each["worker_id"] == pool.name)


def test_a_load_at_the_threshold_does_not_make_it_flap(
    cluster: Cluster, pool: Pool, tmp_path: Path
) -> None:
    """Volleys around the threshold of a rule set for the lane while all runs make it grow, never
    shrink; then it shrinks although the ledger's file is locked, and works on.
    """
    before = len(pool.changes())
    rules = {"up_depth": 2, "up_age": 600.0, "down_after": 600.0}
    with cluster.ledger.begin() as connection:
        set_rules(connection, pool.lane, rules)
    for number in range(12):
        volley = send(cluster, pool.lane, tmp_path / str(number), 3 + number % 2 * 2)
        volley.until_started(1)
        if number == 1:
            volley.until_started(3)  # more than two waited
        volley.open()
        volley.until_completed()
        volley.assert_each_ran_once()
    grown = pool.changes()[before:]
    assert 1 <= len(grown) <= 4
    assert all(was < now for was, now in grown)

    assert "ok" in pool.control("set_scaling", changes=["down_after=0.5"])
    told = pool.control("scaling")
    assert (told["thresholds"]["down_after"], told["lanes"]) == (0.5, {pool.lane: rules})
    with cluster.ledger.begin():
        pool.until_it_has(1)
    with cluster.ledger.begin() as connection:
        set_rules(connection, pool.lane, dict.fromkeys(NAMES))
    last = send(cluster, pool.lane, tmp_path / "last", 1)
    last.open()
    last.until_completed()


def test_nothing_is_lost_when_a_grown_worker_stops_or_dies_as_it_grows(
    cluster: Cluster, tmp_path: Path
) -> None:
    """SIGTERM: what runs on all its processes ends well, and another worker has the rest. SIGKILL
    in the middle of growing: no process of the pool lives on, and all is done by the next worker.
    """
    batch = send(cluster, "lossy", tmp_path / "batch", 20)
    with cluster.worker("lossy", "--autoscale=6,1", environ=SCALED) as stopped:
        batch.until_started(6)
        at_work = batch.begun()
        os.kill(stopped.pid, signal.SIGTERM)
        until(lambda: "Warm shutdown" in said(stopped))
        with cluster.worker("lossy", "--autoscale=6,1", environ=SCALED) as killed:
            other = Pool(cluster=cluster, worker=killed, lane="lossy")
            until(lambda: len(other.processes()) > 1)
            members = other.processes()
            os.kill(killed.pid, signal.SIGKILL)
            until(lambda: not any(runs(each) for each in members))
        batch.open()
        until(lambda: stopped.exit_code() is not None)
    with cluster.worker("lossy", processes=2) as last:
        batch.until_completed()
        fixed = Pool(cluster=cluster, worker=last, lane="lossy")
        assert "error" in fixed.control("scaling")
        assert fixed.control("pool_shrink", n=5) == {"ok": "pool will shrink by 1"}
        fixed.until_it_has(1)
    batch.assert_undisturbed(at_work)
    assert set(batch.begun()) == set(batch.ids)
