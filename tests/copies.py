"""Two databases and a ledger on its way from one to the other, for tests of copying."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, text

from tests.filled_ledger import fill
from tests.ledgers import new_job
from tests.processes import until
from vibe_tasks.store import jobs
from vibe_tasks.store.copying.copier import Copier
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.event_tables import events, job_logs
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.schema import job_history
from vibe_tasks.store.statement import LEFT

AWKWARD: list[Any] = [
    None, 1.0, 1, 1e-320, -0.0, 2**53 + 1, -(2**70), 0.1 + 0.2, True, "", "\u0000", "snow \u2603",
    "\U0001f600", {"b": [1, {"a": None}], "a": "'; --%(x)s :y %"}, "line\nline\ttab\\N",
]  # fmt: skip
"""Values that a careless copy rounds, reorders, or takes for something else."""

LINES = 1_500
"""Rows of a table whose key has three columns: more than one batch of them."""


def filled(ledger: Database, folder: Path) -> None:
    """Put some of everything into the ledger, awkward values too, and take the newest away."""
    folder.mkdir()
    fill(ledger, folder)
    awkward = [new_job(args=(value,), unique_key=f"key {at}") for at, value in enumerate(AWKWARD)]
    logged = [
        {"job_id": f"j{at % 7}", "attempt": at % 3, "seq": at, "at": at / 3, "lines": [{"n": at}]}
        for at in range(LINES)
    ]
    happened = {
        "source_app": "'", "session_id": "s\\", "hook_event_type": "Stop",
        "payload": {"k": "\u2028"}, "timestamp": 2**40, "priority": 1, "extra": None,
    }  # fmt: skip
    with ledger.begin() as connection:
        jobs.submit(connection, awkward)
        connection.execute(insert(job_logs), logged)
        for _ in range(2):
            connection.execute(insert(events).values(**happened))
        connection.execute(text("DELETE FROM events WHERE id = (SELECT max(id) FROM events)"))


def copier_of(source: Database, copy: Database, **more: Any) -> Copier:
    """A copy that was begun."""
    made = Copier(source, copy, name=uuid4().hex, patience=Patience(rest=0.01), **more)
    made.begin()
    return made


def copied(source: Database, copy: Database) -> Copier:
    """A copy whose rows are all there."""
    made = copier_of(source, copy)
    made.copy_rows()
    made.follow()
    return made


def rows_of(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def run(database: Database, statement: str) -> None:
    """One statement in a transaction of its own."""
    with database.begin() as connection:
        connection.execute(text(statement))


def history_count(database: Database, job_id: str) -> int:
    """How many transitions of a job were written down."""
    query = text(f"SELECT count(*) FROM {job_history.name} WHERE job_id = :id")  # noqa: S608
    with database.read() as connection:
        return int(connection.execute(query, {"id": job_id}).scalar_one())


class Writer:
    """Somebody who works on a ledger all the time: submits, claims, completes, deletes.

    Attributes:
        done: Ids of jobs whose completion was answered.
        refusal: What the ledger said at last.
    """

    def __init__(self, ledger: Database) -> None:
        self.done: list[str] = []
        self.refusal = ""
        self._ledger = ledger
        self._stopped = threading.Event()
        self._numbers = count(1)

    def work(self) -> None:
        """Until the ledger refuses, or we are told to stop."""
        try:
            while not self._stopped.wait(0.001):
                self._once()
        except DATABASE_ERRORS as error:
            self.refusal = str(getattr(error, "orig", error))

    def stop(self) -> None:
        """Say that it is enough."""
        self._stopped.set()

    def _once(self) -> None:
        job = new_job(id=f"busy-{next(self._numbers)}", unique_key="one", concurrency_key="one")
        with self._ledger.begin() as connection:
            jobs.submit(connection, [job])
        with self._ledger.begin() as connection:
            taken = jobs.claim(connection, job.id, worker="w1", lease=30)
            assert taken is not None
        with self._ledger.begin() as connection:
            jobs.complete_job(connection, job.id, 1, {"n": self.done})
            if len(self.done) % 5 == 4:
                gone = self.done[-4]
                connection.execute(text("DELETE FROM job_history WHERE job_id = :id"), {"id": gone})
        self.done.append(job.id)


@contextmanager
def writing(ledger: Database) -> Iterator[Writer]:
    """A writer at work; it has written something before we go on, and has stopped at the end."""
    writer = Writer(ledger)
    thread = threading.Thread(target=writer.work)
    thread.start()
    try:
        until(lambda: bool(writer.done or writer.refusal))
        yield writer
    finally:
        writer.stop()
        thread.join(60)
    assert not thread.is_alive()
    assert not writer.refusal or LEFT in writer.refusal, writer.refusal
