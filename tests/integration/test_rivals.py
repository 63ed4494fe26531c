"""Two who want to move the same job at the same moment, on a server that lets both begin."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.ledgers import claim, middle, new_job, row, submit
from tests.plan_jobs import job_of, prepared
from vibe_tasks.errors import IllegalMoveError
from vibe_tasks.flow import attempts, control
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import jobs, leases, version
from vibe_tasks.store.engine import Database, open_database


@pytest.fixture
def postgres_ledger(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A ledger on PostgreSQL alone."""
    opened = open_database(request.getfixturevalue("postgres_url"))
    version.create(opened)
    yield opened
    opened.close()


def _while_locked(
    database: Database, job_id: str, act: Callable[[], object], end: Callable[[Any], object]
) -> list[object]:
    """Let `act` run into a job that another transaction has locked; then that one ends."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(act())
        except Exception as error:  # noqa: BLE001  shown by the test
            outcome.append(error)

    thread = threading.Thread(target=run)
    with database.begin() as connection:
        connection.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": job_id})
        thread.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        for _ in range(500):
            with database.read() as other:
                if other.execute(waiting).scalar():
                    break
            threading.Event().wait(0.01)
        end(connection)
    thread.join(60)
    return outcome


def test_one_attempt_that_ends_does_not_keep_the_others_from_being_handed_back(
    postgres_ledger: Database, tmp_path: Path
) -> None:
    """A worker that stops hands back what is left, whatever ends in that moment."""
    ledger = postgres_ledger
    submit_plan(
        ledger,
        prepared(tmp_path, tasks=[{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b"}]),
    )
    first, second = sorted(job_of(ledger, task, "dev") for task in "ab")
    for job_id in (first, second):
        claim(ledger, job_id)
    outcome = _while_locked(
        ledger, first, lambda: attempts.interrupt(ledger, "w1", "stopped"),
        lambda connection: jobs.complete_job(connection, first, 1, {}),
    )  # fmt: skip
    assert outcome == [1]
    assert row(ledger, first)["status"] == "completed"
    assert row(ledger, second)["status"] == "pending"


def test_a_lost_process_whose_attempt_has_just_ended_is_no_error(
    postgres_ledger: Database, tmp_path: Path
) -> None:
    """Who reports it learns that there is nothing to do."""
    ledger = postgres_ledger
    submit_plan(ledger, prepared(tmp_path))
    job_id = job_of(ledger, "a", "dev")
    claim(ledger, job_id)
    outcome = _while_locked(
        ledger, job_id, lambda: attempts.lose(ledger, job_id, "w1", "killed", uniform=middle),
        lambda connection: jobs.complete_job(connection, job_id, 1, {}),
    )  # fmt: skip
    assert outcome == [()]


def test_a_plan_is_cancelled_while_its_leases_are_renewed(
    postgres_ledger: Database, tmp_path: Path
) -> None:
    """Both lock jobs in the order of their ids, so neither is the victim of a deadlock."""
    ledger = postgres_ledger
    tasks = [{"id": f"t{number}", "prompt": "x"} for number in range(8)]
    plan_id = submit_plan(ledger, prepared(tmp_path, tasks=tasks)).plan_id
    held = sorted(job_of(ledger, task["id"], "dev") for task in tasks)
    for job_id in held:
        claim(ledger, job_id)
    outcome = _while_locked(
        ledger, held[0], lambda: control.cancel_plan(ledger, plan_id, "stop"),
        lambda connection: leases.renew(connection, [(job, 1) for job in held], lease=30),
    )  # fmt: skip
    assert outcome == [8]


def test_a_cancel_of_a_waiting_job_spares_one_that_was_just_claimed(
    postgres_ledger: Database,
) -> None:
    """A revoke that must not end what runs looks at the job as it is, not as it was."""
    ledger = postgres_ledger
    submit(ledger, new_job(id="a"))
    (outcome,) = _while_locked(
        ledger, "a",
        lambda: control.cancel_job(ledger, "a", "revoked", status=JobStatus.PENDING),
        lambda connection: jobs.claim(connection, "a", worker="w1", lease=30),
    )  # fmt: skip
    assert isinstance(outcome, IllegalMoveError)
    assert row(ledger, "a")["status"] == "processing"


def test_a_cancel_of_one_attempt_spares_the_next(postgres_ledger: Database) -> None:
    """An order to end attempt 1 that comes late does not hit attempt 2."""
    ledger = postgres_ledger
    submit(ledger, new_job(id="a"))
    claim(ledger, "a")

    def go_on(connection: Any) -> None:
        jobs.snooze_job(connection, "a", 1, 0.0, "handed back")
        jobs.claim(connection, "a", worker="w2", lease=30)

    (outcome,) = _while_locked(
        ledger, "a", lambda: control.cancel_job(ledger, "a", "ended", attempt=1), go_on
    )
    assert isinstance(outcome, IllegalMoveError)
    assert (row(ledger, "a")["status"], row(ledger, "a")["attempt"]) == ("processing", 2)
