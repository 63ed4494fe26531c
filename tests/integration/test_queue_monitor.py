"""`QueueMonitor`: the queue's figures at intervals."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import until
from vibe_tasks import JobQueue, QueueMonitor
from vibe_tasks.errors import InputError

AT = 1_700_000_000.0


@pytest.fixture
def queue(sqlite_url: str) -> Iterator[Any]:
    """A queue with a waiting, a running and a dead job."""
    with JobQueue(sqlite_url) as made:
        for lane in ("dead", "taken", "due"):
            made.submit("a", lane=lane, max_retries=1)
        made.fail(made.claim("dead"), "boom")
        made.claim("taken")
        yield made


def test_the_figures_are_counted_and_dated(queue: Any) -> None:
    """One line for the whole queue, one for each lane with due jobs; the clock is the caller's."""
    lines: list[str] = []
    QueueMonitor(queue, sink=lines.append, clock=lambda: AT).print_stats()
    first, second = lines
    assert first == (
        "2023-11-14 22:13:20 queue: 1 pending, 1 processing, 0 blocked, 0 completed, 1 failed, "
        "0 cancelled; dead letters: 1"
    )
    assert re.fullmatch(r"2023-11-14 22:13:20 lane due: 1 pending, the oldest for \d+ s", second)


def test_it_goes_on_until_it_is_stopped(queue: Any) -> None:
    """At each interval; nothing comes after `stop`."""
    lines: list[str] = []
    with QueueMonitor(queue, interval=0.02, sink=lines.append):
        until(lambda: len(lines) >= 6)
    count = len(lines)
    queue.submit("a")
    assert len(lines) == count


def test_it_logs_where_nothing_else_is_said(queue: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The default sink is the log."""
    caplog.set_level(logging.INFO, logger="vibe_tasks.tasks.consumers.queue_monitor")
    QueueMonitor(queue).print_stats()
    assert "1 pending, 1 processing" in caplog.text


def test_a_ledger_that_is_away_does_not_end_it(queue: Any) -> None:
    """It says so and looks again."""
    with queue.ledger.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO away")
    lines: list[str] = []
    with QueueMonitor(queue, interval=0.02, sink=lines.append):
        until(lambda: len(lines) > 2)
    assert all("the ledger is away" in line for line in lines)


def test_an_interval_must_be_above_zero(queue: Any) -> None:
    """Else it would do nothing but count."""
    with pytest.raises(InputError, match="interval"):
        QueueMonitor(queue, interval=0)
