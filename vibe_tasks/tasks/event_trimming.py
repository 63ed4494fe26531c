"""Deleting the events and jobs' logs that the ledger does not keep, a few at a time.

Where beat runs, its entries `vibe.trim_events` and `vibe.trim_job_logs` do it; the dispatcher of
the embedded stack, which has no beat, takes its turns between two looks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vibe_tasks.settings import Settings
from vibe_tasks.store import audit, job_logs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_retention import Trimmed, trim
from vibe_tasks.store.event_rules import effective
from vibe_tasks.tasks import resources

EVERY = 60.0
"""Seconds between two looks for what is to be deleted."""

BREATH = 0.01
"""Seconds between two batches: SQLite gives the next turn to whoever asks at that moment."""


def trim_events(
    ledger: Database, settings: Settings, *, pause: Callable[[float], None], most: int
) -> Trimmed:
    """Delete what the rules in force do not keep.

    Args:
        ledger: The ledger.
        settings: What holds where no rule was set at run time.
        pause: Waits so many seconds.
        most: Batches at most.
    """
    with ledger.read() as connection:
        rules = effective(connection, settings)
    return trim(ledger, rules, pause=partial(pause, BREATH), most=most)


class TrimmingTurns:
    """Turns between other work; a minute after the last one, at once where more was left.

    Args:
        ledger: The ledger.
        settings: The settings of this process.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
        every: Seconds between two looks.
        most: Batches in one turn.
    """

    def __init__(
        self,
        ledger: Database,
        settings: Settings,
        *,
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
        every: float = EVERY,
        most: int = 4,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._monotonic = monotonic
        self._pause = pause
        self._every = every
        self._most = most
        self._due = monotonic() + every

    def take(self) -> Trimmed | None:
        """Delete a little if it is time; None where it is not."""
        if self._monotonic() < self._due:
            return None
        # What breaks here shall not be tried again at once.
        self._due = self._monotonic() + self._every
        done = trim_events(self._ledger, self._settings, pause=self._pause, most=self._most)
        days, pause = self._settings.job_log_days, partial(self._pause, BREATH)
        job_logs.trim(self._ledger, days, pause=pause, most=self._most)
        audit.trim(
            self._ledger, self._settings.audit_days, resources.person("upkeep"), most=self._most
        )
        if done.more:
            self._due = self._monotonic()
        return done
