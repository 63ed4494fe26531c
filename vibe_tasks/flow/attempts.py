"""Attempts that lost their worker or its process, taken back.

They end as all do that did not complete (`endings`), so that a worker that was killed counts as a
failure like any other and a job that kills its workers ends as a dead letter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vibe_tasks.errors import LeaseLostError, VibeError
from vibe_tasks.flow.endings import Ending, Place, Uniform, settle, settle_in
from vibe_tasks.jobs import Publication
from vibe_tasks.store import jobs, leases, plans, workers
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, Transaction

log = logging.getLogger(__name__)

Tell = Callable[[Mapping[str, Any], str], None]
"""Hears of an attempt that was taken back: its job's row before, and why."""


def _nobody(_row: Mapping[str, Any], _why: str) -> None: ...


__all__ = [
    "Ending", "Place", "Reaped", "Uniform", "abandon", "interrupt", "lose", "reap", "settle",
    "settle_in", "take_back",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What became of attempts that lost their lease.

    Attributes:
        taken: Attempts taken back.
        dead: Jobs that this made dead letters.
        following: Messages to send.
    """

    taken: int = 0
    dead: tuple[str, ...] = ()
    following: tuple[Publication, ...] = ()


def reap(
    ledger: Database,
    *,
    uniform: Uniform,
    most: int = 100,
    late: bool = True,
    host: str | None = None,
    gone: Callable[[workers.Registered], bool] | None = None,
    tell: Tell = _nobody,
) -> Reaped:
    """Count as failed what runs without a lease, and what workers of this host held that are dead.

    A transaction for each, so that a worker never waits long for its turn to write. They do not
    wait as after other failures: they have waited for this.

    Args:
        ledger: The ledger.
        uniform: Draws the jitter (`random.uniform`).
        most: Expired leases in one look.
        late: Whether to look for expired leases.
        host: This process's host, as workers register it; None where it is not known.
        gone: Whether a worker of this host surely runs no more.
        tell: Hears of each attempt that was taken back.
    """
    taken = []
    if host is not None and gone is not None:
        with ledger.read() as connection:
            dead = [each for each in workers.online_at(connection, host) if gone(each)]
        taken += [abandon(ledger, each, uniform=uniform, tell=tell) for each in dead]
    if late:
        with ledger.read() as connection:
            expired = leases.expired(connection, most=most)
        why = "lease expired: no heartbeat of"
        taken.append(_take_all_back(ledger, expired, why, uniform, only_late=True, tell=tell))
    return _sum(taken)


def abandon(
    ledger: Database, dead: workers.Registered, *, uniform: Uniform, tell: Tell = _nobody
) -> Reaped:
    """This worker's process is gone: count as failed what it held; nothing when it has left.

    Of several that notice it one acts, and never on what a new worker of the same name holds.
    """
    with ledger.begin() as connection:
        if not workers.sign_off(connection, dead):
            return Reaped()
        held = leases.held_by(connection, dead.worker)
    return take_back(ledger, held, uniform=uniform, tell=tell)


def take_back(
    ledger: Database, held: Iterable[leases.Held], *, uniform: Uniform, tell: Tell = _nobody
) -> Reaped:
    """Count these attempts as failed, whose worker is dead."""
    return _take_all_back(ledger, held, "its process is gone:", uniform, tell=tell)


def _take_all_back(
    ledger: Database,
    attempts: Iterable[leases.Held],
    why: str,
    uniform: Uniform,
    *,
    only_late: bool = False,
    tell: Tell,
) -> Reaped:
    taken = 0
    dead: list[str] = []
    following: list[Publication] = []
    for held in attempts:
        outcome = None
        try:
            with ledger.begin() as connection:
                outcome = _take_back(
                    connection, held, f"{why} {held.worker}", uniform, only_late=only_late,
                    wait=0.0,
                )  # fmt: skip
        except LeaseLostError:
            pass  # it has ended since the look, where others write at the same time
        except VibeError as error:  # one row that is not as it should be must not hold up the rest
            log.warning("cannot take back job %s: %s", held.id, error)
        except DATABASE_ERRORS:
            raise
        except Exception:  # likewise: whatever its plan's rows make of it
            log.exception("cannot take back job %s", held.id)
        if outcome is None:
            continue
        again, messages, row = outcome
        tell(row, f"{why} {held.worker}")
        taken += 1
        following.extend(messages)
        if not again:
            dead.append(held.id)
    return Reaped(taken=taken, dead=tuple(dead), following=tuple(following))


def _sum(parts: Iterable[Reaped]) -> Reaped:
    reaped = list(parts)
    return Reaped(
        taken=sum(each.taken for each in reaped),
        dead=tuple(job for each in reaped for job in each.dead),
        following=tuple(message for each in reaped for message in each.following),
    )


def lose(
    ledger: Database,
    job_id: str,
    worker: str,
    why: str,
    *,
    uniform: Uniform,
    attempt: int | None = None,
    counted: bool = True,
    tell: Tell = _nobody,
) -> tuple[Publication, ...]:
    """The process that ran this job for this worker is gone; the messages to send.

    Nothing happens when the attempt has ended or the job is in other hands. It is not counted as
    a failure where somebody has ended the process on purpose.

    Args:
        ledger: The ledger.
        job_id: The job.
        worker: Whose process it was.
        why: What became of it.
        uniform: Draws the jitter (`random.uniform`).
        attempt: The attempt that it ran; None for the one that the worker holds.
        counted: Whether it is a failure.
        tell: Hears of it.
    """
    outcome = None
    # The attempt may end between the look and the write, where others write at the same time.
    with suppress(LeaseLostError), ledger.begin() as connection:
        for held in leases.held_by(connection, worker):
            if held.id == job_id and attempt in {None, held.attempt}:
                if counted:
                    outcome = _take_back(connection, held, f"{why}; {held.worker}", uniform)
                else:
                    before = jobs.find_job(connection, held.id)
                    jobs.snooze_job(connection, held.id, held.attempt, 0.0, why)
                    outcome = True, (), before
                break
    if outcome is None:
        return ()
    _, following, row = outcome
    tell(row, why)
    return following


def _take_back(
    connection: Transaction,
    held: leases.Held,
    why: str,
    uniform: Uniform,
    *,
    only_late: bool = False,
    wait: float | None = None,
) -> tuple[bool, tuple[Publication, ...], Mapping[str, Any]] | None:
    row = jobs.find_job(connection, held.id)
    if row["plan_id"] is not None:
        plans.plan_status(connection, row["plan_id"])
    # Looked at again under the plan's lock: the attempt may have ended or beaten meanwhile.
    if only_late and not leases.is_expired(connection, held.id, held.attempt):
        return None
    place = Place(
        id=held.id, attempt=held.attempt, kind=row["kind"],
        plan_id=row["plan_id"], task_id=row["task_id"],
    )  # fmt: skip
    ending = Ending(kind="failure", text=f"WorkerLost: {why}", wait=wait)
    return *settle_in(connection, place, ending, uniform=uniform), row


def interrupt(
    ledger: Database, worker: str, why: str, *, only: Collection[tuple[str, int]] | None = None
) -> int:
    """Return what this worker held without counting a failure; how many jobs.

    For workers that are known to have been stopped by somebody, not by their jobs.

    Args:
        ledger: The ledger.
        worker: Its name.
        why: What became of it.
        only: These attempts alone, where another worker may have the same name.
    """
    returned = 0
    with ledger.begin() as connection:
        # In the order of their ids, as heartbeats lock them: else the two could lock crosswise.
        for each in sorted(leases.held_by(connection, worker), key=lambda held: held.id):
            if only is not None and (each.id, each.attempt) not in only:
                continue
            with suppress(LeaseLostError):  # it has ended since the look
                jobs.snooze_job(connection, each.id, each.attempt, 0.0, why)
                returned += 1
    return returned
