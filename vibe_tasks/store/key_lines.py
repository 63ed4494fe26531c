"""The lines in which held jobs wait for their concurrency keys: who is the first of each.

See `held` for the states of a held job.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from vibe_tasks.store.schema import jobs
from vibe_tasks.store.schema import lanes as lane_rows
from vibe_tasks.store.statement import Statement

_J = jobs.c
_ONE: ColumnElement[int] = literal_column("1")
LANE = literal_column("'lane'", Text)
KEY = literal_column("'key'", Text)
TURN = literal_column("'turn'", Text)
WORKER = literal_column("'worker'", Text)
OF_LANE = bindparam("of", type_=_J.lane.type)
_OF_KEY = bindparam("of", type_=_J.concurrency_key.type)

JUMPS = 50_000
"""Lanes' keys that one look of the dispatcher passes over; it does so without a transaction."""

JUMPS_OF_LANE = 200
"""Keys of one lane that a look inside a writing transaction passes over."""


def waits(what: ColumnElement[str], table: Any = jobs) -> ColumnElement[bool]:
    """That a job is held for this."""
    # Literals, so that the partial index serves.
    return and_(table.c.status == literal_column("'pending'", Text), table.c.held_for == what)


_each, _busy, _ahead, _rules = (
    jobs.alias("each"), jobs.alias("busy"), jobs.alias("ahead"), lane_rows.alias("rules"),
)  # fmt: skip
_E = _each.c
_IN_ORDER = (_E.lane, _E.concurrency_key, _E.priority, _E.seq)


def _first_of_line(*conditions: ColumnElement[bool]) -> Any:
    return (
        select(_E.seq).where(waits(KEY, _each), *conditions).order_by(*_IN_ORDER).limit(_ONE)
    )  # fmt: skip


def _walk(start: ColumnElement[bool] | None, *onward: ColumnElement[bool]) -> CTE:
    """The first of each line: a jump for each, not a step for each job; so many jumps at most."""
    first = _first_of_line(*(() if start is None else (start,))).scalar_subquery()
    found = select(first.label("seq"), _ONE.label("jumps")).cte("found", recursive=True)
    # One step after another: SQLite compares (lane, key) with all keys of the lane.
    ways = [_first_of_line(each).correlate(jobs).scalar_subquery() for each in onward]
    following = func.coalesce(*ways) if len(ways) > 1 else ways[0]
    return found.union_all(
        select(following, found.c.jumps + _ONE)
        .select_from(found.join(jobs, _J.seq == found.c.seq))
        .where(found.c.jumps < bindparam("jumps", type_=_J.priority.type))
    )


def lanes_with(what: ColumnElement[str]) -> CTE:
    """The lanes that have jobs held for this."""
    other = jobs.alias("other")
    first = select(func.min(other.c.lane)).where(waits(what, other)).scalar_subquery()
    found = select(first.label("lane")).cte("lanes_held", recursive=True)
    following = (
        select(other.c.lane)
        .where(waits(what, other), other.c.lane > found.c.lane)
        .order_by(other.c.lane)
        .limit(_ONE)
        .scalar_subquery()
    )
    return found.union_all(select(following).where(found.c.lane.is_not(None)))


_KEY_LANES = lanes_with(KEY)
_of_key = (
    select(
        _first_of_line(_E.lane == _KEY_LANES.c.lane, _E.concurrency_key == _OF_KEY)
        .correlate(_KEY_LANES)
        .scalar_subquery()
        .label("seq")
    )
    .select_from(_KEY_LANES)
    .cte("found")
)


def _next_of_keys(found: CTE, *, everywhere: bool) -> Select[Any]:
    """Those that may go on: the key is free, and nobody of it is ahead already."""
    governed = _rules.c.lane.is_not(None)
    rival = _ahead.c.lane == _J.lane
    if everywhere:
        # Without rules the most urgent of all lanes goes; a governed lane goes by its own line.
        rival = or_(rival, and_(_ahead.c.held_for == TURN, ~governed))
    return (
        select(_J.seq, _J.lane, _J.concurrency_key, _J.priority, governed.label("governed"))
        .select_from(
            found.join(jobs, _J.seq == found.c.seq).outerjoin(_rules, _rules.c.lane == _J.lane)
        )
        .where(
            ~exists().where(
                _busy.c.status == literal_column("'processing'", Text),
                _busy.c.concurrency_key == _J.concurrency_key,
            ),
            ~exists().where(
                _ahead.c.status == literal_column("'pending'", Text),
                _ahead.c.held_for != KEY,
                _ahead.c.held_for != WORKER,
                _ahead.c.concurrency_key.is_not(None),
                _ahead.c.concurrency_key == _J.concurrency_key,
                rival,
                tuple_(_ahead.c.priority, _ahead.c.seq) < tuple_(_J.priority, _J.seq),
            ),
        )
    )


FIRST_OF_KEYS = Statement(
    _next_of_keys(
        _walk(
            None,
            and_(_E.lane == _J.lane, _E.concurrency_key > _J.concurrency_key),
            _E.lane > _J.lane,
        ),
        everywhere=True,
    ).limit(bindparam("most"))
)
FIRST_OF_KEYS_OF_LANE = Statement(
    _next_of_keys(
        _walk(
            _E.lane == OF_LANE, and_(_E.lane == OF_LANE, _E.concurrency_key > _J.concurrency_key)
        ),
        everywhere=False,
    ).limit(bindparam("most"))
)
FIRST_OF_KEY = Statement(_next_of_keys(_of_key, everywhere=True))
