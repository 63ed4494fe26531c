"""Several server processes on one socket, and one that looks after them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import SpawnProcess

from vibe_tasks.errors import UnavailableError
from vibe_tasks.retry import RetryPolicy

RESTART = RetryPolicy(max_retries=5, base=0.25, factor=2.0, cap=5.0, jitter=0.0)
"""Waits of 0.5, 1, 2 and 4 s before one that died is started again; the fifth death in a row is
the last."""

HEALTHY_AFTER = 30.0
"""Seconds; the deaths of one that ran longer are not counted as deaths in a row."""

KILL_SECONDS = 5.0

log = logging.getLogger(__name__)

# A fork would take over what the parent has open: the ledger's file, locks, threads.
_spawn = get_context("spawn")

Target = Callable[[socket.socket], None]


@dataclass(slots=True, kw_only=True)
class _Kept:
    """One process and how it fares.

    Attributes:
        process: Its latest start.
        started: When that was.
        deaths: Deaths in a row.
        due: When to start it again; None while it runs.
    """

    process: SpawnProcess
    started: float
    deaths: int = 0
    due: float | None = None


class Processes:
    """The processes of one server.

    Args:
        target: What each runs, with the socket; a function of a module.
        listening: The open socket that they share.
        count: How many.
        clock: Seconds on a clock that never goes back.
        restart: How long to wait before the next start, and when to give up.
    """

    def __init__(
        self, target: Target, listening: socket.socket, *, count: int, clock: Callable[[], float],
        restart: RetryPolicy = RESTART,
    ) -> None:  # fmt: skip
        self._target = target
        self._listening = listening
        self._count = count
        self._clock = clock
        self._restart = restart
        self._kept: list[_Kept] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of those that run."""
        found = (each.process.pid for each in self._kept if each.process.is_alive())
        return tuple(pid for pid in found if pid is not None)

    def start(self) -> None:
        """Start them all."""
        for _ in range(self._count):
            self._kept.append(_Kept(process=self._new(), started=self._clock()))

    def poll(self) -> None:
        """Start again what died and is due; never waits. Call it a few times a second.

        Raises:
            UnavailableError: One keeps dying.
        """
        now = self._clock()
        for each in self._kept:
            if each.due is not None:
                if now >= each.due:
                    each.process, each.started, each.due = self._new(), now, None
            elif not each.process.is_alive():
                self._bury(each, now)

    def stop(self, *, grace: float) -> None:
        """End them all: SIGTERM at once, after `grace` seconds SIGKILL."""
        running = [each.process for each in self._kept if each.process.is_alive()]
        self._kept.clear()
        for process in running:
            process.terminate()
        end = self._clock() + grace
        for process in running:
            process.join(max(0.0, end - self._clock()))
            if process.is_alive():
                process.kill()
                process.join(KILL_SECONDS)

    def _new(self) -> SpawnProcess:
        process = _spawn.Process(target=self._target, args=(self._listening,), daemon=True)
        process.start()
        return process

    def _bury(self, each: _Kept, now: float) -> None:
        code = each.process.exitcode
        each.deaths = 1 if now - each.started >= HEALTHY_AFTER else each.deaths + 1
        if self._restart.gives_up_after(each.deaths):
            raise UnavailableError(
                f"a web process keeps ending ({each.deaths} times in a row, exit code {code})"
            )
        wait = self._restart.wait_after(each.deaths, uniform=lambda low, _high: low)
        each.due = now + wait
        log.warning("a web process ended (exit code %s), starts again in %.1f s", code, wait)


def end_with_parent(end: Callable[[], None]) -> None:
    """Call this when the process that started us is gone, however that came about."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        end()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
