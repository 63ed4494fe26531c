"""Jobs that ended long ago go to the archive; what somebody may still need stays.

These stay, however long ago they ended: dead letters, jobs of a plan that runs or has a dead
letter, members and bodies of chords that are open. And the newest job of all: SQLite would give its
number to the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.jobs import ENDED
from vibe_tasks.store.batches import Walk, first_since, surplus
from vibe_tasks.store.engine import now
from vibe_tasks.store.job_rows import DIALECTS, among, as_parameter
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.schema import JsonText, chords, has_status, jobs, plans
from vibe_tasks.store.sealing import sealed_text
from vibe_tasks.store.statement import Statement

BATCH_CHARACTERS = 2_000_000
"""Of rows that one batch copies: a hundred jobs with large results would hold up claims. A larger
one goes alone."""

_J, _A, _P, _C = jobs.c, jobs_archive.c, plans.c, chords.c
_other = jobs.alias("other")
_BEFORE = bindparam("before", type_=_J.status_updated_at.type)
# Found once for a statement, by the index of dead letters, which must be the only one that fits:
# asked for each job, SQLite would go through all jobs of its plan each time.
_DEAD_PLANS = select(func.coalesce(_other.c.plan_id, literal_column("''"))).where(
    _other.c.dead_at.is_not(None)
)
_SPARE = and_(
    has_status(*sorted(ENDED)),
    _J.dead_at.is_(None),
    _J.status_updated_at < _BEFORE,
    _J.seq < select(func.max(_other.c.seq)).scalar_subquery(),
    ~exists().where(
        _P.id == _J.plan_id, or_(_P.ended_at.is_(None), _P.ended_at >= _BEFORE)
    ),
    or_(_J.plan_id.is_(None), _J.plan_id.not_in(_DEAD_PLANS)),
)  # fmt: skip
"""The condition of a job that nobody needs any more; a plan that runs has not ended."""

# In the words of the driver: a value is copied as it stands, whatever is made of it elsewhere.
_LOOK = Statement(
    select(jobs)
    .where(_SPARE, _J.seq > bindparam("after", type_=_J.seq.type),
           _J.seq < bindparam("bound", type_=_J.seq.type))
    .order_by(_J.seq)
    .limit(bindparam("most"))
)  # fmt: skip
_COLUMNS = tuple(_J.keys())
_TEXTS = frozenset(
    column.name for column in _J if isinstance(column.type.dialect_impl(sqlite.dialect()), JsonText)
)
_SHOWN = tuple(name for name in _A.keys() if name in _COLUMNS)  # noqa: SIM118  no mapping


def _insert() -> Statement:
    values: dict[str, Any] = {
        **{name: bindparam(name, type_=_A[name].type) for name in (*_SHOWN, "row")},
        "archived_at": now(),
    }
    made = {}
    for kind, name in ((sqlite, "sqlite"), (postgresql, "postgresql")):
        row = kind.insert(jobs_archive).values(values)
        # An id that was given again by whoever chooses ids: the later job takes its place.
        new = {each: row.excluded[each] for each in _A.keys() if each != "id"}  # noqa: SIM118
        made[name] = row.on_conflict_do_update(index_elements=[_A.id], set_=new)
    return Statement(made)


_INSERT = _insert()
_FREE = {
    dialect: select(_J.seq)
    .where(among(_J.seq, "seqs", dialect), _SPARE)
    .order_by(_J.seq)
    .with_for_update(of=jobs, skip_locked=True)
    for dialect in DIALECTS
}
_GONE = {dialect: delete(jobs).where(among(_J.seq, "seqs", dialect)) for dialect in DIALECTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spare:
    """A job that may go: its number, its plan, and its row for the archive."""

    seq: int
    plan_id: str | None
    row: dict[str, Any]


def old_jobs(connection: Connection, before: float) -> Walk:
    """Jobs that ended before this moment, to the archive."""
    # What was submitted since cannot have ended before.
    bound = first_since(connection, jobs, _J.seq, _J.created_at, before)
    return _walk(connection, before, bound, None)


def many_jobs(connection: Connection, keep: int) -> Walk:
    """The oldest of the ended jobs that are more than so many, to the archive."""
    before = float(connection.execute(select(now())).scalar_one())
    bound = int(connection.execute(select(func.max(_J.seq))).scalar() or 0)
    return _walk(connection, before, bound, _too_many(connection, keep))


def _too_many(connection: Connection, keep: int) -> int:
    if not surplus(connection, _J.seq, keep):
        return 0
    ended = select(func.count()).select_from(jobs).where(has_status(*sorted(ENDED)))
    return max(0, int(connection.execute(ended).scalar_one()) - keep)


def _walk(connection: Connection, before: float, bound: int, limit: int | None) -> Walk:
    needed = _needed_by_chords(connection)

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        after = 0 if last is None else last.seq
        given = {"before": before, "after": after, "bound": bound, "most": size}
        rows = _LOOK.all(connection, given)
        return _bite(_spare(dict(zip(_COLUMNS, row, strict=True)), connection) for row in rows)

    def act(connection: Connection, found: Sequence[Any]) -> int:
        return _move(connection, [each for each in found if each.row["id"] not in needed], before)

    return Walk(table=jobs.name, verb="archived", look=look, act=act, limit=limit)


def _bite(found: Iterable[_Spare]) -> list[_Spare]:
    """The first of these that are copied together."""
    bite: list[_Spare] = []
    characters = 0
    for each in found:
        characters += len(each.row["row"])
        if bite and characters > BATCH_CHARACTERS:
            break
        bite.append(each)
    return bite


def _needed_by_chords(connection: Connection) -> frozenset[str]:
    """Jobs whose results or ends an open chord waits for, and the chords' bodies.

    One look is enough for a walk: what is a member of a chord that is opened later is sent later.
    """
    found: set[str] = set()
    for row in connection.execute(select(_C.body_id, _C.members)):
        found.add(row.body_id)
        found.update(row.members)
    return frozenset(found)


def _spare(row: dict[str, Any], connection: Connection) -> _Spare:
    """The row as the archive has it; made before the transaction, for which others wait."""
    whole = dict(row)
    if connection.dialect.name == "sqlite":
        for name in _TEXTS:
            whole[name] = None if row[name] is None else json.loads(row[name])
    shown = {name: row[name] for name in _SHOWN}
    copied = sealed_text(connection, whole)
    return _Spare(seq=row["seq"], plan_id=row["plan_id"], row={**shown, "row": copied})


def _move(connection: Connection, found: Iterable[_Spare], before: float) -> int:
    """Move those of these jobs that are still spare and that nobody else holds; how many."""
    dialect = connection.dialect.name
    held = _held_plans(connection, {each.plan_id for each in found if each.plan_id is not None})
    rows = {each.seq: each.row for each in found if each.plan_id not in held}
    if not rows:
        return 0
    given = {"seqs": as_parameter(connection, sorted(rows)), "before": before}
    free = connection.execute(_FREE[dialect], given).scalars().all()
    if not free:
        return 0
    _INSERT.many(connection, [rows[seq] for seq in free])
    gone = {"seqs": as_parameter(connection, free)}
    return connection.execute(_GONE[dialect], gone).rowcount


def _held_plans(connection: Connection, plan_ids: set[str]) -> frozenset[str]:
    """Those of these plans that somebody changes at this moment; the others are locked."""
    if not plan_ids:
        return frozenset()
    chosen = select(_P.id).where(_P.id.in_(sorted(plan_ids))).order_by(_P.id)
    there = set(connection.execute(chosen).scalars())
    return frozenset(there - set(connection.execute(
        chosen.with_for_update(skip_locked=True)).scalars()))  # fmt: skip
