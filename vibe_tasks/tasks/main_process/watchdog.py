"""The watchdog: does this worker get the work that waits for it?

"Is the process alive?" and "does it answer a ping?" are answered with yes by a worker whose
connection to the broker is half open: the other side is gone and nobody said so. So we ask
whether a message waits in one of its lanes while it has room and receives nothing. Celery then
gets a new connection; when that does not help, the process ends and its supervisor starts a new
one. Sources: celery#8030, #8091, #9054, #10205, and kombu#2492.

Time is counted in looks, not read from a clock: a machine that slept was not deaf meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What is to be done."""

    FINE = "nothing"
    RECONNECT = "give the consumer a new connection"
    DEAF = "end the process: a new connection did not help"
    STUCK = "end the process: its event loop does not turn"
    BEATLESS = "end the process: nobody renews its leases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What a look finds.

    Attributes:
        received: Messages received so far, those too that were refused.
        room: Whether the worker could take another one.
        turns: Turns of the event loop so far; None where none is to be expected now.
    """

    received: int
    room: bool
    turns: int | None


class Watchdog:
    """Judges one worker.

    Args:
        patience: Seconds without a message, although one waits, before something is done, and
            again as much before the process ends.
        stuck: Seconds without a turn of the event loop before the process ends.
    """

    def __init__(self, *, patience: float, stuck: float) -> None:
        self._patience = patience
        self._stuck_after = stuck
        self._before: Signs | None = None
        self._silent = 0.0
        self._stuck = 0.0
        self._reconnected = False

    def look(self, signs: Signs, *, seconds: float, waiting: Callable[[], bool]) -> Verdict:
        """Judge what this look found.

        Args:
            signs: What it found.
            seconds: Time between two looks.
            waiting: Whether a message waits in the broker that should have been taken long ago;
                asked only where it matters.
        """
        before, self._before = self._before, signs
        if before is None:
            return Verdict.FINE
        turned = signs.turns is None or signs.turns != before.turns
        self._stuck = 0.0 if turned else self._stuck + seconds
        if self._stuck >= self._stuck_after:
            return Verdict.STUCK
        if signs.received != before.received:
            self._silent, self._reconnected = 0.0, False
        elif signs.turns is None:
            self._silent = 0.0  # it is about to connect, or to end: nothing can come
        elif signs.room:
            self._silent += seconds
        if signs.turns is None or self._silent < self._patience or not waiting():
            return Verdict.FINE
        self._silent = 0.0
        if self._reconnected:
            return Verdict.DEAF
        self._reconnected = True
        return Verdict.RECONNECT
