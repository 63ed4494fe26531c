"""Who is told of which events, and ending that."""

from __future__ import annotations

from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.store import event_handlers
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database
from vibe_tasks.suggestion import did_you_mean


def listed(ledger: Database) -> list[dict[str, Any]]:
    """Every handler with the types that it hears of, as JSON values."""
    with ledger.read() as connection:
        found = event_handlers.subscriptions(connection)
    return [
        {"handler": each.handler, "lane": each.lane, "event_types": sorted(each.types),
         "time_limit": each.time_limit}
        for each in found
    ]  # fmt: skip


def forget(ledger: Database, handler: str, *, by: By | None = None) -> None:
    """Tell this handler of no further events; `by` does it, for the audit trail.

    Raises:
        InputError: There is no such handler.
    """
    known = [each["handler"] for each in listed(ledger)]
    if handler not in known:
        raise InputError(f"no handler {handler}{did_you_mean(handler, known)}")
    with ledger.begin() as connection:
        event_handlers.unsubscribe(connection, handler)
        note(connection, by, "events.forget", handler)
