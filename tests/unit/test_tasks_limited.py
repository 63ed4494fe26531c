"""What waits for Celery's rate limits, of which `integration/test_flower.py` sees the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.utils.limits import TokenBucket

from vibe_tasks.tasks.pool.limited import LimitStep, let_go


class Request:
    """A request for a task."""

    def __init__(self, name: str) -> None:
        self.id = self.name = name


class Timer:
    """A timer whose time never comes."""

    def call_after(self, *_: object, **__: object) -> None:
        """Do nothing."""


class Limited(Consumer):
    """Celery's consumer without a broker, on which no task runs twice an hour.

    Attributes:
        started: The tasks that went on to the pool.
    """

    def __init__(self) -> None:
        self.timer = Timer()
        self._limit_order = 0
        self.started: list[str] = []
        self.task_buckets: dict[str, TokenBucket | None] = {}
        self.limits = {"slow": 1 / 3600, "other": 1 / 3600}
        self.reset_rate_limits()
        LimitStep(self)

    def reset_rate_limits(self) -> None:
        """New buckets, full ones, for the limits of the moment."""
        for name in ("slow", "other"):
            rate = self.limits.get(name)
            self.task_buckets[name] = TokenBucket(rate, capacity=1) if rate else None

    def on_task_request(self, request: Request) -> None:
        """The pool takes it."""
        self.started.append(request.name)

    def take(self, name: str) -> Request:
        """A message for this task has come."""
        request = Request(name)
        self._limit_task(request, self.task_buckets[name], 1)
        return request


@pytest.fixture
def consumer() -> Iterator[Limited]:
    """One with empty hands."""
    yield Limited()
    state.reserved_requests.clear()


def test_what_waits_for_its_rate_takes_a_place(consumer: Limited) -> None:
    """So Celery asks the broker for no more than there are places."""
    taken = [consumer.take("slow") for _ in range(3)]
    assert consumer.started == ["slow"]
    assert set(state.reserved_requests) == set(taken)


def test_a_new_limit_holds_for_what_waits(consumer: Limited) -> None:
    """A lifted one lets all of it go, in order; another one begins anew, with one start."""
    taken = [consumer.take(name) for name in ("slow", "slow", "slow", "other", "other")]
    consumer.started.clear()
    del consumer.limits["slow"]
    consumer.reset_rate_limits()
    assert consumer.started == ["slow", "slow", "other"]
    assert set(state.reserved_requests) == set(taken)


def test_a_worker_that_drains_lets_go_of_it(consumer: Limited) -> None:
    """It would not end before the rate allows; what has started stays in its hands."""
    taken = [consumer.take("slow") for _ in range(3)]
    let_go(consumer)
    assert set(state.reserved_requests) == {taken[0]}
