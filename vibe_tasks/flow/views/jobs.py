"""Jobs as people see them: in listings, and one with its history, its votes and its logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.flow.report import last_words
from vibe_tasks.flow.views.reason import reason_of
from vibe_tasks.flow.workplace import attempt_folder
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import job_archive, job_rows, plans
from vibe_tasks.store.consensus import Seat, seats_of
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.history import history_of

LISTED = (
    "seq", "id", "name", "kind", "lane", "priority", "status", "attempt", "retry_count",
    "max_retries", "plan_id", "task_id", "round", "worker", "error", "backoff_until",
    "created_at", "started_at", "status_updated_at", "dead_at",
)  # fmt: skip
"""What a listing tells of a job; `shown` tells everything."""

KINDS = ("dev", "qa", "review", "fix", "deploy", "call", "follow", "event")
"""What a job may be; `follow` applies what comes after a call where that is no single job, `event`
tells a handler of an event."""


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job's row as listings have it."""
    return {name: row[name] for name in LISTED}


def find(
    connection: Transaction, *, plan: str | None = None, limit: int = 100,
    before: int | None = None, archived: bool = False, **chosen: str | None,
) -> tuple[dict[str, Any], ...]:  # fmt: skip
    """Rows of jobs, newest first.

    Args:
        connection: A connection.
        plan: Of this plan, by its id or name.
        limit: At most so many.
        before: Only below this `seq`: the next page.
        archived: Those that are archived, instead of those that are not.
        chosen: `status`, `lane`, `kind`, `task`; None: any.

    Raises:
        UnknownJobError: No such plan.
    """
    where = {("task_id" if name == "task" else name): value for name, value in chosen.items()}
    given = {name: value for name, value in where.items() if value is not None}
    if plan is not None:
        given["plan_id"] = plans.find_plan(connection, plan)["id"]
    found = job_archive.list_archived if archived else job_rows.list_jobs
    return found(connection, where=given, limit=limit, before=before)


def dead_letters(
    connection: Transaction, *, limit: int, before: int | None = None
) -> tuple[dict[str, Any], ...]:
    """Rows of the dead letters, newest job first, each with why it is one as its `error`."""
    found = job_rows.list_jobs(connection, dead=True, limit=limit, before=before)
    return tuple({**row, "error": last_words(row)} for row in found)


def shown(
    ledger: Database, job_id: str, *, home: Path, lease: float, when: Callable[[float], str | None],
    program: str = "vibe",
) -> dict[str, Any]:  # fmt: skip
    """Everything of a job: its row, what it waits for, its reviewers, its history, its logs; of an
    archived one too, with `archived_at`.

    Args:
        ledger: The ledger.
        job_id: Its id, or the beginning of it.
        home: This host's.
        lease: Seconds of silence after which a worker is not there.
        when: A moment in words, of epoch seconds.
        program: The word that starts this program.

    Raises:
        UnknownJobError: No such job.
    """
    with ledger.read() as connection:
        row = job_archive.job_anywhere(connection, job_id)
        waits = why_it_waits(connection, row, lease=lease, when=when, program=program)
        seats = seats_told(connection, row)
        task = _task(connection, row)
    history = history_of(ledger, row["id"])
    logs = [
        str(folder)
        for number in range(1, row["attempt"] + 1)
        if (folder := attempt_folder(home, row["id"], number)).is_dir()
    ]
    reviews = {"reviews": seats} if seats else {}
    told = {"task": task} if task else {}
    return {**row, **told, "waits": waits, **reviews, "history": history, "logs": logs}


def _task(connection: Transaction, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the plan says of the task: `title`, `prompt`, `files`, `agent`; None for a call."""
    if row["plan_id"] is None or row["task_id"] is None:
        return None
    with suppress(UnknownJobError):
        spec = plans.task_spec(connection, row["plan_id"], row["task_id"])
        told = spec.get("task") or {}
        return {
            "title": told.get("title", ""), "prompt": told.get("prompt", ""),
            "files": list(told.get("files") or ()), "agent": spec.get("agent"),
        }  # fmt: skip
    return None


def why_it_waits(
    connection: Transaction, row: Mapping[str, Any], *, lease: float,
    when: Callable[[float], str | None], program: str = "vibe",
) -> str | None:  # fmt: skip
    """What a job waits for that has not ended and does not run; None where it waits for nothing.

    Args:
        connection: A connection.
        row: The job's.
        lease: Seconds of silence after which a worker is not there.
        when: A moment in words, of epoch seconds.
        program: The word that starts this program.
    """
    if row["status"] not in {JobStatus.BLOCKED, JobStatus.PENDING}:
        return None
    return reason_of(connection, row, lease=lease, when=when, program=program).text


def seats_told(connection: Transaction, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each reviewer of a qa job said, by seat: `seat`, `agent`, `verdict`, or `why` there is
    none, and the `job_id` of the review; empty for other jobs and where nobody was asked.
    """
    if row["kind"] != "qa" or row["plan_id"] is None:
        return []
    seats = sorted(seats_of(connection, row), key=lambda seat: seat.number)
    return [
        {
            "seat": seat.number, "agent": seat.agent, "verdict": _verdict(seat),
            "why": None if _verdict(seat) else _why_not(seat), "job_id": seat.id,
        }
        for seat in seats
    ]  # fmt: skip


def _verdict(seat: Seat) -> str | None:
    said = seat.result if isinstance(seat.result, Mapping) else {}
    return str(said.get("verdict")) if seat.status == JobStatus.COMPLETED else None


def _why_not(seat: Seat) -> str:
    if seat.status == JobStatus.PROCESSING:
        return "under way"
    return seat.error or ("yet to come" if seat.live else str(seat.status))
