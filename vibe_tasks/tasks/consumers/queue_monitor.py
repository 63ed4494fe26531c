"""`QueueMonitor`: says at intervals how the queue stands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from vibe_tasks.errors import InputError
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.store.stats import QueueStats
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.consumers.job_queue import JobQueue

log = logging.getLogger(__name__)

SHOWN = ("pending", "processing", "blocked", "completed", "failed", "cancelled")
"""Statuses in the order of a line."""


class QueueMonitor:
    """Writes the queue's figures, by default to the log every 30 seconds. A context manager.

    Args:
        queue: The queue.
        interval: Seconds between two times.
        sink: Gets the lines; `print` for a terminal.
        clock: Epoch seconds.

    Raises:
        InputError: The interval is not above zero.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        interval: float = 30.0,
        sink: Callable[[str], object] = log.info,
        clock: Callable[[], float] = resources.wall_clock,
    ) -> None:
        if not interval > 0:
            raise InputError(f"interval must be above zero, got {interval}")
        self._queue = queue
        self._interval = interval
        self._sink = sink
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Write the figures now and at each interval, in the background."""
        self._thread = threading.Thread(target=self.run, name="queue-monitor", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Write no more."""
        self._stopped.set()
        if self._thread not in {None, threading.current_thread()}:
            self._thread.join()

    def run(self) -> None:
        """Write the figures until `stop` is called."""
        while True:
            self.print_stats()
            if self._stopped.wait(self._interval):
                return

    def print_stats(self) -> None:
        """Write the figures once; of a ledger that is away, that it is."""
        at = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        try:
            lines = lines_of(self._queue.stats())
        except DATABASE_ERRORS as error:
            lines = [f"the ledger is away: {reason(error)}"]
        for line in lines:
            self._sink(f"{at} {line}")


def lines_of(stats: QueueStats) -> list[str]:
    """The figures as lines: one for all lanes, one for each lane that has due jobs."""
    total = stats.by_status
    counts = ", ".join(f"{total[status]} {status}" for status in SHOWN)
    lines = [f"queue: {counts}; dead letters: {stats.dead_letters}"]
    for lane, seconds in sorted(stats.oldest_pending_seconds.items()):
        due = stats.lanes.get(lane, {}).get("pending", 0)
        lines.append(f"lane {lane}: {due} pending, the oldest for {seconds:.0f} s")
    return lines
