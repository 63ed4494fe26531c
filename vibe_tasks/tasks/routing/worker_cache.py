"""What this process knows of the workers of each lane: looked up once in ten seconds.

Source: design document, feature 13, "In-Memory Worker Cache"; requirement W2.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vibe_tasks.store.candidates import Seen
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason

log = logging.getLogger(__name__)

LIFE = 10.0
"""Seconds for which a look is good."""

REST = 2.0
"""Seconds for which a ledger that did not answer is not asked again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """What a look at a lane has found.

    Attributes:
        at: When it began, on a monotonic clock, in seconds.
        until: Up to when it is good, likewise.
        workers: The lane's workers; None where the ledger did not answer.
    """

    at: float
    until: float
    workers: tuple[Seen, ...] | None


class WorkerCache:
    """The latest look at each lane. For any number of threads; one of them looks.

    Args:
        look: Asks the ledger for the workers of a lane.
        monotonic: Seconds that only ever grow.
    """

    def __init__(
        self, look: Callable[[str], Sequence[Seen]], monotonic: Callable[[], float]
    ) -> None:
        self._look = look
        self._monotonic = monotonic
        self._looks: dict[str, Look] = {}
        self._turns: dict[str, threading.RLock] = {}
        self._written = 0

    def of(self, lane: str) -> Look:
        """The workers of this lane, from a look that is at most `LIFE` seconds old."""
        found = self._looks.get(lane)
        if found is not None and self._monotonic() < found.until:
            return found
        with self._turns.setdefault(lane, threading.RLock()):
            found = self._looks.get(lane)
            if found is not None and self._monotonic() < found.until:
                return found  # of the thread that we have waited for
            return self._look_again(lane)

    def invalidate(self, lane: str | None = None) -> None:
        """Forget the look at this lane, or at all: workers were written."""
        self._written += 1
        if lane is None:
            self._looks.clear()
        else:
            self._looks.pop(lane, None)

    def _look_again(self, lane: str) -> Look:
        written, at = self._written, self._monotonic()
        try:
            made = Look(at=at, until=at + LIFE, workers=tuple(self._look(lane)))
        except DATABASE_ERRORS as error:
            log.warning("ledger away, jobs go to the lanes' own queues: %s", reason(error))
            made = Look(at=at, until=self._monotonic() + REST, workers=None)
        if written == self._written:  # else it may be older than what was written
            self._looks[lane] = made
        return made
