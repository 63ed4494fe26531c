"""What `vibe doctor` and `vibe jobs explain` ask the ledger, on both databases."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.ledgers import backdate, claim, middle, new_job, row, submit
from tests.plan_jobs import job_of, prepared
from vibe_tasks.flow import control
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.views.reason import reason_of
from vibe_tasks.store import breakers, checkup, chords, held, jobs, lanes, vacuum, version
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.near_jobs import near_ids
from vibe_tasks.store.schema import plans
from vibe_tasks.tasks import doctor
from vibe_tasks.tasks.checkup import work


def test_what_it_asks_the_ledger_is_answered_by_both(database: Database) -> None:
    """Counts, ages and waits on an empty ledger and on one with a little of each."""
    with database.read() as connection:
        assert checkup.unsent(connection) == 0
        assert checkup.held(connection) == ()
        assert checkup.history_days(connection) == 0.0
    submit(database, new_job(id="x", required=("gpu",)), new_job(id="y"), new_job(id="z"))
    claim(database, "z")
    with database.begin() as connection:
        lanes.pause(connection, "code")
        held.hold_for_worker(connection, ["x"])
        jobs.fail_job(connection, "z", 1, "boom", uniform=middle, permanent=True)
    with database.read() as connection:
        assert checkup.unsent(connection) == 1
        (line,) = checkup.held(connection)
        assert (line.lane, line.what, line.jobs, line.paused) == ("code", "worker", 1, True)
        assert checkup.dead_since(connection, 3600.0) == 1
        assert 0 <= checkup.history_days(connection) < 1
        assert list(checkup.running_plans(connection, limit=1)) == []
        assert vacuum.bloat(connection) == []


def test_the_reasons_are_found_in_both(database: Database, tmp_path: Path) -> None:
    """What comes before it, what it is held and put off for, who has it, who ended it."""
    submit_plan(database, prepared(tmp_path))
    needing = job_of(database, "b", "dev")
    names = ("runs", "gone", "off", "done", "ended", "paused", "free")
    submit(database, *(new_job(id=name, lane=name) for name in names))
    submit(database, new_job(id="body", blocked=True))
    for name in names[:4]:
        claim(database, name)
    backdate(database, "gone", ["lease_until"], 60)
    with database.begin() as connection:
        chords.open_chord(connection, "g", body_id="body", members=["x"], takes_results=True)
        jobs.complete_job(connection, "done", 1, 2)
        breakers.trip(connection, "api", 60.0, "usage limit reached")
        jobs.snooze_job(connection, "off", 1, 60, "usage limit reached")
        jobs.cancel_job(connection, "ended", "no longer wanted")
        lanes.pause(connection, "paused")
        assert jobs.claim(connection, "paused", worker="w1", lease=9) is None
    with database.read() as connection:
        told = {
            job_id: str(reason_of(connection, row(database, job_id), lease=60.0, when=str).why)
            for job_id in (*names, "body", needing)
        }
        near = near_ids(connection, "gome", most=10)
    assert told == {
        "runs": "runs", "gone": "lease over", "off": "breaker", "done": "done",
        "ended": "cancelled", "paused": "paused", "free": "nobody", "body": "members",
        needing: "needs",
    }  # fmt: skip
    assert {"gone", "free"} <= set(near)


def test_who_cancelled_it_is_who_did_it_this_time(database: Database, tmp_path: Path) -> None:
    """Not who did it before it was retried, nor who did it to a job whose id only begins so; with
    its plan: who cancelled that.
    """
    ann = By(actor="ann", source="cli", origin="h")

    def told(job_id: str) -> str:
        with database.read() as connection:
            return reason_of(connection, row(database, job_id), lease=60.0, when=str).text

    submit(database, new_job(id="job-1"), new_job(id="job-10"))
    control.cancel_job(database, "job-1", "no need", by=ann)
    assert " by ann: no need" in told("job-1")
    control.retry_job(database, "job-1", by=ann)
    control.cancel_job(database, "job-1", "too late")
    control.cancel_job(database, "job-10", "no need", by=ann)
    assert "ann" not in told("job-1")
    plan = submit_plan(database, prepared(tmp_path)).plan_id
    control.cancel_plan(database, plan, "wrong plan", by=ann)
    assert " by ann: wrong plan" in told(job_of(database, "a", "dev"))


@pytest.mark.postgres
def test_a_table_that_somebody_holds_does_not_hold_the_doctor(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be asked is told; the connection is as it was for whoever has it next."""
    ledger = open_database(postgres_url)
    version.create(ledger)
    monkeypatch.setattr(checkup, "PATIENCE", 0.2)
    with ledger.begin() as holder:
        holder.exec_driver_sql("LOCK TABLE jobs")
        found = [*doctor._of_ledger(lambda: nullcontext(ledger), None, reached=False)]
    assert ["statement timeout" in each.text for each in found if not each.ok] == [True]
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
    ledger.close()


def test_a_plan_of_another_version_is_passed_over(database: Database, tmp_path: Path) -> None:
    """Whoever wrote it knows other fields."""
    agents = {"sh": {"type": "command", "argv": ["no-such-agent"]}}
    submit_plan(database, prepared(tmp_path, agents=agents))
    with database.begin() as connection:
        assert [name for name, _ in work.look(connection).agents] == ["todo"]
        connection.execute(update(plans).values(spec={"newer": 1}))
        assert work.look(connection).agents == []
