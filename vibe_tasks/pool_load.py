"""What one worker's pool has to see to: its part of what waits in its lanes.

All workers of a lane see the same jobs wait. Each takes the part that falls to it by its place
among their names, so that together they grow by as many processes as jobs wait. Who cannot grow
leaves its part undone; so the parts double each time that the oldest job has waited as long again
as it may, until every worker takes all of it for its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from vibe_tasks.scaling import Load, ScalingPolicy

MOST_DOUBLINGS = 20
NEVER = 10**9
"""A threshold that nothing reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """A lane as one of its workers sees it.

    Attributes:
        load: What the lane asks for; of jobs that wait, those that may start.
        policy: The lane's rules. Its thresholds are for all that waits in the lane.
        workers: Names of all workers that serve it.
    """

    load: Load
    policy: ScalingPolicy
    workers: Sequence[str] = ()


def pool_load(
    lanes: Collection[LaneLoad], base: ScalingPolicy, *, worker: str, busy: int, slots: int
) -> tuple[Load, ScalingPolicy]:
    """What a worker's pool has to see to, and the policy that judges it.

    Each lane is judged by its own rules here, so that those of the policy say no more than
    whether any lane presses, and whether any has enough waiting that nothing should shrink. Of
    several lanes the slowest decides when to shrink.

    Args:
        lanes: The worker's lanes.
        base: Bounds and all that is no lane's.
        worker: Its name.
        busy: Processes of its pool that are at work.
        slots: Processes of its pool.
    """
    open_ = [each for each in lanes if each.load.obstacle is None]
    pressing = [each for each in open_ if _presses(each)]
    waits = any(each.load.waiting >= each.policy.down_depth for each in open_)
    hindered = {each.load.obstacle for each in lanes if each.load.waiting or each.load.obstacle}
    load = Load(
        waiting=sum(part_of(each, worker) for each in pressing or open_),
        oldest_age=max((each.load.oldest_age for each in pressing or open_), default=0.0),
        busy=busy,
        slots=slots,
        obstacle=None
        if any(each.load.waiting for each in open_)
        else "; ".join(sorted(each for each in hindered if each)) or None,
    )
    down_after = max((each.policy.down_after for each in lanes), default=base.down_after)
    policy = replace(
        base,
        up_depth=NEVER,
        up_age=0.0 if pressing else float(NEVER),
        down_depth=1 if waits else NEVER,
        down_after=down_after,
        drain_after=max(down_after, base.drain_after),
    )
    return load, policy


def part_of(lane: LaneLoad, worker: str) -> int:
    """How many of the jobs that wait in a lane are for this worker to see to."""
    others = [name for name in lane.workers if name != worker]
    rank = sum(name < worker for name in others)
    times = int(lane.load.oldest_age / max(lane.policy.up_age, 1.0))
    doubled = lane.load.waiting << min(MOST_DOUBLINGS, max(0, times - 1))
    each, left = divmod(doubled, len(others) + 1)
    return min(lane.load.waiting, each + int(rank < left))


def _presses(lane: LaneLoad) -> bool:
    waiting, policy = lane.load.waiting, lane.policy
    return bool(waiting) and (waiting > policy.up_depth or lane.load.oldest_age >= policy.up_age)
