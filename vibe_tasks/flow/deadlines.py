"""Deadlines: a job that has not started by the moment that its producer set is given up.

It ends as cancelled, with the reason and an event: whoever waits for it is told, as when a person
cancels it. A job that has started once keeps its retries, however late they are.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from vibe_tasks.errors import VibeError
from vibe_tasks.events import EventType
from vibe_tasks.flow import chords, control
from vibe_tasks.store import deadlines, events
from vibe_tasks.store.engine import DATABASE_ERRORS, Database

log = logging.getLogger(__name__)


def give_up_late(ledger: Database, *, most: int = 100) -> tuple[tuple[str, ...], bool]:
    """Cancel jobs whose deadline has passed, a transaction for each.

    One that cannot be cancelled is logged and keeps none of the others from it.

    Args:
        ledger: The ledger.
        most: Jobs that are cancelled at most.

    Returns:
        Their ids, and whether there may be more.
    """
    done: list[str] = []
    stuck: set[str] = set()
    while True:
        with ledger.read() as connection:
            late = deadlines.late_jobs(connection, most=most + len(stuck))
        new = [job_id for job_id in late if job_id not in stuck]
        for job_id in new[: most - len(done)]:
            try:
                if give_up_if_late(ledger, job_id):
                    done.append(job_id)
            except VibeError as error:
                stuck.add(job_id)
                log.warning("job %s is late and cannot be given up: %s", job_id, error)
            except DATABASE_ERRORS:
                raise
            except Exception:  # whatever its plan's rows make of it: the others must not wait
                stuck.add(job_id)
                log.exception("job %s is late and cannot be given up", job_id)
        if len(new) < most or len(done) >= most or len(stuck) >= most:
            return tuple(done), len(new) >= most and bool(done)


def give_up_if_late(ledger: Database, job_id: str) -> bool:
    """Cancel this job where its deadline has passed before it ever started; whether it was so."""
    with ledger.read() as connection:
        if not deadlines.is_late(connection, job_id):
            return False
    with ledger.begin() as connection:
        row = control.locked(connection, job_id)
        reason = f"not started by its deadline, {_moment(row['start_by'])}"
        if not deadlines.expire_job(connection, job_id, reason):
            return False
        chords.member_ended(connection, row["canvas"], job_id, reason)
        if row["plan_id"] is not None:
            control.end_task(connection, row["plan_id"], row["task_id"], reason)
        events.record(
            connection, EventType.JOB_EXPIRED, session=row["plan_id"] or job_id,
            payload={"job_id": job_id, "task": row["task_id"], "why": reason},
            summary=f"job {job_id} was given up: {reason}",
        )  # fmt: skip
        return True


def _moment(epoch: float | None) -> str:
    """Date and time in UTC; the number where no calendar has it."""
    if epoch is None:
        return "none"
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{epoch:g}"
