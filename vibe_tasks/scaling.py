"""How many workers there should be: a decision about values, for a pool and for a fleet alike.

Up by what waits: as soon as the oldest due job has waited too long, or too many wait, as many
units come as it takes for what would find no slot in the time that a unit needs to start. Down by
what was needed: after a calm, units that have nothing to do go, in steps, to the most that was
needed at any moment of the calm. Between the two lies what keeps a load at a threshold from making
the size swing. More workers for work that something else holds up would only burn what that
something gives out, so that a named obstacle forbids any growth.

A unit is what is added or taken away as one: a process of a pool, or a worker of a fleet, which
has several slots. A unit that is to go finishes what it has in hand; whoever carries out a
decision sees to that.
Source: the thresholds of ten and two are those of phase-1.6-components; that age says more than
depth: https://judoscale.com/docs/understanding-job-queue-depth; down only to the peak of a window
is what Kubernetes calls stabilization
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/). A calm lasts as long
as a unit takes to start: that costs at most twice what knowing the future would (Karlin and others,
"Competitive snoopy caching", 1988); benchmarks/scaling.py measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite
from typing import Any, Self

LEFT = 0.5
"""Of the slots that become free while a unit starts, the share that is left to what waits already;
the others go to jobs that come meanwhile. On a recorded day all of them made waits an eighth longer
(p95), none of them took a twentieth more hours of units (benchmarks/scaling.py)."""

SHORTEST = 0.001
"""Seconds that a job is taken to last at least."""


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
        job_seconds: How long jobs lately took on average, in seconds, where it is known: what
            waits for slots that are soon free needs no more units. Unknown, each waiting job is
            taken to need a slot of its own.
        idle: Units that are up and have nothing in hand, where it is known: they go first. Unknown,
            as many as the free slots would fill; others may then have to finish what they have.
    """

    waiting: int
    oldest_age: float
    busy: int
    slots: int
    starting: int = 0
    obstacle: str | None = None
    job_seconds: float | None = None
    idle: int | None = None


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
        start_up: Seconds until a unit that is asked for takes its first job. 0 or more.
        down_after: Seconds of calm before the first step down. Above 0.
        down_cooldown: Seconds of calm from each step down to the next. Above 0.
        down_share: Largest share of the units that go in one step, above 0 and at most 1; one
            unit may always go.
        drain_after: Seconds of calm without a unit that has nothing in hand, after which one that
            has is given up, so that few jobs do not keep many units. At least down_after.
    """

    min_size: int = 1
    max_size: int = 10
    unit: int = 1
    up_depth: int = 10
    down_depth: int = 2
    up_age: float = 5.0
    up_cooldown: float = 5.0
    start_up: float = 60.0
    down_after: float = 60.0
    down_cooldown: float = 30.0
    down_share: float = 0.5
    drain_after: float = 600.0

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
        if not 0 < self.down_share <= 1:
            raise ValueError(f"down_share must be above 0 and at most 1, got {self.down_share}")
        if self.drain_after < self.down_after:
            raise ValueError(
                f"drain_after must be at least down_after, got {self.drain_after} and "
                f"{self.down_after}"
            )
        for name, bound in {"unit": 1, "up_age": 0, "up_cooldown": 0, "start_up": 0}.items():
            value = getattr(self, name)
            if not (value >= bound and isfinite(value)):
                raise ValueError(f"{name} must be {bound} or more, got {value}")
        for name in ("down_after", "down_cooldown", "drain_after"):
            if not (getattr(self, name) > 0 and isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be above zero, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered from one decision to the next; a new one remembers nothing.

    Attributes:
        last_up: When units were last asked for, in epoch seconds; None for never.
        last_down: When units were last given up, in epoch seconds; None for never.
        calm_since: Since when fewer units would do, in epoch seconds; None while they would not.
        calm_peak: The most units needed at any look since then, or since the last step down.
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
            if value is not None
            and isinstance(value.get(name), int | float)
            and isfinite(value[name])
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
    that was lowered), then the bounds (an obstacle does not lower the least), then the load.

    Args:
        load: What there is to do.
        policy: The rules.
        memory: What the decision before this one said to remember.
        now: Epoch seconds.
        size: Units that there are, those that still start counted, those that drain not.
    """
    memory = _past(memory, now)
    if size < policy.min_size:
        return _grown(policy.min_size, memory, now, size, f"at least {policy.min_size} are wanted")
    if size > policy.max_size:
        fewer = max(policy.max_size, size - _spare(load, policy))
        return _shrunk(fewer, memory, now, size, f"at most {policy.max_size} are wanted")
    more = min(_missing(load, policy), policy.max_size - size)
    if more > 0 and (load.waiting > policy.up_depth or load.oldest_age >= policy.up_age):
        return _up(load, policy, memory, now=now, size=size, more=more)
    needed = _needed(load, policy, size)
    if needed >= size or (load.waiting >= policy.down_depth and load.obstacle is None):
        return _kept(replace(memory, calm_since=None), size, "no more than are needed")
    if memory.calm_since is None:
        memory = replace(memory, calm_since=now, calm_peak=needed)
    memory = replace(memory, calm_peak=max(memory.calm_peak, needed))
    return _down(load, policy, memory, now=now, size=size)


def _missing(load: Load, policy: ScalingPolicy) -> int:
    """Units for the waiting jobs that would find no slot until a new unit is up."""
    if load.obstacle is not None:
        return 0
    # Waiting jobs that a slot takes, one after the other, in the time that a unit needs to start.
    turns = 0.0
    if load.job_seconds is not None:
        turns = LEFT * policy.start_up / max(load.job_seconds, SHORTEST)
    # A new slot takes one as soon as it is there; of short jobs, as many as the others meanwhile.
    worth = policy.unit * max(1.0, turns)
    free = max(0, load.slots - load.busy)
    left = load.waiting - free - load.slots * turns - load.starting * worth
    # The rounding error of a product is no job.
    return ceil(left / worth - 1e-9)


def _needed(load: Load, policy: ScalingPolicy, size: int) -> int:
    """Units that would do, with a slot for each job at work and each that waits."""
    jobs = load.busy + (0 if load.obstacle is not None else load.waiting)
    over = (load.slots - jobs) // policy.unit + load.starting
    return max(policy.min_size, size - over)


def _spare(load: Load, policy: ScalingPolicy) -> int:
    """Units that could go with no slot too few for what is at work."""
    return load.starting + max(0, load.slots - load.busy) // policy.unit


def _up(
    load: Load, policy: ScalingPolicy, memory: Memory, *, now: float, size: int, more: int
) -> Decision:
    """More units, unless some came just now."""
    if now < _when(memory.last_up) + policy.up_cooldown:
        return _kept(replace(memory, calm_since=None), size, "some were asked for just now")
    jobs = "a job waits" if load.waiting == 1 else f"{load.waiting} jobs wait"
    why = f"{jobs}, the oldest for {load.oldest_age:.0f} s"
    return _grown(size + more, memory, now, size, why)


def _down(load: Load, policy: ScalingPolicy, memory: Memory, *, now: float, size: int) -> Decision:
    """Fewer units, if fewer have done for long enough."""
    since, stepped = _when(memory.calm_since), _when(memory.last_down)
    due = max(since + policy.down_after, stepped + policy.down_cooldown)
    idle = _spare(load, policy)
    if load.idle is not None:
        idle = min(idle, load.idle + load.starting)
        if idle == 0:  # few jobs, spread over many units
            idle, due = 1, max(since, stepped) + policy.drain_after
    text = f"{memory.calm_peak} have been enough for {now - since:.0f} s"
    if now < due:
        return _kept(memory, size, text)
    most = max(1, int(size * policy.down_share))
    fewer = max(memory.calm_peak, size - most, size - idle)
    shrunk = _shrunk(fewer, memory, now, size, text)
    needed = _needed(load, policy, size)
    return replace(shrunk, memory=replace(shrunk.memory, calm_peak=needed))


def _past(memory: Memory, now: float) -> Memory:
    """The memory without moments that a clock which has gone back makes future ones."""
    return replace(
        memory,
        last_up=memory.last_up if _when(memory.last_up) <= now else None,
        last_down=memory.last_down if _when(memory.last_down) <= now else None,
        calm_since=memory.calm_since if _when(memory.calm_since) <= now else None,
    )


def _when(moment: float | None) -> float:
    """When something happened; long ago for never."""
    return float("-inf") if moment is None else moment


def _kept(memory: Memory, size: int, reason: str) -> Decision:
    return Decision(target=size, change=0, reason=reason, memory=memory)


def _grown(target: int, memory: Memory, now: float, size: int, reason: str) -> Decision:
    memory = replace(memory, last_up=now, calm_since=None)
    return Decision(target=target, change=target - size, reason=reason, memory=memory)


def _shrunk(target: int, memory: Memory, now: float, size: int, reason: str) -> Decision:
    if target >= size:
        return _kept(memory, size, "all are busy")
    memory = replace(memory, last_down=now)
    return Decision(target=target, change=target - size, reason=reason, memory=memory)
