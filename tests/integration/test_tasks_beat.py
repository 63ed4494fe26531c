"""Several beats: one schedule, whoever is killed, stopped or cut off from the broker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic

import pytest

from tests.cluster import Cluster, end, running_cluster, said
from tests.processes import until
from vibe_tasks.stack.children import Child

ENTRIES = """
from vibe_tasks import app

app.conf.beat_schedule = {
    "tick": {"task": "ticks.tick", "schedule": 1.0, "options": {"queue": "ticks"}},
    "rare": {"task": "ticks.rare", "schedule": 3600.0, "options": {"queue": "rare"}},
}
"""
LOCK = 4.0
"""Seconds of the lock: long enough for a loaded machine, short enough to wait for."""


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and no worker: ticks stay in the queue `ticks` and can be counted."""
    with running_cluster(request, "sqlite", measured=True) as made:
        made.environ["VIBE_BEAT_LOCK_SECONDS"] = str(LOCK)
        (made.folder / "ticking.py").write_text(ENTRIES)
        yield made


def beat(cluster: Cluster) -> Child:
    """A beat that has begun."""
    child = cluster.celery("-A", "ticking", "beat", "--loglevel", "INFO")
    until(lambda: leads(child) or "standing by" in said(child), seconds=30)
    return child


def leads(child: Child) -> bool:
    """Whether it said last that it leads."""
    text = said(child)
    assert child.exit_code() is None, text
    return text.rfind("beat: leading") > max(text.rfind("lost the lock"), text.rfind("standing by"))


def ticks(cluster: Cluster) -> int:
    """Ticks sent so far."""
    return cluster.messages("ticks")


def more_ticks(cluster: Cluster, *, seconds: float = 20) -> None:
    """Wait for three more ticks."""
    before = ticks(cluster)
    until(lambda: ticks(cluster) >= before + 3, seconds=seconds)


def test_two_beats_send_each_tick_once(cluster: Cluster) -> None:
    """An entry of one second: never more ticks than seconds, and one of the beats sends them."""
    first, second = beat(cluster), beat(cluster)
    before, begun = ticks(cluster), monotonic()
    until(lambda: ticks(cluster) >= before + 5, seconds=30)
    assert ticks(cluster) - before <= monotonic() - begun + 1
    assert leads(first)
    assert not leads(second)
    assert "Sending due task" not in said(second)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_another_beat_takes_over(cluster: Cluster, how: signal.Signals) -> None:
    """The leader is killed, or ends in good order: the schedule goes on."""
    first, second = beat(cluster), beat(cluster)
    more_ticks(cluster)
    os.kill(first.pid, how)
    more_ticks(cluster, seconds=30)
    assert leads(second)


def test_a_leader_that_was_stopped_steps_back(cluster: Cluster) -> None:
    """It is stopped for longer than its lock lives: the other leads, and it sends nothing more."""
    first, second = beat(cluster), beat(cluster)
    more_ticks(cluster)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        until(lambda: leads(second), seconds=30)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    until(lambda: "standing by" in said(first), seconds=20)
    sent = said(first).count("Sending due task")
    before, begun = ticks(cluster), monotonic()
    until(lambda: ticks(cluster) >= before + 3, seconds=20)
    assert ticks(cluster) - before <= monotonic() - begun + 1
    assert said(first).count("Sending due task") == sent


def test_an_emptied_broker_does_not_end_the_schedule(cluster: Cluster) -> None:
    """FLUSHALL takes schedule and lock: both come back, and there is one leader still."""
    first, second = beat(cluster), beat(cluster)
    for _ in range(2):
        with cluster.broker() as broker:
            broker.flushall()
        more_ticks(cluster)
    assert leads(first) != leads(second)


def test_lost_entries_are_written_again(cluster: Cluster) -> None:
    """A broker short of memory drops the schedule and leaves the lock; nothing is due early."""
    child = beat(cluster)
    more_ticks(cluster)
    with cluster.broker() as broker:
        for key in broker.scan_iter("vibe-beat:*"):
            if not key.endswith(b":lock"):
                broker.delete(key)
    more_ticks(cluster)
    assert said(child).count("beat: leading") == 1
    assert cluster.messages("rare") == 0


def test_a_broker_that_was_away_does_not_end_beat(cluster: Cluster) -> None:
    """Killed and started empty: beat waits for it, and goes on."""
    child = beat(cluster)
    more_ticks(cluster)
    cluster.broker_down()
    until(lambda: "Redis away" in said(child), seconds=20)
    cluster.broker_up()
    more_ticks(cluster, seconds=30)
    assert child.exit_code() is None


def test_a_beat_that_starts_first_waits_for_the_broker(cluster: Cluster) -> None:
    """No broker yet: beat says so and waits."""
    cluster.broker_down()
    child = cluster.celery("-A", "ticking", "beat", "--loglevel", "INFO")
    until(lambda: "Redis away" in said(child), seconds=30)
    cluster.broker_up()
    more_ticks(cluster, seconds=30)
    end(child)
