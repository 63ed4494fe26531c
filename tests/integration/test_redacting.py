"""Secrets do not come into the ledger: errors, history, events, results, what jobs say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.homes import own_home
from tests.ledgers import claim, middle, new_job, row, submit
from tests.plan_jobs import job_of, prepared
from tests.repositories import new_commit
from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.workplace import Workplace, set_up
from vibe_tasks.masking import MASK
from vibe_tasks.pipeline import Outcome
from vibe_tasks.protocol import NewEvent
from vibe_tasks.redaction import Redaction, checked_patterns
from vibe_tasks.settings import Settings
from vibe_tasks.store import breakers, events, job_logs, jobs, plans
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.event_rules import of_settings
from vibe_tasks.store.history import history_of
from vibe_tasks.tasks.observation import logs
from vibe_tasks.tasks.observation.recorder import Recorder, Writer
from vibe_tasks.tasks.request import LedgerRequest

TOKEN = "ghp_" + "a1B2" * 9
MINE = "correct-horse"
SAID = f"push with {TOKEN} as {MINE} for ACME-1234"
LEFT = f"push with {MASK} as {MASK} for {MASK}"
REDACTION = Redaction([MINE], checked_patterns(r"ACME-\d+"))


@pytest.fixture
def ledger(database: Database) -> Iterator[Database]:
    """The ledger as a process with a secret and a pattern has it, on SQLite and PostgreSQL."""
    url = database.engine.url.render_as_string(hide_password=False)
    opened = open_database(url, redaction=REDACTION)
    yield opened
    opened.close()


def test_errors_and_history(ledger: Database) -> None:
    """Whatever ends an attempt; and so the history, which is made of it."""
    submit(ledger, *(new_job(id=each) for each in ("fails", "snoozes", "ends", "blocks")))
    for job_id in ("fails", "snoozes", "ends", "blocks"):
        claim(ledger, job_id)
    with ledger.begin() as connection:
        jobs.fail_job(connection, "fails", 1, SAID, uniform=middle)
        jobs.snooze_job(connection, "snoozes", 1, 1.0, SAID)
        jobs.end_job(connection, "ends", 1, SAID)
        jobs.block_job(connection, "blocks", 1, SAID)
        breakers.trip(connection, "b", 60.0, SAID)
        (found,) = breakers.states(connection, window=60.0)
    for job_id in ("fails", "snoozes", "ends", "blocks"):
        assert row(ledger, job_id)["error"] == LEFT
        assert history_of(ledger, job_id)[-1]["details"] == LEFT
    assert found.reason == LEFT
    assert CircuitBreakerConfig()


def test_events_of_ours_and_of_others(ledger: Database) -> None:
    """In every text of their payloads, whoever sends them; what is stored is what viewers get."""
    payload: dict[str, Any] = {"deep": [{"text": SAID}], "number": 7}
    with ledger.begin() as connection:
        happened = events.record(connection, "Mine", session="s", payload=payload, summary=SAID)
    assert (happened.summary, happened.payload["deep"]) == (LEFT, [{"text": LEFT}])
    sent = [
        NewEvent(
            source_app="hook", session_id="s", hook_event_type="Stop", payload=each, chat=[SAID],
            summary=SAID, model_name=None, timestamp=None, extra={"more": SAID},
        )
        for each in (payload, {"plain": True})
    ]  # fmt: skip
    stored = events.take_in(ledger, sent, of_settings(Settings()))
    with ledger.read() as connection:
        kept = events.recent(connection, session="s")
    for found in (*stored, *kept[1:]):
        assert (found["summary"], found["chat"], found["extra"]) == (LEFT, [LEFT], {"more": LEFT})
    assert [each["payload"] for each in stored] == [
        {"deep": [{"text": LEFT}], "number": 7}, {"plain": True},
    ]  # fmt: skip
    assert payload["deep"][0]["text"] == SAID


def test_results_of_plans_but_not_of_functions(ledger: Database, tmp_path: Path) -> None:
    """What agents and checks say is kept without secrets, and what a fix is told of it; a
    function's result is its caller's.
    """
    submit(ledger, new_job(id="call"))
    claim(ledger, "call")
    with ledger.begin() as connection:
        jobs.complete_job(connection, "call", 1, SAID)
    assert row(ledger, "call")["result"] == SAID
    plan = submit_plan(ledger, prepared(tmp_path, tasks=[{"id": "a", "prompt": "a"}])).plan_id
    place = Workplace(ledger=ledger, home=tmp_path / "home", environ={})
    bench = set_up(place, claim(ledger, job_of(ledger, "a", "dev")))
    commit = new_commit(bench.repository, bench.plan["base_commit"], {"a.txt": "a"})
    bench.finish({"commit": commit, "summary": SAID}, Outcome.DONE, commit=commit)
    assert row(ledger, job_of(ledger, "a", "dev"))["result"]["summary"] == LEFT
    bench = set_up(place, claim(ledger, job_of(ledger, "a", "qa")))
    report = {"verdict": "fail", "summary": SAID, "checks": [{"output": SAID}]}
    bench.finish(report, Outcome.REJECTED, commit=commit, report=report)
    fix = row(ledger, job_of(ledger, "a", "fix"))
    assert fix["args"]["kwargs"]["report"]["checks"] == [{"output": LEFT}]
    with ledger.begin() as connection:
        plans.set_task(connection, plan, "a", error=SAID)
        assert plans.find_task(connection, plan, "a")["error"] == LEFT


def test_what_watchers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's events, which Flower shows: errors and tracebacks without secrets."""
    told: list[dict[str, Any]] = []
    watcher = SimpleNamespace(
        enabled=True, send=lambda kind, **fields: told.append({"kind": kind, **fields})
    )
    request = LedgerRequest.__new__(LedgerRequest)
    request._eventer, request._task = watcher, SimpleNamespace(send_events=True)
    request.id = "a"
    monkeypatch.setenv("VIBE_API_TOKEN", MINE)
    monkeypatch.setenv("VIBE_REDACT", r"ACME-\d+")
    with own_home(tmp_path, monkeypatch):
        request.send_event("task-failed", exception=f"E({SAID})", traceback=None)
        request.send_event("task-started")
        watcher.enabled = False
        request.send_event("task-failed", exception=SAID)
    assert told == [
        {"kind": "task-failed", "uuid": "a", "exception": f"E({LEFT})", "traceback": None},
        {"kind": "task-started", "uuid": "a"},
    ]


def test_what_jobs_say_and_log_lines(ledger: Database) -> None:
    """Line by line, a private key of many lines too, and half a secret at a cut is none."""
    writer = Writer(
        lambda: ledger, clock=lambda: 0.0, masked=lambda text: logs.clean(text, REDACTION)
    )
    recorder = Recorder("a-job", 1, writer)
    key = ["-----BEGIN PRIVATE" + " KEY-----", "MIIabc", "-----END PRIVATE KEY-----"]
    for line in (SAID, *key, "done"):
        recorder.take(line, level="info", logger="x", at=1.0)
    recorder.take("x" * 3_990 + TOKEN + "y" * 9_000, level="info", logger="x", at=1.0)
    recorder.close(1.0)
    with ledger.read() as connection:
        pieces = job_logs.pieces_of(connection, "a-job", 1, limit=10)
    said = [line["text"] for piece in pieces for line in piece["lines"]]
    assert said[0] == LEFT
    assert said[4] == "done"
    assert "MIIabc" not in "\n".join(said)
    formatter = logs.formatter(Settings(redact=r"ACME-\d+", api_token=MINE))
    record = logging.LogRecord("x", logging.INFO, "", 0, SAID, None, None)
    record.more = {"text": [SAID]}
    record.error = ValueError(SAID)
    line = formatter.format(record)
    assert TOKEN not in line
    assert MINE not in line
    assert "ACME-1" not in line
