"""Events as they happen, read from the ledger itself: for a machine where no server runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vibe_tasks.protocol import cleaned, event_json
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_query
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.event_feed import EventFeed
from vibe_tasks.store.event_rules import effective
from vibe_tasks.store.retries import reason


def tail(
    ledger: Database,
    settings: Settings,
    *,
    sessions: Sequence[str],
    min_priority: int,
    on: bool,
    pause: Callable[[], None],
    tell: Callable[[str], None],
) -> Iterator[list[dict[str, Any]]]:
    """The newest events of both buckets by their time; then, if wanted, those that come, by id.

    What is yielded is JSON as clients see it, never an empty list after the first.

    Args:
        ledger: The ledger.
        settings: For the rules that say how many the newest are.
        sessions: Only of these; empty: of all.
        min_priority: Only of this level and above, from 0 to 3.
        on: Whether to go on; it has no end then.
        pause: Waits until the next look.
        tell: Gets a line when the ledger is away, and when it is back.
    """
    wanted = tuple(cleaned(name) for name in sessions)
    feed = EventFeed.from_end(ledger)
    with ledger.read() as connection:
        rules = effective(connection, settings)
        newest = event_query.recent(
            connection, limit=rules.priority_limit + rules.regular_limit, session_ids=wanted,
            min_priority=min_priority, until=feed.position,
            priority_limit=rules.priority_limit, regular_limit=rules.regular_limit,
        )  # fmt: skip
    yield [event_json(row) for row in newest]
    away = False
    while on:
        try:
            rows = feed.read()
        except DATABASE_ERRORS as error:
            if not away:
                tell(f"the ledger does not answer ({reason(error)}); trying again")
            away = True
            pause()
            continue
        if away:
            tell("the ledger answers again")
        away = False
        found = [
            event_json(row) for row in rows
            if row["priority"] >= min_priority and (not wanted or row["session_id"] in wanted)
        ]  # fmt: skip
        if found:
            yield found
        if not rows:
            pause()
