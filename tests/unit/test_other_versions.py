"""What a program makes of what another version wrote, and which versions go together."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from vibe_tasks.agents.agent import Answer
from vibe_tasks.events import Event
from vibe_tasks.flow.recall import answer_of
from vibe_tasks.scaling import Memory
from vibe_tasks.store.listening import NEW_JOB, STATUS_CHANGED, Notification, notification_of
from vibe_tasks.store.version import fits
from vibe_tasks.tasks.publisher import Sent, sent_of

MORE = {"next_field": {"deep": [1]}}


@pytest.mark.parametrize(
    ("program", "schema", "oldest", "does"),
    [
        (6, 6, 6, True),
        (6, 7, 6, True),  # expanded
        (7, 7, 6, True),
        (6, 8, 7, False),  # contracted
        (7, 8, 7, True),
        (7, 6, 5, False),  # it needs what is not there yet
        (5, 6, 5, True),
        (6, 0, 0, False),
    ],
)
def test_a_program_fits_what_was_made_for_it_or_only_added_to(
    program: int, schema: int, oldest: int, does: bool
) -> None:
    """Its own schema, and newer ones that say so."""
    assert fits(program, schema=schema, oldest=oldest) is does


@pytest.mark.parametrize(
    "notification",
    [
        Notification(channel=NEW_JOB, job_id="a", lane="code", priority=2),
        Notification(
            channel=STATUS_CHANGED, job_id="a", lane="b", old_status="pending", new_status="failed"
        ),
    ],
)
def test_a_notification_may_say_more_or_less(notification: Notification) -> None:
    """What we do not know of it is left out; what it need not say has a default."""
    said = json.loads(notification.payload())
    assert notification_of(notification.channel, json.dumps(said | MORE)) == notification
    short = {"job_id": "a", "lane": "code"}
    assert notification_of(NEW_JOB, json.dumps(short)) == Notification(channel=NEW_JOB, **short)
    for none_of_ours in ("{}", "[]", '"text"', "7", "{"):
        assert notification_of(NEW_JOB, none_of_ours) is None


def test_a_message_may_carry_more() -> None:
    """Of an entry of the broker's list we read the two headers that we need."""
    message = {"headers": {"id": "a", "ledger_job": 3.5, **MORE}, **MORE}
    assert sent_of(json.dumps(message).encode()) == Sent(job_id="a", at=3.5)


def test_a_kept_answer_may_say_more_or_less() -> None:
    """Of an answer in the result cache."""
    answer = Answer(summary="done", findings=("x",), cost_usd=0.5)
    assert answer_of(json.loads(json.dumps(asdict(answer))) | MORE) == answer
    assert answer_of({"summary": "done"}) == Answer(summary="done")


def test_events_and_what_a_scaler_remembers_may_say_more_or_less() -> None:
    """An event needs its moment, a memory nothing."""
    event = Event(event_type="Stop", task_id="a", timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    assert Event.from_json(event.to_json() | MORE) == event
    memory = Memory(last_up=1.0, calm_peak=3)
    assert Memory.of_json(memory.as_json() | MORE) == memory
    assert Memory.of_json({}) == Memory()
