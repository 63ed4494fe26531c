"""The scaling policy: what it promises under any load, and the figures at its edges."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.scaling import Decision, Load, Memory, ScalingPolicy, decide

POLICY = ScalingPolicy(max_size=20)


@st.composite
def policies(draw: st.DrawFn) -> ScalingPolicy:
    """Any rules that are accepted."""
    least = draw(st.integers(0, 5))
    depth = draw(st.integers(0, 20))
    down_after = draw(st.floats(1, 600))
    return ScalingPolicy(
        min_size=least, max_size=least + draw(st.integers(0, 30)), unit=draw(st.integers(1, 8)),
        up_depth=depth, down_depth=draw(st.integers(1, depth + 1)), up_age=draw(st.floats(0, 60)),
        up_cooldown=draw(st.floats(0, 60)),
        start_up=draw(st.floats(0, 120)), down_after=down_after,
        down_cooldown=draw(st.floats(1, 300)), down_share=draw(st.floats(0.05, 1)),
        drain_after=down_after + draw(st.floats(0, 600)),
    )  # fmt: skip


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """Any load, also one whose figures do not fit each other, as after a crash."""
    waiting = draw(st.integers(0, 200))
    return Load(
        waiting=waiting, oldest_age=draw(st.floats(0, 3600)) if waiting else 0.0,
        busy=draw(st.integers(0, 100)), slots=draw(st.integers(0, 100)),
        starting=draw(st.integers(0, 10)), obstacle=draw(st.none() | st.just("a breaker is open")),
        job_seconds=draw(st.none() | st.floats(0, 3600)), idle=draw(st.none() | st.integers(0, 20)),
    )  # fmt: skip


moments = st.none() | st.floats(0, 2_000)
memories = st.builds(
    Memory, last_up=moments, last_down=moments, calm_since=moments, calm_peak=st.integers(0, 40)
)


def whole(load: Load, policy: ScalingPolicy, size: int) -> Load:
    """The load with figures that fit the size."""
    starting = min(load.starting, size)
    slots = (size - starting) * policy.unit
    return replace(load, starting=starting, slots=slots, busy=min(load.busy, slots))


@given(policies(), loads(), memories, st.floats(0, 3_000), st.integers(0, 50))
def test_bounds_hold_whatever_the_load(
    policy: ScalingPolicy, load: Load, memory: Memory, now: float, size: int
) -> None:
    """A target is within the bounds, but for what a lowered maximum must wait for."""
    found = decide(load, policy, memory, now=now, size=size)
    assert policy.min_size <= found.target <= max(policy.max_size, size)
    assert found.change == found.target - size
    assert found.reason


@given(policies(), loads(), memories, st.floats(0, 3_000), st.integers(0, 50))
def test_nothing_busy_goes(
    policy: ScalingPolicy, load: Load, memory: Memory, now: float, size: int
) -> None:
    """What stays has a slot for each job at work."""
    load = whole(load, policy, size)
    target = decide(load, policy, memory, now=now, size=size).target
    assert target >= size or target * policy.unit >= load.busy


@given(policies(), loads(), memories, st.floats(0, 3_000), st.integers(0, 50))
def test_an_obstacle_raises_nothing(
    policy: ScalingPolicy, load: Load, memory: Memory, now: float, size: int
) -> None:
    """More workers than the least never come for work that something else holds up."""
    load = replace(load, obstacle="the lane is paused")
    found = decide(load, policy, memory, now=now, size=size)
    assert found.target <= max(size, policy.min_size)


@given(policies(), loads(), memories, st.integers(0, 50), st.integers(1, 50))
def test_more_waiting_work_never_means_fewer_units(
    policy: ScalingPolicy, load: Load, memory: Memory, size: int, more: int
) -> None:
    """All else equal, the target is monotone in the number of waiting jobs."""
    load = replace(load, waiting=max(1, load.waiting))
    few = decide(load, policy, memory, now=1_500.0, size=size)
    load = replace(load, waiting=load.waiting + more)
    many = decide(load, policy, memory, now=1_500.0, size=size)
    assert many.target >= few.target


@given(memories, policies(), loads(), st.floats(0, 3_000), st.integers(0, 50))
def test_a_memory_survives_json(
    memory: Memory, policy: ScalingPolicy, load: Load, now: float, size: int
) -> None:
    """What is kept as JSON decides as what it was made of."""
    kept = Memory.of_json(json.loads(json.dumps(memory.as_json())))
    assert kept == memory
    assert decide(load, policy, kept, now=now, size=size) == decide(
        load, policy, memory, now=now, size=size
    )


@pytest.mark.parametrize(
    "value", [None, {}, {"calm_peak": "x", "last_up": "soon", "calm_since": float("nan")}, {"z": 1}]
)
def test_a_memory_that_says_nothing_is_a_new_one(value: dict[str, Any] | None) -> None:
    """Missing, foreign and broken values are as if forgotten."""
    assert Memory.of_json(value) == Memory()


def followed(
    jobs: Callable[[float], int], policy: ScalingPolicy, *, size: int, seconds: int, every: int = 10
) -> list[Decision]:
    """Decisions on a load of so many jobs at any moment, which units take at once."""
    memory, found = Memory(), []
    for now in range(0, seconds, every):
        slots, due = size * policy.unit, jobs(now)
        busy = min(slots, due)
        load = Load(waiting=due - busy, oldest_age=3_600.0 if due > busy else 0.0, busy=busy,
                    slots=slots, idle=(slots - busy) // policy.unit)  # fmt: skip
        decision = decide(load, policy, memory, now=float(now), size=size)
        memory, size = decision.memory, decision.target
        found.append(decision)
    return found


@given(policies(), st.integers(0, 60), st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_load_at_the_threshold_does_not_make_the_size_swing(
    policy: ScalingPolicy, jobs: int, swings: list[bool]
) -> None:
    """A load that goes up and down by one unit's jobs changes the size at most once up and once
    down in each calm, in whatever rhythm it does.
    """
    policy = replace(policy, up_cooldown=0.0)
    size = min(policy.max_size, max(policy.min_size, ceil(jobs / policy.unit)))

    def due(now: float) -> int:
        return jobs + policy.unit * swings[int(now // 10) % len(swings)]

    seconds = 1_200
    changes = [each.change for each in followed(due, policy, size=size, seconds=seconds)]
    ups, downs = (sum(sign * change > 0 for change in changes) for sign in (1, -1))
    assert ups <= seconds / policy.down_after + 1
    assert downs <= ups


@given(st.integers(0, 19), st.floats(0, 4.9))
def test_nothing_changes_while_what_waits_is_young_and_little(size: int, age: float) -> None:
    """At the thresholds themselves nothing moves: ten young jobs are no reason to grow."""
    size += 1
    load = Load(waiting=10, oldest_age=age, busy=size, slots=size)
    memory = Memory()
    for now in range(0, 1_200, 10):
        decision = decide(load, POLICY, memory, now=float(now), size=size)
        assert decision.change == 0
        memory = decision.memory


@given(policies(), st.integers(0, 60))
def test_an_idle_pool_comes_back_to_its_least(policy: ScalingPolicy, size: int) -> None:
    """After one calm and a cooldown for each step, whatever the size was."""
    policy = replace(policy, max_size=max(policy.max_size, size))
    size = max(size, policy.min_size)
    steps = 0
    left = size
    while left > policy.min_size:
        left, steps = max(policy.min_size, left - max(1, int(left * policy.down_share))), steps + 1
    seconds = policy.down_after + steps * (policy.down_cooldown + 10) + 20
    found = followed(lambda _: 0, policy, size=size, seconds=int(seconds) + 1)
    assert found[-1].target == policy.min_size


def test_enough_for_what_waits_comes_at_once() -> None:
    """Forty jobs and units of four slots, two on the way: eight more."""
    load = Load(waiting=40, oldest_age=6.0, busy=4, slots=4, starting=2)
    policy = replace(POLICY, unit=4)
    found = decide(load, policy, Memory(), now=0.0, size=3)
    assert (found.target, found.change) == (11, 8)
    assert found.reason == "40 jobs wait, the oldest for 6 s"
    again = decide(replace(load, starting=10), policy, found.memory, now=60.0, size=11)
    assert again.change == 0, "those on the way are enough"


@pytest.mark.parametrize(
    ("waiting", "age", "grows"),
    [(10, 4.9, False), (11, 0.0, True), (1, 5.0, True), (0, 0.0, False)],
)
def test_age_or_depth_is_a_reason_to_grow(waiting: int, age: float, grows: bool) -> None:
    """More than ten, or one that has waited for five seconds."""
    load = Load(waiting=waiting, oldest_age=age, busy=1, slots=1)
    assert (decide(load, POLICY, Memory(), now=0.0, size=1).change > 0) is grows


def test_short_jobs_need_fewer_units() -> None:
    """A thousand jobs of a tenth of a second are done sooner than a worker has started."""
    load = Load(waiting=1_000, oldest_age=10.0, busy=4, slots=4, job_seconds=0.1)
    policy = replace(POLICY, unit=4)
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 0
    assert decide(replace(load, job_seconds=1.0), policy, Memory(), now=0.0, size=1).change == 8
    assert decide(replace(load, job_seconds=None), policy, Memory(), now=0.0, size=1).target == 20


def test_a_growth_is_followed_by_a_cooldown() -> None:
    """`up_cooldown` holds a careful owner's fleet back."""
    policy = replace(POLICY, up_cooldown=30.0)
    load = Load(waiting=3, oldest_age=60.0, busy=1, slots=1)
    first = decide(load, policy, Memory(), now=100.0, size=1)
    assert first.change == 3
    load = replace(load, waiting=5, starting=3)
    assert decide(load, policy, first.memory, now=129.9, size=4).change == 0
    assert decide(load, policy, first.memory, now=130.0, size=4).change == 2


def test_it_shrinks_only_to_the_peak_of_the_calm() -> None:
    """A minute in which five were needed once leaves five; half of them may go a cooldown later."""
    found = followed(lambda now: 5 if now < 20 else 2, POLICY, size=8, seconds=120)
    changes = {10 * look: each.change for look, each in enumerate(found) if each.change}
    assert changes == {60: -3, 90: -2}


def test_a_growth_ends_a_calm() -> None:
    """What came for a crowd stays for a whole calm, also where a calm had been under way."""
    calm = Memory(calm_since=0.0, calm_peak=1)
    crowd = Load(waiting=12, oldest_age=0.0, busy=0, slots=4)
    grown = decide(crowd, POLICY, calm, now=59.0, size=4)
    assert grown.target == 12
    over = Load(waiting=0, oldest_age=0.0, busy=0, slots=12)
    first = decide(over, POLICY, grown.memory, now=65.0, size=12)
    assert first.change == 0
    assert decide(over, POLICY, first.memory, now=124.9, size=12).change == 0
    assert decide(over, POLICY, first.memory, now=125.0, size=12).change < 0


def test_what_still_starts_may_go_where_nothing_is_idle() -> None:
    """Three of four are on their way when nobody needs them any more."""
    load = Load(waiting=0, oldest_age=0.0, busy=1, slots=1, starting=3, idle=0)
    memory = decide(load, POLICY, Memory(), now=0.0, size=4).memory
    assert decide(load, POLICY, memory, now=60.0, size=4).change == -2


def test_few_jobs_spread_over_many_units_give_them_up_in_the_end() -> None:
    """Nothing is idle, a slot in four is at work: after ten minutes one unit drains."""
    load = Load(waiting=0, oldest_age=0.0, busy=8, slots=32, idle=0)
    policy = replace(POLICY, unit=4)
    memory = decide(load, policy, Memory(), now=0.0, size=8).memory
    early = decide(load, policy, memory, now=599.0, size=8)
    assert early.change == 0
    assert decide(load, policy, early.memory, now=600.0, size=8).change == -1


def test_what_holds_work_up_lets_idle_units_go() -> None:
    """A paused lane with a thousand jobs needs no workers but those that are busy."""
    load = Load(waiting=1_000, oldest_age=900.0, busy=2, slots=8, obstacle="the lane is paused")
    memory = decide(load, POLICY, Memory(), now=0.0, size=8).memory
    found = decide(load, POLICY, memory, now=60.0, size=8)
    assert found.target == 4


def test_a_clock_that_goes_back_blocks_nothing() -> None:
    """A memory from the future is forgotten."""
    memory = Memory(last_up=9_000.0, last_down=9_000.0, calm_since=9_000.0)
    load = Load(waiting=0, oldest_age=0.0, busy=0, slots=4)
    for now in (0.0, 60.0):
        found = decide(load, POLICY, memory, now=now, size=4)
        memory = found.memory
    load = Load(waiting=40, oldest_age=9.0, busy=4, slots=4)
    assert decide(load, POLICY, memory, now=100.0, size=4).change > 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"min_size": 3, "max_size": 2}, "min_size <= max_size"),
        ({"min_size": -1}, "min_size"),
        ({"unit": 0}, "unit must be 1"),
        ({"down_depth": 12}, "down_depth"),
        ({"down_share": 0.0}, "down_share"),
        ({"up_age": -1.0}, "up_age"),
        ({"start_up": float("inf")}, "start_up"),
        ({"down_after": 0.0}, "down_after must be above zero"),
        ({"down_after": 700.0}, "drain_after"),
    ],
)
def test_rules_that_make_no_sense_are_refused(fields: dict[str, Any], text: str) -> None:
    """With the name of the field and the value."""
    with pytest.raises(ValueError, match=text):
        ScalingPolicy(**fields)
