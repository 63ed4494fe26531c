from __future__ import annotations

import pytest

from vibe_tasks.event_priority import (
    DEFAULT_RULES,
    EventPriority,
    calculate_event_priority,
    parse_priorities,
    priority_metadata,
    with_defaults,
)
from vibe_tasks.events import EventType

HOOKS = ("UserPromptSubmit", "Notification", "Stop", "SubagentStop")


@pytest.mark.parametrize("name", HOOKS)
def test_what_a_person_or_an_end_says_is_high(name: str) -> None:
    """The four hook events that the design names."""
    assert calculate_event_priority(name) is EventPriority.HIGH


def test_our_own_failures_are_critical_and_our_circuits_system() -> None:
    """Failures, dead letters and escalations 2; circuits and scaling 3; the rest 0."""
    levels = {each: int(calculate_event_priority(each)) for each in EventType}
    assert {name for name, level in levels.items() if level == 3} == {
        "BREAKER_OPENED", "BREAKER_CLOSED", "SCALED",
    }  # fmt: skip
    assert {name for name, level in levels.items() if level == 2} == {
        "ESCALATED", "FILE_FAILED", "JOB_DEAD", "PLAN_FAILED", "TASK_DEAD",
    }  # fmt: skip
    assert set(levels.values()) == {0, 2, 3}


def test_every_default_rule_is_of_an_event_that_there_is() -> None:
    """A renamed event type takes its rule along."""
    assert set(DEFAULT_RULES) - set(HOOKS) <= set(EventType)


def test_unknown_names_are_regular() -> None:
    """New hooks of agents need no change here."""
    assert calculate_event_priority("ElicitationOfTomorrow") is EventPriority.REGULAR
    assert priority_metadata("ElicitationOfTomorrow", {}) is None


def test_configured_rules_stand_over_the_defaults() -> None:
    """A default can be lowered, and an unknown name raised."""
    configured = parse_priorities("Stop=0, MyHook=2,")
    rules = with_defaults(configured)
    assert calculate_event_priority("Stop", rules) == 0
    assert calculate_event_priority("MyHook", rules) == 2
    assert calculate_event_priority("Notification", rules) == 1
    assert priority_metadata("MyHook", configured) == {"rule": "configured"}
    assert priority_metadata("Notification", configured) == {"rule": "default"}


@pytest.mark.parametrize("text", ["Stop", "Stop=4", "Stop=-1", "=1", "Stop=high"])
def test_wrong_rules_are_refused_with_an_example(text: str) -> None:
    """Who writes them learns how they are written."""
    with pytest.raises(ValueError, match=r"TYPE=LEVEL.*Stop=1"):
        parse_priorities(text)


def test_a_level_has_a_name_and_a_bucket() -> None:
    """As messages carry them."""
    assert [(each.label, each.bucket) for each in EventPriority] == [
        ("regular", "regular"), ("high", "priority"), ("critical", "priority"),
        ("system", "priority"),
    ]  # fmt: skip
