"""The rules that are compared: ours, and those that others scale by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf

from scaling_fleet import Look, Rule, Size

from vibe_tasks.scaling import Memory, ScalingPolicy, decide


@dataclass(slots=True, kw_only=True)
class Fixed:
    """All that may be, always."""

    size: int
    every: float = 3_600.0

    def target(self, look: Look) -> int:  # noqa: ARG002  whatever there is to do
        """All of them."""
        return self.size


@dataclass(slots=True, kw_only=True)
class Thresholds:
    """One more above ten that wait, one fewer below two, every five seconds.

    Source: phase-1.6-components, AutoScalingWorkerPool.
    """

    every: float = 5.0

    def target(self, look: Look) -> int:
        """One up, one down or neither."""
        return look.size + (look.load.waiting > 10) - (look.load.waiting < 2)


@dataclass(slots=True, kw_only=True)
class QueueLength:
    """The queue's length divided by a target, as KEDA's Redis scaler hands it to a
    HorizontalPodAutoscaler at their defaults: asked every 30 s; up at once, but in 15 s to at most
    twice as many or four more; down to the most of the last 300 s; no change of a tenth or less.

    Attributes:
        share: Jobs for each unit.
        busy_too: Whether jobs at work are counted, which a list in Redis does not hold.
    """

    share: float
    busy_too: bool = False
    every: float = 30.0
    _wanted: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def target(self, look: Look) -> int:
        """What the length says, held for five minutes."""
        jobs = look.load.waiting + (look.load.busy if self.busy_too else 0)
        wanted = max(1, ceil(jobs / self.share))
        if abs(jobs / self.share / look.size - 1) <= 0.1:
            wanted = look.size
        # Two looks of the autoscaler at what was asked once.
        wanted = min(wanted, max(4 * look.size, look.size + 8))
        self._wanted.append((look.now, wanted))
        while self._wanted[0][0] < look.now - 300.0:
            self._wanted.popleft()
        return max(wanted, min(look.size, max(each for _, each in self._wanted)))


@dataclass(slots=True, kw_only=True)
class Celerys:
    """Celery's own, were it a fleet's: as many as it has reserved, those at work among them; down
    by what is idle, 30 s after it last received a job or grew.

    Source: celery/worker/autoscale.py of 5.7. It may reserve worker_prefetch_multiplier jobs, four
    by default, for each process that there may be. With prefetching off it reserves no more than
    it runs, and never grows.

    Attributes:
        slots: Of a unit.
        most: Units that there may be.
    """

    slots: int
    most: int
    every: float = 1.0
    _last_up: float = -inf

    def target(self, look: Look) -> int:
        """What was reserved."""
        reserved = min(look.load.busy + look.load.waiting, 4 * self.most * self.slots)
        wanted = min(self.most, max(1, ceil(reserved / self.slots)))
        if wanted > look.size:
            self._last_up = look.now
            return wanted
        if look.now - max(self._last_up, look.last_arrival) > 30.0:
            return look.size - min(look.size - wanted, look.idle)
        return look.size


@dataclass(slots=True, kw_only=True)
class Ours:
    """`vibe_tasks.scaling`, looked at as often as the fleet does.

    Attributes:
        policy: Its rules.
        lengths: Whether it is told how long jobs lately took.
        idle: Whether it is told how many units have nothing in hand.
    """

    policy: ScalingPolicy
    lengths: bool
    idle: bool
    every: float = 10.0
    _memory: Memory = field(default_factory=Memory)

    def target(self, look: Look) -> int:
        """What the program would do."""
        load = replace(
            look.load,
            job_seconds=look.load.job_seconds if self.lengths else None,
            idle=look.load.idle if self.idle else None,
        )
        decision = decide(load, self.policy, self._memory, now=look.now, size=look.size)
        self._memory = decision.memory
        return decision.target


def ours(size: Size, *, lengths: bool = True, idle: bool = True) -> Ours:
    """Ours at its defaults, for such a fleet."""
    policy = ScalingPolicy(
        min_size=size.least, max_size=size.most, unit=size.slots, start_up=size.start_up
    )
    return Ours(policy=policy, lengths=lengths, idle=idle)


RULES: Mapping[str, Callable[[Size], Rule]] = {
    "fixed maximum": lambda size: Fixed(size=size.most),
    "thresholds 10/2": lambda _: Thresholds(),
    "queue length": lambda size: QueueLength(share=size.slots),
    "waiting and busy": lambda size: QueueLength(share=size.slots, busy_too=True),
    "Celery's": lambda size: Celerys(slots=size.slots, most=size.most),
    "ours, told neither": lambda size: ours(size, lengths=False, idle=False),
    "ours, told who is idle": lambda size: ours(size, lengths=False),
    "ours": ours,
}
"""The rules by name, each new for a fleet of a size."""
