"""Bounds, and whether what programs use is within them."""

from __future__ import annotations

import resource
import sys

import pytest

from vibe_tasks.plan_specs import Limits
from vibe_tasks.workspace.bounds import Bounds, Usage, bounds_of, exceeded
from vibe_tasks.workspace.watch import Watch


def test_a_plans_megabytes_are_bytes_here() -> None:
    """What the plan does not limit is not limited; megabytes are a million bytes."""
    assert bounds_of(Limits()) == Bounds()
    limits = Limits(cpu=1.5, memory=2, processes=3, file_size=4, output=5)
    assert bounds_of(limits) == Bounds(
        cpu=1.5, memory=2_000_000, processes=3, file_size=4_000_000, output=5_000_000
    )


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        (Usage(cpu=2.0, memory=1_000_000, processes=3), None),
        (Usage(cpu=2.1, memory=0, processes=0), "cpu"),
        (Usage(cpu=0.0, memory=1_000_001, processes=0), "memory"),
        (Usage(cpu=0.0, memory=0, processes=4), "processes"),
    ],
)
def test_a_bound_itself_may_be_reached(usage: Usage, found: str | None) -> None:
    """Only what is more than a bound exceeds it."""
    answer = exceeded(Bounds(cpu=2.0, memory=1_000_000, processes=3), usage)
    assert (None if answer is None else answer[0]) == found


def test_the_kernel_holds_each_process_to_what_it_can() -> None:
    """No core dumps in any case; processor time with room for our own look, which tells more."""
    assert Bounds().for_each_process() == ((resource.RLIMIT_CORE, 0),)
    each = dict(Bounds(cpu=0.5, file_size=7, processes=10).for_each_process())
    assert (each[resource.RLIMIT_CPU], each[resource.RLIMIT_FSIZE]) == (6, 7)
    if sys.platform == "linux":
        assert each[resource.RLIMIT_NPROC] > 1_000


def test_the_rules_of_a_watch_at_their_edges() -> None:
    """Each rule ends a program at its moment and not before; a word starts the idle time anew."""

    def by(watch: Watch, now: float) -> str | None:
        ending = watch.ending(now, launcher=0, wrapped=False)
        return None if ending is None else ending.by

    asked: list[str] = []

    def stop() -> None:
        asked.append("?")

    watch = Watch(now=100.0, timeout=60.0, idle=10.0, bounds=Bounds(output=5), stop=stop)
    assert (by(watch, 109.9), by(watch, 110.0)) == (None, "idle")
    watch.word(105.0, 5)
    assert (by(watch, 114.9), by(watch, 115.0)) == (None, "idle")
    watch.work_over(114.0, 2.0)
    watch.work_over(114.0, 50.0)  # said twice: the first word counts
    assert (by(watch, 114.95), by(watch, 116.0)) == (None, "done")
    watch = Watch(now=100.0, timeout=60.0, idle=None, bounds=Bounds(output=5), stop=stop)
    asked.clear()
    assert [by(watch, now) for now in (100.5, 101.0, 101.9, 102.0, 159.9)] == [None] * 5
    assert len(asked) == 3
    watch.word(159.9, 6)
    assert (by(watch, 159.9), by(watch, 160.0)) == ("output", "timeout")
