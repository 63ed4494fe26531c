"""A fleet that is not real: units that take a while to start, jobs, and a rule that looks at them.

A discrete-event simulation without chance: the same jobs and the same rule give the same figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from scaling_load import Job

from vibe_tasks.scaling import Load

RECENT = 50
"""Jobs that ended last, whose mean length a rule is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a rule is told.

    Attributes:
        now: Seconds since the start.
        load: What waits and who works.
        size: Units, those that start counted, those that drain not.
        idle: Those of them that are up and have nothing in hand.
        last_arrival: When a job came last.
    """

    now: float
    load: Load
    size: int
    idle: int
    last_arrival: float


class Rule(Protocol):
    """How many units there should be, asked at regular times."""

    every: float
    """Seconds from one look to the next."""

    def target(self, look: Look) -> int:
        """Units from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a fleet is made of.

    Attributes:
        least: Units that are there from the start and stay.
        most: Units that a rule may ask for.
        slots: Jobs that a unit does at a time.
        start_up: Seconds until a unit that was asked for takes its first job.
    """

    least: int = 1
    most: int
    slots: int = 4
    start_up: float = 60.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        waits: Seconds from due to started, of each job in the order in which they started.
        hours: Hours of units, from asked for to gone, as long as there was something to start.
        changes: How often units were asked for or given up.
        span: Seconds until the last job started.
        sizes: The moments at which the number of units changed, and what it became; those that
            start and those that drain are counted.
    """

    waits: list[float] = field(default_factory=list)
    hours: float = 0.0
    changes: int = 0
    span: float = 0.0
    sizes: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False, kw_only=True)
class _Unit:
    number: int
    since: float
    up: bool = False
    draining: bool = False
    busy: int = 0


def _least_busy(unit: _Unit) -> tuple[int, int]:
    return unit.busy, unit.number


class Simulation:
    """One run of a rule on a load."""

    def __init__(self, jobs: Sequence[Job], rule: Rule, size: Size) -> None:
        self._jobs, self._rule, self._size = jobs, rule, size
        self._units: list[_Unit] = []
        self._waiting: deque[Job] = deque()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._events: list[tuple[float, int, _Unit, float]] = []  # a length of 0.0: the unit is up
        self._numbers = count()
        self._out = Outcome()
        self._now = self._last_arrival = 0.0

    def run(self) -> Outcome:
        """Until every job has started."""
        for _ in range(self._size.least):
            self._order(0.0)
        self._note()
        coming, looking = 0, 0.0
        while coming < len(self._jobs) or self._waiting:
            arrival = self._jobs[coming].at if coming < len(self._jobs) else float("inf")
            event = self._events[0][0] if self._events else float("inf")
            self._now = min(arrival, event, looking)
            if event == self._now:
                self._happen()
            elif arrival == self._now:
                self._waiting.append(self._jobs[coming])
                self._last_arrival, coming = self._now, coming + 1
                self._start_jobs()
            else:
                looking += self._rule.every
                self._look()
        for unit in self._units:
            self._out.hours += (self._now - unit.since) / 3_600.0
        self._out.span = self._now
        self._note()
        return self._out

    def _happen(self) -> None:
        """A unit is up, or has done a job."""
        _, _, unit, seconds = heappop(self._events)
        if seconds:
            unit.busy -= 1
            self._recent.append(seconds)
        else:
            unit.up = True
        if unit.draining and not unit.busy:
            self._leave(unit)
        self._start_jobs()

    def _start_jobs(self) -> None:
        """First come, first served, by the unit with the most free slots, as the router does."""
        while self._waiting:
            able = (unit for unit in self._units if unit.up and not unit.draining)
            unit = min(able, key=_least_busy, default=None)
            if unit is None or unit.busy == self._size.slots:
                return
            job = self._waiting.popleft()
            unit.busy += 1
            self._out.waits.append(self._now - job.at)
            end = self._now + job.seconds
            heappush(self._events, (end, next(self._numbers), unit, job.seconds))

    def _look(self) -> None:
        here = [unit for unit in self._units if not unit.draining]
        up = [unit for unit in here if unit.up]
        load = Load(
            waiting=len(self._waiting),
            oldest_age=self._now - self._waiting[0].at if self._waiting else 0.0,
            busy=sum(unit.busy for unit in up), slots=len(up) * self._size.slots,
            starting=len(here) - len(up),
            job_seconds=sum(self._recent) / len(self._recent) if self._recent else None,
            idle=sum(not unit.busy for unit in up),
        )  # fmt: skip
        target = self._rule.target(Look(
            now=self._now, load=load, size=len(here), idle=sum(not unit.busy for unit in up),
            last_arrival=self._last_arrival,
        ))  # fmt: skip
        change = min(self._size.most, max(self._size.least, target)) - len(here)
        self._out.changes += change != 0
        for _ in range(change):
            self._order(self._size.start_up)
        for _ in range(-change):
            self._give_up()
        if change:
            self._note()

    def _order(self, start_up: float) -> None:
        unit = _Unit(number=next(self._numbers), since=self._now)
        self._units.append(unit)
        heappush(self._events, (self._now + start_up, unit.number, unit, 0.0))

    def _give_up(self) -> None:
        """The newest of those that still start, else one with the least in hand: it drains."""
        here = (unit for unit in self._units if not unit.draining)
        unit = min(here, key=lambda each: (each.up, each.busy, -each.number))
        unit.draining = True
        if not unit.busy:
            self._leave(unit)

    def _leave(self, unit: _Unit) -> None:
        if unit in self._units:  # one that was given up while it started has left before
            self._units.remove(unit)
            self._out.hours += (self._now - unit.since) / 3_600.0
            self._note()

    def _note(self) -> None:
        self._out.sizes.append((self._now, len(self._units)))
