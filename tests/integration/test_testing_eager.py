"""The fixtures for teams' own tests that need no server: `vibe_ledger` and `vibe_eager`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from tests.processes import unmeasured
from vibe_tasks import Cancel, Snooze, app, job
from vibe_tasks.errors import InputError, PermanentError
from vibe_tasks.store import lanes
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.results import JobFailedError
from vibe_tasks.testing.eager import VibeEager
from vibe_tasks.testing.ledger import VibeLedger
from vibe_tasks.testing.plugin import vibe_eager, vibe_empty, vibe_ledger, vibe_settings

__all__ = ["vibe_eager", "vibe_empty", "vibe_ledger", "vibe_settings"]

BASKET: dict[str, Any] = {}
"""What the jobs find and leave."""


@pytest.fixture(autouse=True)
def _empty_basket():
    BASKET.clear()


@job
def add(left: int, right: int) -> int:
    return left + right


@job
def total(numbers: list[int]) -> int:
    return sum(numbers)


@job(max_retries=4, lane="qa", retry_base=10)
def flaky(good: int) -> int:
    BASKET["tries"] = BASKET.get("tries", 0) + 1
    if BASKET["tries"] < good:
        raise ConnectionError(f"try {BASKET['tries']}")
    return BASKET["tries"]


@job
def picky(state: str) -> str:
    match BASKET.get("state", state):
        case "later":
            raise Snooze(300)
        case "at once":
            raise Snooze(0)
        case "withdrawn":
            raise Cancel("withdrawn")
        case "unknown":
            raise PermanentError("no such page")
        case "interrupted":
            raise KeyboardInterrupt
        case other:
            return str(other)


@job
def order() -> str:
    made = add.delay(1, 1)
    BASKET["status"] = app.AsyncResult(made.id).state
    with pytest.raises(RuntimeError, match=r"result\.get"):
        made.get()
    return str(made.id)


@job(required="gpu", concurrency_key="one")
def train() -> str:
    return "trained"


def test_a_call_is_a_row_and_nobody_runs_it(vibe_ledger: VibeLedger):
    """A producer's test sees what was asked for, in the order of the calls."""
    result = add.apply_async((1, 2), priority="critical", unique_key="sum")
    again = add.apply_async((1, 2), unique_key="sum")
    later = flaky.apply_async((1,), countdown=60)
    assert again.id == result.id
    assert [each["id"] for each in vibe_ledger.jobs()] == [result.id, later.id]
    assert [each["id"] for each in vibe_ledger.jobs(lane="qa")] == [later.id]
    row = vibe_ledger.job(result)
    assert (row["status"], row["priority"], row["args"]) == (
        "pending", 1, {"args": [1, 2], "kwargs": {}},
    )  # fmt: skip
    assert not vibe_ledger.dead_letters()
    assert vibe_ledger.database is resources.ledger()


def test_a_retry_is_an_attempt_that_nobody_waited_for(vibe_eager: VibeEager):
    """Claimed, failed and claimed again as on a worker; waits are told, not slept."""
    result = flaky.delay(3)
    assert result.get(timeout=60) == 3
    row = vibe_eager.job(result)
    assert (row["attempt"], row["retry_count"], row["status"]) == (3, 2, "completed")
    assert vibe_eager.errors(result) == ["ConnectionError: try 1", "ConnectionError: try 2"]
    statuses = [each["status"] for each in vibe_eager.history(result)]
    assert statuses == ["pending", *["processing", "pending"] * 2, "processing", "completed"]
    first, second = vibe_eager.waits(result)
    assert 9 <= first <= 30
    assert 19 <= second <= 60


def test_ends_are_those_of_a_worker(vibe_eager: VibeEager):
    """The last failure and a permanent one are dead letters, to be retried; `Cancel` is none."""
    worn = flaky.delay(9)
    unknown, withdrawn = picky.delay("unknown"), picky.delay("withdrawn")
    with pytest.raises(JobFailedError, match="try 4"):
        worn.get(timeout=60)
    assert (worn.state, unknown.state, withdrawn.state) == ("FAILURE", "FAILURE", "REVOKED")
    assert [each["id"] for each in vibe_eager.dead_letters()] == [worn.id, unknown.id]
    assert vibe_eager.job(unknown)["attempt"] == 1
    with pytest.raises(TaskRevokedError, match="withdrawn"):
        withdrawn.get(timeout=60)
    vibe_eager.retry(worn)
    assert [each["id"] for each in vibe_eager.dead_letters()] == [worn.id, unknown.id]
    BASKET["tries"] = 8
    vibe_eager.retry(worn)
    row = vibe_eager.job(worn)
    assert (row["status"], row["result"], row["attempt"]) == ("completed", 9, 9)


def test_what_was_put_off_waits_until_it_is_told_to_go_on(vibe_eager: VibeEager):
    """By a countdown, a snooze or a paused lane; each gets one attempt."""
    BASKET["state"] = "later"
    snoozed, put_off = picky.delay("done"), add.apply_async((1, 1), countdown=3600)
    with vibe_eager.database.begin() as connection:
        lanes.pause(connection, "qa")
    paused = flaky.delay(1)
    waiting = [vibe_eager.job(each)["status"] for each in (snoozed, put_off, paused)]
    assert waiting == ["pending"] * 3
    assert vibe_eager.run() == 2
    assert (vibe_eager.job(snoozed)["status"], put_off.get(timeout=60)) == ("pending", 2)
    with vibe_eager.database.begin() as connection:
        lanes.resume(connection, "qa")
    del BASKET["state"]
    assert vibe_eager.run() == 2
    assert (snoozed.get(timeout=60), paused.get(timeout=60)) == ("done", 1)
    assert vibe_eager.run() == 0
    assert all(290 < each <= 300 for each in vibe_eager.waits(snoozed))


def test_a_canvas_runs_to_its_end(vibe_eager: VibeEager):
    """Chains, groups and chords go their way through the ledger."""
    chained = chain(add.s(1, 2), add.s(4), add.s(5)).apply_async()
    assert chained.get(timeout=60) == 12
    grouped = group(add.s(each, each) for each in range(3)).apply_async()
    assert grouped.get(timeout=60) == [0, 2, 4]
    summed = chord([add.s(1, 1), add.s(2, 2)], total.s()).apply_async()
    assert summed.get(timeout=60) == 6
    assert {each["status"] for each in vibe_eager.jobs()} == {"completed"}


def test_a_job_that_calls_another_does_not_wait_for_it(vibe_eager: VibeEager):
    """It runs after its caller, as on a worker; waiting for it is refused, as there."""
    outer = order.delay()
    assert BASKET["status"] == "PENDING"
    assert vibe_eager.job(outer.get(timeout=60))["status"] == "completed"


def test_held_calls_run_together_and_a_label_is_lent(vibe_eager: VibeEager):
    """In the order of their priority; no worker with the label is needed, and no free key."""
    with vibe_eager.held():
        low, high = train.apply_async(priority="low"), train.apply_async(priority="high")
        assert vibe_eager.job(high)["status"] == "pending"
    assert (low.get(timeout=60), high.get(timeout=60)) == ("trained", "trained")
    started = {each["id"]: each["started_at"] for each in vibe_eager.jobs()}
    assert started[high.id] <= started[low.id]


def test_an_interruption_is_meant_for_the_tests(vibe_eager: VibeEager):
    """Ctrl-C within a job ends the run of the tests, though the ledger counts it as a failure."""
    with pytest.raises(KeyboardInterrupt):
        picky.delay("interrupted")
    (row,) = vibe_eager.jobs()
    assert row["status"] == "pending"


def rename(ledger: VibeLedger) -> None:
    """Let all jobs be of a function that nobody has."""
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET name = 'shop.mail', published_at = NULL")


def test_what_cannot_run_here_is_said(vibe_eager: VibeEager):
    """A job whose function nobody imported, and one that goes on for ever; in one line each."""
    waits = add.apply_async((1, 1), countdown=60)
    rename(vibe_eager)
    with pytest.raises(InputError, match=f"job {waits.id}: nobody knows shop.mail"):
        vibe_eager.run()
    BASKET["state"] = "at once"
    with pytest.raises(InputError, match="runs again and again"):
        picky.delay("done")


def test_a_ledger_of_its_own_whatever_the_surroundings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Variables of a deployment do not reach a test, nor what would call people; all is as before
    afterwards.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vibe.toml").write_text('max_retries = 7\nescalation_command = "page me"\n')
    monkeypatch.setenv("VIBE_DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/production")
    monkeypatch.setenv("VIBE_HOME", str(tmp_path / "production"))
    before = app.conf.broker_url
    from vibe_tasks.testing.place import own_ledger  # noqa: PLC0415

    own = {"worker_labels": ["a", "b"], "agent": None}
    with own_ledger(tmp_path / "own", own):
        settings = resources.settings()
        assert resources.database_url() == f"sqlite:///{tmp_path / 'own' / 'ledger.db'}"
        assert (settings.max_retries, settings.escalation_command) == (7, "")
        assert settings.worker_labels == ("a", "b")
        assert app.conf.broker_url == "memory://"
    assert os.environ["VIBE_HOME"] == str(tmp_path / "production")
    assert app.conf.broker_url == before
    assert not (tmp_path / "production").exists()
    for each in vars(resources).values():  # this folder is gone for the next test
        if hasattr(each, "cache_clear"):
            each.cache_clear()


def test_the_plugin_imports_nothing_by_itself():
    """Who has vibe_tasks installed and tests something else does not wait for it."""
    code = (
        "import sys, vibe_tasks.testing.plugin\n"
        "heavy = {'celery', 'kombu', 'sqlalchemy', 'pydantic', 'click', 'redis'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured(os.environ), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
