"""Draining over a broker whose connection breaks in the middle of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

from vibe_tasks.tasks.pool.drain import Drain


def test_a_connection_that_breaks_takes_no_queue_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that drains consumes nothing over its next connection either, and ends when idle."""
    monkeypatch.setattr(state, "should_stop", None)
    app = Celery("drains", set_as_current=False)
    app.amqp.queues.select(["worker.me", "code", "qa"])

    def breaks(queue: str) -> None:
        raise ConnectionResetError(queue)

    consumer: Any = SimpleNamespace(
        task_consumer=object(), task_buckets={}, cancel_task_queue=breaks
    )
    worker = SimpleNamespace(app=app, consumer=consumer)
    drain = Drain()
    drain.turn(worker)
    assert set(app.amqp.queues.consume_from) == {"worker.me", "code", "qa"}
    drain.ask()
    with pytest.raises(ConnectionResetError):
        drain.turn(worker)
    assert set(app.amqp.queues.consume_from) == set()
    drain.turn(worker)
    assert state.should_stop == 0
