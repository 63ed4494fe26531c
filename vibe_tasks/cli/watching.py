"""Following a plan to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.cli.program import program
from vibe_tasks.errors import UnavailableError
from vibe_tasks.flow.views.asking import asked, only_people
from vibe_tasks.flow.views.lacking import lacking
from vibe_tasks.store import watching, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

LOOK = 0.15
"""Seconds between two looks at the plan."""

CALM = 5.0
"""Times that a look took, between two looks: a plan of thousands of tasks must not be slowed down
by who watches it."""

OUTAGE = 60.0
"""Seconds that the ledger may be away before we give up; the work itself does not need us."""

UNSERVED = 5.0
"""Seconds between two looks whether a lane is without a worker."""

STARTING = 15.0
"""Seconds that our own worker, or another that was started with us, may take to come: until then a
lane without a worker is no news."""


class View(Protocol):
    """What shows a plan's progress."""

    def look(self, ledger: Database) -> None:
        """Read what is new and show it."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def ask(self, text: str) -> None:
        """Show what a person has to do, whatever else is left unsaid."""


def watch(
    ledger: Database,
    plan_id: str,
    name: str,
    *,
    view: View,
    poll: Callable[[], None],
    interruption: Interruption,
    start: str | None = None,
) -> None:
    """Return when the plan has ended.

    Args:
        ledger: The ledger.
        plan_id: The plan.
        name: Its name, for hints.
        view: Shows its progress.
        poll: Called at each look; keeps the stack running.
        interruption: Ends the wait.
        start: The command that starts its worker, where that is ours.

    Raises:
        KeyboardInterrupt: Somebody stopped us.
        UnavailableError: The ledger stayed away, or the stack cannot be kept running.
    """
    hints = Hints(ledger, plan_id, name, view, start=start)
    away_since: float | None = None
    while True:
        interruption.obey()
        poll()
        began = resources.monotonic()
        try:
            with storage_trouble():
                if hints.ended():
                    return
            away_since = None
        except UnavailableError as error:
            if away_since is None:
                away_since = resources.monotonic()
                view.say(f"{error}; trying again")
            if resources.monotonic() - away_since > OUTAGE:
                raise
        took = resources.monotonic() - began
        resources.pause(max(LOOK, CALM * took))


class Hints:
    """One look at a plan, and what a person should know about its waiting.

    Args:
        ledger: The ledger.
        plan_id: The plan.
        name: Its name.
        view: Shows its progress and says the hints, each once.
        start: The command that starts its worker, where that is ours.
    """

    def __init__(
        self, ledger: Database, plan_id: str, name: str, view: View, *, start: str | None = None
    ) -> None:
        self._ledger = ledger
        self._plan_id = plan_id
        self._name = name
        self._view = view
        self._start = start
        self._lacking: tuple[str, ...] = ()
        self._asked: tuple[str, ...] = ()
        self._live: Mapping[tuple[str, str], int] | None = None
        self._lanes_at = resources.monotonic() + STARTING
        self._unserved: frozenset[str] = frozenset()

    def ended(self) -> bool:
        """Look once; whether the plan has ended."""
        with self._ledger.read() as connection:
            status, live = watching.plan_standing(connection, self._plan_id)
        self._view.look(self._ledger)
        if status != "running":
            return True
        due = resources.monotonic() >= self._lanes_at
        if live != self._live or due:
            self._look_for_asking(live)
        if due:
            self._lanes_at = resources.monotonic() + UNSERVED
            self._look_at_lanes()
            self._look_for_labels()
        return False

    def _look_for_asking(self, live: Mapping[tuple[str, str], int]) -> None:
        """Say what waits for a person: when nothing else is left to do, and where we begin."""
        asking: tuple[str, ...] = ()
        if self._live is None or only_people(live):
            with self._ledger.read() as connection:
                asking = asked(connection, self._plan_id, self._name, program=program())
        for line in asking:
            if line not in self._asked:
                self._view.ask(line)
        self._asked, self._live = asking, live

    def _look_at_lanes(self) -> None:
        lease = resources.settings().lease_seconds
        with self._ledger.read() as connection:
            needed = watching.lanes_in_need(connection, self._plan_id)
            served = {
                row["lane"]
                for row in workers.list_workers(connection)
                if row["status"] == "online" and row["age"] <= lease
            }
        unserved = needed - served
        for lane in sorted(unserved - self._unserved):
            self._view.say(f"no worker serves lane {lane}; its jobs wait")
        self._unserved = unserved

    def _look_for_labels(self) -> None:
        """Say what a person has to start: such jobs wait for ever."""
        with self._ledger.read() as connection:
            found = lacking(
                connection, self._plan_id, settings=resources.settings(), start=self._start
            )
        for line in found:
            if line not in self._lacking:
                self._view.ask(f"jobs wait: {line}")
        self._lacking = found
