"""A worker's part of what waits in its lanes, and a pool that follows it for hours."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_tasks.pool_load import LaneLoad, part_of, pool_load
from vibe_tasks.scaling import Load, Memory, ScalingPolicy, decide
from vibe_tasks.settings import Settings
from vibe_tasks.store.scaling_rules import Rules, policy_of
from vibe_tasks.tasks.pool.scaling_commands import parsed

POLICY = ScalingPolicy(min_size=1, max_size=6)
NAMES = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=8, unique=True)


def lane(
    waiting: int, age: float = 0.0, *, workers: tuple[str, ...] = (), **more: object
) -> LaneLoad:
    """A lane in which so many jobs wait."""
    load = Load(waiting=waiting, oldest_age=age, busy=0, slots=0, **more)  # type: ignore[arg-type]
    return LaneLoad(load=load, policy=POLICY, workers=workers)


@given(NAMES, st.integers(0, 100))
def test_the_parts_of_all_workers_are_what_waits(names: list[str], waiting: int) -> None:
    """Workers of one lane together see to each waiting job once, not each to all of them."""
    seen = lane(waiting, workers=tuple(sorted(names)))
    assert sum(part_of(seen, name) for name in names) == waiting


@given(NAMES, st.integers(1, 100), st.floats(0, 1e6))
def test_what_nobody_sees_to_is_everybodys_in_the_end(
    names: list[str], waiting: int, age: float
) -> None:
    """A job that waits on, because those that should cannot grow, becomes each worker's."""
    workers = tuple(sorted(names))
    parts = [part_of(lane(waiting, age, workers=workers), name) for name in names]
    older = [part_of(lane(waiting, 2 * age, workers=workers), name) for name in names]
    assert all(0 <= part <= later <= waiting for part, later in zip(parts, older, strict=True))
    assert all(part_of(lane(waiting, 1e3, workers=workers), name) == waiting for name in names)


def test_a_worker_that_is_not_in_the_registry_yet_takes_a_part_too() -> None:
    """It counts as one more beside those that are."""
    assert part_of(lane(9, workers=("a", "b")), "me") == 3


def test_each_lane_is_judged_by_its_own_rules() -> None:
    """An eager lane in which little waits, and a patient one in which a job is old: no growth."""
    eager = LaneLoad(
        load=Load(waiting=1, oldest_age=1.0, busy=0, slots=0),
        policy=Rules(up_age=2.0).applied_to(POLICY),
    )
    patient = LaneLoad(
        load=Load(waiting=2, oldest_age=30.0, busy=0, slots=0),
        policy=Rules(up_age=60.0, up_depth=50).applied_to(POLICY),
    )
    load, policy = pool_load([eager, patient], POLICY, worker="me", busy=1, slots=1)
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 0
    older = LaneLoad(load=Load(waiting=1, oldest_age=2.0, busy=0, slots=0), policy=eager.policy)
    load, policy = pool_load([older, patient], POLICY, worker="me", busy=1, slots=1)
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 1


@pytest.mark.parametrize("waiting", [1, 40])
def test_a_lane_that_somebody_holds_up_makes_nothing_grow(waiting: int) -> None:
    """Its jobs are no reason; those of another lane are."""
    paused = lane(waiting, 1e3, obstacle="paused")
    load, policy = pool_load([paused, lane(0)], POLICY, worker="me", busy=1, slots=1)
    assert load.obstacle == "paused"
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 0
    load, policy = pool_load([paused, lane(2, 9.0)], POLICY, worker="me", busy=1, slots=1)
    assert load.obstacle is None
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 2


def test_the_threshold_is_for_all_that_waits_in_the_lane() -> None:
    """Twelve young jobs are more than ten, also for one of four workers, whose part is three."""
    workers = ("a", "b", "c", "me")
    load, policy = pool_load([lane(12, 0.1, workers=workers)], POLICY, worker="me", busy=1, slots=1)
    assert decide(load, policy, Memory(), now=0.0, size=1).change == 3


@dataclass
class Simulated:
    """One pool and the jobs that come, second by second."""

    policy: ScalingPolicy
    size: int = 1
    memory: Memory = field(default_factory=Memory)
    running: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def second(self, now: float, jobs: int, takes: float) -> None:
        """So many jobs come, each of which takes so long."""
        self.running = [end for end in self.running if end > now]
        self.queue += [now] * jobs
        while self.queue and len(self.running) < self.size:
            self.queue.pop(0)
            self.running.append(now + takes)
        if now % 2:  # scale_check_seconds
            return
        age = now - self.queue[0] if self.queue else 0.0
        load, policy = pool_load(
            [LaneLoad(load=Load(waiting=len(self.queue), oldest_age=age, busy=0, slots=0),
                      policy=self.policy)],
            self.policy, worker="me", busy=len(self.running), slots=self.size,
        )  # fmt: skip
        decided = decide(load, policy, self.memory, now=now, size=self.size)
        assert decided.target >= len(self.running)
        self.memory = decided.memory
        if decided.change:
            self.changes.append((now, decided.change))
        self.size = decided.target


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.5, 90.0),
    st.integers(2, 12),
)  # fmt: skip
def test_a_pool_never_flaps(arrivals: list[int], takes: float, most: int) -> None:
    """Whatever comes for half an hour: a shrink needs a calm of `down_after`, so that the size
    turns at most twice in that time, and nothing busy ever goes.
    """
    pool = Simulated(policy=ScalingPolicy(min_size=1, max_size=most))
    for now in range(1800):
        pool.second(float(now), arrivals[now % len(arrivals)] if now % 5 == 0 else 0, takes)
    grown = float("-inf")
    for now, change in pool.changes:
        if change > 0:
            grown = now
        else:
            assert now - grown >= pool.policy.down_after
    turns = sum(
        (before > 0) != (after > 0)
        for (_, before), (_, after) in zip(pool.changes, pool.changes[1:], strict=False)
    )
    assert turns <= 2 * 1800 / pool.policy.down_after


@pytest.mark.parametrize("rate", [9, 10, 11, 12])
def test_a_load_at_the_threshold_settles(rate: int) -> None:
    """Volleys around the threshold of ten, again and again for an hour, change the size at most
    once in ten minutes.
    """
    pool = Simulated(policy=ScalingPolicy(min_size=1, max_size=6))
    for now in range(3600):
        pool.second(float(now), rate + now // 20 % 2 if now % 20 == 0 else 0, 5.0)
    assert 1 <= len(pool.changes) <= 6


def test_the_settings_are_the_policys_own() -> None:
    """Who sets nothing gets what was measured to do well."""
    assert policy_of(Settings()) == ScalingPolicy()


def test_rules_that_do_not_go_together_give_way() -> None:
    """What was set for a lane holds; what the settings say beside it is bent to fit."""
    base = ScalingPolicy(min_size=3, max_size=5, up_depth=10, down_depth=2)
    assert Rules(max_size=2).applied_to(base).min_size == 2
    assert Rules(min_size=9).applied_to(base).max_size == 9
    assert Rules(up_depth=0).applied_to(base).down_depth == 1
    assert Rules(down_depth=20).applied_to(base).up_depth == 19
    assert Rules(down_after=9_000).applied_to(base).drain_after == 9_000
    for wrong in ({"up_depth": -1}, {"min_size": 3, "max_size": 2}, {"down_after": 0.0},
                  {"up_age": float("nan")}):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be|need"):
            Rules(**wrong)  # type: ignore[arg-type]


def test_thresholds_of_a_remote_control_command() -> None:
    """`NAME=VALUE` words; a misspelt name is told with the right one."""
    assert parsed(["up_depth=20", "down_after=1.5", "up_age=none"]) == {
        "up_depth": 20, "down_after": 1.5, "up_age": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="up_depth"):
        parsed(["up_dept=20"])
    with pytest.raises(ValueError, match="a number"):
        parsed(["up_depth=many"])
