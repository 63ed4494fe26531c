"""Vacuuming an SQLite ledger once a day between other work, a few slices at a time.

Where beat runs, its entry `vibe.vacuum` does it; the dispatcher of the embedded stack, which has no
beat, takes its turns between two looks. Who was first that day is written in the ledger. On a
server autovacuum does the work, and a dispatcher shall not wait for a table.
"""

from __future__ import annotations

from collections.abc import Callable

from vibe_tasks.store.engine import Database
from vibe_tasks.store.vacuum import Vacuumed, is_due, vacuum

DAILY = 86_000.0
"""Seconds after which it is a day's turn again; a little less than a day, so that it does not
become an hour later each day where an hourly tick brings it."""

LOOK_EVERY = 600.0
"""Seconds between two looks whether it is time."""

FIRST_LOOK = 30.0
"""Seconds before the first: a stack that only ever runs for minutes has its turns too."""


class VacuumTurns:
    """Turns between other work.

    Args:
        ledger: The ledger.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
        look_every: Seconds between two looks whether it is time.
        most: Slices in one turn.
    """

    def __init__(
        self,
        ledger: Database,
        *,
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
        look_every: float = LOOK_EVERY,
        most: int = 4,
    ) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._pause = pause
        self._look_every = look_every
        self._most = most
        self._under_way = False
        self._due = monotonic() + min(look_every, FIRST_LOOK)

    def take(self) -> Vacuumed | None:
        """Give back a little if it is time; None where it is not."""
        if not self._ledger.is_sqlite or self._monotonic() < self._due:
            return None
        # What breaks here shall not be tried again at once.
        self._due = self._monotonic() + self._look_every
        if not self._under_way and not is_due(self._ledger, every=DAILY):
            return None
        self._under_way = False
        done = vacuum(self._ledger, monotonic=self._monotonic, pause=self._pause, most=self._most)
        if done.more:
            self._under_way, self._due = True, self._monotonic()
        return done
