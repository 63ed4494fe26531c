"""When a running program is to be ended, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vibe_tasks.workspace.bounds import passed

if TYPE_CHECKING:
    from collections.abc import Callable

    from vibe_tasks.workspace.bounds import Bounds

EndedBy = Literal[
    "timeout", "idle", "stop", "done", "cpu", "memory", "processes", "output", "file_size"
]
"""What a program was ended for."""

ASKED = 1.0
"""Seconds between two questions whether it is to stop."""

LOOKED = 0.2
"""Seconds between two looks at what it uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a program is ended.

    Attributes:
        by: Which rule did it.
        why: In words, to follow the program's name.
        at_once: Whether it gets no time to clean up: it takes what others need.
    """

    by: EndedBy
    why: str
    at_once: bool = False


class Watch:
    """The rules for one run. Times are monotonic seconds, given with each call."""

    def __init__(
        self,
        *,
        now: float,
        timeout: float,
        idle: float | None,
        bounds: Bounds,
        stop: Callable[[], str | None] | None,
    ) -> None:
        self._timeout = timeout
        self._deadline = now + timeout
        self._idle = idle
        self._bounds = bounds
        self._stop = stop
        self._word = now
        self._asked = self._looked = now
        self._said = 0
        self._over: float | None = None

    def word(self, now: float, size: int) -> None:
        """The program said so many bytes."""
        self._word = now
        self._said += size

    def work_over(self, now: float, seconds: float) -> None:
        """The program has done its work; it has so many seconds to end by itself."""
        if self._over is None:
            self._over = now + seconds

    def ending(self, now: float, *, launcher: int, wrapped: bool) -> Ending | None:
        """Why it is to end now; None: it may go on.

        Args:
            now: The time.
            launcher: Process id under which to look for what it uses.
            wrapped: Whether it runs in a sandbox.
        """
        if self._over is not None and now >= self._over:
            return Ending(by="done", why="had done its work and did not end")
        if now >= self._deadline:
            return Ending(by="timeout", why=f"did not end within {self._timeout:g} s")
        if self._idle is not None and now >= self._word + self._idle:
            return Ending(by="idle", why=f"said nothing for {self._idle:g} s")
        if self._bounds.output is not None and self._said > self._bounds.output:
            why = f"said more than {self._bounds.output / 1e6:g} MB"
            return Ending(by="output", why=why, at_once=True)
        if self._stop is not None and now >= self._asked + ASKED:
            self._asked = now
            reason = self._stop()
            if reason is not None:
                return Ending(by="stop", why=reason)
        return self._greedy(now, launcher, wrapped=wrapped)

    def _greedy(self, now: float, launcher: int, *, wrapped: bool) -> Ending | None:
        if not self._bounds.watched or now < self._looked + LOOKED:
            return None
        self._looked = now
        found = passed(self._bounds, launcher, wrapped=wrapped)
        return None if found is None else Ending(by=found[0], why=found[1], at_once=True)
