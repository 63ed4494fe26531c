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


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and no worker: ticks stay in the queue `ticks` and can be counted."""
    with running_cluster(request, "sqlite") as made:
        made.environ["VIBE_BEAT_LOCK_SECONDS"] = str(LOCK)
        (made.folder / "ticking.py").write_text(ENTRIES)
        yield made


@pytest.fixture(scope="module")
def beats() -> list[Child]:
    """Those that earlier tests have left running."""
    return []


@pytest.fixture
def two(cluster: Cluster, beats: list[Child]) -> tuple[Child, Child]:
    """The beat that leads, and one that stands by."""
    beats[:] = [each for each in beats if each.exit_code() is None]
    while len(beats) < 2:
        beats.append(beat(cluster))
    until(lambda: leads(beats[0]) != leads(beats[1]))
    first, second = sorted(beats, key=leads, reverse=True)
    return first, second


def beat(cluster: Cluster) -> Child:
    """A beat that has begun."""
    child = start(cluster)
    until(lambda: leads(child) or "standing by" in said(child))
    return child


def start(cluster: Cluster) -> Child:
    """A beat that is about to begin."""
    return cluster.celery("-A", "ticking", "beat", "--loglevel", "INFO")


def leads(child: Child) -> bool:
    """Whether it said last that it leads."""
    text = said(child)
    assert child.exit_code() is None, text
    return text.rfind("beat: leading") > max(text.rfind("lost the lock"), text.rfind("standing by"))


def ticks(cluster: Cluster) -> int:
    """Ticks sent so far."""
    return cluster.messages("ticks")


def more_ticks(cluster: Cluster) -> None:
    """Wait for three more ticks."""
    before = ticks(cluster)
    until(lambda: ticks(cluster) >= before + 3)


def sent(child: Child) -> int:
    """Tasks that it has sent so far."""
    return said(child).count("Sending due task")


def test_two_beats_send_each_tick_once(cluster: Cluster, two: tuple[Child, Child]) -> None:
    """An entry of one second: never more ticks than seconds, and one of the beats sends them."""
    first, second = two
    quiet = sent(second)
    begun, before = monotonic(), ticks(cluster)
    until(lambda: ticks(cluster) >= before + 5)
    assert ticks(cluster) - before <= monotonic() - begun + 1
    assert leads(first)
    assert not leads(second)
    assert sent(second) == quiet


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_another_beat_takes_over(
    cluster: Cluster, two: tuple[Child, Child], how: signal.Signals
) -> None:
    """The leader is killed, or ends in good order: the schedule goes on."""
    first, second = two
    more_ticks(cluster)
    os.kill(first.pid, how)
    more_ticks(cluster)
    assert leads(second)
    assert first.wait(60) is not None


def test_a_leader_that_was_stopped_steps_back(cluster: Cluster, two: tuple[Child, Child]) -> None:
    """It is stopped for longer than its lock lives: the other leads, and it sends nothing more."""
    first, second = two
    more_ticks(cluster)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        until(lambda: leads(second))
    finally:
        os.kill(first.pid, signal.SIGCONT)
    until(lambda: not leads(first))
    quiet = sent(first)
    begun, before = monotonic(), ticks(cluster)
    until(lambda: ticks(cluster) >= before + 3)
    assert ticks(cluster) - before <= monotonic() - begun + 1
    assert sent(first) == quiet


def test_an_emptied_broker_does_not_end_the_schedule(
    cluster: Cluster, two: tuple[Child, Child]
) -> None:
    """FLUSHALL takes schedule and lock: both come back, and there is one leader still."""
    first, second = two
    for _ in range(2):
        with cluster.broker() as broker:
            broker.flushall()
        more_ticks(cluster)
    assert leads(first) != leads(second)


def test_lost_entries_are_written_again(cluster: Cluster, two: tuple[Child, Child]) -> None:
    """A broker short of memory drops the schedule and leaves the lock; nothing is due early."""
    leader, _ = two
    led = said(leader).count("beat: leading")
    more_ticks(cluster)
    with cluster.broker() as broker:
        for key in broker.scan_iter("vibe-beat:*"):
            if not key.endswith(b":lock"):
                broker.delete(key)
    more_ticks(cluster)
    assert said(leader).count("beat: leading") == led
    assert cluster.messages("rare") == 0


def test_a_broker_that_was_away_does_not_end_beat(
    cluster: Cluster, two: tuple[Child, Child]
) -> None:
    """Killed and started empty: beat waits for it, and goes on."""
    more_ticks(cluster)
    lost = {child: said(child).count("Redis away") for child in two}
    cluster.broker_down()
    until(lambda: all(said(each).count("Redis away") > lost[each] for each in two))
    cluster.broker_up()
    more_ticks(cluster)
    assert [child.exit_code() for child in two] == [None, None]


def test_a_beat_that_starts_first_waits_for_the_broker(
    cluster: Cluster, beats: list[Child]
) -> None:
    """No broker yet: beat says so and waits."""
    while beats:
        end(beats.pop())
    cluster.broker_down()
    beats.append(start(cluster))
    until(lambda: "Redis away" in said(beats[0]))
    cluster.broker_up()
    more_ticks(cluster)
