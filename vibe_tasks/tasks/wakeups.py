"""One wait for everything that a consumer waits for.

Notifications come from PostgreSQL, or for a ledger on SQLite through the broker. They are hints:
a wait also ends when it is time to look again, because one may have been missed, because the
connection was just made anew, or because a job is due. So a consumer needs one loop,
`Wakeups.look_until`, and finds its work as well where neither server notifies anybody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from vibe_tasks.errors import UnavailableError
from vibe_tasks.store import outbox
from vibe_tasks.store.engine import Database
from vibe_tasks.store.listening import LONGEST_NAME, NEW_JOB, Listener, Notification
from vibe_tasks.tasks import notices, resources

log = logging.getLogger(__name__)

KEPT = 10_000
"""Notifications that are kept for waits which have not yet seen them."""

FIRST_REST, LONGEST_REST = 0.1, 10.0
"""Seconds between two tries to connect; they double."""

SLICE = 10.0
"""Seconds after which a receiver looks whether its connection still lives."""

CLOSING = 2.0
"""Seconds that `close` waits for the receiver."""

Found = TypeVar("Found")


class Source(Protocol):
    """Where notifications come from; one connection."""

    def receive(self, timeout: float) -> Sequence[Notification]:
        """What has come; raises `UnavailableError` where the connection is lost."""
        ...

    def close(self) -> None:
        """End it, from any thread."""
        ...


def source_of(database: Database, broker_url: str) -> Callable[[], Source] | None:
    """What connects to the notifications of this ledger; None where nothing sends any."""
    if not database.is_sqlite:
        return lambda: Listener(database)
    if broker_url.startswith("memory:"):
        return None
    patience = resources.settings().publish_timeout
    return lambda: notices.Subscription(
        database, lambda: notices.connect_to(broker_url, patience=patience)
    )


class Wakeups:
    """Waits for jobs of lanes, for changes of jobs, or for both. Any number of threads may wait.

    The connection is made in the background when the object is entered, and made again whenever
    it is lost; nobody waits for it.

    Args:
        database: The ledger.
        connect: Makes a source of notifications; None: there are none, only polling.
        poll: Seconds between two looks without a notification.
        settle: Seconds after a new connection when to look once more, as those who tell may only
            then have learnt that somebody listens.
    """

    def __init__(
        self,
        database: Database,
        connect: Callable[[], Source] | None,
        *,
        poll: float,
        settle: float = notices.DEAF,
    ) -> None:
        self._database = database
        self._connect = connect
        self._poll = poll
        self._settle = settle
        self._news = threading.Condition()
        self._recent: deque[tuple[int, Notification | None]] = deque(maxlen=KEPT)
        self._number = 0
        self._settled_at = 0.0
        self._source: Source | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of_settings(cls, database: Database) -> Wakeups:
        """As this process's settings have it."""
        settings = resources.settings()
        connect = source_of(database, resources.broker_url())
        return cls(database, connect, poll=settings.poll_seconds)

    def __enter__(self) -> Self:
        if self._connect is not None:
            self._thread = threading.Thread(
                target=self._receive, args=(self._connect,), name="wake-ups", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; every wait ends."""
        self._closed.set()
        self.wake()
        source = self._source
        if source is not None:
            source.close()
        if self._thread is not None:
            self._thread.join(CLOSING)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    @property
    def listening(self) -> bool:
        """Whether notifications come in; else polling finds what there is."""
        return self._source is not None

    # --- waiting ---

    def mark(self) -> int:
        """Take it before you look at the ledger: `wait` then misses nothing that came since."""
        return self._number

    def wake(self) -> None:
        """End every wait now."""
        self._add([None])

    def wait(
        self,
        since: int,
        *,
        lanes: Collection[str] = (),
        jobs: Collection[str] = (),
        timeout: float | None = None,
    ) -> bool:
        """Wait until it is time to look at the ledger; whether a notification said so.

        Args:
            since: A mark; what came after it counts.
            lanes: A new job in one of these ends the wait.
            jobs: A change of the status of one of these ends it.
            timeout: Seconds at most, beside `poll_seconds`.
        """
        lanes = {lane[:LONGEST_NAME] for lane in lanes}
        jobs = {job[:LONGEST_NAME] for job in jobs}
        now = resources.monotonic()
        end = now + (self._poll if timeout is None else max(0.0, min(timeout, self._poll)))
        with self._news:
            while not self._closed.is_set():
                if self._concerns(since, lanes, jobs):
                    return True
                since = self._number
                until = end
                if now < self._settled_at:
                    until = min(end, self._settled_at)
                if not self._news.wait(until - now):
                    return False
                now = resources.monotonic()
            return True

    def look_until(
        self,
        look: Callable[[], Found | None],
        *,
        lanes: Collection[str] = (),
        jobs: Collection[str] = (),
        timeout: float | None = None,
    ) -> Found | None:
        """Look until there is something; None when the time is over or the wait was closed.

        Args:
            look: One look at the ledger; None where there is nothing yet.
            lanes: Look again when there is a new job in one of these, or one becomes due.
            jobs: Look again when the status of one of these changes.
            timeout: Seconds at most; None: no limit.
        """
        end = None if timeout is None else resources.monotonic() + timeout
        while True:
            mark = self.mark()
            found = look()
            if found is not None or self._closed.is_set():
                return found
            left = None if end is None else end - resources.monotonic()
            if left is not None and left <= 0:
                return None
            due = self.seconds_to_due(lanes)
            waits = [seconds for seconds in (left, due) if seconds is not None]
            self.wait(mark, lanes=lanes, jobs=jobs, timeout=min(waits, default=None))

    def seconds_to_due(self, lanes: Collection[str]) -> float | None:
        """Seconds until the next waiting job of these lanes is due; None without one."""
        if not lanes:
            return None
        with self._database.read() as connection:
            seconds = outbox.seconds_to_next(connection, lanes=lanes)
        return None if seconds is None else max(0.01, seconds)

    def _concerns(self, since: int, lanes: Collection[str], jobs: Collection[str]) -> bool:
        if self._recent and self._recent[0][0] > since + 1:
            return True  # more has come than is kept
        for number, each in reversed(self._recent):
            if number <= since:
                return False
            if each is None:
                return True
            if each.lane in lanes if each.channel == NEW_JOB else each.job_id in jobs:
                return True
        return False

    def since(self, mark: int) -> tuple[list[Notification], int]:
        """Wait for news; every notification since the mark, in order, and the next mark.

        What is more than `KEPT` behind is missing. Empty when there is nothing to report yet.
        """
        with self._news:
            if self._number == mark and not self._closed.is_set():
                self._news.wait(self._poll)
            new = [each for number, each in self._recent if number > mark and each is not None]
            return new, self._number

    # --- receiving ---

    def _receive(self, connect: Callable[[], Source]) -> None:
        rest = FIRST_REST
        while not self._closed.is_set():
            try:
                self._source = connect()
                log.debug("notifications come in")
                rest = FIRST_REST
                self._settled_at = resources.monotonic() + self._settle
                self.wake()  # whatever came while nobody listened
                while not self._closed.is_set():
                    self._add(self._source.receive(SLICE))
            except UnavailableError as error:
                log.log(
                    logging.DEBUG if self._closed.is_set() else logging.INFO,
                    "no notifications, looking every %.0f s: %s", self._poll, error,
                )  # fmt: skip
            except Exception:  # the thread's edge: whatever it is, polling alone is not enough
                log.exception("no notifications, looking every %.0f s", self._poll)
            finally:
                source, self._source = self._source, None
                if source is not None:
                    source.close()
            self._closed.wait(rest)
            rest = min(LONGEST_REST, 2 * rest)

    def _add(self, notifications: Sequence[Notification | None]) -> None:
        if not notifications:
            return
        with self._news:
            for each in notifications:
                self._number += 1
                self._recent.append((self._number, each))
            self._news.notify_all()
