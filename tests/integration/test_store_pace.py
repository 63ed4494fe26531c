"""How long the jobs of a lane took."""

from __future__ import annotations

import pytest

from tests.ledgers import backdate, claim, new_job, submit
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.pace import JOBS, job_seconds


def done(database: Database, name: str, lane: str, seconds: float) -> None:
    """A job of this lane that took so long."""
    submit(database, new_job(id=name, lane=lane))
    claim(database, name)
    with database.begin() as connection:
        jobs.complete_job(connection, name, 1, None)
    backdate(database, name, ["started_at"], seconds)


def pace(database: Database, lane: str) -> float | None:
    """What the ledger knows."""
    with database.read() as connection:
        return job_seconds(connection, lane)


def test_the_latest_jobs_of_a_lane_tell_its_pace(database: Database) -> None:
    """Those that ended, of this lane, the latest fifty; what runs and what waits tells nothing."""
    assert pace(database, "code") is None
    done(database, "long", "qa", 4_000)
    submit(database, new_job(id="running"), new_job(id="waiting"))
    claim(database, "running")
    backdate(database, "running", ["started_at"], 9_000)
    assert pace(database, "code") is None
    done(database, "first", "code", 10_000)
    for number in range(JOBS):
        done(database, f"job {number}", "code", 100 if number % 2 else 200)
    assert pace(database, "code") == pytest.approx(150, abs=2)
    assert pace(database, "qa") == pytest.approx(4_000, abs=2)
