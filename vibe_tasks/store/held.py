"""Held jobs: refused at the claim for want of room in their lane or because their key is busy.

A held job is out of the outbox and waits for its turn: the most urgent first, as many as their
lane has room for, one for each free key. Its `held_for` says what it waits for, `lane` or `key`,
and stays while it has its turn (`held_at` is gone, its message on the way) until it is claimed: so
a look at the first few of a lane or key tells how many turns are given already, and a look costs
the same with ten held jobs and with fifty thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import lanes
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.schema import lanes as lane_rows
from vibe_tasks.store.statement import Row, Statement

_J = jobs.c
_PENDING = has_status(JobStatus.PENDING)
_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")
_OF_LANE = bindparam("of", type_=_J.lane.type)
_OF_KEY = bindparam("of", type_=_J.concurrency_key.type)


def _held_for(what: str, table: Any = jobs) -> ColumnElement[bool]:
    # Literals, so that the partial index serves.
    return and_(
        table.c.status == literal_column("'pending'", Text),
        table.c.held_for == literal_column(f"'{what}'", Text),
    )


def _hold(what: str) -> Statement:
    return Statement(
        update(jobs)
        .where(_J.id == bindparam("job", type_=_J.id.type), _PENDING)
        .values(
            held_at=func.coalesce(_J.held_at, now()),
            held_for=literal_column(f"'{what}'", Text),
            backoff_until=null(),
            published_at=null(),
        )
    )


_HOLD = {"lane": _hold("lane"), "key": _hold("key")}
_ANY = select(or_(exists().where(_held_for("lane")), exists().where(_held_for("key"))))


def _distinct(column: Any, condition: ColumnElement[bool]) -> Any:
    """The different values of an index's first column: a jump for each, not a step for each row."""
    other = jobs.alias("other")
    following = other.c[column.name]
    values = select(column.label("value")).where(condition).order_by(column).limit(_ONE).subquery()
    found = select(values.c.value).cte(f"each_{column.name}", recursive=True)
    successor = (
        select(following)
        .where(_held_for("lane" if column is _J.lane else "key", other), following > found.c.value)
        .order_by(following)
        .limit(_ONE)
        .scalar_subquery()
    )
    return found.union_all(select(successor).where(found.c.value.is_not(None)))


_LANES_HELD = _distinct(_J.lane, _held_for("lane"))
_LANES = Statement(select(_LANES_HELD.c.value).where(_LANES_HELD.c.value.is_not(None)))
_KEYS_HELD = _distinct(_J.concurrency_key, _held_for("key"))
_busy, _head = jobs.alias("busy"), jobs.alias("head")


def _key_free(key: Any) -> ColumnElement[bool]:
    return ~exists().where(
        _busy.c.status == literal_column("'processing'", Text), _busy.c.concurrency_key == key
    )


def _head_of(key: Any) -> Any:
    return (
        select(_head.c.seq)
        .where(_held_for("key", _head), _head.c.concurrency_key == key)
        .order_by(_head.c.priority, _head.c.seq)
        .limit(_ONE)
        .scalar_subquery()
    )


_GOVERNED = exists().where(lane_rows.c.lane == _J.lane).correlate(jobs)
# One for each free key; not where the first has its turn already.
_FIRST_OF_KEYS = Statement(
    select(_J.seq, _J.lane, _GOVERNED)
    .select_from(_KEYS_HELD)
    .join(jobs, _J.seq == _head_of(_KEYS_HELD.c.value))
    .where(_KEYS_HELD.c.value.is_not(None), _key_free(_KEYS_HELD.c.value), _J.held_at.is_not(None))
    .limit(bindparam("most"))
)
_FIRST_OF_KEY = Statement(
    select(_J.seq, _J.lane, _GOVERNED).where(
        _J.seq == _head_of(_OF_KEY), _key_free(_OF_KEY), _J.held_at.is_not(None)
    )
)
_FOR_LANE = Statement(
    update(jobs)
    .where(_J.seq == bindparam("one", type_=_J.seq.type), _held_for("key"))
    .values(held_for=literal_column("'lane'", Text))
)
_SENT = case((bindparam("publish") > _ZERO, now()), else_=null())
_TURN_OF_KEY = Statement(
    update(jobs)
    .where(_J.seq == bindparam("one", type_=_J.seq.type), _held_for("key"), _J.held_at.is_not(None))
    .values(held_at=null(), published_at=_SENT)
    .returning(_J.id)
)
_FIRST_OF_LANE = (
    select(_J.seq, _J.held_at)
    .where(_held_for("lane"), _J.lane == _OF_LANE)
    .order_by(_J.priority, _J.seq)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("first_of_lane")
)


def _turns(**values: Any) -> Statement:
    return Statement(
        update(jobs)
        .where(
            _J.seq.in_(select(_FIRST_OF_LANE.c.seq).where(_FIRST_OF_LANE.c.held_at.is_not(None)))
        )
        .values(held_at=null(), published_at=_SENT, **values)
        .returning(_J.id)
    )


_TURNS = _turns()
# Nobody counts the turns of a lane without rules.
_LET_GO = _turns(held_for=null())


KEYS_IN_ONE_LOOK = 100
"""Free keys that one call of `give_turns` looks after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Held jobs that may start.

    Attributes:
        job_ids: The jobs.
        wait: Seconds until a lane's rate allows the next one; None where none waits for that.
        more: Whether there may be more at once.
    """

    job_ids: tuple[str, ...] = ()
    wait: float | None = None
    more: bool = False


def hold(connection: Connection, job_id: str, what: Literal["lane", "key"]) -> None:
    """Let a due job wait for its turn: for room in its lane, or until its key is free."""
    _HOLD[what].count(connection, {"job": job_id})


def any_held(connection: Connection) -> bool:
    """Whether `give_turns` may have something to do."""
    return bool(connection.execute(_ANY).scalar())


def give_turns(
    connection: Connection,
    *,
    lane: str | None = None,
    key: str | None = None,
    every_key: bool = False,
    most: int = 500,
    published: bool = True,
) -> Turns:
    """Give their turn to those held jobs that may start now.

    Too many is no harm, as each is still to be claimed: nothing is locked but the jobs.

    Args:
        connection: A writing transaction.
        lane: Only jobs of this lane; with neither lane nor key, of all.
        key: The first job of this concurrency key, where it is free.
        every_key: The first job of each key that is free, of the lane's jobs.
        most: Jobs of one lane at once.
        published: The caller will send their messages right after the commit.
    """
    publish = int(published)
    every = lane is None and key is None
    if every or every_key:
        first = _FIRST_OF_KEYS.all(connection, {"most": KEYS_IN_ONE_LOOK})
        first = [row for row in first if every or row[1] == lane]
    else:
        first = [] if key is None else _FIRST_OF_KEY.all(connection, {"of": key})
    given, wanted = _turns_of_keys(connection, first, publish)
    if every:
        names = [row[0] for row in _LANES.all(connection, {})]
    else:
        names = sorted(wanted | ({lane} if lane is not None else set()))
    waits: list[float] = []
    more = len(first) >= KEYS_IN_ONE_LOOK
    for name in names:
        allowed = lanes.room(connection, name)
        if allowed is None:
            let_go = _LET_GO.all(connection, {"of": name, "most": most, "publish": publish})
            given += [row[0] for row in let_go]
            more |= len(let_go) == most
        elif allowed.starts:
            number = min(most, allowed.starts)
            turns = _TURNS.all(connection, {"of": name, "most": number, "publish": publish})
            given += [row[0] for row in turns]
        elif allowed.wait is not None:
            waits.append(allowed.wait)
    return Turns(job_ids=tuple(given), wait=min(waits, default=None), more=more)


def _turns_of_keys(
    connection: Connection, first: Sequence[Row], publish: int
) -> tuple[list[str], set[str]]:
    """Jobs whose key is free: those that may start, and the lanes whose room others need now."""
    given: list[str] = []
    governed: set[str] = set()
    # In one order everywhere: two transactions that share two rows must not lock crosswise.
    for seq, lane, has_rules in sorted(first):
        if has_rules:
            _FOR_LANE.count(connection, {"one": seq})
            governed.add(lane)
        else:
            rows = _TURN_OF_KEY.all(connection, {"one": seq, "publish": publish})
            given += [row[0] for row in rows]
    return given, governed
