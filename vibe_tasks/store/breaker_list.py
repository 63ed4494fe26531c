"""Circuit breakers as people see them: how each stands at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, func, select

from vibe_tasks.breaker import LONGEST_WINDOW, State
from vibe_tasks.store.agent_tables import breaker_calls, breaker_trials, breakers
from vibe_tasks.store.engine import now

_B, _C, _T = breakers.c, breaker_calls.c, breaker_trials.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A breaker at this moment.

    Attributes:
        name: What it stands before.
        state: Where it stands. An open one whose wait is over is half open.
        wait: Seconds until a few calls may try; 0.0 unless it is open and they may not yet.
        changed_at: Since when it is in this state, in epoch seconds.
        reason: Why it opened; None where it never did.
        times_opened: How often it opened, tries that failed included.
        successes: While half open: tries in a row that were good.
        trials: Tries under way.
        calls: Calls of the window that have ended, tries left out.
        failures: Those of them that failed.
    """

    name: str
    state: State = State.CLOSED
    wait: float = 0.0
    changed_at: float | None = None
    reason: str | None = None
    times_opened: int = 0
    successes: int = 0
    trials: int = 0
    calls: int = 0
    failures: int = 0

    @property
    def error_rate(self) -> float:
        """Failed calls as a percentage of those in the window, from 0 to 100."""
        return round(100 * self.failures / self.calls, 2) if self.calls else 0.0


def states(
    connection: Connection, *, name: str | None = None, window: float = LONGEST_WINDOW
) -> tuple[Breaker, ...]:
    """All breakers that ever counted a call, by name, or the one of this name.

    Args:
        connection: A connection.
        name: Only this one.
        window: Count the calls of so many seconds; more than the breaker's own are not kept.
    """
    since = cast(now(), BigInteger) - round(window)
    counted = (
        select(
            _C.breaker,
            func.sum(_C.calls).label("calls"),
            func.sum(_C.failures).label("failures"),
        )
        .where(_C.slot > since)
        .group_by(_C.breaker)
        .subquery()
    )
    trying = (
        select(_T.breaker, func.count().label("trials"))
        .where(_T.until > now())
        .group_by(_T.breaker)
        .subquery()
    )
    statement = (
        select(
            breakers, now().label("moment"), counted.c.calls, counted.c.failures, trying.c.trials
        )
        .outerjoin(counted, counted.c.breaker == _B.name)
        .outerjoin(trying, trying.c.breaker == _B.name)
        .order_by(_B.name)
    )
    if name is not None:
        statement = statement.where(_B.name == name)
    return tuple(_breaker(row) for row in connection.execute(statement).mappings())


def _breaker(row: Any) -> Breaker:
    state, wait = State(row["state"]), 0.0
    if state is State.OPEN:
        wait = max(0.0, row["open_until"] - row["moment"])
        state = State.OPEN if wait else State.HALF_OPEN  # which is written at the next call
    return Breaker(
        name=row["name"],
        state=state,
        wait=wait,
        changed_at=row["changed_at"],
        reason=row["reason"],
        times_opened=row["times_opened"],
        successes=row["successes"],
        trials=row["trials"] or 0,
        calls=int(row["calls"] or 0),
        failures=int(row["failures"] or 0),
    )
