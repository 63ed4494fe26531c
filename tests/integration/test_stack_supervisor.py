from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from psutil import Process

from tests.processes import descendants, runs, until
from vibe_tasks.errors import UnavailableError
from vibe_tasks.stack.children import Program
from vibe_tasks.stack.supervisor import HEALTHY_AFTER, Supervisor

PATIENT = "import signal\nprint('ready', flush=True)\nwhile True: signal.pause()"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT
DYING = "raise SystemExit('no such module: colour')"


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds, as they were set."""
        return self.now


def program(name: str, code: str) -> Program:
    return Program(name=name, argv=(sys.executable, "-c", code), environ=dict(os.environ))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def supervisor(tmp_path: Path, clock: HandClock) -> Iterator[Supervisor]:
    supervisor = Supervisor(logs=tmp_path, clock=clock)
    yield supervisor
    supervisor.stop(grace=0)


def ended(supervisor: Supervisor, name: str) -> bool:
    return name not in supervisor.pids


def test_a_child_that_died_is_started_again_when_due(
    supervisor: Supervisor, clock: HandClock
) -> None:
    """Not at once, but after the wait; the new process has the same name."""
    first = supervisor.start(program("worker", PATIENT))
    first.kill()
    supervisor.poll()
    clock.now += 0.19
    supervisor.poll()
    assert supervisor.pids == {}

    clock.now += 0.02
    supervisor.poll()

    assert list(supervisor.pids) == ["worker"]
    assert supervisor.pids["worker"] != first.pid


def test_a_child_that_keeps_dying_is_given_up_with_its_last_words(
    supervisor: Supervisor, clock: HandClock, tmp_path: Path
) -> None:
    """The fourth death in a row ends the trying: one line tells why; the others go on."""
    supervisor.start(program("broken", DYING))
    supervisor.start(program("sound", PATIENT))
    for _ in range(3):
        until(lambda: ended(supervisor, "broken"))
        supervisor.poll()
        clock.now += 5
        supervisor.poll()
    until(lambda: ended(supervisor, "broken"))

    with pytest.raises(UnavailableError) as refusal:
        supervisor.poll()

    message = str(refusal.value)
    assert "broken keeps ending (4 times in a row, exit code 1)" in message
    assert str(tmp_path / "broken.log") in message
    assert "no such module: colour" in message
    assert "\n" not in message
    assert list(supervisor.pids) == ["sound"]


def test_deaths_of_a_healthy_child_are_not_deaths_in_a_row(
    supervisor: Supervisor, clock: HandClock
) -> None:
    """A worker that dies once an hour is started again for ever, each time after the first wait."""
    supervisor.start(program("worker", PATIENT))
    for _ in range(6):
        clock.now += HEALTHY_AFTER
        os.kill(supervisor.pids["worker"], 9)
        until(lambda: ended(supervisor, "worker"))
        supervisor.poll()
        clock.now += 0.21
        supervisor.poll()
        assert list(supervisor.pids) == ["worker"]


def test_what_a_dead_child_left_behind_is_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    """Pool processes whose worker was killed do not work beside the next worker's."""
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {DEAF!r}])\n"
    child = supervisor.start(program("worker", code + PATIENT))
    until(lambda: (tmp_path / "worker.log").read_text().count("ready") == 2)
    left = descendants(Process(child.pid))
    os.kill(child.pid, 9)
    until(lambda: ended(supervisor, "worker"))
    assert any(map(runs, left))

    supervisor.poll()

    until(lambda: not any(map(runs, left)))


def test_all_children_are_ended_within_one_grace(tmp_path: Path) -> None:
    """They are asked at once and share one deadline: once it is over, none of the deaf ones is
    waited for; here each look at the clock finds an hour gone.
    """
    hours = count(0, 3600)
    supervisor = Supervisor(logs=tmp_path, clock=lambda: float(next(hours)))
    logs = [supervisor.start(program(name, DEAF)).log for name in ("a", "b", "c")]
    until(lambda: all("ready" in log.read_text() for log in logs))
    processes = [Process(pid) for pid in supervisor.pids.values()]

    supervisor.stop(grace=3600.0)

    assert not any(map(runs, processes))
    assert supervisor.pids == {}


def test_some_children_can_be_ended_before_the_others(supervisor: Supervisor) -> None:
    """Workers stop before their broker; what was stopped is not started again."""
    for name in ("broker", "worker"):
        supervisor.start(program(name, PATIENT))

    supervisor.stop(["worker"], grace=5)
    supervisor.poll()

    assert list(supervisor.pids) == ["broker"]


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    """Who interrupts the wait leaves nothing behind."""
    readings = iter([0.0, 0.0])

    def clock() -> float:
        for reading in readings:
            return reading
        raise KeyboardInterrupt

    supervisor = Supervisor(logs=tmp_path, clock=clock)
    child = supervisor.start(program("worker", DEAF))
    until(lambda: "ready" in child.log.read_text())

    process = Process(child.pid)

    with pytest.raises(KeyboardInterrupt):
        supervisor.stop(grace=60)

    assert not runs(process)
