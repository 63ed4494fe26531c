"""What a ledger needs after it came back from a backup, so that its work goes on.

A backup is of one moment of a deployment at work. Who worked then is gone: attempts that ran are
taken back at once, without counting a failure, messages that were sent are sent again, and the
registry of workers is empty. What a job had done after that moment it does again: a job runs at
least once.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.errors import InputError
from vibe_tasks.events import EventType
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import audit, events, jobs, outbox, workers
from vibe_tasks.store.agent_tables import breaker_trials
from vibe_tasks.store.copying import change_log, fence
from vibe_tasks.store.copying.facts import drop_copy_facts, own_facts
from vibe_tasks.store.engine import Database, now
from vibe_tasks.store.event_tables import events as event_rows
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.operation_tables import MOVED_TO, ledger_facts
from vibe_tasks.store.operation_tables import audit as audit_rows
from vibe_tasks.store.schema import READY, has_status, job_history
from vibe_tasks.store.schema import jobs as job_rows

FACT = "restored_at"
"""The name of the fact that says when a ledger was restored last, in epoch seconds."""

WHY = "interrupted: the ledger was restored from a backup"
"""What is written for attempts that ran when the backup was made."""

SESSION = "ledger"
"""The session of events that are about the ledger itself."""

GAP = 1_000_000_000
"""Ids that are left out. Whoever reads events or history after the last id that it saw has seen ids
that were given out after the backup: given out again, they would be overlooked."""

_NUMBERED = (event_rows, job_history, audit_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a restored ledger has to do.

    Attributes:
        taken_back: Attempts that ran when the backup was made; they run again.
        due: Jobs that may start now, those included; all are sent again.
    """

    taken_back: int
    due: int


def end_copy(database: Database, *, force: bool) -> None:
    """A copy that was on when the backup was made is over: it has gone on without this ledger, and
    would be compared with what is no more.

    Args:
        database: The ledger.
        force: Also where a switch was under way, after which work may go on in the copy.

    Raises:
        InputError: A switch was under way.
    """
    with database.read() as connection:
        if not change_log.is_on(connection):
            return
        moving = own_facts(connection).get(MOVED_TO)
    if moving is not None:
        if not force:
            raise InputError(
                f"the backup is of a ledger that was being moved to {moving}: where work goes on "
                "there, it must not go on here too; --force opens this one"
            )
        fence.take_down(database, Patience())
    change_log.end(database, Patience())
    with database.begin() as connection:
        drop_copy_facts(connection)


def resume(connection: Connection, *, by: audit.By | None = None) -> Resumed:
    """Let the work of a restored ledger go on.

    Args:
        connection: A writing transaction; nobody works on the ledger yet.
        by: Who restored it.
    """
    _leave_a_gap(connection)
    running = select(job_rows.c.id, job_rows.c.attempt).where(has_status(JobStatus.PROCESSING))
    held = connection.execute(running.order_by(job_rows.c.id)).all()
    for row in held:
        jobs.snooze_job(connection, row.id, row.attempt, 0.0, WHY)
    jobs.promote(connection)
    outbox.forget_sent(connection)
    workers.forget_all(connection)
    connection.execute(delete(breaker_trials))
    due = connection.execute(select(func.count()).where(READY)).scalar_one()
    done = Resumed(taken_back=len(held), due=due)
    _note(connection, done, by)
    return done


def _leave_a_gap(connection: Connection) -> None:
    for table in _NUMBERED:
        if connection.dialect.name == "sqlite":
            connection.execute(
                text("UPDATE sqlite_sequence SET seq = seq + :gap WHERE name = :name"),
                {"gap": GAP, "name": table.name},
            )
        else:
            sequence = func.pg_get_serial_sequence(table.name, "id")
            further = func.nextval(sequence) + GAP
            connection.execute(select(func.setval(sequence, further)))


def _note(connection: Connection, done: Resumed, by: audit.By | None) -> None:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    moment = str(float(connection.execute(select(now())).scalar_one()))
    connection.execute(
        kind.insert(ledger_facts)
        .values(name=FACT, value=moment)
        .on_conflict_do_update(index_elements=[ledger_facts.c.name], set_={"value": moment})
    )
    figures = {"taken_back": done.taken_back, "due": done.due}
    events.record(
        connection, EventType.LEDGER_RESTORED, session=SESSION, payload=figures,
        summary=f"the ledger was restored from a backup; {done.due} jobs may start",
    )  # fmt: skip
    audit.note(connection, by, "db.restore", None, figures)
