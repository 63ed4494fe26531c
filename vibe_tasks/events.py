"""Events: what happens to work. An event is written once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """The project's own events; hooks of agents bring names of theirs."""

    FILE_COMPLETED = "FILE_COMPLETED"  #: a dev or fix job has its commit
    FILE_FAILED = "FILE_FAILED"  #: a dev or fix job is dead, its files have no commit
    QA_PASSED = "QA_PASSED"
    QA_FAILED = "QA_FAILED"
    QA_DEGRADED = "QA_DEGRADED"  #: decided with fewer votes than were asked for
    QA_UNDECIDED = "QA_UNDECIDED"  #: too few votes: a person decides
    MERGE_CONFLICT = "MERGE_CONFLICT"
    DEPLOYED = "DEPLOYED"
    ROLLED_BACK = "ROLLED_BACK"  #: the command after a merge failed, the merge was taken back
    JOB_DEAD = "JOB_DEAD"
    JOB_EXPIRED = "JOB_EXPIRED"
    TASK_DEAD = "TASK_DEAD"
    TASK_BLOCKED = "TASK_BLOCKED"
    PLAN_STARTED = "PLAN_STARTED"
    PLAN_RESUMED = "PLAN_RESUMED"
    PLAN_COMPLETED = "PLAN_COMPLETED"
    PLAN_FAILED = "PLAN_FAILED"
    PLAN_CANCELLED = "PLAN_CANCELLED"
    APPROVAL_NEEDED = "APPROVAL_NEEDED"  #: a deploy waits for a person
    BUDGET_REACHED = "BUDGET_REACHED"  #: work waits for a person to raise a budget
    AGENT_LIMITED = "AGENT_LIMITED"  #: an agent's provider refuses until a moment
    BREAKER_OPENED = "BREAKER_OPENED"
    BREAKER_CLOSED = "BREAKER_CLOSED"
    SCALED = "SCALED"  #: a lane's fleet has grown or shrunk
    ESCALATED = "ESCALATED"  #: somebody was told
    LEDGER_RESTORED = "LEDGER_RESTORED"  #: from a backup, to its moment


ANY = "*"
"""In place of a type: whatever happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        event_type: One of `EventType`, or the name that an agent's hook gave it.
        task_id: The plan's task that it is about; empty where it is about none.
        payload: JSON values.
        timestamp: When it happened.
        retry_count: Failed calls of the handler that has it in hand, 0 at its first.
        id: Its number in the ledger, in the order of the records; None outside of it.
        session: What it belongs to: the plan's id, or the job's.
        summary: One line for a person.

    Raises:
        ValueError: `event_type` is empty, or `retry_count` is below zero.
    """

    event_type: EventType | str
    task_id: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    timestamp: datetime
    retry_count: int = 0
    id: int | None = None
    session: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        if not self.event_type:
            raise ValueError("event_type must be the name of something, got nothing")
        if self.retry_count < 0:
            raise ValueError(f"retry_count must be zero or more, got {self.retry_count}")
        object.__setattr__(self, "event_type", _type_of(self.event_type))

    def retried(self) -> Event:
        """The same event, its handler's failure counted."""
        return replace(self, retry_count=self.retry_count + 1)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `timestamp` as ISO 8601 text."""
        return {
            "event_type": str(self.event_type),
            "task_id": self.task_id,
            "payload": dict(self.payload),
            "timestamp": self.timestamp.isoformat(),
            "retry_count": self.retry_count,
            "id": self.id,
            "session": self.session,
            "summary": self.summary,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Event:
        """The event that `to_json` wrote, also that of a newer version, which may say more.

        Raises:
            ValueError: The timestamp is no moment.
            TypeError: A field is missing.
        """
        known = {each.name: value[each.name] for each in fields(cls) if each.name in value}
        return cls(**known | {"timestamp": datetime.fromisoformat(str(known.get("timestamp")))})


def happened_at(milliseconds: float) -> datetime:
    """The moment so many milliseconds after 1970, as the ledger and hooks of agents count."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _type_of(name: str) -> EventType | str:
    return EventType(name) if name in _NAMES else name


_NAMES = frozenset(EventType)
