"""Lanes whose jobs nobody takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vibe_tasks.jobs import LANES
from vibe_tasks.store.stats import QueueStats
from vibe_tasks.words import counted, span

MESSAGES = "control"
"""The lane of messages about events, also of plans that have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """A lane with due jobs and no worker.

    Attributes:
        lane: The lane.
        due: Jobs that could start now.
        seconds: Since when the oldest of them could.
    """

    lane: str
    due: int
    seconds: float

    def text(self) -> str:
        """What is wrong, in one line."""
        age = span(self.seconds)
        return f"lane {self.lane}: {counted(self.due, 'job')} due, for {age}, and no worker online"

    def mend(self, *, embedded: bool, program: str = "vibe") -> str:
        """What to do about it.

        Args:
            embedded: Whether this machine's own stack is what should work.
            program: The word that starts this program.
        """
        if not embedded:
            return f"celery -A vibe_tasks worker -Q {self.lane}"
        if self.lane == MESSAGES:
            return f"{program} up"
        if self.lane in LANES:
            return f"{program} up, or {program} run of the plan again"
        return (
            f"{program} up, with the job's module in VIBE_IMPORTS; "
            f"or {program} run of the plan again"
        )


def unserved(stats: QueueStats, workers: Iterable[Mapping[str, Any]]) -> list[Unserved]:
    """The lanes that nobody serves, by name.

    Args:
        stats: The queue.
        workers: As `flow.views.registry` tells them.
    """
    served = {lane for each in workers if each["status"] == "online" for lane in each["lanes"]}
    return [
        Unserved(lane=lane, due=due, seconds=stats.oldest_pending_seconds[lane])
        for lane, due in sorted(stats.due.items())
        if lane not in served
    ]
