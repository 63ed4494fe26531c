"""Why a job waits, or what became of it: what `reasons` and `waiting` need, out of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vibe_tasks.errors import CircuitBreakerOpenError, UnknownJobError
from vibe_tasks.flow.views.asking import why_blocked
from vibe_tasks.flow.views.registry import registry
from vibe_tasks.jobs import ENDED, JobStatus
from vibe_tasks.reasons import Reason
from vibe_tasks.routing import VIRTUAL
from vibe_tasks.store import audit, breaker_list, lane_list, watching, workers
from vibe_tasks.store.candidates import workers_of
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.job_archive import job_anywhere
from vibe_tasks.store.job_rows import SHORTEST
from vibe_tasks.store.near_jobs import near_ids
from vibe_tasks.store.upkeep import moment
from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.waiting import Crew, Facts, Message, When, why_ended, why_pending, why_running

Ask = Callable[[Transaction, Mapping[str, Any]], Message | None]
"""Asks the broker where the message of a job, a row of `jobs`, is; None: that cannot be asked."""

NEAR = 200
"""Jobs whose ids are compared with one that nobody has."""

_ENDINGS = frozenset({"job.cancel", "job.discard"})


def reason_of(
    connection: Transaction, row: Mapping[str, Any], *, lease: float, when: When,
    program: str = "vibe", grace: float = 5.0, ask: Ask | None = None,
) -> Reason:  # fmt: skip
    """Why this job is where it is.

    Args:
        connection: A connection.
        row: The job's.
        lease: Seconds of silence after which a worker is not there.
        when: A moment in words.
        program: The word that starts this program.
        grace: Seconds after which a message that is in no queue is sent again.
        ask: Asks the broker, where the answer depends on it.
    """
    status = row["status"]
    if status == JobStatus.BLOCKED:
        return why_blocked(connection, row, program=program)
    if status in ENDED:
        return why_ended(
            status, job=row["id"], at=row["status_updated_at"], by=_who_ended(connection, row),
            error=row["error"], dead=row["dead_at"] is not None,
            archived=row.get("archived_at") is not None, when=when, program=program,
        )  # fmt: skip
    now = moment(connection)
    if status == JobStatus.PROCESSING:
        return why_running(
            worker=row["worker"], attempt=row["attempt"], started_at=row["started_at"],
            lease_until=row["lease_until"], now=now, when=when,
        )  # fmt: skip
    facts = _facts(connection, row, now=now, lease=lease, grace=grace, program=program, ask=ask)
    return why_pending(facts, when=when, program=program)


def _facts(
    connection: Transaction, row: Mapping[str, Any], *, now: float, lease: float, grace: float,
    program: str, ask: Ask | None,
) -> Facts:  # fmt: skip
    waits = row["backoff_until"] is not None and row["backoff_until"] > now
    due = not waits
    crew = _crew(connection, row, lease=lease) if due else ()
    held = None
    if due and row["held_at"] is not None:
        held = lane_list.held_for(connection, row, lease=lease, program=program)
    elif due:
        held = lane_list.refused(connection, row, program=program)
    return Facts(
        now=now, lane=row["lane"], function=row["name"], attempt=row["attempt"],
        failures=row["retry_count"], most=row["max_retries"], error=row["error"],
        due_at=row["backoff_until"], start_by=row["start_by"], held=held,
        published_at=None if row["backoff_until"] is not None else row["published_at"],
        breaker=_breaker(connection, row["error"]) if waits else None,
        required=tuple(row["required"] or ()), crew=crew,
        unsent=watching.oldest_unsent(connection) if due else 0.0, grace=grace,
        message=ask(connection, row) if ask is not None and crew and held is None else None,
    )  # fmt: skip


def _crew(connection: Transaction, row: Mapping[str, Any], *, lease: float) -> tuple[Crew, ...]:
    """The workers of the job's lane that are heard of."""
    needed = set(row["required"] or ())
    known = {each.worker.worker_id: each.worker.functions
             for each in workers_of(connection, row["lane"], lease=lease)}  # fmt: skip
    here = [each for each in workers.list_workers(connection) if each["lane"] == row["lane"]]
    found = []
    for each in registry(here, lease=lease):
        name = each["worker_id"]
        if each["status"] not in {"online", "draining"} or name.startswith(VIRTUAL):
            continue
        functions = known.get(name)
        found.append(
            Crew(
                worker=name, draining=each["draining_at"] is not None,
                full=each["active_tasks"] >= each["capacity_limit"],
                knows=None if functions is None else row["name"] in functions,
                able=needed <= set(each["labels"] or ()),
            )
        )  # fmt: skip
    return tuple(found)


def _breaker(connection: Transaction, error: str | None) -> tuple[str, float] | None:
    """The breaker because of which a job was put off, and the seconds until it lets a call try."""
    if not error:
        return None
    for each in breaker_list.states(connection):
        own = error.endswith(CircuitBreakerOpenError.text(each.name))
        if own or (each.times_opened and each.reason == error):
            return each.name, each.wait
    return None


def _who_ended(connection: Transaction, row: Mapping[str, Any]) -> str | None:
    """Who cancelled a job, where a person did; who ran it, where it is done."""
    if row["status"] != JobStatus.CANCELLED:
        return row["worker"] if row["status"] == JobStatus.COMPLETED else None
    # Not of before: who cancelled it once, and saw it retried, has not cancelled it this time.
    since = row["status_updated_at"]
    done = audit.entries(connection, target=row["id"], action="job", since=since)
    found = [each for each in done if each["target"] == row["id"] and each["action"] in _ENDINGS]
    if not found and row["plan_id"]:
        plan = audit.entries(connection, target=row["plan_id"], action="plan.cancel", since=since)
        found = [each for each in plan if (each["details"] or {}).get("reason") == row["error"]]
    return found[-1]["actor"] if found else None


def meant(connection: Transaction, text: str) -> dict[str, Any]:
    """As `job_anywhere`, with the near miss where there is no such job.

    Raises:
        UnknownJobError: There is none, or more than one, or the beginning is too short.
    """
    try:
        return job_anywhere(connection, text)
    except UnknownJobError as error:
        near = [each[: max(len(text), SHORTEST)] for each in near_ids(connection, text, most=NEAR)]
        hint = "" if any(each.startswith(text) for each in near) else did_you_mean(text, near)
        raise UnknownJobError(f"{error}{hint}") from error
