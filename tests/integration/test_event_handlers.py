"""Events and the jobs of those who want to hear of them, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import claim, middle, new_job, submit
from tests.plan_jobs import job_of, prepared
from vibe_tasks.escalation import COMMAND, ESCALATED_TYPES, WEBHOOK
from vibe_tasks.events import Event, EventType
from vibe_tasks.flow import attempts, escalation
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import Claim
from vibe_tasks.store import event_handlers, events, jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_handlers import Subscription


def subscribe(ledger: Database, handler: str, *types: str, **fields: Any) -> bool:
    wanted = Subscription(handler=handler, types=frozenset(types), **{"lane": "control"} | fields)
    with ledger.begin() as connection:
        return event_handlers.subscribe(connection, wanted)


def record(ledger: Database, kind: str, *, session: str = "p", **payload: Any) -> Event:
    with ledger.begin() as connection:
        return events.record(connection, kind, session=session, payload=payload, summary="s")


def called(ledger: Database) -> list[dict[str, Any]]:
    """The jobs that tell handlers, oldest first."""
    with ledger.read() as connection:
        found = jobs.list_jobs(connection, where={"kind": event_handlers.KIND})
    return sorted(found, key=lambda row: row["seq"])


def kinds(ledger: Database) -> list[str]:
    with ledger.read() as connection:
        return [row["hook_event_type"] for row in events.recent(connection)]


def die(ledger: Database, job_id: str, error: str = "boom") -> None:
    """The job's attempt fails for good."""
    one = claim(ledger, job_id)
    attempts.settle(ledger, one, attempts.Ending(kind="permanent", text=error), uniform=middle)


def test_each_handler_gets_a_job_of_its_own(database: Database) -> None:
    """Those of the type and those of all; in their lane, with 2, 4 and 8 seconds to wait."""
    subscribe(database, "one", "QA_PASSED", "*", lane="code", time_limit=5.0)
    subscribe(database, "two", "QA_PASSED")
    subscribe(database, "other", "QA_FAILED")
    event = record(database, "QA_PASSED", task="store")
    rows = called(database)
    assert [(row["name"], row["lane"], row["time_limit"]) for row in rows] == [
        ("one", "code", 5.0), ("two", "control", None),
    ]  # fmt: skip
    assert {(row["max_retries"], row["retry_base"]) for row in rows} == {(4, 1.0)}
    for row in rows:
        assert Event.from_json(row["args"]["kwargs"]["event"]) == event
    assert (event.task_id, event.session) == ("store", "p")
    with database.read() as connection:
        (stored,) = events.recent(connection)
    assert (stored["id"], stored["timestamp"]) == (event.id, event.timestamp.timestamp() * 1000)


def test_an_event_and_its_jobs_are_one_transaction(database: Database) -> None:
    """What did not happen is told to nobody."""
    subscribe(database, "one", "*")

    def die_after() -> None:
        with database.begin() as connection:
            events.record(connection, "QA_PASSED", session="p", payload={}, summary="s")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_after()
    assert (kinds(database), called(database)) == ([], [])


def test_a_subscription_is_what_was_asked_for_last(database: Database) -> None:
    """Types that are gone are forgotten; what stands already is not written again."""
    assert subscribe(database, "one", "A", "B")
    assert not subscribe(database, "one", "B", "A")
    assert subscribe(database, "one", "B", "C", lane="qa")
    with database.begin() as connection:
        (found,) = event_handlers.subscriptions(connection)
        assert (found.types, found.lane) == ({"B", "C"}, "qa")
        assert event_handlers.unsubscribe(connection, "one")
        assert not event_handlers.unsubscribe(connection, "one")
    record(database, "B")
    assert not called(database)


def test_workers_that_start_together_subscribe_once(database: Database) -> None:
    """They know the same handlers, and none of them waits for another for ever."""

    def start(_number: int) -> None:
        for handler in ("one", "two"):
            subscribe(database, handler, "A", "B", "C")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(start, range(12)))
    with database.read() as connection:
        found = event_handlers.subscriptions(connection)
    assert [(each.handler, len(each.types)) for each in found] == [("one", 3), ("two", 3)]


def test_a_handlers_death_is_told_to_people_alone(database: Database) -> None:
    """Else two handlers that fail would tell each other of their deaths without end."""
    subscribe(database, "one", "*")
    subscribe(database, "two", "JOB_DEAD")
    for handler in (WEBHOOK, COMMAND):
        subscribe(database, handler, *ESCALATED_TYPES)
    job = new_job()
    submit(database, job)
    die(database, job.id)
    first = called(database)
    assert [row["name"] for row in first] == ["one", "two", WEBHOOK, COMMAND]
    die(database, first[0]["id"])
    second = called(database)[4:]
    assert [row["name"] for row in second] == [WEBHOOK, COMMAND]
    event = Event.from_json(second[0]["args"]["kwargs"]["event"])
    assert event.payload == {"job_id": first[0]["id"], "name": "one", "why": "boom"}
    for row in second:
        die(database, row["id"])
    assert len(called(database)) == 6
    assert kinds(database) == ["JOB_DEAD"] * 4


def test_what_is_still_to_be_told_is_known(database: Database) -> None:
    """Of one plan alone, until the handler has heard of it, or is given up and people know."""
    subscribe(database, "one", "A")
    subscribe(database, WEBHOOK, EventType.JOB_DEAD)
    record(database, "A", session="p_1")
    record(database, "A", session="p_10")
    (row, other) = called(database)
    with database.read() as connection:
        assert event_handlers.untold(connection, "p_1") == (row["id"],)
        assert event_handlers.untold(connection, "p_10") == (other["id"],)
    die(database, row["id"])
    (death,) = (each for each in called(database) if each["name"] == WEBHOOK)
    with database.read() as connection:
        assert event_handlers.untold(connection, "p_1") == (death["id"],)
        assert event_handlers.untold(connection, "p_10") == (other["id"],)
    die(database, death["id"])
    with database.read() as connection:
        assert event_handlers.untold(connection, "p_1") == ()


def test_a_plans_death_is_told_in_full(database: Database, tmp_path: Path) -> None:
    """The dev job dies: its file, the job and the task; the message names plan, task and job, and
    that somebody was told is written with the end of the telling.
    """
    subscribe(database, WEBHOOK, *ESCALATED_TYPES)
    tasks = [{"id": "a", "title": "Do A", "prompt": "a"}]
    plan_id = submit_plan(database, prepared(tmp_path, tasks=tasks)).plan_id
    dev = job_of(database, "a", "dev")
    die(database, dev, "no luck")
    assert kinds(database) == [
        EventType.PLAN_STARTED, EventType.FILE_FAILED, EventType.JOB_DEAD, EventType.TASK_DEAD,
        EventType.PLAN_FAILED,
    ]  # fmt: skip
    rows = called(database)
    event = Event.from_json(rows[1]["args"]["kwargs"]["event"])
    with database.read() as connection:
        message = escalation.message_of(connection, event)
    plan = {"id": plan_id, "name": "todo", "branch": "vibe/todo", "repo": str(tmp_path / "repo")}
    assert message["plan"] == plan
    assert message["task"] == {"id": "a", "title": "Do A"}
    assert (message["type"], message["job"], message["why"]) == ("TASK_DEAD", dev, "no luck")
    taken: Claim = claim(database, rows[1]["id"])
    escalation.told(database, taken, event, how="webhook")
    with database.read() as connection:
        assert jobs.find_job(connection, taken.id)["status"] == "completed"
        last = events.recent(connection)[-1]
    assert last["hook_event_type"] == EventType.ESCALATED
    assert last["payload"] == {
        "event": event.id, "type": "TASK_DEAD", "by": "webhook", "task": "a",
    }  # fmt: skip
