"""Telling a person: which events are worth it, what is told, and how a message is signed.

The signature is HMAC-SHA256 over the timestamp, a full stop and the body, so that a message that
somebody has kept can be refused later on.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from vibe_tasks.events import Event, EventType
from vibe_tasks.failures import bounded

WEBHOOK = "vibe.escalate"
"""The Celery task that posts to the webhook."""

COMMAND = "vibe.escalate_command"
"""The Celery task that runs the command."""

HANDLERS = frozenset({WEBHOOK, COMMAND})

ESCALATED_TYPES = frozenset(
    {
        EventType.JOB_DEAD,
        EventType.TASK_DEAD,
        EventType.QA_UNDECIDED,
        EventType.BUDGET_REACHED,
        EventType.APPROVAL_NEEDED,
    }
)
"""What goes no further by itself: a person has to act."""

FORMAT = 1
"""Version of the message; new keys do not change it."""

LONGEST_WHY = 2_000
"""Characters of a reason that are told; the whole of it is in the ledger."""

HINTS: Mapping[str, str] = {
    EventType.JOB_DEAD: "vibe dlq list",
    EventType.TASK_DEAD: "vibe dlq list",
    EventType.QA_UNDECIDED: "vibe dlq list",
    EventType.BUDGET_REACHED: "vibe plans budget {plan}",
    EventType.APPROVAL_NEEDED: "vibe plans approve {plan}",
}
"""The command that shows, or does, what is to be done."""


def notice(
    event: Event,
    *,
    plan: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    """What is told of an event, as JSON values (documented in docs/events.md).

    Args:
        event: The event; it has its number.
        plan: Id, name, branch and repository of the plan that it belongs to.
        title: Of the task that it is about.
    """
    payload = {
        name: bounded(value, longest=LONGEST_WHY) if isinstance(value, str) else value
        for name, value in event.payload.items()
    }
    return {
        "version": FORMAT,
        "id": event.id,
        "type": str(event.event_type),
        "time": event.timestamp.isoformat(),
        "session": event.session,
        "summary": event.summary,
        "why": payload.get("why") or "",
        "plan": None if plan is None else dict(plan),
        "task": {"id": event.task_id, "title": title} if event.task_id else None,
        "job": payload.get("job_id"),
        "payload": payload,
        "hint": HINTS.get(event.event_type, "").format(plan=plan["id"] if plan else event.session),
    }


def body_of(message: Mapping[str, Any]) -> bytes:
    """The message as it is sent: the same bytes for the same message, ASCII alone."""
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode("ascii")


def headers_of(
    message: Mapping[str, Any], body: bytes, *, delivery: str, timestamp: int, secret: str
) -> dict[str, str]:
    """The headers of a request with this body.

    Args:
        message: What is told.
        body: As it is sent.
        delivery: The same for each try at one message, so that one which came twice is noticed.
        timestamp: When this try is made, in epoch seconds.
        secret: Shared with the receiver; empty: the request is not signed.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "vibe-tasks",
        "X-Vibe-Event": str(message["type"]),
        "X-Vibe-Delivery": delivery,
        "X-Vibe-Timestamp": str(timestamp),
    }
    if secret:
        headers["X-Vibe-Signature"] = signature(body, timestamp=timestamp, secret=secret)
    return headers


def signature(body: bytes, *, timestamp: int, secret: str) -> str:
    """`sha256=` and 64 hex digits."""
    signed = str(timestamp).encode("ascii") + b"." + body
    return "sha256=" + hmac.new(secret.encode("utf-8"), signed, "sha256").hexdigest()
