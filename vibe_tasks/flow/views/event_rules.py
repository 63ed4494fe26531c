"""The rules of events, and changing them while all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_rules
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database
from vibe_tasks.suggestion import did_you_mean


def listed(ledger: Database, settings: Settings) -> list[dict[str, Any]]:
    """Every rule as JSON values: `name`, the `value` in force, what the settings of this process
    say (`setting`), and whether it was `changed` at run time.
    """
    with ledger.read() as connection:
        changed = event_rules.stored(connection)
        rules = event_rules.effective(connection, settings)
    before = event_rules.of_settings(settings)
    return [
        {"name": name, "value": getattr(rules, name), "setting": getattr(before, name),
         "changed": name in changed}
        for name in event_rules.NAMES
    ]  # fmt: skip


def change(
    ledger: Database, settings: Settings, name: str, value: Any, *, by: By | None = None
) -> dict[str, Any]:
    """Set a rule for all processes, or with None leave it to the settings again; its entry of
    `listed` from now on. The others know within two seconds.

    Args:
        ledger: The ledger.
        settings: The settings of this process.
        name: One of `store.event_rules.NAMES`.
        value: A number, or for `priorities` levels by event type.
        by: Who does it, for the audit trail.

    Raises:
        InputError: There is no such rule, or the value is out of bounds.
    """
    _require(name)
    try:
        with ledger.begin() as connection:
            event_rules.set_rule(connection, name, value)
            note(connection, by, "events.rule", name, {"value": value})
    except ValueError as error:
        raise InputError(str(error)) from error
    return one_of(listed(ledger, settings), name)


def one_of(rules: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The entry of this rule.

    Raises:
        InputError: There is no such rule.
    """
    _require(name)
    return next(each for each in rules if each["name"] == name)


def read_value(name: str, text: str) -> Any:
    """The value of a rule as a person writes it; None for `default`.

    Raises:
        InputError: There is no such rule, or the text is none of its values.
    """
    _require(name)
    if text == "default":
        return None
    try:
        return event_rules.parse_rule(name, text)
    except ValueError as error:
        raise InputError(str(error)) from error


def _require(name: str) -> None:
    if name not in event_rules.NAMES:
        raise InputError(f"no rule {name!r}{did_you_mean(name, event_rules.NAMES)}")
