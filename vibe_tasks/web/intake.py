"""Events on their way into the ledger: a bounded queue and one writer that commits in groups.

A commit costs the same for one event as for hundreds, so whatever waits is written together.
Between two commits the writer leaves a pause: on SQLite, claims take the file's lock then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vibe_tasks.errors import UnavailableError
from vibe_tasks.protocol import NewEvent
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.event_rules import CurrentRules
from vibe_tasks.store.events import take_in
from vibe_tasks.store.retries import passes
from vibe_tasks.tasks import resources
from vibe_tasks.web.hub import Hub

log = logging.getLogger(__name__)

Rows: TypeAlias = tuple[Mapping[str, Any], ...]
"""Events as the ledger has them, in the order in which they were given."""

MOST_AT_ONCE = 256
MOST_BYTES_AT_ONCE = 1_000_000
"""How much one commit takes; what is longer by itself has one of its own."""

MOST_WAITING = 10_000
MOST_BYTES_WAITING = 64_000_000
"""How much may wait; more is refused, and whoever sent it tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How events are written in groups: the more comes in, the more is written together.

    Attributes:
        most: Events of one commit; those that came in one call stay together. Where four times as
            many wait, it takes MOST_AT_ONCE: then all that comes has to be written in time.
        for_one: Seconds of the pause after a commit, for each event in it.
        shortest: Seconds of a pause at least, and while more waits than one commit takes.
        longest: Seconds of a pause at most.
    """

    most: int
    for_one: float
    shortest: float
    longest: float

    def take(self, waiting: int) -> int:
        """Events of the next commit at most, where so many wait."""
        return self.most if waiting <= 4 * self.most else MOST_AT_ONCE

    def pause(self, written: int, waiting: int) -> float:
        """Seconds to leave to others.

        Args:
            written: Events of the last commit.
            waiting: Events that wait for the next.
        """
        if waiting > self.most:
            return self.shortest
        return min(max(self.shortest, self.for_one * written), self.longest)


ON_FILE = Pace(most=64, for_one=0.0005, shortest=0.004, longest=0.025)
"""On SQLite claims wait for the lock: a commit of fifty events holds it for two milliseconds. Who
finds it taken looks again after 1, 2, 5 and 10 ms, so that one of 10 ms would cost a claim 18, and
many small ones cost as many claims a whole millisecond."""

ON_SERVER = Pace(most=MOST_AT_ONCE, for_one=0.001, shortest=0.005, longest=0.02)
"""On PostgreSQL nobody waits for it: fewer commits cost less."""


class IntakeFullError(Exception):
    """So much waits to be written that no more is taken; nothing of this call was."""


@dataclass(frozen=True, slots=True)
class _Entry:
    events: Sequence[NewEvent]
    size: int
    stored: Future[Rows] = field(default_factory=Future)


class Intake:
    """Takes events from any thread and writes them in the order in which they came.

    Args:
        store: Writes events in one transaction; rows in the same order.
        stored: Called by the writer after each commit.
        pace: How many events a commit takes, and what others are left between two.
    """

    def __init__(
        self,
        store: Callable[[Sequence[NewEvent]], Rows],
        *,
        stored: Callable[[], None] = lambda: None,
        pace: Pace = ON_FILE,
    ) -> None:
        self._store = store
        self.pace = pace
        self._stored = stored
        self._waiting: deque[_Entry] = deque()
        self._events = 0
        self._size = 0
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._writer: threading.Thread | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._writer = threading.Thread(target=self._run, name="event writer", daemon=True)
        self._writer.start()

    async def stop(self) -> None:
        """Write what still waits, then end."""
        with self._changed:
            self._ending.set()
            self._changed.notify()
        if self._writer is not None:
            await asyncio.to_thread(self._writer.join)

    def put(self, events: Sequence[NewEvent], *, size: int) -> Future[Rows]:
        """Take these in, in this order and in one transaction.

        Args:
            events: At least one.
            size: The bytes that they came in.

        Returns:
            What is set once they are in the ledger: the rows, or UnavailableError where the
            ledger is away, or ValueError for events that it does not take.

        Raises:
            IntakeFullError: Too much waits.
        """
        entry = _Entry(events, size)
        entry.stored.set_running_or_notify_cancel()  # who gives up waiting takes nothing back
        with self._changed:
            if self._ending.is_set():
                raise IntakeFullError("the server is about to end; try again in a moment")
            if self._waiting and (
                self._events + len(events) > MOST_WAITING or self._size + size > MOST_BYTES_WAITING
            ):
                raise IntakeFullError("too many events wait to be written; try again in a moment")
            self._waiting.append(entry)
            self._events += len(events)
            self._size += size
            self._changed.notify()
        return entry.stored

    def _run(self) -> None:
        while group := self._next():
            self._write(group)
            written = sum(len(entry.events) for entry in group)
            self._ending.wait(self.pace.pause(written, self._events))

    def _next(self) -> list[_Entry]:
        """What is written together; waits for it. Empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending.is_set())
            group: list[_Entry] = []
            events = size = 0
            most = self.pace.take(self._events)
            while self._waiting:
                entry = self._waiting[0]
                events += len(entry.events)
                size += entry.size
                if group and (events > most or size > MOST_BYTES_AT_ONCE):
                    break
                group.append(self._waiting.popleft())
                self._events -= len(entry.events)
                self._size -= entry.size
            return group

    def _write(self, group: Sequence[_Entry]) -> None:
        try:
            rows = self._store([event for entry in group for event in entry.events])
        except BaseException as error:  # noqa: BLE001  whoever sent it hears; the writer goes on
            self._fail(group, error)
            return
        self._stored()
        for entry in group:
            entry.stored.set_result(rows[: len(entry.events)])
            rows = rows[len(entry.events) :]

    def _fail(self, group: Sequence[_Entry], error: BaseException) -> None:
        if isinstance(error, UnavailableError):
            for entry in group:
                entry.stored.set_exception(error)
        elif len(group) > 1:  # one of them is bad: the others shall not suffer
            for entry in group:
                self._write([entry])
        else:
            log.error("events that the ledger does not take", exc_info=error)
            # What is wrong with the ledger is not the sender's fault.
            kind = UnavailableError if isinstance(error, DATABASE_ERRORS) else ValueError
            refused = kind(f"the ledger does not take it: {type(error).__name__}")
            group[0].stored.set_exception(refused)


def open_intake(settings: Settings, ledger: Database, hub: Hub) -> Intake:
    """The intake of this process; what it stored, the hub's clients see at once."""
    rules = CurrentRules(ledger, settings, monotonic=resources.monotonic)

    def write(events: Sequence[NewEvent], *, unsure: bool) -> Rows:
        if unsure:  # they may be in the ledger: only who sent them knows whether twice is worse
            raise UnavailableError("the connection to the ledger was lost while it wrote")
        return take_in(ledger, events, rules.get())

    def store(events: Sequence[NewEvent]) -> Rows:
        try:
            return resources.retries.call(lambda unsure: write(events, unsure=unsure))
        except DATABASE_ERRORS as error:
            if passes(error, full=True):
                raise UnavailableError("the ledger is away") from error
            raise

    pace = ON_FILE if ledger.is_sqlite else ON_SERVER
    return Intake(store, stored=hub.nudge, pace=pace)
