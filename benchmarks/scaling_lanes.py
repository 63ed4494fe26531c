"""Development and fixes in one lane, against a lane for each: the same workers and the same work.

A simulation: a job of development takes its time, is checked, and with some chance a fix follows,
which is checked in turn. Checks have workers of their own and take a while.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random

from report import percentile

from vibe_tasks.priority import Priority

WORKERS = 8
TASKS = 200
FAILS = 0.25
"""Chance that a check fails, of a fix as well: three jobs of development for each fix."""
CHECK = 60.0
"""Seconds of a check."""

METHOD = (
    f"{{plans}} plans of {TASKS} tasks, the same for all; medians over the plans. Development "
    "takes three minutes in the middle, a fix two (lognormal, sigma 0.7); a check takes one and "
    f"{FAILS:.0%} of checks fail. Fixes go first, then critical, high, normal, low."
)

LANES: Mapping[str, Mapping[str, int]] = {
    "one lane of 8": {"both": 8},
    "two lanes of 4": {"dev": 4, "fix": 4},
    "two lanes, 6 and 2": {"dev": 6, "fix": 2},
}
"""Workers of each lane. The last is the best split of this mix: fixes are a fifth of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task and all that will happen to it.

    Attributes:
        at: When its first job is due, in seconds.
        priority: Of its development.
        seconds: How long its jobs take: development, then a fix for each check that fails.
    """

    at: float
    priority: Priority
    seconds: Sequence[float]


@dataclass(slots=True, kw_only=True)
class Done:
    """What came of it: seconds until the last check, at work, waited and from due to deployed."""

    makespan: float = 0.0
    busy: float = 0.0
    dev_waits: list[float] = field(default_factory=list)
    fix_waits: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


_Due = tuple[int, int, float, Task, int]
"""Level, place among equals, since when it is due, the task, and which of its jobs it is."""


def tasks(seed: int, *, every: float) -> list[Task]:
    """Two hundred tasks that come on average every so many seconds; 0.0 for all at once."""
    dice = Random(f"lanes {seed}")
    now, found = 0.0, []
    for _ in range(TASKS):
        now += dice.expovariate(1 / every) if every else 0.0
        seconds = [dice.lognormvariate(5.2, 0.7)]
        while len(seconds) < 4 and dice.random() < FAILS:
            seconds.append(dice.lognormvariate(4.8, 0.7))
        level = dice.choices(list(Priority)[1:], (1, 2, 5, 2))[0]
        found.append(Task(at=now, priority=level, seconds=seconds))
    return found


def run(given: Sequence[Task], lanes: Mapping[str, int]) -> Done:
    """The work done by these lanes, the most urgent job of a lane first, fixes before all."""
    numbers, done = count(), Done()
    free = dict(lanes)
    queues: dict[str, list[_Due]] = {lane: [] for lane in lanes}
    # What happens when: a job is due, or has ended in a lane.
    events = [(task.at, next(numbers), task, 0, "") for task in given]
    heapify(events)
    while events:
        now, _, task, job, ended = heappop(events)
        if not ended:
            lane = "both" if "both" in lanes else "fix" if job else "dev"
            level = Priority.FIX if job else task.priority
            heappush(queues[lane], (level, next(numbers), now, task, job))
        else:
            free[ended] += 1
            if job + 1 < len(task.seconds):
                heappush(events, (now + CHECK, next(numbers), task, job + 1, ""))
            else:
                done.took.append(now + CHECK - task.at)
                done.makespan = max(done.makespan, now + CHECK)
        for lane, queue in queues.items():
            while queue and free[lane]:
                _, _, due, begun, number = heappop(queue)
                free[lane] -= 1
                (done.fix_waits if number else done.dev_waits).append(now - due)
                done.busy += begun.seconds[number]
                end = now + begun.seconds[number]
                heappush(events, (end, next(numbers), begun, number, lane))
    return done


def compare(plans: int) -> list[dict[str, float | str]]:
    """Each split on the same plans: medians over them of what each plan shows."""
    rows: list[dict[str, float | str]] = []
    for load, every in (("all at once", 0.0), ("one every 45 s", 45.0)):
        given = [tasks(seed, every=every) for seed in range(plans)]
        for name, lanes in LANES.items():
            outcomes = [run(each, lanes) for each in given]
            rows.append({"load": load, "lanes": name, "plans": plans, **_figures(outcomes)})
    return rows


def _figures(outcomes: Sequence[Done]) -> dict[str, float]:
    def median(values: Sequence[float]) -> float:
        return round(statistics.median(values), 3)

    return {
        "tasks_per_hour": median([3_600 * TASKS / each.makespan for each in outcomes]),
        "makespan": median([each.makespan for each in outcomes]),
        "utilisation": median([each.busy / WORKERS / each.makespan for each in outcomes]),
        "dev_wait_p50": median([percentile(each.dev_waits, 0.5) for each in outcomes]),
        "dev_wait_p95": median([percentile(each.dev_waits, 0.95) for each in outcomes]),
        "fix_wait_p50": median([percentile(each.fix_waits, 0.5) for each in outcomes]),
        "fix_wait_p95": median([percentile(each.fix_waits, 0.95) for each in outcomes]),
        "task_p50": median([percentile(each.took, 0.5) for each in outcomes]),
        "task_p95": median([percentile(each.took, 0.95) for each in outcomes]),
    }
