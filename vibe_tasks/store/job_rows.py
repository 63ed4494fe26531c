"""Looking at jobs: rows of the ledger, as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    any_,
    bindparam,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import ENDED
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.statement import Statement

_J, _A = jobs.c, jobs_archive.c


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
        dialect: union_all(
            select(_J.id).where(has_status(*sorted(ENDED)), among(_J.id, "ids", dialect)),
            select(_A.id).where(among(_A.id, "ids", dialect)),
        )
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
_ARCHIVED = {
    dialect: select(_A.id, _A.status, _A.status_updated_at, _A.row).where(
        among(_A.id, "ids", dialect)
    )
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
            meant; or it is archived, and nothing can be done to it any more.
    """
    found = like(connection, _J.id, text)
    if not found:
        archived = like(connection, _A.id, text)
        if archived:
            raise UnknownJobError(
                f"job {archived[0]} is archived: it can be shown, and nothing else done to it"
            )
        raise unknown(text)
    return only(text, found)


def like(connection: Connection, ids: ColumnElement[str], text: str) -> list[str]:
    """Up to two of these ids that are this text or begin like it, the shortest first."""
    # A range, so that the index serves it; U+10FFFF comes after whatever an id goes on with.
    begins = and_(ids > text, ids < text + "\U0010ffff")
    same = ids == text
    whole = len(text) < SHORTEST
    wanted = select(ids).where(same if whole else or_(same, begins)).order_by(ids).limit(2)
    return list(connection.execute(wanted).scalars())


def unknown(text: str) -> UnknownJobError:
    """What there is to say where no job's id is this or begins like it."""
    if len(text) < SHORTEST:
        return UnknownJobError(
            f"no job {text}; the beginning of an id has at least {SHORTEST} characters"
        )
    return UnknownJobError(f"no job {text}")


def only(text: str, found: Sequence[str]) -> str:
    """The one of these ids that is meant, which `like` has found.

    Raises:
        UnknownJobError: There is more than one.
    """
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


def results_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, Any]:
    """Status, result and error of these jobs, by id, archived ones too; unknown ids are absent.

    Each has `id`, `status`, `result`, `error`, `attempt`, `retry_count` and `status_updated_at`.
    """
    asked = list(job_ids)
    ids = as_parameter(connection, asked)
    dialect = connection.dialect.name
    found: dict[str, Any] = {
        row.id: row for row in connection.execute(_RESULTS[dialect], {"ids": ids})
    }
    missing = [job_id for job_id in asked if job_id not in found]
    if missing:
        ids = as_parameter(connection, missing)
        for row in connection.execute(_ARCHIVED[dialect], {"ids": ids}):
            found[row.id] = _outcome(row)
    return found


def _outcome(row: Row[*tuple[Any, ...]]) -> SimpleNamespace:
    whole = row.row if "id" in row.row else {}  # else it is sealed with a key that is not here
    return SimpleNamespace(
        id=row.id, status=row.status, result=whole.get("result"), error=whole.get("error"),
        attempt=whole.get("attempt", 0), retry_count=whole.get("retry_count", 0),
        status_updated_at=row.status_updated_at,
    )  # fmt: skip


def ended_of(connection: Connection, job_ids: Sequence[str]) -> list[str]:
    """Which of these jobs have ended, archived or not; made to be asked again and again by whoever
    waits.
    """
    ids = as_parameter(connection, job_ids)
    return [row[0] for row in _ENDED.all(connection, {"ids": ids})]
