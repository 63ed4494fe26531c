"""Keeping the ledger as small as its settings say: what goes to the archive, what is deleted.

What counters have not summed yet is never deleted, and what they read where it stands, such as what
agents used, is added up before it goes: a counter must not fall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, tuple_

from vibe_tasks.jobs import ENDED, LIVE
from vibe_tasks.retention import MOST, Keeping
from vibe_tasks.store import metric_sums, metric_totals, upkeep
from vibe_tasks.store.agent_tables import agent_usage, consensus_runs
from vibe_tasks.store.batches import Step, Walk, first_since, steps, surplus
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.history import SECONDS_PER_DAY, long_history, old_archive, old_history
from vibe_tasks.store.job_archival import many_jobs, old_jobs
from vibe_tasks.store.job_archive import delete_archived_jobs
from vibe_tasks.store.job_rows import among, as_parameter
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.scaling_tables import scale_decisions
from vibe_tasks.store.schema import chords, has_status, jobs, plans, tasks

_J, _O, _P, _C = jobs.c, jobs_archive.c, plans.c, chords.c
_U, _R, _D, _T = agent_usage.c, consensus_runs.c, scale_decisions.c, tasks.c

PLANS = 20
"""Plans that go in one transaction, with their tasks, budgets and votes."""

SELDOM = 3_600.0
"""Seconds between two looks through a whole table, where no index says what is too old, or rows
are to be counted, and somebody looks each minute: of millions each look takes seconds."""

Make = Callable[[Connection], Walk]
_Part = tuple[Make, int, str | None]
"""A walk, the rows of a batch at most, and a name where it looks through a whole table."""


def tidying(
    database: Database, keeping: Keeping, *, monotonic: Callable[[], float], seldom: float = 0.0
) -> Iterator[Step]:
    """Do what is to be done, a batch each time that the next step is asked for.

    Any number of processes may do so at once. Who asks rests between two steps, and may stop after
    any of them: the next time goes on with the rest.

    Args:
        database: The ledger.
        keeping: What is kept.
        monotonic: Seconds that only ever grow.
        seldom: Seconds for which a whole table is not looked through again once that was done.
    """
    # One look at the clock: what comes in meanwhile must not keep us here for ever.
    moment = server_time(database)
    yield from _all(database, _walks(keeping, moment), monotonic, seldom)
    if keeping.deletes_archive:
        metric_totals.sum_history(database)
        yield from _all(database, _deletions(keeping, moment), monotonic, seldom)


def _all(
    database: Database, parts: Iterator[_Part], monotonic: Callable[[], float], seldom: float
) -> Iterator[Step]:
    for make, most, whole in parts:
        name = f"retention {whole}" if whole and seldom else None
        with database.read() as connection:
            if name is not None:
                age = upkeep.seconds_since(connection, name)
                if age is not None and age < seldom:
                    continue
            walk = make(connection)
        yield from steps(database, walk, monotonic=monotonic, most=most)
        if name is not None:  # not before: who stops half way goes on the next time
            with database.begin() as connection:
                moment = upkeep.moment(connection)
                upkeep.keep_look(connection, name, at=moment, patient_until=moment)


def _walks(keeping: Keeping, moment: float) -> Iterator[_Part]:
    def since(days: float) -> float:
        return moment - days * SECONDS_PER_DAY

    if (days := keeping.history_days) is not None:
        yield lambda _: old_history(since(days)), MOST, None
    if (rows := keeping.history_keep) is not None:
        yield lambda connection: long_history(connection, rows), MOST, "history"
    if (ended := keeping.jobs_days) is not None:
        yield lambda _: _failed_chords(since(ended)), MOST, None
        yield lambda connection: old_jobs(connection, since(ended)), MOST, None
    if (number := keeping.jobs_keep) is not None:
        yield lambda connection: many_jobs(connection, number), MOST, "jobs"
    if (used := keeping.usage_days) is not None:
        yield lambda _: _old_usage(since(used)), MOST, "usage"
    if (decided := keeping.scale_days) is not None:
        yield lambda connection: _old_decisions(connection, since(decided)), MOST, None


def _deletions(keeping: Keeping, moment: float) -> Iterator[_Part]:
    if (days := keeping.archive_days) is not None:
        before = moment - days * SECONDS_PER_DAY
        yield lambda connection: old_archive(connection, before=before), MOST, None
        yield lambda connection: _archived_jobs(connection, before=before), MOST, None
    if (rows := keeping.archive_keep) is not None:
        yield lambda connection: old_archive(connection, keep=rows), MOST, "archived history"
        yield lambda connection: _archived_jobs(connection, keep=rows), MOST, "archived jobs"
    if (ended := keeping.jobs_days) is not None:
        yield lambda _: _forgotten_plans(moment - ended * SECONDS_PER_DAY), PLANS, None


def _archived_jobs(
    connection: Connection, *, before: float | None = None, keep: int | None = None
) -> Walk:
    """Jobs of the archive, the oldest first: those that ended before, or are more than so many."""
    is_old: ColumnElement[bool] = _O.seq > 0
    if before is not None:
        bound = first_since(connection, jobs_archive, _O.seq, _O.created_at, before)
        is_old = and_(_O.seq < bound, _O.status_updated_at < before)

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        wanted = select(_O.seq).where(is_old, _O.seq > (0 if last is None else last.seq))
        return connection.execute(wanted.order_by(_O.seq).limit(size)).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        return delete_archived_jobs(connection, [row.seq for row in found])

    limit = None if keep is None else surplus(connection, _O.seq, keep)
    return Walk(table=jobs_archive.name, verb="deleted", look=look, act=act, limit=limit)


def _failed_chords(before: float) -> Walk:
    """Chords whose body ended without them before this moment; not where a member is a dead letter
    or was retried, for once that has completed, the body starts after all.
    """
    over = and_(
        _J.id == _C.body_id, has_status(*sorted(ENDED)), _J.status_updated_at < before
    )  # fmt: skip

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        wanted = select(_C.group_id).join(jobs, over).order_by(_C.group_id).limit(size)
        if last is not None:
            wanted = wanted.where(_C.group_id > last.group_id)
        return connection.execute(wanted).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        chosen = select(_C.group_id, _C.members).join(jobs, over)
        chosen = chosen.where(_C.group_id.in_([row.group_id for row in found]))
        chosen = chosen.order_by(_C.group_id).with_for_update(of=chords, skip_locked=True)
        gone = [
            row.group_id
            for row in connection.execute(chosen).all()
            if not _may_complete(connection, row.members)
        ]
        return connection.execute(delete(chords).where(_C.group_id.in_(gone))).rowcount

    return Walk(table=chords.name, verb="deleted", look=look, act=act)


def _may_complete(connection: Connection, members: Sequence[str]) -> bool:
    """Whether one of these jobs lives or is a dead letter."""
    open_ones = select(_J.seq).where(
        among(_J.id, "ids", connection.dialect.name),
        or_(has_status(*LIVE), _J.dead_at.is_not(None)),
    )
    given = {"ids": as_parameter(connection, members)}
    return connection.execute(open_ones.limit(1), given).first() is not None


def _old_usage(before: float) -> Walk:
    """What attempts used that were over before this moment, but for those of plans that run."""
    running = select(_P.id).where(_P.status == "running")
    old = and_(_U.updated_at < before, or_(_U.plan_id.is_(None), _U.plan_id.not_in(running)))
    key = (_U.job_id, _U.attempt)

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        wanted = select(*key).where(old).order_by(*key).limit(size)
        if last is not None:
            wanted = wanted.where(tuple_(*key) > (last.job_id, last.attempt))
        return connection.execute(wanted).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        chosen = tuple_(*key).in_([tuple(row) for row in found])
        gone = connection.execute(
            delete(agent_usage).where(chosen, old)
            .returning(_U.agent, _U.cost_usd, _U.input_tokens, _U.output_tokens)
        ).all()  # fmt: skip
        metric_sums.keep_used(connection, gone)
        return len(gone)

    return Walk(table=agent_usage.name, verb="deleted", look=look, act=act)


def _old_decisions(connection: Connection, before: float) -> Walk:
    newest = connection.execute(select(func.max(_D.id)).group_by(_D.lane)).scalars().all()
    return _by_id(scale_decisions, and_(_D.at < before, _D.id.not_in(newest)))


def _by_id(table: Table, is_old: ColumnElement[bool]) -> Walk:
    key = table.c.id

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        wanted = select(key).where(is_old, key > (0 if last is None else last.id))
        return connection.execute(wanted.order_by(key).limit(size)).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        chosen = key.in_([row.id for row in found])
        return connection.execute(delete(table).where(chosen)).rowcount

    return Walk(table=table.name, verb="deleted", look=look, act=act)


def _forgotten_plans(before: float) -> Walk:
    """Plans that ended before this moment and of which not even the archive has a job any more,
    with their tasks, their budgets and the votes on them.
    """
    gone = and_(
        _P.status != "running", _P.ended_at < before,
        ~select(_J.seq).where(_J.plan_id == _P.id, _P.id.is_not(None)).exists(),
        ~select(_O.seq).where(_O.plan_id == _P.id, _P.id.is_not(None)).exists(),
    )  # fmt: skip

    def look(connection: Connection, last: Any, size: int) -> Sequence[Any]:
        wanted = select(_P.id).where(gone, _P.id > ("" if last is None else last.id))
        return connection.execute(wanted.order_by(_P.id).limit(size)).all()

    def act(connection: Connection, found: Sequence[Any]) -> int:
        chosen = select(_P.id).where(gone, _P.id.in_([row.id for row in found])).order_by(_P.id)
        locked = chosen.with_for_update(of=plans, skip_locked=True)
        ids = connection.execute(locked).scalars().all()
        named = select(_T.plan_id + "/" + _T.id).where(_T.plan_id.in_(ids))
        votes = connection.execute(
            delete(consensus_runs).where(_R.spec_id.in_(named))
            .returning(_R.consensus_ok, _R.degraded)
        ).all()  # fmt: skip
        metric_sums.keep_decided(connection, Counter(metric_sums.verdict(row) for row in votes))
        return connection.execute(delete(plans).where(_P.id.in_(ids))).rowcount

    return Walk(table=plans.name, verb="deleted", look=look, act=act)
