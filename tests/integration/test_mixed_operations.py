"""Everything that is done to a ledger, done at once: nothing locks crosswise, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import monotonic

import pytest
from sqlalchemy import text

from tests.ledgers import middle, new_job, submit
from vibe_tasks.errors import IllegalMoveError, LeaseLostError
from vibe_tasks.flow import attempts
from vibe_tasks.store import (
    engine,
    events,
    held,
    jobs,
    lanes,
    leases,
    metric_totals,
    outbox,
    stats,
    vacuum,
    workers,
)
from vibe_tasks.store.backup import back_up
from vibe_tasks.store.engine import PRAGMAS, Database
from vibe_tasks.store.event_retention import trim
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.history import archive_old_history
from vibe_tasks.store.workers import Registered

THREADS, EACH = 100, 3
RULES = EventRules(regular_keep=5, priority_keep=5, regular_days=0, priority_days=0)
KEYS = ("k1", "k2", None)


class Crew:
    """What a deployment does all the time, and what people do to it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def produce(self, number: int) -> None:
        """Submit jobs of two lanes, some with a key."""
        lane = ("code", "full")[number % 2]
        submit(
            self.database,
            *(new_job(lane=lane, concurrency_key=KEYS[n % 3], max_retries=2) for n in range(3)),
        )

    def work(self, number: int) -> None:
        """Claim, beat, and complete or fail."""
        with self.database.begin() as connection:
            claim = jobs.claim_next_job(connection, "code", worker=f"w{number}", lease=300)
        if claim is None:
            return
        with self.database.begin() as connection:
            leases.renew(connection, [(claim.id, claim.attempt)], lease=300)
        try:
            with self.database.begin() as connection:
                if number % 3:
                    jobs.complete_job(connection, claim.id, claim.attempt, number)
                else:
                    jobs.fail_job(connection, claim.id, claim.attempt, "boom", uniform=middle)
        except LeaseLostError:
            pass  # somebody has cancelled it

    def meddle(self, number: int) -> None:
        """Cancel and bring back by hand."""
        with self.database.read() as connection:
            found = jobs.list_jobs(connection, limit=20)
        for job in found[number % 4 :: 4]:
            try:
                with self.database.begin() as connection:
                    if job["status"] in {"failed", "cancelled"}:
                        jobs.revive_job(connection, job["id"])
                    else:
                        jobs.cancel_job(connection, job["id"], "no longer wanted")
            except IllegalMoveError:
                pass  # it has moved since the look

    def dispatch(self, _number: int) -> None:
        """A look of the dispatcher."""
        with self.database.begin() as connection:
            outbox.take_unpublished(connection, most=20)
        with self.database.begin() as connection:
            held.give_turns(connection)
        attempts.reap(self.database, uniform=middle)

    def beat(self, number: int) -> None:
        """Register, and beat; limit a lane."""
        name = f"w{number}"
        with self.database.begin() as connection:
            who = Registered(worker=name, host="h", process=str(number))
            workers.register(connection, who, ["code", "full"], tier="standard", capacity=2)
        with self.database.begin() as connection:
            workers.beat(connection, f"w{number // 10}", active=1)
        with self.database.begin() as connection:
            lanes.limit(connection, "full", concurrency=1 + number % 3)

    def tell(self, _number: int) -> None:
        """Record events."""
        for kind in ("Stop", "JOB_DEAD", "PreToolUse"):
            with self.database.begin() as connection:
                events.record(connection, kind, session="s", payload={}, summary="")

    def tidy(self, number: int) -> None:
        """Archive, trim, sum up, vacuum, back up."""
        archive_old_history(self.database, 0, batch=7)
        trim(self.database, RULES, batch=3)
        metric_totals.sum_history(self.database)
        vacuum.vacuum(self.database, monotonic=monotonic, pause=lambda _: None, most=2)
        if self.database.is_sqlite:
            back_up(
                self.database, self.folder / f"backup-{number}", pause=lambda _: None, force=True
            )

    def look(self, _number: int) -> None:
        """What status and doctor ask."""
        with self.database.read() as connection:
            stats.get_queue_stats(connection)
            vacuum.bloat(connection)

    def doings(self) -> list[Callable[[int], object]]:
        """All of them; upkeep is dear: one in twenty."""
        often = [
            self.produce, self.work, self.meddle, self.dispatch, self.beat, self.produce, self.work,
            self.tell, self.look, self.work,
        ]  # fmt: skip
        return [*often, *often, self.tidy]


def be_patient(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all wait for as long as a busy machine takes: who waits for ever is what we seek."""
    monkeypatch.setattr(engine, "PRAGMAS", {**PRAGMAS, "busy_timeout": ("90000", 90_000)})
    monkeypatch.setattr(vacuum, "PRAGMAS", engine.PRAGMAS)
    monkeypatch.setattr(database.engine.pool, "_timeout", 120.0)
    database.close()  # connections are made anew


def test_a_hundred_mixed_operations_at_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8: a hundred threads, each with a few operations of all kinds: all come to an end without an
    error of the database, a deadlock above all, and what is left is whole: each job's history leads
    to its status, and no job has ended twice without a person in between.
    """
    be_patient(database, monkeypatch)
    submit(database, *(new_job(concurrency_key=KEYS[n % 3]) for n in range(60)))
    doings, start = Crew(database, tmp_path).doings(), Barrier(THREADS)

    def one(number: int) -> None:
        start.wait(60)
        for turn in range(EACH):
            doings[(number + 7 * turn) % len(doings)](number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS)))
    with database.read() as connection:
        last = connection.execute(
            text(
                "SELECT j.status, h.status AS said FROM jobs j JOIN "
                "(SELECT * FROM job_history UNION ALL SELECT * FROM job_history_archive) h "
                "ON h.job_id = j.id WHERE h.id = (SELECT max(id) FROM (SELECT id, job_id FROM "
                "job_history UNION ALL SELECT id, job_id FROM job_history_archive) x "
                "WHERE x.job_id = j.id)"
            )
        ).all()
        total = connection.execute(text("SELECT count(*) FROM jobs")).scalar_one()
        twice = connection.execute(
            text(
                "SELECT count(*) FROM (SELECT job_id FROM (SELECT * FROM job_history UNION ALL "
                "SELECT * FROM job_history_archive) x WHERE status = 'completed' "
                "GROUP BY job_id HAVING count(*) > 1) y"
            )
        ).scalar_one()
    assert len(last) == total >= 100
    assert all(row.status == row.said for row in last)
    assert twice == 0
