"""Looking at jobs: rows of the ledger, as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import ENDED
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.statement import Statement

_J = jobs.c


def among(column: ColumnElement[Any], name: str, dialect: str) -> ColumnElement[bool]:
    """That the column's value is one of many.

    All are one parameter, see `as_parameter`: a list of them would be built anew for each look,
    and PostgreSQL takes no more than 65,535.
    """
    if dialect == "sqlite":
        return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))
    return column == any_(bindparam(name, type_=ARRAY(column.type)))


def as_parameter(connection: Connection, values: Iterable[str] | Iterable[int]) -> object:
    """These values as the one parameter that `among` compares with."""
    return json.dumps(list(values)) if connection.dialect.name == "sqlite" else list(values)


SHORTEST = 6
"""Characters of a job's id that stand for it; fewer hit by chance what was not meant."""

DIALECTS = ("sqlite", "postgresql")
_ENDED = Statement(
    {
        dialect: select(_J.id).where(has_status(*sorted(ENDED)), among(_J.id, "ids", dialect))
        for dialect in DIALECTS
    }
)
_TRACE = Statement(select(_J.trace).where(_J.id == bindparam("job", type_=_J.id.type)))
_RESULTS = {
    dialect: select(
        _J.id, _J.status, _J.result, _J.error, _J.attempt, _J.retry_count, _J.status_updated_at
    ).where(among(_J.id, "ids", dialect))
    for dialect in DIALECTS
}


def find_job(connection: Connection, job_id: str) -> dict[str, Any]:
    """The whole row of a job.

    Raises:
        UnknownJobError: No such job.
    """
    row = connection.execute(select(jobs).where(_J.id == job_id)).mappings().first()
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    return dict(row)


def trace_of(connection: Connection, job_id: str) -> str | None:
    """The span that this job's own hang from, for the jobs that follow it."""
    row = _TRACE.first(connection, {"job": job_id})
    return None if row is None else row[0]


def whole_job_id(connection: Connection, text: str) -> str:
    """The id of the job that has this id, or the only one whose id begins like this.

    Raises:
        UnknownJobError: There is none, or more than one, or the beginning is too short to be
            meant.
    """
    # A range, so that the index serves it; U+10FFFF comes after whatever an id goes on with.
    begins = and_(_J.id > text, _J.id < text + "\U0010ffff")
    same = _J.id == text
    whole = len(text) < SHORTEST
    wanted = select(_J.id).where(same if whole else or_(same, begins)).order_by(_J.id).limit(2)
    found = list(connection.execute(wanted).scalars())
    if not found and whole:
        raise UnknownJobError(
            f"no job {text}; the beginning of an id has at least {SHORTEST} characters"
        )
    if not found:
        raise UnknownJobError(f"no job {text}")
    if found[0] != text and len(found) > 1:
        raise UnknownJobError(f"more than one job's id begins with {text}; give more of it")
    return str(found[0])


def list_jobs(
    connection: Connection,
    *,
    where: Mapping[str, str] | None = None,
    dead: bool = False,
    limit: int = 100,
    before: int | None = None,
) -> tuple[dict[str, Any], ...]:
    """Jobs, newest first.

    Args:
        connection: A connection.
        where: Column names and the values they must have (`lane`, `status`, `plan_id`, …).
        dead: Dead letters only.
        limit: At most so many.
        before: Only jobs with a lower `seq`: the next page.
    """
    statement = select(jobs).order_by(_J.seq.desc()).limit(limit)
    for name, value in (where or {}).items():
        statement = statement.where(_J[name] == value)
    if dead:
        statement = statement.where(_J.dead_at.is_not(None))
    if before is not None:
        statement = statement.where(_J.seq < before)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def results_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, Row[*tuple[Any, ...]]]:
    """Status, result and error of these jobs, by id; unknown ids are absent."""
    ids = as_parameter(connection, job_ids)
    rows = connection.execute(_RESULTS[connection.dialect.name], {"ids": ids})
    return {row.id: row for row in rows}


def ended_of(connection: Connection, job_ids: Sequence[str]) -> list[str]:
    """Which of these jobs have ended; made to be asked again and again by whoever waits."""
    ids = as_parameter(connection, job_ids)
    return [row[0] for row in _ENDED.all(connection, {"ids": ids})]
