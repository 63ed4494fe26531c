"""How many jobs of each lane there are, by what they do or wait for.

A ledger keeps many more jobs that have ended than there are live ones, and `vibe status --watch`
looks each second: each part of these statements reads an index that holds its jobs alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Text,
    and_,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.key_lines import KEY, LANE, WORKER, waits
from vibe_tasks.store.schema import READY, has_status, jobs

_J = jobs.c
_NEVER = cast(null(), Double)


def _part(name: str, which: ColumnElement[bool], since: ColumnElement[Any] = _NEVER) -> Any:
    return (
        select(
            _J.lane,
            literal_column(f"'{name}'", Text).label("part"),
            func.count().label("number"),
            (now() - func.min(since)).label("age"),
        )
        .where(which)
        .group_by(_J.lane)
    )


def _held(what: ColumnElement[str]) -> Any:
    held = and_(waits(what), _J.held_at.is_not(None), _J.backoff_until.is_(None))
    return _part("held", held, _J.status_updated_at)


_WAITS = and_(has_status(JobStatus.PENDING), _J.backoff_until.is_not(None))

LIVE = union_all(
    # A job is due since its status last changed: when it was submitted, returned or unblocked.
    _part("ready", READY, _J.status_updated_at),
    _held(LANE),
    _held(KEY),
    _held(WORKER),
    _part("due", and_(_WAITS, _J.backoff_until <= now()), _J.backoff_until),
    _part("waiting", and_(_WAITS, _J.backoff_until > now())),
    _part("processing", has_status(JobStatus.PROCESSING)),
    _part("blocked", has_status(JobStatus.BLOCKED)),
).subquery("live")
"""Lane, part, number, and seconds since the oldest is due, for:

- `ready`: due, waits for a worker;
- `held`: due, was refused at the claim and waits for its turn;
- `due`: its wait is over, the dispatcher has not seen it yet;
- `waiting`: for its time;
- `processing`, `blocked`: as the status.

A lane may have several rows of a part.
"""

PENDING = frozenset({"ready", "held", "due", "waiting"})
"""The parts of the status `pending`."""

DUE = frozenset({"ready", "held", "due"})
"""The parts that could start, for all that time says."""

ENDED = (
    select(_J.lane, _J.status, func.count().label("number"))
    .where(has_status(JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED))
    .group_by(_J.lane, _J.status)
)
"""Lane, status and number of the jobs that have ended."""
