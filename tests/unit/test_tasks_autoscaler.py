"""What a worker's autoscaler does without news, and what it refuses; no process is started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool
from celery.concurrency.thread import TaskPool as ThreadPool

from vibe_tasks.scaling import Load
from vibe_tasks.tasks.pool import prefork
from vibe_tasks.tasks.pool.autoscaler import Autoscaler, News


@dataclass
class FakePool:
    """A pool of so many processes, started."""

    num_processes: int
    _pool: object = field(default_factory=object)


@dataclass
class FakeWorker:
    """A worker with this kind of pool."""

    pool_cls: type = TaskPool
    use_eventloop: bool = True
    hostname: str = "me"
    max_concurrency: int | None = 6


def scaler(size: int, *, worker: FakeWorker | None = None) -> Autoscaler:
    """Of one to six processes, at this size."""
    return Autoscaler(FakePool(size), 6, 1, worker=worker or FakeWorker())


def test_without_news_of_the_ledger_nothing_changes_but_what_somebody_orders() -> None:
    """A ledger that is away neither grows nor shrinks a pool; other bounds hold all the same."""
    found = scaler(4)
    assert found._decide(None, 4) is None
    found.update(max=2)
    decision = found._decide(None, 4)
    assert decision is not None
    assert decision.target == 2
    found.update(max=9, min=5)
    decision = found._decide(None, 4)
    assert decision is not None
    assert decision.target == 5


def test_it_goes_by_what_waits_in_its_lanes() -> None:
    """With the thresholds that it was given while it ran."""
    found = scaler(1)
    old = Load(waiting=3, oldest_age=9.0, busy=0, slots=0)
    news = News(loads={"code": old}, rules={}, workers={"code": ("me", "other")})
    decision = found._decide(news, 1)
    assert decision is not None
    # Its part of three jobs is two, one of which its idle process takes.
    assert decision.target == 2
    found.set_scaling({"up_age": 60.0})
    decision = found._decide(news, 1)
    assert decision is not None
    assert decision.change == 0
    with pytest.raises(ValueError, match="up_age must be"):
        found.set_scaling({"up_age": -1.0})


@pytest.mark.parametrize("bounds", [{"max": 0}, {"min": 7}, {"max": 2, "min": 3}, {"min": 0}])
def test_bounds_that_no_pool_can_have_are_refused(bounds: dict[str, int]) -> None:
    """And change nothing."""
    found = scaler(3)
    with pytest.raises(ValueError, match="need 1 <= min <= max"):
        found.update(**bounds)
    assert (found.max_concurrency, found.min_concurrency) == (6, 1)


def test_a_worker_takes_no_more_than_its_pool_has_processes() -> None:
    """Celery's consumer would take as many as the largest pool could run."""
    worker = FakeWorker()
    scaler(2, worker=worker)
    assert worker.max_concurrency == 2
    threads = FakeWorker(pool_cls=ThreadPool)
    scaler(2, worker=threads).maybe_scale()
    assert threads.max_concurrency is None


@dataclass
class Unborn:
    """A process that the system would not start."""

    _popen: Any = None


class Full:
    """billiard's pool on a system that starts no more processes."""

    def __init__(self) -> None:
        self._processes = 1
        self._pool: list[Any] = [Unborn(_popen="runs")]
        self._putlock: Any = None
        self.freed: list[Any] = []
        self.num_processes = 1

    def grow(self, number: int) -> None:
        """As billiard's."""
        self._processes += number

    def maintain_pool(self) -> None:
        """As billiard's, which enters a process before it starts it."""
        self._pool.append(Unborn())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def _process_cleanup_queues(self, process: Any) -> None:
        self.freed.append(process)


def test_a_system_that_starts_no_more_processes_leaves_the_pool_as_it_was() -> None:
    """Billiard would otherwise try again at each look, and stumble over what it entered."""
    full = Full()
    pool = type("Pool", (), {"_pool": full, "grow": full.grow, "maintain_pool": full.maintain_pool})
    assert prefork.grow(pool) is False
    assert full._processes == len(full._pool) == 1
    assert len(full.freed) == 1
