"""The line in which jobs wait for a worker: for one that has the labels which they require.

No lane's shared queue may hold such a job, as any worker of the lane would take it. One that no
worker with room may run is held (`held_for` = 'worker', see `held`), and goes out again when there
is one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.job_rows import DIALECTS, among, as_parameter
from vibe_tasks.store.key_lines import TURN, WORKER, waits
from vibe_tasks.store.schema import has_status, jobs, worker_health
from vibe_tasks.store.statement import Statement, encoded

_J = jobs.c
_W = worker_health.c
_ONE: ColumnElement[int] = literal_column("1")
_LABELS = bindparam("labels", type_=Text)


def has_required(dialect: str) -> ColumnElement[bool]:
    """That a job requires nothing but what is among `labels`, a parameter: a JSON list."""
    return or_(_J.required.is_(None), _covered(dialect, _J.required))


def _covered(dialect: str, required: ColumnElement[Any]) -> ColumnElement[bool]:
    if dialect == "postgresql":
        covered: ColumnElement[bool] = cast(required, JSONB).contained_by(cast(_LABELS, JSONB))
        return covered
    wanted = func.json_each(required).table_valued("value", name="wanted")
    given = func.json_each(_LABELS).table_valued("value", name="given")
    lacking = select(_ONE).select_from(wanted).where(wanted.c.value.not_in(select(given.c.value)))
    return not_(exists(lacking))


# Its turn in the line of its key, or of no line at all: a governed lane looks again at the claim.
_GOES = {
    "held_at": null(),
    "held_for": case((_J.concurrency_key.is_not(None), TURN), else_=null()),
}
_WAITS = and_(waits(WORKER), _J.held_at.is_not(None))
_LINE = select(_J.seq, _J.priority, _J.id, _J.lane, _J.required).where(_WAITS)
_AFTER = tuple_(_J.priority, _J.seq) > tuple_(
    bindparam("priority", type_=_J.priority.type), bindparam("seq", type_=_J.seq.type)
)
_IS_DUE = or_(_J.backoff_until.is_(None), _J.backoff_until <= now())
# One that stands in another line, or whose wait is not over, keeps that: what is known of it may be
# from a message of an earlier attempt.
_HOLD = Statement(
    {
        dialect: update(jobs)
        .where(
            _J.seq.in_(
                select(
                    select(_J.seq)
                    .where(among(_J.id, "ids", dialect), has_status(JobStatus.PENDING))
                    .where(_J.held_at.is_(None), _IS_DUE)
                    .order_by(_J.id)
                    .with_for_update()
                    .cte("refused")
                    .c.seq
                )
            )
        )
        .values(held_at=now(), held_for=WORKER, backoff_until=null(), published_at=null())
        for dialect in DIALECTS
    }
)
_FIRST = Statement(
    _LINE.where(_AFTER).order_by(_J.priority, _J.seq).limit(bindparam("most"))
)  # fmt: skip
_LET_GO = Statement(
    {
        dialect: update(jobs)
        .where(
            _J.seq.in_(
                select(
                    select(_J.seq)
                    .where(among(_J.id, "ids", dialect), _WAITS)
                    .with_for_update(skip_locked=True)
                    .cte("going")
                    .c.seq
                )
            )
        )
        .values(published_at=now(), **_GOES)
        .returning(_J.id)
        for dialect in DIALECTS
    }
)
# Thousands of jobs share a few sets of labels: only those are compared.
_SETS = (
    select(cast(_J.required, Text).label("required"))
    .where(_WAITS, _J.lane == bindparam("of", type_=_J.lane.type))
    .distinct()
    .subquery("sets")
)
_ANY_COVERED = Statement(
    {
        dialect: select(_ONE).select_from(_SETS).where(_covered(dialect, _SETS.c.required))
        for dialect in DIALECTS
    }
)
_TO_CONSUMER = Statement(
    {
        dialect: update(jobs)
        .where(
            _J.seq.in_(
                select(
                    select(_J.seq)
                    .where(_WAITS, _J.lane == bindparam("of", type_=_J.lane.type))
                    .where(_covered(dialect, _J.required))
                    .order_by(_J.priority, _J.seq)
                    .limit(_ONE)
                    .with_for_update(skip_locked=True)
                    .cte("next")
                    .c.seq
                )
            )
        )
        .values(published_at=null(), **_GOES)
        for dialect in DIALECTS
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A job's place in the line.

    Attributes:
        id: The job.
        lane: Its lane.
        required: The labels that it requires.
        order: Priority and number: the lower, the nearer to the head of the line.
    """

    id: str
    lane: str
    required: frozenset[str]
    order: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Jobs that wait for a worker with labels.

    Attributes:
        lane: Their lane.
        required: The labels.
        jobs: How many jobs there are.
        workers: Workers of the lane that are there and have these labels, full or not.
    """

    lane: str
    required: tuple[str, ...]
    jobs: int
    workers: int

    def text(self) -> str:
        """What is lacking, in words."""
        names = ", ".join(self.required)
        if self.workers:
            return f"for a free worker of lane {self.lane} with {names}"
        return f"no worker of lane {self.lane} has {names}"


HEAD = (-1, 0)
"""The `order` before all others."""


def hold_for_worker(connection: Connection, job_ids: Iterable[str]) -> None:
    """Let jobs wait until a worker that has what they require can take them."""
    _HOLD.count(connection, {"ids": as_parameter(connection, sorted(set(job_ids)))})


def line(connection: Connection, *, most: int, after: tuple[int, int] = HEAD) -> tuple[Place, ...]:
    """The jobs of the line that come after this place, the most urgent first."""
    values = {"most": most, "priority": after[0], "seq": after[1]}
    return tuple(
        Place(id=row[2], lane=row[3], required=frozenset(_names(row[4])), order=(row[1], row[0]))
        for row in _FIRST.all(connection, values)
    )


def let_go(connection: Connection, job_ids: Iterable[str]) -> tuple[str, ...]:
    """These jobs wait no more, their messages are about to be sent; those that still waited."""
    values = {"ids": as_parameter(connection, list(job_ids))}
    return tuple(row[0] for row in _LET_GO.all(connection, values))


def any_for(connection: Connection, lane: str, labels: Collection[str]) -> bool:
    """Whether a job of this lane waits that requires no more than these labels."""
    values = {"of": lane, "labels": encoded(sorted(labels))}
    return bool(labels) and _ANY_COVERED.first(connection, values) is not None


def let_go_to(connection: Connection, lane: str, labels: Collection[str]) -> None:
    """The most urgent job of a lane that requires no more than these labels need wait no more: who
    has them is about to claim the lane's next one.
    """
    _TO_CONSUMER.count(connection, {"of": lane, "labels": encoded(sorted(labels))})


def lacks(connection: Connection, *, lease: float, plan_id: str | None = None) -> tuple[Lack, ...]:
    """What the jobs in the line, or those of one plan, wait for, by lane and labels.

    Args:
        connection: A connection.
        lease: Seconds of silence after which a worker is not there.
        plan_id: The plan; None: all jobs.
    """
    grouped: dict[tuple[str, tuple[str, ...]], int] = {}
    wanted = cast(_J.required, Text)
    of = _WAITS if plan_id is None else and_(_WAITS, _J.plan_id == plan_id)
    rows = connection.execute(
        select(_J.lane, wanted, func.count()).where(of).group_by(_J.lane, wanted)
    )
    for lane, required, number in rows:
        key = (lane, tuple(sorted(_names(required))))
        grouped[key] = grouped.get(key, 0) + number
    return tuple(
        Lack(lane=lane, required=names, jobs=number, workers=_able(connection, lane, names, lease))
        for (lane, names), number in sorted(grouped.items())
    )


def lack_of(connection: Connection, job: Mapping[str, Any], *, lease: float) -> Lack:
    """What this job of the line, a row of `jobs`, waits for."""
    names = tuple(sorted(_names(job["required"])))
    able = _able(connection, job["lane"], names, lease)
    return Lack(lane=job["lane"], required=names, jobs=1, workers=able)


def _able(connection: Connection, lane: str, required: Collection[str], lease: float) -> int:
    rows = connection.execute(
        select(_W.labels).where(
            _W.lane == lane, _W.status == "online", _W.last_seen >= now() - lease
        )
    )
    return sum(set(required) <= set(row.labels or ()) for row in rows)


def _names(required: Any) -> Iterable[str]:
    found: Iterable[str] = json.loads(required) if isinstance(required, str) else required or ()
    return found
