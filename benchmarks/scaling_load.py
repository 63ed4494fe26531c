"""Jobs that arrive: as recorded, steadily, in bursts, or by day and by night."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, pi
from pathlib import Path
from random import Random

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "traces" / "azure_llm_code_2023.csv"
"""Requests to a code model, an hour (Azure Public Dataset, CC BY 4.0, Microsoft)."""

REQUESTS, READ, WRITTEN, LONGEST = 100, 5_000.0, 30.0, 1_800.0
"""An agent's job is taken for so many requests like the recorded one, in a row. A model reads so
many tokens of a request's context a second, and writes so many. A job ends at its time limit."""

HOUR, DAY = 3_600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work for one slot.

    Attributes:
        at: When it becomes due, in seconds from the start.
        seconds: How long it takes. No rule knows it before.
    """

    at: float
    seconds: float


def length(context: int, generated: int) -> float:
    """Seconds of a job whose requests have so many tokens each."""
    return min(LONGEST, REQUESTS * (context / READ + generated / WRITTEN))


def recorded(path: Path, *, stretch: float = 1.0) -> list[Job]:
    """The jobs of a recording, the time between them drawn out by a factor."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    moments = [_moment(row["TIMESTAMP"]) for row in rows]
    return [
        Job(at=(moment - moments[0]) * stretch,
            seconds=length(int(row["ContextTokens"]), int(row["GeneratedTokens"])))
        for moment, row in zip(moments, rows, strict=True)
    ]  # fmt: skip


def _moment(text: str) -> float:
    # Seven digits after the point, one more than Python reads.
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()


def part(jobs: Sequence[Job], begin: float, end: float) -> list[Job]:
    """The jobs of a span of time, from these shares of the whole on; time begins with the span."""
    whole = jobs[-1].at
    return [
        Job(at=job.at - begin * whole, seconds=job.seconds)
        for job in jobs
        if begin * whole <= job.at <= end * whole
    ]


def drawn(seed: str, until: float, rate: Callable[[float], float], highest: float) -> list[Job]:
    """Independent jobs at a rate that changes with time, at most `highest` a second.

    Lengths are lognormal: half of them above 90 s, one in twenty near seven minutes or above.
    Source: Lewis and Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979.
    """
    dice = Random(seed)
    now, jobs = 0.0, []
    while (now := now + dice.expovariate(highest)) < until:
        if dice.random() * highest < rate(now):
            jobs.append(Job(at=now, seconds=min(LONGEST, dice.lognormvariate(4.5, 0.95))))
    return jobs


def steady(seed: int) -> list[Job]:
    """Twelve hours at one rate: eighteen slots at work on average."""
    return drawn(f"steady {seed}", 12 * HOUR, lambda _: 0.13, 0.13)


def burst(seed: int) -> list[Job]:
    """Twelve hours with little to do, and each hour a crowd of 150 jobs within two minutes."""
    dice = Random(f"crowds {seed}")
    starts = [hour * HOUR + dice.uniform(0, 0.9 * HOUR) for hour in range(12)]

    def rate(now: float) -> float:
        return 0.01 + 1.25 * any(start <= now < start + 120 for start in starts)

    return drawn(f"burst {seed}", 12 * HOUR, rate, 1.26)


def day_and_night(seed: int) -> list[Job]:
    """Two days, at noon fifty times as much as at midnight."""
    return drawn(
        f"days {seed}", 2 * DAY, lambda now: 0.15 * (0.51 - 0.49 * cos(2 * pi * now / DAY)), 0.15
    )
