"""Events: what happens to work, as types. An event is written once and never changed."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """The project's own events; hooks of agents bring names of theirs."""

    FILE_COMPLETED = "FILE_COMPLETED"  #: a dev or fix job has its commit
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
    ESCALATED = "ESCALATED"  #: somebody was told
