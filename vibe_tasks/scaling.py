"""How many workers there should be: a decision about values, for a pool and for a fleet alike.

Up by what waits: as soon as the oldest due job has waited too long, or too many wait, as many
units come as the waiting work needs. Down by what was needed: only to the most that was needed at
any time of a long calm, and only in steps. Between the two lies what keeps a load at a threshold
from making the size swing. More workers for work that something else holds up would only burn
what that something gives out, so that a named obstacle forbids any growth.

A unit is what is added or taken away as one: a process of a pool, or a worker of a fleet, which
has several slots. A unit that is to go finishes what it has in hand; whoever carries out a
decision sees to that.
Source: the thresholds of ten and two are those of phase-1.6-components; that age says more than
depth: https://judoscale.com/docs/understanding-job-queue-depth; going down only to the peak of a
window is what Kubernetes calls stabilization
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/). The defaults were
found by `benchmarks/scaling.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What there is to do and who is there to do it, at one moment.

    Attributes:
        waiting: Jobs that are due and not started.
        oldest_age: Seconds since the oldest of them became due; 0.0 where none waits.
        busy: Slots at work, of the workers whose slots count; those of a worker that drains do not.
        slots: Slots of the workers that are up and take jobs, at work or free. Units that drain
            or that still start are not among them.
        starting: Units that were asked for and are not up yet.
        obstacle: What holds the work up other than a lack of workers (a breaker that is open, a
            provider's limit, a lane that is paused or limited), in words; None for nothing.
        job_seconds: How long jobs lately took on average, in seconds, where it is known. Only
            short jobs make a difference: one worker can take many of them in a row.
    """

    waiting: int
    oldest_age: float
    busy: int
    slots: int
    starting: int = 0
    obstacle: str | None = None
    job_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """When to grow and when to shrink.

    Attributes:
        min_size: Never fewer units, whatever holds the work up. At least 0.
        max_size: Never more units are asked for. At least min_size.
        unit: Slots of a unit. At least 1.
        up_depth: More waiting jobs than this are a reason to grow, however young. At least 0.
        down_depth: As long as so many jobs wait, no calm is counted. From 1 to up_depth + 1.
        up_age: A due job that has waited so long is a reason to grow, in seconds. 0 or more.
        up_cooldown: Least seconds from one growth to the next. 0 or more.
        most_up: Most units that come in one step; None for as many as the work needs.
        clear_within: Seconds in which the waiting work should have begun. Above 0. Jobs that
            take less share a slot, where their length is known.
        down_after: Seconds of calm before the first step down. Above 0.
        down_cooldown: Seconds of calm from each step down to the next. Above 0.
        down_share: Largest share of the units that go in one step, above 0 and at most 1; one
            unit may always go.
    """

    min_size: int = 1
    max_size: int = 10
    unit: int = 1
    up_depth: int = 10
    down_depth: int = 2
    up_age: float = 5.0
    up_cooldown: float = 5.0
    most_up: int | None = None
    clear_within: float = 60.0
    down_after: float = 300.0
    down_cooldown: float = 60.0
    down_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_size <= self.max_size:
            raise ValueError(
                f"need 0 <= min_size <= max_size, got {self.min_size} and {self.max_size}"
            )
        if not 1 <= self.down_depth <= self.up_depth + 1:
            raise ValueError(
                f"down_depth must be from 1 to up_depth + 1, got {self.down_depth} and "
                f"{self.up_depth}"
            )
        for name in ("unit", "most_up"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        for name in ("up_age", "up_cooldown"):
            if not (getattr(self, name) >= 0 and isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("clear_within", "down_after", "down_cooldown"):
            if not (getattr(self, name) > 0 and isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be above zero, got {getattr(self, name)}")
        if not 0 < self.down_share <= 1:
            raise ValueError(f"down_share must be above 0 and at most 1, got {self.down_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered from one decision to the next; a new one remembers nothing.

    Attributes:
        last_up: When units were last asked for, in epoch seconds; None for never.
        last_down: When units were last given up, in epoch seconds; None for never.
        calm_since: Since when fewer units would do, in epoch seconds; None while they would not.
        calm_peak: The most units needed at any look since then.
    """

    last_up: float | None = None
    last_down: float | None = None
    calm_since: float | None = None
    calm_peak: int = 0

    def as_json(self) -> dict[str, Any]:
        """As an object of JSON, which `of_json` reads."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: Mapping[str, Any] | None) -> Self:
        """The memory that was kept; what is missing or of another release is as if forgotten."""
        kept: dict[str, Any] = {
            name: float(value[name])
            for name in ("last_up", "last_down", "calm_since")
            if value is not None and isinstance(value.get(name), int | float)
        }
        peak = value.get("calm_peak") if value is not None else None
        return cls(**kept, calm_peak=peak if isinstance(peak, int) else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many units there should be from now on.

    Attributes:
        target: Units that there should be, those that still start counted.
        change: Units to add, or to take away where it is negative; 0 for none.
        reason: Why, in words, for people.
        memory: What to hand over to the next decision.
    """

    target: int
    change: int
    reason: str
    memory: Memory


def decide(load: Load, policy: ScalingPolicy, memory: Memory, *, now: float, size: int) -> Decision:
    """How many units there should be.

    Of what is asked for, first comes that nothing busy goes (a target may stay above a maximum
    that was lowered), then the bounds, then the load.

    Args:
        load: What there is to do.
        policy: The rules.
        memory: What the decision before this one said to remember.
        now: Epoch seconds.
        size: Units that there are, those that still start counted, those that drain not.
    """
    if size < policy.min_size:
        return _grown(policy.min_size, memory, now, size, "fewer than the least that there may be")
    if size > policy.max_size:
        fewer = max(policy.max_size, size - _idle(load, policy))
        return _shrunk(fewer, memory, now, size, f"the most that there may be is {policy.max_size}")
    needed = _needed(load, policy, size)
    if needed > size:
        return _up(load, policy, replace(memory, calm_since=None), now, size, needed)
    if needed == size or (load.waiting >= policy.down_depth and load.obstacle is None):
        return _kept(replace(memory, calm_since=None), size, "as many as are needed")
    return _down(load, policy, memory, now, size, needed)


def _needed(load: Load, policy: ScalingPolicy, size: int) -> int:
    """Units that would do for what is at work and what waits, within the bounds."""
    share = 1.0 if load.job_seconds is None else min(1.0, load.job_seconds / policy.clear_within)
    waiting = 0 if load.obstacle is not None else ceil(load.waiting * share)
    short = load.busy + waiting - load.slots - load.starting * policy.unit
    # Rounded up either way: what is short wants a whole unit, what is over is only whole units.
    return min(policy.max_size, max(policy.min_size, size + ceil(short / policy.unit)))


def _idle(load: Load, policy: ScalingPolicy) -> int:
    """Units that could go with no slot too few for what is at work."""
    return load.starting + max(0, load.slots - load.busy) // policy.unit


def _up(
    load: Load, policy: ScalingPolicy, memory: Memory, now: float, size: int, needed: int
) -> Decision:
    """More units, if what waits is old or much enough."""
    if load.waiting <= policy.up_depth and load.oldest_age < policy.up_age:
        return _kept(memory, size, "what waits is young")
    if now < _at(memory.last_up, now) + policy.up_cooldown:
        return _kept(memory, size, "units were asked for just now")
    if policy.most_up is not None:
        needed = min(needed, size + policy.most_up)
    jobs = "a job waits" if load.waiting == 1 else f"{load.waiting} jobs wait"
    return _grown(needed, memory, now, size, f"{jobs}, the oldest for {load.oldest_age:.0f} s")


def _down(
    load: Load, policy: ScalingPolicy, memory: Memory, now: float, size: int, needed: int
) -> Decision:
    """Fewer units, if fewer would have done for long enough."""
    if memory.calm_since is None:
        memory = replace(memory, calm_since=now, calm_peak=needed)
    else:
        memory = replace(memory, calm_peak=max(memory.calm_peak, needed))
    since, stepped = _at(memory.calm_since, now), _at(memory.last_down, now)
    # The steps of one calm follow each other sooner than a calm is believed at all.
    span = policy.down_cooldown if stepped >= since else policy.down_after
    peak = min(memory.calm_peak, size)
    if now < since + span:
        return _kept(memory, size, f"{peak} would do, for {now - since:.0f} of {span:.0f} s")
    most = max(1, int(size * policy.down_share))
    fewer = max(peak, size - most, size - _idle(load, policy))
    if fewer >= size:
        return _kept(replace(memory, calm_since=now, calm_peak=needed), size, "as many were needed")
    decision = _shrunk(fewer, memory, now, size, f"{peak} were enough for {now - since:.0f} s")
    return replace(decision, memory=replace(decision.memory, calm_since=now, calm_peak=needed))


def _at(moment: float | None, now: float) -> float:
    """When something happened: long ago for never, now where the clock has gone back since."""
    return float("-inf") if moment is None else min(moment, now)


def _kept(memory: Memory, size: int, reason: str) -> Decision:
    return Decision(target=size, change=0, reason=reason, memory=memory)


def _grown(target: int, memory: Memory, now: float, size: int, reason: str) -> Decision:
    memory = replace(memory, last_up=now, calm_since=None)
    return Decision(target=target, change=target - size, reason=reason, memory=memory)


def _shrunk(target: int, memory: Memory, now: float, size: int, reason: str) -> Decision:
    if target >= size:
        return _kept(memory, size, "all above the most are busy")
    memory = replace(memory, last_down=now)
    return Decision(target=target, change=target - size, reason=reason, memory=memory)
