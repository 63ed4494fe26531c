"""Held jobs: refused at the claim for want of room in their lane or because their key is busy.

A held job is out of the outbox and waits for its turn: the most urgent first, as many as their
lane has room for. Its `held_for` says in which line it stands:

- `key`: behind others of its concurrency key. The first of each lane goes on when the key is free:
  into the line of its lane, where somebody governs that, else to a worker at once.
- `lane`: in the line of its lane; of one key the first alone, so that ten thousand jobs of a busy
  key keep nobody else from a start.
- `turn`: in none any more, its key's next; the others of the key wait until it is claimed.
- `worker`: for a worker with the labels that it requires, see `worker_line`; it has no place in the
  lines above meanwhile.

One that has its turn keeps `lane` or `turn` (`held_at` is gone, its message on the way) until it is
claimed: so a look at the first few of a line tells how many turns are given already, and a look
costs the same with ten held jobs and with fifty thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
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
from vibe_tasks.store.job_rows import DIALECTS, among, as_parameter
from vibe_tasks.store.key_lines import (
    FIRST_OF_KEY,
    FIRST_OF_KEYS,
    FIRST_OF_KEYS_OF_LANE,
    JUMPS,
    JUMPS_OF_LANE,
    KEY,
    LANE,
    OF_LANE,
    TURN,
    lanes_with,
    waits,
)
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.schema import lanes as lane_rows
from vibe_tasks.store.statement import Row, Statement
from vibe_tasks.store.worker_line import hold_for_worker

__all__ = [
    "IN_LINE_OF_LANE", "Turns", "Waiting", "give_turns", "hold", "hold_for_worker", "line_up",
    "refused_for_key", "waiting",
]  # fmt: skip

_J = jobs.c
_PENDING = has_status(JobStatus.PENDING)
_ZERO: ColumnElement[int] = literal_column("0")

IN_LINE_OF_LANE = case((or_(_J.concurrency_key.is_(None), _J.held_for != KEY), LANE), else_=KEY)
"""What a job waits for that finds no room in its lane. With a key it first waits for its place in
the lane's line, unless it has that already."""


def _hold(what: ColumnElement[Any]) -> Statement:
    return Statement(
        update(jobs)
        .where(_J.id == bindparam("job", type_=_J.id.type), _PENDING)
        .values(
            held_at=func.coalesce(_J.held_at, now()), held_for=what, backoff_until=null(),
            published_at=null(),
        )
    )  # fmt: skip


_HOLD = {"lane": _hold(IN_LINE_OF_LANE), "key": _hold(KEY)}
_REFUSED_FOR_KEY = Statement(
    select(_J.lane).where(
        _J.id == bindparam("job", type_=_J.id.type), waits(KEY),
        exists().where(lane_rows.c.lane == _J.lane).correlate(jobs),
    )
)  # fmt: skip


_HELD_LANES = lanes_with(LANE)
_LANES = Statement(select(_HELD_LANES.c.lane).where(_HELD_LANES.c.lane.is_not(None)))
# What another transaction has in its hands is passed over, here and below: waiting for it, two
# that share two rows could wait for each other.
_CHOSEN = {
    dialect: select(_J.seq)
    .where(among(_J.seq, "seqs", dialect), waits(KEY))
    .with_for_update(skip_locked=True)
    .cte("chosen")
    for dialect in DIALECTS
}
_SENT = case((bindparam("publish") > _ZERO, now()), else_=null())
_TO_LANE = Statement(
    {
        dialect: update(jobs).where(_J.seq.in_(select(chosen.c.seq))).values(held_for=LANE)
        for dialect, chosen in _CHOSEN.items()
    }
)
_TURN_OF_KEY = Statement(
    {
        dialect: update(jobs)
        .where(_J.seq.in_(select(chosen.c.seq)))
        .values(held_for=TURN, held_at=null(), published_at=_SENT)
        .returning(_J.id)
        for dialect, chosen in _CHOSEN.items()
    }
)


def _turns(which: Select[Any], **values: Any) -> Statement:
    first = (
        which.order_by(_J.priority, _J.seq)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte("first_of_lane")
    )
    return Statement(
        update(jobs)
        .where(_J.seq.in_(select(first.c.seq).where(first.c.held_at.is_not(None))))
        .values(held_at=null(), published_at=_SENT, **values)
        .returning(_J.id)
    )


_LINE = select(_J.seq, _J.held_at).where(waits(LANE), _J.lane == OF_LANE)
_TURNS = _turns(_LINE)
# Nobody counts the turns of a lane without rules.
_LET_GO = _turns(_LINE, held_for=case((_J.concurrency_key.is_not(None), TURN), else_=null()))


KEYS_IN_ONE_LOOK = 100
"""Free keys that one look finds turns for."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a look has found that may go on.

    Attributes:
        keys: The first ones of free keys, as `FIRST_OF_KEYS` has them.
        lanes: Lanes with jobs in their line, and room for one.
        wait: Seconds until another lane's rate allows one; None where none waits for that.
    """

    keys: Sequence[Row] = ()
    lanes: tuple[str, ...] = ()
    wait: float | None = None

    def __bool__(self) -> bool:
        return bool(self.keys or self.lanes)


def hold(connection: Connection, job_id: str, what: Literal["lane", "key"]) -> None:
    """Let a due job wait for its turn: for room in its lane, or until its key is free."""
    _HOLD[what].count(connection, {"job": job_id})


def refused_for_key(connection: Connection, job_id: str) -> str | None:
    """The governed lane of this job, where it waits for its key: its turn there was for nothing."""
    row = _REFUSED_FOR_KEY.first(connection, {"job": job_id})
    return None if row is None else str(row[0])


def waiting(connection: Connection) -> Waiting:
    """What `give_turns` would do now: a look without a lock or a transaction."""
    keys = FIRST_OF_KEYS.all(connection, {"most": KEYS_IN_ONE_LOOK, "jumps": JUMPS})
    names: list[str] = []
    seconds: list[float] = []
    for (name,) in _LANES.all(connection, {}):
        allowed = lanes.room(connection, name)
        if allowed is None or allowed.starts:
            names.append(name)
        elif allowed.wait is not None:
            seconds.append(allowed.wait)
    return Waiting(keys=keys, lanes=tuple(names), wait=min(seconds, default=None))


def give_turns(
    connection: Connection,
    *,
    lane: str | None = None,
    key: str | None = None,
    found: Waiting | None = None,
    most: int = 500,
    published: bool = True,
) -> Turns:
    """Give their turn to those held jobs that may start now.

    Too many is no harm, as each is still to be claimed: nothing is locked but the jobs.

    Args:
        connection: A writing transaction.
        lane: Only jobs of this lane; with neither lane nor key, of all.
        key: The first job of this concurrency key, where it is free.
        found: What `waiting` has found, which is only looked up again where this is None.
        most: Jobs of one lane at once.
        published: The caller will send their messages right after the commit.
    """
    if lane is None and key is None and found is None:
        found = waiting(connection)
    if found is None:
        keys = FIRST_OF_KEY.all(connection, {"of": key}) if key is not None else []
        found = Waiting(keys=keys, lanes=() if lane is None else (lane,))
    publish = int(published)
    given, moved = _turns_of_keys(connection, found.keys, publish)
    seconds = [] if found.wait is None else [found.wait]
    more = len(found.keys) >= KEYS_IN_ONE_LOOK
    for name in sorted({*found.lanes, *moved}):
        allowed = lanes.room(connection, name)
        number = most if allowed is None else min(most, allowed.starts)
        if number:
            ids = _turns_of_lane(connection, name, number, publish, let_go=allowed is None)
            if name == lane and allowed is not None and len(ids) < number:
                line_up(connection, name)
                ids += _turns_of_lane(connection, name, number, publish, let_go=False)
            given += ids
            more |= allowed is None and len(ids) == most
        elif allowed is not None and allowed.wait is not None:
            seconds.append(allowed.wait)
    return Turns(job_ids=tuple(given), wait=min(seconds, default=None), more=more)


def line_up(connection: Connection, lane: str) -> None:
    """Let the first ones of the lane's free keys go on, as many as one look may pass over.

    Where nobody governs the lane they have their turn with that, and somebody must send them.
    """
    keys = FIRST_OF_KEYS_OF_LANE.all(
        connection, {"of": lane, "most": KEYS_IN_ONE_LOOK, "jumps": JUMPS_OF_LANE}
    )
    _turns_of_keys(connection, keys, 0)


def _turns_of_lane(
    connection: Connection, lane: str, most: int, publish: int, *, let_go: bool
) -> list[str]:
    values = {"of": lane, "most": most, "publish": publish}
    return [row[0] for row in (_LET_GO if let_go else _TURNS).all(connection, values)]


def _turns_of_keys(
    connection: Connection, keys: Sequence[Row], publish: int
) -> tuple[list[str], set[str]]:
    """Jobs whose key is free: those that may start, and the lanes whose room others need now."""
    to_lane = {seq: lane for seq, lane, _, _, governed in keys if governed}
    firsts: dict[str, tuple[int, int]] = {}
    for seq, _, key, priority, governed in keys:
        if not governed:
            firsts[key] = min(firsts.get(key, (priority, seq)), (priority, seq))
    if to_lane:
        _TO_LANE.count(connection, {"seqs": as_parameter(connection, [*to_lane])})
    given: list[str] = []
    if firsts:
        seqs = as_parameter(connection, [seq for _, seq in firsts.values()])
        rows = _TURN_OF_KEY.all(connection, {"seqs": seqs, "publish": publish})
        given = [row[0] for row in rows]
    return given, set(to_lane.values())
