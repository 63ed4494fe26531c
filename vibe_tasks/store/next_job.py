"""Claiming without a message: the most urgent job of a lane, for who polls.

In a lane that nobody governs, one without a concurrency key is claimed in one statement.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    bindparam,
    exists,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)

from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.store import held, worker_line
from vibe_tasks.store.claims import (
    COLUMNS,
    IN_TIME,
    TAKEN,
    UNGOVERNED,
    busy_with,
    claim_of,
    grant,
    has_room,
    promote,
    taken_or_put_off,
)
from vibe_tasks.store.engine import now, transaction
from vibe_tasks.store.job_rows import DIALECTS, among, as_parameter
from vibe_tasks.store.key_lines import KEY, LANE, waits
from vibe_tasks.store.schema import READY, has_status, jobs
from vibe_tasks.store.statement import Statement, encoded
from vibe_tasks.store.worker_line import has_required

_J = jobs.c
_ONE: ColumnElement[int] = literal_column("1")
_OF = bindparam("of", type_=_J.lane.type)


# A CTE that locks is evaluated once; a sub-select after IN may be evaluated for each row, and
# then locks and changes more rows than its limit.
def _first(dialect: str, name: str, *conditions: ColumnElement[bool]) -> CTE:
    return (
        select(_J.seq, _J.priority)
        .where(*conditions, _J.lane == _OF, IN_TIME, has_required(dialect))
        .order_by(_J.priority, _J.seq)
        .limit(_ONE)
        .with_for_update(skip_locked=True)
        .cte(name)
    )


_MOST_URGENT = {dialect: _first(dialect, "most_urgent", READY) for dialect in DIALECTS}
_OVER = (
    select(_J.seq)
    .where(has_status(JobStatus.PENDING), _J.backoff_until <= now())
    .order_by(_J.backoff_until)
    .limit(literal_column("1000"))
)
_WAIT_OVER = _first("postgresql", "wait_over", has_status(JobStatus.PENDING), _J.seq.in_(_OVER))
_EITHER = union_all(
    select(_MOST_URGENT["postgresql"].c.seq, _MOST_URGENT["postgresql"].c.priority),
    select(_WAIT_OVER.c.seq, _WAIT_OVER.c.priority),
).subquery()
_NEXT = {
    # On SQLite the jobs whose wait is over are made ready before.
    "sqlite": select(_MOST_URGENT["sqlite"].c.seq),
    # On a server that would be one round trip more for every claim.
    "postgresql": select(_EITHER.c.seq).order_by(_EITHER.c.priority, _EITHER.c.seq).limit(_ONE),
}
_CLAIM_NEXT = Statement(
    {
        dialect: update(jobs)
        .where(_J.seq.in_(following), UNGOVERNED)
        .values(TAKEN)
        .returning(*COLUMNS)
        for dialect, following in _NEXT.items()
    }
)
_NEXT_JOB = Statement(
    {
        dialect: select(_J.id, _J.concurrency_key).where(_J.seq.in_(select(first.c.seq)))
        for dialect, first in _MOST_URGENT.items()
    }
)
# Whether there is anything to write: a poll of an empty lane disturbs nobody.
_ANY_DUE = Statement(
    {
        dialect: select(
            or_(
                exists().where(READY, _J.lane == _OF, has_required(dialect)),
                exists().where(has_status(JobStatus.PENDING), _J.backoff_until <= now()),
                *(exists().where(waits(what), _J.lane == _OF) for what in (LANE, KEY)),
            )
        )
        for dialect in DIALECTS
    }
)
_foremost = {
    dialect: select(_J.seq, _J.concurrency_key)
    .where(READY, _J.lane == _OF, has_required(dialect))
    .order_by(_J.priority, _J.seq)
    .limit(bindparam("most"))
    .subquery("foremost")
    for dialect in DIALECTS
}
_FOREMOST = Statement(
    {
        dialect: select(first.c.seq, busy_with(first.c.concurrency_key))
        for dialect, first in _foremost.items()
    }
)
_PASS_OVER = Statement(
    {
        dialect: update(jobs)
        .where(
            _J.seq.in_(
                select(
                    select(_J.seq)
                    .where(among(_J.seq, "seqs", dialect), READY)
                    .with_for_update(skip_locked=True)
                    .cte("passed_over")
                    .c.seq
                )
            )
        )
        .values(held_at=now(), held_for=KEY, published_at=null())
        for dialect in DIALECTS
    }
)
FOREMOST = (20, 500, 500, 500)
"""Jobs of a lane that `claim_next_job` looks through for those whose key is busy: the next so many
where it had to hold all that it looked at before."""

TRIES = 10
"""Jobs that `claim_next_job` loses to others' claims of their keys before it gives up."""


def claim_next_job(
    connection: Connection, lane: str, *, worker: str, lease: float, labels: Collection[str] = ()
) -> Claim | None:
    """Take the most urgent due job of a lane, oldest first among equals, or None.

    Jobs whose concurrency key is busy are passed over, and those that require a label which is none
    of these; where the lane is paused or full, or its rate allows no start, nobody gets one.
    Looking costs no transaction where the connection is in none (`Database.write_once`): poll so.
    """
    mine = {"labels": encoded(sorted(labels))}
    who: dict[str, object] = {"by": worker, "lease": lease, "routing": None, **mine}
    waits_for_me = worker_line.any_for(connection, lane, labels)
    found = _ANY_DUE.first(connection, {"of": lane, **mine})
    if not waits_for_me and (found is None or not found[0]):
        return None
    if connection.dialect.name == "sqlite":
        promote(connection)
    if waits_for_me:
        worker_line.let_go_to(connection, lane, labels)
    row = _CLAIM_NEXT.first(connection, {"of": lane, **who})
    if row is not None:
        return taken_or_put_off(connection, claim_of(row), worker)
    for _ in range(TRIES):
        if not has_room(connection, lane):
            return None
        with transaction(connection) as own:
            taken = _take_next(connection, lane, who)
        # Locks of jobs come before that of their lane: what goes on begins without any.
        if taken != "key" or not own:
            if not isinstance(taken, Claim):
                return None
            return taken_or_put_off(connection, taken, worker)
    return None


def _take_next(
    connection: Connection, lane: str, who: dict[str, object]
) -> Claim | Literal["lane", "key"] | None:
    promote(connection)
    for most in FOREMOST:
        if _pass_over(connection, lane, most, who) < most:
            break
    else:
        return "key"
    # Held jobs whose turn it is compete with the others.
    held.line_up(connection, lane)
    held.give_turns(connection, lane=lane, most=1, published=False)
    following = _NEXT_JOB.first(connection, {"of": lane, "labels": who["labels"]})
    if following is None:
        return None
    job_id, key = following
    taken = grant(connection, lane, key, {"job": job_id, **who})
    if taken == "key":
        held.hold(connection, job_id, "key")
    return taken


def _pass_over(connection: Connection, lane: str, most: int, who: dict[str, object]) -> int:
    """Hold those of the lane's first jobs whose key is busy; how many."""
    rows = _FOREMOST.all(connection, {"of": lane, "most": most, "labels": who["labels"]})
    busy = [seq for seq, is_busy in rows if is_busy]
    if busy:
        _PASS_OVER.count(connection, {"seqs": as_parameter(connection, busy)})
    return len(busy)
