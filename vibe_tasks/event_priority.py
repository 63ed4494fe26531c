"""How grave an event is: 0 regular, 1 high, 2 critical, 3 system. Higher is graver.

Another scale than that of jobs (`priority`), where lower is sooner.
Source: phase-11-priority-events, WP1.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any


class EventPriority(IntEnum):
    """How grave an event is."""

    REGULAR = 0
    HIGH = 1
    CRITICAL = 2
    SYSTEM = 3

    @property
    def label(self) -> str:
        """Its name, as messages carry it."""
        return self.name.lower()

    @property
    def bucket(self) -> str:
        """Which of the two buckets its events go to."""
        return "priority" if self else "regular"


DEFAULT_RULES: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("Notification", "Stop", "SubagentStop", "UserPromptSubmit"), 1)
    | dict.fromkeys(("ESCALATED", "FILE_FAILED", "JOB_DEAD", "PLAN_FAILED", "TASK_DEAD"), 2)
    | dict.fromkeys(("BREAKER_CLOSED", "BREAKER_OPENED", "SCALED"), 3)
)
"""Levels by event type; what is not named is regular."""


def calculate_event_priority(
    hook_event_type: str, rules: Mapping[str, int] = DEFAULT_RULES
) -> EventPriority:
    """The level of an event of this type; regular for types that no rule names."""
    return EventPriority(rules.get(hook_event_type, 0))


def with_defaults(configured: Mapping[str, int]) -> Mapping[str, int]:
    """The rules in force: those that somebody configured over the defaults."""
    return MappingProxyType({**DEFAULT_RULES, **configured})


def priority_metadata(hook_event_type: str, configured: Mapping[str, int]) -> dict[str, Any] | None:
    """Why an event of this type has its level; None for types that no rule names."""
    if hook_event_type in configured:
        return {"rule": "configured"}
    return {"rule": "default"} if hook_event_type in DEFAULT_RULES else None


def parse_priorities(text: str) -> dict[str, int]:
    """Levels by event type from a text such as `Stop=0,MyHook=2`.

    Raises:
        ValueError: It is not of this form, or a level is not 0 to 3.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, level = (each.strip() for each in part.partition("="))
        if not name or not equals or level not in {"0", "1", "2", "3"}:
            raise ValueError(f"use TYPE=LEVEL with a level of 0 to 3, such as Stop=1; got {part!r}")
        found[name] = int(level)
    return found
