"""Trying a call of the ledger again when it failed by something that passes.

A call is tried three times, 100 ms and 200 ms apart with jitter, whatever is done (S7). How an
attempt ended is worth more, an agent may have worked on it for an hour: that is tried for minutes.

The loop is our own. stamina and tenacity cost 60 to 100 µs a call even where nothing fails, half
of what a claim takes; stamina can be switched off for a whole process by the code of a job; and
the second try must know that the first may have been done: where the connection was lost, so was
the answer, and a COMMIT may have happened all the same.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from vibe_tasks.retry import RetryPolicy

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How long a call is tried.

    Attributes:
        policy: Waits between two tries; its `max_retries` is the number of tries.
        seconds: Go on trying for so many seconds, however many tries that takes.
        full: Also wait for space on a full disk.
    """

    policy: RetryPolicy
    seconds: float = 0.0
    full: bool = False


_WAITS = RetryPolicy(max_retries=3, base=0.05, factor=2.0, cap=10.0, jitter=0.5)

CALL = Persistence(policy=_WAITS)
"""phase-1-sqlite-retry: three attempts, 100 ms doubling to 10 s."""

OUTCOME = Persistence(policy=_WAITS, seconds=300.0, full=True)
"""For how an attempt ended. A database that is restarted is back within a minute; who frees a full
disk needs longer. All the while the worker's heartbeat fails as well, and nobody can take the
attempt back."""

SQLITE_BUSY_CODES = frozenset({5, 6})
"""SQLITE_BUSY, SQLITE_LOCKED: https://sqlite.org/rescode.html."""

SQLITE_FULL_CODES = frozenset({13, 778, 1034, 1546, 4874})
"""SQLITE_FULL, and SQLITE_IOERR of a write, fsync, truncate and of the shared memory's size: what
a full disk or an exceeded quota makes of a write, by the place where it is noticed."""

POSTGRES_PASSING = frozenset({"40001", "40P01", "53300", "57P01", "57P02", "57P03"})
"""Serialization failure, deadlock, too many connections, admin shutdown, crash shutdown, cannot
connect now: https://www.postgresql.org/docs/current/errcodes-appendix.html."""

POSTGRES_FULL = "53100"

WINDOW = 100
"""Calls that the share of retried ones is taken from."""

FEWEST = 20
"""Calls before a share means anything."""

TOO_MANY = 0.2
"""Share of retried calls above which somebody should look (S7)."""

WARN_EVERY = 60.0
"""Seconds between two warnings of a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What happened in this process so far.

    Attributes:
        calls: Calls that have ended.
        retried: Those of them that took more than one try.
        failed: Those that failed by something that passes, at the last try too.
    """

    calls: int = 0
    retried: int = 0
    failed: int = 0


class Retries:
    """Tries calls again, and counts.

    Args:
        monotonic: Seconds that only grow.
        sleep: Waits so many seconds.
        uniform: Draws the jitter (`random.uniform`).
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._uniform = uniform
        self._lock = threading.Lock()
        self._counts = Counts()
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._warned: float | None = None

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        return self._counts

    def call(self, operation: Callable[[bool], Result], persistence: Persistence = CALL) -> Result:
        """Do this, again if need be.

        Args:
            operation: Gets whether an earlier try may have been done, its answer lost.
            persistence: How long to try.

        Raises:
            SQLAlchemyError: It fails by something that does not pass, or still does.
        """
        tries, unsure, began = 0, False, self._monotonic()
        while True:
            tries += 1
            try:
                result = operation(unsure)
            except SQLAlchemyError as error:
                gone = self._monotonic() - began
                last = persistence.policy.gives_up_after(tries) and gone >= persistence.seconds
                if last or not passes(error, full=persistence.full):
                    self._count(retried=tries > 1, failed=last)
                    raise
                unsure = unsure or is_unsure(error)
                wait = persistence.policy.wait_after(tries, uniform=self._uniform)
                log.info("ledger: try %d failed, next in %.2f s: %s", tries, wait, reason(error))
                self._sleep(wait)
            else:
                self._count(retried=tries > 1, failed=False)
                return result

    def _count(self, *, retried: bool, failed: bool) -> None:
        with self._lock:
            before = self._counts
            self._counts = Counts(
                calls=before.calls + 1,
                retried=before.retried + retried,
                failed=before.failed + failed,
            )
            self._recent.append(retried)
            share = sum(self._recent) / len(self._recent) if retried else 0.0
            if share <= TOO_MANY or len(self._recent) < FEWEST:
                return
            now = self._monotonic()
            if self._warned is not None and now - self._warned < WARN_EVERY:
                return
            self._warned = now
        log.warning("ledger: %.0f %% of the last calls needed a retry", share * 100)


def passes(error: SQLAlchemyError, *, full: bool = False) -> bool:
    """Whether the same call may work in a moment.

    Args:
        error: What it raised.
        full: Whether a full disk counts, which passes when somebody makes room.
    """
    if isinstance(error, PoolTimeoutError):
        return True  # all connections of the pool are in use
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        busy = code & 0xFF in SQLITE_BUSY_CODES
        return busy or (full and code in SQLITE_FULL_CODES)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in POSTGRES_PASSING or state[:2] == "08" or (full and state == POSTGRES_FULL)
    return is_unsure(error)


def is_unsure(error: SQLAlchemyError) -> bool:
    """Whether the connection broke, so that nobody knows whether the transaction was done."""
    if not isinstance(error, DBAPIError) or hasattr(error.orig, "sqlite_errorcode"):
        return False
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None


def reason(error: SQLAlchemyError) -> str:
    """What the database said, in one line."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0] if said else type(error).__name__
