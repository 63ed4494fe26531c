"""Keeping children alive: one that dies is started again, later each time, until it is hopeless."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vibe_tasks.errors import UnavailableError
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.stack.children import GUARD, Child, Guard, Program

RESTART = RetryPolicy(max_retries=4, base=0.1, factor=2.0, cap=5.0, jitter=0.0)
"""Waits of 0.2, 0.4 and 0.8 s; the fourth death in a row is the last. No jitter: the children of
one machine have nobody to collide with."""

HEALTHY_AFTER = 10.0
"""Seconds; the deaths of a child that ran longer are not counted as deaths in a row."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A program and how it fares.

    Attributes:
        child: Its latest start.
        started: When that was, on the supervisor's clock.
        deaths: Deaths in a row.
        due: When to start it again; None while it runs.
    """

    child: Child
    started: float
    deaths: int = 0
    due: float | None = None


class Supervisor:
    """The children of one process.

    Args:
        logs: An existing folder for their log files.
        clock: Seconds on a clock that never goes back (`time.monotonic`).
        restart: How long to wait before the next start, and when to give up.
        guard: What ends the children when we are gone.
    """

    def __init__(
        self,
        *,
        logs: Path,
        clock: Callable[[], float],
        restart: RetryPolicy = RESTART,
        guard: Guard = GUARD,
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._restart = restart
        self._guard = guard
        self._watched: dict[str, _Watched] = {}

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name, in the order of the first start; the dead ones are left out."""
        return {
            name: watched.child.pid
            for name, watched in self._watched.items()
            if watched.child.exit_code() is None
        }

    def start(self, program: Program) -> Child:
        """Start a program and look after it from now on."""
        child = Child(program, logs=self._logs, guard=self._guard)
        self._watched[program.name] = _Watched(child=child, started=self._clock())
        return child

    def poll(self) -> None:
        """Start again what died and is due; never waits.

        Raises:
            UnavailableError: A child keeps dying; the others go on.
        """
        for watched in self._watched.values():
            if watched.due is None:
                self._look(watched)
            elif self._clock() >= watched.due:
                self._start_again(watched)

    def stop(self, names: Collection[str] | None = None, *, grace: float) -> None:
        """End these children, or all: SIGTERM to each at once, after `grace` seconds SIGKILL.

        When the wait is interrupted, they are killed before the interruption goes on.
        """
        chosen = [name for name in self._watched if names is None or name in names]
        children = [self._watched.pop(name).child for name in chosen]
        try:
            for child in children:
                child.ask_to_end()
            deadline = self._clock() + grace
            for child in children:
                child.wait(max(0.0, deadline - self._clock()))
        finally:
            for child in children:
                child.kill()

    def _look(self, watched: _Watched) -> None:
        child, now = watched.child, self._clock()
        code = child.exit_code()
        if code is None:
            return
        child.kill()  # what it left behind would work beside its successor
        ran = now - watched.started
        watched.deaths = 1 if ran >= HEALTHY_AFTER else watched.deaths + 1
        if self._restart.gives_up_after(watched.deaths):
            raise UnavailableError(
                f"{child.program.name} keeps ending ({watched.deaths} times in a row, "
                f"{how_it_ended(code)}); {child.log} ends with: {child.last_words()}"
            )
        wait = self._restart.wait_after(watched.deaths, uniform=lambda low, _high: low)
        watched.due = now + wait
        logger.warning(
            "%s ended (%s), starts again in %.1f s", child.program.name, how_it_ended(code), wait
        )

    def _start_again(self, watched: _Watched) -> None:
        watched.child = Child(watched.child.program, logs=self._logs, guard=self._guard)
        watched.started, watched.due = self._clock(), None


def how_it_ended(code: int) -> str:
    """An exit code in words; -n stands for signal n."""
    if code >= 0:
        return f"exit code {code}"
    if -code in set(signal.Signals):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
