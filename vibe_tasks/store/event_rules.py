"""The rules of events: priorities, sizes of the two buckets, and what the ledger keeps.

The settings say how they begin; a row of `event_rules` says otherwise for all processes, without a
restart of any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Connection, delete, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.event_priority import parse_priorities, with_defaults
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import DATABASE_ERRORS, EVENT_PRIORITIES, Database, now
from vibe_tasks.store.event_rows import json_value
from vibe_tasks.store.event_tables import event_rules
from vibe_tasks.store.statement import Statement

log = logging.getLogger(__name__)

FRESH = 2.0
"""Seconds for which a process takes the rules for as they were."""

MOST_IN_VIEW = 10_000
MOST_KEPT = 1_000_000_000
MOST_DAYS = 36_500

_R = event_rules.c
_STORED = Statement(select(_R.name, _R.value))
_PRIORITIES = Statement(select(_R.value).where(_R.name == literal_column("'priorities'")))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRules:
    """The rules in force.

    Attributes:
        priority_limit: Events of the levels 1 to 3 that a view begins with, up to 10,000.
        regular_limit: Events of level 0 that it begins with, up to 10,000.
        priority_keep: Newest events of the levels 1 to 3 that the ledger keeps; 0: no bound.
        regular_keep: Newest events of level 0 that it keeps; 0: no bound.
        priority_days: Days after which events of the levels 1 to 3 go; 0: never.
        regular_days: Days after which those of level 0 go; 0: never.
        priorities: Levels from 0 to 3 by event type, over the defaults.
    """

    priority_limit: int = 100
    regular_limit: int = 200
    priority_keep: int = 1_000_000
    regular_keep: int = 1_000_000
    priority_days: float = 90.0
    regular_days: float = 7.0
    priorities: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if not _is_number(name, value):
                raise ValueError(f"{name} must be {_kind(name)}, got {value!r}")
            if not 0 <= value <= _most(name):
                raise ValueError(f"{name} must be from 0 to {_most(name)}, got {value}")
        if not hasattr(self.priorities, "items"):
            raise ValueError(f"priorities must be levels by event type, got {self.priorities!r}")
        for kind, level in self.priorities.items():
            if type(level) is not int or not 0 <= level <= 3:
                raise ValueError(f"priorities must be from 0 to 3, got {level!r} for {kind}")

    @property
    def levels(self) -> Mapping[str, int]:
        """Levels by event type, the defaults among them; types that it lacks are regular."""
        return with_defaults(self.priorities)


NUMBERS = ("priority_limit", "regular_limit", "priority_keep", "regular_keep", "priority_days",
           "regular_days")  # fmt: skip
NAMES = tuple(each.name for each in fields(EventRules))
"""What can be set."""


def of_settings(settings: Settings) -> EventRules:
    """The rules where nothing was set at run time."""
    given = {name: getattr(settings, f"events_{name}") for name in NUMBERS}
    return EventRules(priorities=parse_priorities(settings.events_priorities), **given)


def effective(connection: Connection, settings: Settings) -> EventRules:
    """The rules in force: what was set at run time over the settings.

    A row that makes no sense counts for nothing and is logged: it must lose no event.
    """
    rules = of_settings(settings)
    for name, value in stored(connection).items():
        try:
            rules = replace(rules, **{name: value})
        except (TypeError, ValueError) as error:
            log.warning("the rule %s for events is left out: %s", name, error)
    return rules


def stored(connection: Connection) -> dict[str, Any]:
    """What was set at run time, by name; without rows that hold no JSON, which are logged."""
    found = {}
    for name, value in _STORED.all(connection, {}):
        try:
            found[name] = json_value(connection, value)
        except (TypeError, ValueError, RecursionError) as error:
            log.warning("the rule %s for events is left out: %s", name, error)
    return found


def configured_priorities(connection: Connection) -> Mapping[str, int]:
    """Levels by event type for the project's own events: those that were set at run time, else
    those that this process opened the ledger with.
    """
    given: Mapping[str, int] = connection.get_execution_options().get(EVENT_PRIORITIES, {})
    row = _PRIORITIES.first(connection, {})
    if row is None:
        return given
    try:
        return EventRules(priorities=json_value(connection, row[0])).priorities
    except (TypeError, ValueError, RecursionError) as error:
        log.warning("the rule priorities for events is left out: %s", error)
        return given


def parse_rule(name: str, text: str) -> Any:
    """The value of a rule as a person writes it.

    Raises:
        ValueError: There is no such rule, or the text is none of its values.
    """
    if name == "priorities":
        return parse_priorities(text)
    if name not in NUMBERS:
        raise ValueError(f"no rule {name}; there are {', '.join(NAMES)}")
    try:
        return float(text) if name.endswith("_days") else int(text)
    except ValueError:
        raise ValueError(f"{name} must be {_kind(name)}, got {text!r}") from None


def set_rule(connection: Connection, name: str, value: Any) -> None:
    """Set a rule for all processes, or with None leave it to their settings again.

    Args:
        connection: A writing transaction.
        name: One of `NAMES`.
        value: A number, or for `priorities` levels by event type.

    Raises:
        ValueError: There is no such rule, or the value is out of bounds.
    """
    if name not in NAMES:
        raise ValueError(f"no rule {name}; there are {', '.join(NAMES)}")
    if value is None:
        connection.execute(delete(event_rules).where(_R.name == name))
        return
    EventRules(**{name: value})
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    given = {"value": value if name in NUMBERS else dict(value), "updated_at": now()}
    connection.execute(
        kind.insert(event_rules)
        .values(name=name, **given)
        .on_conflict_do_update(index_elements=[_R.name], set_=given)
    )


class CurrentRules:
    """The rules in force, looked up at most every two seconds; any thread may ask.

    Args:
        database: The ledger.
        settings: The settings of this process.
        monotonic: Seconds that only ever grow.
    """

    def __init__(
        self, database: Database, settings: Settings, *, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._settings = settings
        self._monotonic = monotonic
        self._known = (float("-inf"), of_settings(settings))

    def get(self) -> EventRules:
        """The rules; those of before where the ledger is away."""
        at, rules = self._known
        moment = self._monotonic()
        if moment - at < FRESH:
            return rules
        try:
            with self._database.read() as connection:
                rules = effective(connection, self._settings)
        except DATABASE_ERRORS as error:
            log.warning("the rules for events are as before, the ledger is away: %s", error)
        self._known = (moment, rules)
        return rules

    def forget(self) -> None:
        """Look them up at the next call; for whoever has just changed one."""
        self._known = (float("-inf"), self._known[1])


def _is_number(name: str, value: object) -> bool:
    kinds = int | float if name.endswith("_days") else int
    return isinstance(value, kinds) and not isinstance(value, bool)


def _kind(name: str) -> str:
    return "a number of days" if name.endswith("_days") else "a whole number"


def _most(name: str) -> int:
    if name.endswith("_limit"):
        return MOST_IN_VIEW
    return MOST_KEPT if name.endswith("_keep") else MOST_DAYS
