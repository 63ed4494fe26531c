"""The simulator of benchmarks/scaling.py does what can be worked out by hand."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class Scripted:
    """Two units until a moment, then one; asked every ten seconds."""

    every = 10.0

    def __init__(self, until: float) -> None:
        self._until = until

    def target(self, look: Any) -> int:
        """As written."""
        return 2 if look.now < self._until else 1


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The simulator's module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("scaling_fleet")


def outcome(fleet: Any, jobs: list[tuple[float, float]], until: float, slots: int) -> Any:
    """What came of jobs that become due at these moments and take so long."""
    made = [fleet.Job(at=at, seconds=seconds) for at, seconds in jobs]
    size = fleet.Size(most=2, slots=slots, start_up=60.0)
    return fleet.Simulation(made, Scripted(until), size).run()


def test_a_unit_takes_a_while_to_start_and_costs_from_its_order_on(fleet: Any) -> None:
    """Two of four jobs start at once, two when the second unit is up."""
    found = outcome(fleet, [(0, 100)] * 4, 1_000, slots=2)
    assert found.waits == [0, 0, 60, 60]
    assert (found.span, found.changes) == (60, 1)
    assert found.hours * 3_600 == pytest.approx(60 + 60)


@pytest.mark.parametrize(
    ("until", "seconds", "changes"),
    [
        pytest.param(100, 100 + 300, 2, id="an idle unit goes at once, not the one at work"),
        pytest.param(80, 300 + 260, 2, id="a busy unit ends its job and takes no other"),
        pytest.param(50, 300 + 50, 2, id="one that still starts goes first"),
    ],
)
def test_what_goes_finishes_its_job(fleet: Any, until: float, seconds: float, changes: int) -> None:
    """The first unit is at work until 100, the second from 60 to 260; the last job comes at 300."""
    found = outcome(fleet, [(0, 100), (0, 200), (300, 10)], until, slots=1)
    assert found.waits == [0, 60 if until > 60 else 100, 0]
    assert found.hours * 3_600 == pytest.approx(seconds)
    assert found.changes == changes


def test_one_lane_and_two_do_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fix goes before development that waits, and where each has a lane they share no worker."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    lanes = import_module("scaling_lanes")
    normal = lanes.Priority.NORMAL
    given = [
        lanes.Task(at=0.0, priority=normal, seconds=[100.0, 50.0]),
        lanes.Task(at=1.0, priority=normal, seconds=[200.0]),
        lanes.Task(at=2.0, priority=normal, seconds=[10.0]),
    ]
    one = lanes.run(given, {"both": 1})
    # The check lasts from 100 to 160, the second task's job until 300; the fix is next.
    assert (one.fix_waits, one.dev_waits, one.makespan) == ([140], [0, 99, 348], 420)
    two = lanes.run(given, {"dev": 1, "fix": 1})
    assert (two.fix_waits, two.dev_waits, two.makespan) == ([0], [0, 99, 298], 370)
    assert one.busy == two.busy == 360
