"""What every provisioner can do: say how many workers a lane has, and change that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vibe_tasks.errors import VibeError
from vibe_tasks.fleet import FleetLane


class ProvisionerError(VibeError):
    """A provisioner could not do what it was asked; the message says why, in one line.

    Args:
        message: Why.
        retry_after: Seconds after which it asks to be asked again; None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The workers of a lane, as its provisioner knows them.

    Attributes:
        size: Those that there are or that are about to be; those that are to end left out.
        starting: Those of them that have not registered yet; None where it cannot know.
        idle: Those of them that are up and have nothing in hand; None where it cannot know.
        trouble: What is wrong with some of them, in one line; None for nothing.
    """

    size: int
    starting: int | None = None
    idle: int | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A size that was decided upon.

    Attributes:
        number: Of the decision; the same for each try to carry it out.
        before: Workers there were.
        target: Workers there should be.
        reason: Why, for people.
    """

    number: int
    before: int
    target: int
    reason: str


class Provisioner(Protocol):
    """One way to have workers. Its methods may be called by any process, and are bounded in time.

    All of them raise `ProvisionerError`.
    """

    def look(self, lane: FleetLane, *, last: int | None) -> Found:
        """What there is; changes nothing.

        Args:
            lane: The lane.
            last: The size that the last order left; None where there was none.
        """

    def tend(self, lane: FleetLane) -> None:
        """Keep what there is in order: what is wanted runs, what is given up is forgotten."""

    def scale(self, lane: FleetLane, order: Order) -> int:
        """Carry an order out; how many workers there are or are about to be.

        Of workers that go, those at work finish first. Repeating it changes nothing.
        """
