"""Lanes that somebody governs: paused, or limited in how many jobs run at once or start in a time.

Only such lanes have a row. Whoever claims a job of one locks that row first, so that a limit holds
for all workers of all hosts together. A row that says nothing any more is removed, and the lane's
jobs are claimed in one statement again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.jobs import JobStatus
from vibe_tasks.rate import burst, refilled, seconds_to_token, whole_tokens
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs, lanes
from vibe_tasks.store.statement import Statement

_J, _L = jobs.c, lanes.c
_OF = bindparam("of", type_=_L.lane.type)
_RULES = (
    _L.paused_at, _L.concurrency_limit, _L.rate_limit, _L.tokens, _L.tokens_at,
    now().label("looked_at"),
)  # fmt: skip
_ROW = Statement(select(*_RULES).where(_L.lane == _OF))
_ROW_LOCKED = Statement(select(*_RULES).where(_L.lane == _OF).with_for_update())
# A statement of its own: one that has waited for a lock does not see what the others have written.
_RUNNING = Statement(
    select(func.count(literal_column("*"))).where(
        has_status(JobStatus.PROCESSING), _J.lane == bindparam("of", type_=_J.lane.type)
    )
)
_SPEND = Statement(
    update(lanes)
    .where(_L.lane == _OF)
    .values(
        tokens=bindparam("left", type_=_L.tokens.type),
        tokens_at=bindparam("at", type_=_L.tokens.type),
    )
)
_SAYS_NOTHING = and_(
    _L.paused_at.is_(None), _L.concurrency_limit.is_(None), _L.rate_limit.is_(None)
)

MANY = 1_000_000_000
"""Starts of a lane without a limit."""

CLOCK_SET_BACK = 1.0
"""Seconds by which a bucket may be ahead of the clock before that can only be the clock's doing."""


class Keep(Enum):
    """The one value that leaves a limit as it is; None takes it away."""

    AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a governed lane allows at one moment.

    Attributes:
        starts: How many more jobs may start now.
        why_none: Why none may: `paused`, `limit` or `rate`; None where one may.
        wait: Seconds until the next token, where the rate is what is in the way.
        tokens: Tokens in its bucket; None without a rate.
        at: When the bucket was looked at, in the database's epoch seconds.
    """

    starts: int
    why_none: str | None = None
    wait: float | None = None
    tokens: float | None = None
    at: float = 0.0


def room(connection: Connection, lane: str, *, lock: bool = False) -> Room | None:
    """What this lane allows; None where nobody governs it.

    Args:
        connection: A connection; for `lock` a writing transaction.
        lane: The lane.
        lock: Keep others from starting jobs of it until the end of the transaction.
    """
    row = (_ROW_LOCKED if lock else _ROW).first(connection, {"of": lane})
    if row is None:
        return None
    paused_at, most, rate, tokens, tokens_at, looked_at = row
    if paused_at is not None:
        return Room(starts=0, why_none="paused")
    free = MANY
    if most is not None:
        running = _RUNNING.first(connection, {"of": lane})
        free = max(0, most - (running[0] if running else 0))
    if not free:
        return Room(starts=0, why_none="limit")
    if rate is None:
        return Room(starts=free)
    return _by_rate(connection, lane, free, rate, tokens, tokens_at, looked_at, lock)


def _by_rate(  # noqa: PLR0917  the row's columns
    connection: Connection, lane: str, free: int, rate: float,
    tokens: float, tokens_at: float, looked_at: float, lock: bool,
) -> Room:  # fmt: skip
    if tokens_at - looked_at > CLOCK_SET_BACK:
        # The lane must not stop until the clock is that late again. Who has the lock sets it right.
        if not lock:
            return Room(starts=1)
        tokens_at = looked_at
        _SPEND.count(connection, {"of": lane, "left": tokens, "at": tokens_at})
    left = refilled(tokens, rate, seconds=looked_at - tokens_at)
    # What waited for the lock looks with a clock from before: that must not refill twice.
    at = max(looked_at, tokens_at)
    starts = min(free, whole_tokens(left))
    if starts:
        return Room(starts=starts, tokens=left, at=at)
    wait = seconds_to_token(left, rate)
    return Room(starts=0, why_none="rate", wait=wait, tokens=left, at=at)


def spend(connection: Connection, lane: str, found: Room) -> None:
    """A job of this lane starts: take a token. The caller has looked with `lock`."""
    if found.tokens is not None:
        _SPEND.count(connection, {"of": lane, "left": found.tokens - 1, "at": found.at})


def pause(connection: Connection, lane: str) -> bool:
    """Let nothing of this lane start any more; whether that is new.

    What runs goes on, what waits keeps its place. A claim that is being written at this moment
    may still be done.
    """
    _insert(connection, lane)
    changed = connection.execute(
        update(lanes).where(_L.lane == lane, _L.paused_at.is_(None)).values(paused_at=now())
    )
    return changed.rowcount == 1


def resume(connection: Connection, lane: str) -> bool:
    """Let a paused lane go on; whether it was paused."""
    changed = connection.execute(
        update(lanes).where(_L.lane == lane, _L.paused_at.is_not(None)).values(paused_at=None)
    )
    _tidy(connection, lane)
    return changed.rowcount == 1


def limit(
    connection: Connection,
    lane: str,
    *,
    concurrency: int | Keep | None = Keep.AS_IT_IS,
    rate: float | Keep | None = Keep.AS_IT_IS,
) -> None:
    """Set or, with None, remove a lane's limits; they hold from the next claim on.

    Args:
        connection: A writing transaction.
        lane: The lane.
        concurrency: How many of its jobs may run at once, over all hosts. At least 1.
        rate: How many may start in a second, over all hosts. Above zero. A new bucket is full.

    Raises:
        ValueError: A limit is out of its bounds.
    """
    values: dict[str, Any] = {}
    if concurrency is not Keep.AS_IT_IS:
        if concurrency is not None and not 1 <= concurrency < MANY:
            raise ValueError(f"concurrency must be 1 or more, got {concurrency}")
        values["concurrency_limit"] = concurrency
    if rate is not Keep.AS_IT_IS:
        if rate is not None and not 0 < rate < MANY:
            raise ValueError(f"rate must be above zero, got {rate}")
        full = burst(rate or 1.0)
        values |= {
            "rate_limit": rate,
            # What an old bucket holds stays, so that setting a limit again gives nothing away.
            "tokens": case(
                (or_(_L.rate_limit.is_(None), _L.tokens > full), full), else_=_L.tokens
            ),
            "tokens_at": case((_L.rate_limit.is_(None), now()), else_=_L.tokens_at),
        }  # fmt: skip
    if values:
        _insert(connection, lane)
        connection.execute(update(lanes).where(_L.lane == lane).values(values))
        _tidy(connection, lane)


def _insert(connection: Connection, lane: str) -> None:
    """See that the lane has a row, and lock it: nobody may tidy it up before it says something."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = kind.insert(lanes).values(lane=lane, tokens=0.0, tokens_at=now())
    connection.execute(
        row.on_conflict_do_update(index_elements=[_L.lane], set_={"lane": row.excluded.lane})
    )


def _tidy(connection: Connection, lane: str) -> None:
    connection.execute(delete(lanes).where(_L.lane == lane, _SAYS_NOTHING))


def governed(connection: Connection) -> frozenset[str]:
    """The lanes that have a row."""
    return frozenset(connection.execute(select(_L.lane)).scalars())
