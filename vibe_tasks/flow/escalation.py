"""Telling a person what goes no further by itself: the message, and how its job ends.

The job that tells is a job like any other (`store.event_handlers`): its row is written with the
event, its failures are retried, and when nobody could be told it is a dead letter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.escalation import HANDLERS, notice
from vibe_tasks.events import Event, EventType
from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.masking import masked
from vibe_tasks.store import events, jobs, leases, plans
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.event_handlers import KIND
from vibe_tasks.store.retries import OUTCOME, Retries


def audience_of_death(row: Mapping[str, Any]) -> Collection[str] | None:
    """Who may hear of the death of this job, a row of `jobs` that belongs to no plan; None: all.

    A handler that fails each time would be told of its own death, fail at that, and so on without
    end, and so would two that hear of each other: a handler's death is told to people alone, and
    that people could not be told is told to nobody. It is in the dead letters.
    """
    if row["kind"] != KIND:
        return None
    return () if row["name"] in HANDLERS else HANDLERS


def message_of(connection: Transaction, event: Event) -> dict[str, Any]:
    """What a person is told of this event; the plan and the task as the ledger has them."""
    plan, title = None, None
    with suppress(UnknownJobError):  # it belongs to a job without a plan
        found = plans.plan_heading(connection, event.session)
        plan = {name: found[name] for name in ("id", "name", "branch")}
        plan["repo"] = masked(found["repo"])
        if event.task_id:
            title = plans.find_task(connection, found["id"], event.task_id)["title"]
    return notice(event, plan=plan, title=title)


def told(
    ledger: Database, claim: Claim, event: Event, *, how: str, retries: Retries | None = None
) -> dict[str, Any]:
    """Write that somebody was told: the job's end and the event `ESCALATED`, together; the result.

    Args:
        ledger: The ledger.
        claim: The attempt that told.
        event: What was told.
        how: `webhook` or `command`.
        retries: Tries again, for as long as an outcome is worth; None: it is tried once.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    result = {"event": event.id, "type": str(event.event_type), "by": how}
    about = {"task": event.task_id} if event.task_id else {}

    def write(unsure: bool) -> None:
        with ledger.begin() as connection:
            end = leases.end_of(connection, claim.id, claim.attempt) if unsure else None
            if end is not None and end[0] == JobStatus.COMPLETED:
                return
            jobs.complete_job(connection, claim.id, claim.attempt, result)
            events.record(
                connection, EventType.ESCALATED, session=event.session, payload=result | about,
                summary=f"{event.event_type} was told by {how}",
            )  # fmt: skip

    if retries is None:
        write(False)
    else:
        retries.call(write, OUTCOME)
    return result
