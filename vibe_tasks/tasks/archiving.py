"""Archiving where there is no beat: the embedded stack's dispatcher does it between two looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vibe_tasks.flow import archiving
from vibe_tasks.retention import keeping
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database

EVERY = 60.0
"""Seconds between two passes."""

FILES_EVERY = 3_600.0
"""Seconds between two looks at the files of attempts, which are one by one."""

FIRST = 30.0
"""Seconds before the first one: what a start has to do comes first, and a run may be short."""

MOST_FOLDERS = 200
"""Of attempts' files that one turn deletes: meanwhile nothing is sent and no lease taken back."""

BATCHES = 3
"""Of one turn, so that what is due is sent in time."""


class ArchivingTurns:
    """Turns between other work: a pass is taken up where the last turn left it.

    Args:
        ledger: The ledger.
        settings: The settings of this process.
        home: This host's.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
    """

    def __init__(
        self, ledger: Database, settings: Settings, *, home: Path,
        monotonic: Callable[[], float], pause: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._home = home
        self._days = settings.attempts_days
        self._monotonic = monotonic
        self._turns = archiving.Turns(ledger, keeping(settings), monotonic=monotonic, pause=pause)
        self._due = self._files_due = monotonic() + FIRST

    def take(self) -> bool:
        """Do a little if it is time; whether it was."""
        if self._monotonic() < self._due:
            return False
        # What breaks here shall not be tried again at once.
        self._due = self._monotonic() + EVERY
        if self._turns.take(BATCHES):
            self._due = self._monotonic()
        elif self._monotonic() >= self._files_due:
            self._files_due = self._monotonic() + FILES_EVERY
            gone = archiving.remove_old_attempts(
                self._ledger, self._home, self._days, most=MOST_FOLDERS
            )
            if gone >= MOST_FOLDERS:  # the next pass goes on
                self._files_due = self._due
        return True
