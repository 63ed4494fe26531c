"""Circuit breakers that all processes share; what they decide is in `breaker`.

A call is admitted, made outside of any transaction, and settled. Each of these locks the breaker's
row first, so that two never decide upon the same figures; where a breaker was always closed and
nothing failed there is no row. Lock a plan and its jobs before a breaker.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.breaker import (
    Change,
    CircuitBreakerConfig,
    Standing,
    State,
    admission,
    after_try,
    opens,
)
from vibe_tasks.store.agent_tables import breaker_calls, breaker_trials, breakers
from vibe_tasks.store.breaker_list import Breaker, states
from vibe_tasks.store.engine import now
from vibe_tasks.store.redacting import kept_text

__all__ = ["Breaker", "Change", "admit", "close", "is_closed", "settle", "states", "trip"]

_B, _C, _T = breakers.c, breaker_calls.c, breaker_trials.c


def admit(
    connection: Connection, name: str, config: CircuitBreakerConfig, holder: str, lease: float
) -> float:
    """Ask to make a call: 0.0, or seconds until it is worth asking again.

    Who may call must `settle`. One who has the place of a try already keeps it: a job that lost its
    worker and comes back stands in nobody's way.

    Args:
        connection: A writing transaction.
        name: The breaker.
        config: Its rules.
        holder: Who calls, such as a job's id.
        lease: Seconds after which a try that has not ended counts as given up. Above zero.

    Raises:
        ValueError: `lease` is no such number.
    """
    if not (lease > 0 and isfinite(lease)):
        raise ValueError(f"lease must be above zero, got {lease}")
    found = _locked(connection, name, holder)
    if found is None:
        return 0.0  # nothing was ever counted
    at, moment = found
    allowed = admission(at, config, now=moment)
    if allowed.half_opens:
        _move(connection, name, State.HALF_OPEN)
    if allowed.tries:
        _take_place(connection, name, holder, lease)
    return allowed.wait


def settle(
    connection: Connection, name: str, config: CircuitBreakerConfig, holder: str, ok: bool | None
) -> Change | None:
    """A call has ended: whether that opened or closed the breaker.

    What was let through while the breaker was closed and ends when it no longer is says nothing
    about the other side as it is now, and is not counted.

    Args:
        connection: A writing transaction.
        name: The breaker.
        config: Its rules.
        holder: Who called, as in `admit`.
        ok: Whether it was good; None where it says nothing: a try's place is given back.
    """
    if ok is not None:
        _insert(connection, name)
    # A try that took longer than its lease has come to its end after all.
    found = _locked(connection, name, holder, late=True)
    if found is None:
        return None
    at, _ = found
    if at.own:
        connection.execute(delete(breaker_trials).where(_T.breaker == name, _T.holder == holder))
    if ok is None:
        return None
    if at.state is State.CLOSED:
        return _count(connection, name, config, ok=ok)
    if at.state is State.HALF_OPEN and at.own:
        return _end_try(connection, name, config, at, ok=ok)
    return None


def trip(connection: Connection, name: str, seconds: float, reason: str) -> Change | None:
    """Open the breaker for at least so long, as its other side asked for; whether that is new.

    Args:
        connection: A writing transaction.
        name: The breaker.
        seconds: From now. Zero or more.
        reason: Why, for people.

    Raises:
        ValueError: `seconds` is no time to wait.
    """
    if not (seconds >= 0 and isfinite(seconds)):
        raise ValueError(f"seconds must be zero or more, got {seconds}")
    _insert(connection, name)
    found = _locked(connection, name)
    if found is not None and found[0].state is State.OPEN:
        at, moment = found
        if moment + seconds > at.open_until:
            connection.execute(
                update(breakers)
                .where(_B.name == name)
                .values(open_until=moment + seconds, reason=kept_text(connection, reason))
            )
        return None
    _open(connection, name, seconds, reason)
    return "opened"


def is_closed(connection: Connection, name: str) -> bool:
    """Whether calls go through as ever: then there is no need to ask with a transaction."""
    state = connection.execute(select(_B.state).where(_B.name == name)).scalar()
    return state is None or state == State.CLOSED


def close(connection: Connection, name: str) -> bool:
    """Close the breaker by hand and forget its calls; whether it was not closed."""
    found = _locked(connection, name)
    if found is None or found[0].state is State.CLOSED:
        return False
    _close(connection, name)
    return True


def _insert(connection: Connection, name: str) -> None:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        kind.insert(breakers)
        .values(name=name, state=State.CLOSED, changed_at=now(), successes=0, times_opened=0)
        .on_conflict_do_nothing()
    )


def _locked(
    connection: Connection, name: str, holder: str = "", *, late: bool = False
) -> tuple[Standing, float] | None:
    """The breaker as this caller finds it, locked, and the database's clock.

    Args:
        connection: A writing transaction.
        name: The breaker.
        holder: The caller.
        late: Whether a try of the caller counts also when its lease has run out.
    """
    row = connection.execute(
        select(_B.state, _B.open_until, _B.successes, now().label("moment"))
        .where(_B.name == name)
        .with_for_update()
    ).first()
    if row is None:
        return None
    at = State(row.state)
    if at is not State.HALF_OPEN:
        return Standing(state=at, open_until=row.open_until or 0.0), row.moment
    found = connection.execute(select(_T.holder, _T.until).where(_T.breaker == name))
    trying = {each.holder: each.until > row.moment for each in found}
    return Standing(
        state=at,
        successes=row.successes,
        trials=sum(live for by, live in trying.items() if by != holder),
        own=holder in trying if late else trying.get(holder, False),
    ), row.moment


def _move(connection: Connection, name: str, to: State, **values: Any) -> None:
    """Into another state; who was trying in the one before has no say in it."""
    connection.execute(delete(breaker_trials).where(_T.breaker == name))
    connection.execute(
        update(breakers)
        .where(_B.name == name)
        .values({"state": to, "changed_at": now(), "successes": 0, "open_until": None} | values)
    )


def _open(connection: Connection, name: str, seconds: float, reason: str) -> None:
    _move(
        connection, name, State.OPEN, open_until=now() + seconds,
        times_opened=_B.times_opened + 1, reason=kept_text(connection, reason),
    )  # fmt: skip


def _close(connection: Connection, name: str) -> None:
    """What failed before would open it again at the next failure."""
    connection.execute(delete(breaker_calls).where(_C.breaker == name))
    _move(connection, name, State.CLOSED)


def _take_place(connection: Connection, name: str, holder: str, lease: float) -> None:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(delete(breaker_trials).where(_T.breaker == name, _T.until < now()))
    row = kind.insert(breaker_trials).values(breaker=name, holder=holder, until=now() + lease)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=[_T.breaker, _T.holder], set_={"until": row.excluded.until}
        )
    )


def _count(
    connection: Connection, name: str, config: CircuitBreakerConfig, *, ok: bool
) -> Change | None:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    slot = cast(now(), BigInteger)
    row = kind.insert(breaker_calls).values(breaker=name, slot=slot, calls=1, failures=int(not ok))
    connection.execute(
        row.on_conflict_do_update(
            index_elements=[_C.breaker, _C.slot],
            set_={"calls": _C.calls + 1, "failures": _C.failures + int(not ok)},
        )
    )
    old = slot - round(config.window_seconds)
    connection.execute(delete(breaker_calls).where(_C.breaker == name, _C.slot <= old))
    if ok:
        return None
    counted = select(func.sum(_C.calls), func.sum(_C.failures)).where(_C.breaker == name)
    calls, failures = connection.execute(counted).one()
    if not opens(config, calls=int(calls), failures=int(failures)):
        return None
    reason = f"{failures} of the last {calls} calls failed"
    _open(connection, name, config.timeout_seconds, reason)
    return "opened"


def _end_try(
    connection: Connection, name: str, config: CircuitBreakerConfig, at: Standing, *, ok: bool
) -> Change | None:
    change = after_try(at, config, ok=ok)
    if change == "opened":
        _open(connection, name, config.timeout_seconds, "a try failed")
    elif change == "closed":
        _close(connection, name)
    else:
        connection.execute(
            update(breakers).where(_B.name == name).values(successes=_B.successes + 1)
        )
    return change
