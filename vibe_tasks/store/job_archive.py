"""Jobs that ended long ago: out of the table that everybody works on, kept whole, still found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select

from vibe_tasks.jobs import ENDED
from vibe_tasks.store.job_rows import among, as_parameter, find_job, like, only, unknown
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.schema import has_status, jobs

_A = jobs_archive.c
_UNREAD: Mapping[str, Any] = {
    **dict.fromkeys(jobs.c.keys()), "priority": 3, "effort": 0, "attempt": 0, "retry_count": 0,
    "max_retries": 0, "retry_base": 0.0, "round": 0,
}  # fmt: skip
"""What is told of the rest of a row that is sealed with a key that is not here."""


def job_anywhere(connection: Connection, text: str) -> dict[str, Any]:
    """The row of the job that has this id, or the only one whose id begins like this; where it is
    archived it is as it was, and has `archived_at`.

    Raises:
        UnknownJobError: There is none, or more than one, or the beginning is too short to be
            meant.
    """
    found = like(connection, jobs.c.id, text)
    if found and found[0] == text:
        return find_job(connection, text)
    archived = like(connection, _A.id, text)
    if not found and not archived:
        raise unknown(text)
    known = only(text, sorted({*found, *archived}, key=lambda each: (each != text, each)))
    if known in found:
        return find_job(connection, known)
    row = connection.execute(select(jobs_archive).where(_A.id == known)).mappings().one()
    return _whole(row)


def list_archived(
    connection: Connection, *, where: Mapping[str, str] | None = None, limit: int | None = None,
    before: int | None = None,
) -> tuple[dict[str, Any], ...]:  # fmt: skip
    """Rows of archived jobs, newest first.

    Args:
        connection: A connection.
        where: Column names and the values they must have: `lane`, `status`, `kind`, `name`,
            `plan_id` or `task_id`.
        limit: At most so many; None: all.
        before: Only jobs with a lower `seq`: the next page.
    """
    statement = select(jobs_archive).order_by(_A.seq.desc()).limit(limit)
    for name, value in (where or {}).items():
        statement = statement.where(_A[name] == value)
    if before is not None:
        statement = statement.where(_A.seq < before)
    return tuple(_whole(row) for row in connection.execute(statement).mappings())


def count_jobs(connection: Connection) -> tuple[int, int]:
    """Jobs that have ended and are not archived, and those that are."""
    ended = select(func.count()).select_from(jobs).where(has_status(*sorted(ENDED)))
    archived = select(func.count()).select_from(jobs_archive)
    return connection.execute(ended).scalar_one(), connection.execute(archived).scalar_one()


def dead_among(connection: Connection, job_ids: Sequence[str]) -> frozenset[str]:
    """Those of these jobs that are dead letters."""
    dead = select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.dead_at.is_not(None))
    return frozenset(connection.execute(dead).scalars())


def delete_archived_jobs(connection: Connection, seqs: Sequence[int]) -> int:
    """Delete these jobs from the archive; how many there were."""
    chosen = among(_A.seq, "seqs", connection.dialect.name)
    given = {"seqs": as_parameter(connection, seqs)}
    return connection.execute(delete(jobs_archive).where(chosen), given).rowcount


def _whole(row: Mapping[Any, Any]) -> dict[str, Any]:
    copied = row["row"]
    if "id" not in copied:
        copied = {**_UNREAD, **{name: value for name, value in row.items() if name in _UNREAD}}
    return {**copied, "archived_at": row["archived_at"]}
