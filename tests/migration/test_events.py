"""Events of older schemas come up with their priority, and go down and up with all they have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, text

from vibe_tasks.event_priority import DEFAULT_RULES
from vibe_tasks.protocol import NewEvent
from vibe_tasks.store import event_query, upgrade
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.events import ingest

OLD = """
INSERT INTO events (source_app, session_id, hook_event_type, payload, timestamp)
VALUES (:source, :session, :kind, :payload, :at)
"""

KINDS = [*DEFAULT_RULES, "QA_PASSED", "PreToolUse", "stop", "é🦀"]

ODD = ("null", '"vibe_tasks.kept"', '["vibe_tasks.kept"]', '{"vibe_tasks.kept": {"extra": 1}}',
       '{"vibe_tasks.kept": {"extra": 1, "priority": 9, "priority_metadata": 0}}')  # fmt: skip
"""Payloads that no version of ours wrote."""


def stored(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        return list(event_query.after(connection, 0, limit=10_000))


def payloads(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT CAST(payload AS text) FROM events ORDER BY id"))
        return [row[0] for row in rows]


def test_events_of_before_get_the_priority_of_their_type(database: Database) -> None:
    """Each as the rules of this version say; nothing else of them changes, not even the spaces in
    their payloads, and the way down leaves them as they were.
    """
    upgrade.downgrade(database, to=4)
    rows = [
        {"source": "vibe_tasks", "session": f"s{n % 7}", "kind": KINDS[n % len(KINDS)], "at": n,
         "payload": f'{{"n": {n},  "text": "é🦀\\u0000", "big": {10**30}}}'}
        for n in range(2_500)
    ]  # fmt: skip
    for number, odd in enumerate(ODD):
        rows[number]["payload"] = odd
    with database.begin() as connection:
        connection.execute(text(OLD), rows)
    before = payloads(database)

    upgrade.upgrade(database)
    found = stored(database)
    assert [each["priority"] for each in found] == [
        DEFAULT_RULES.get(row["kind"], 0) for row in rows
    ]
    assert {str(each["priority_metadata"]) for each in found if each["priority"]} == {
        "{'rule': 'backfill'}"
    }
    assert all(each["priority_metadata"] is None for each in found if not each["priority"])
    assert payloads(database) == before
    names = ("hook_event_type", "session_id", "timestamp")
    assert [tuple(each[name] for name in names) for each in found] == [
        (row["kind"], row["session"], row["at"]) for row in rows
    ]
    assert upgrade.differences(database) == ()

    upgrade.downgrade(database, to=4)
    assert payloads(database)[len(ODD) :] == before[len(ODD) :]
    upgrade.upgrade(database)
    assert payloads(database) == before


def test_what_the_older_schema_has_no_columns_for_comes_back(database: Database) -> None:
    """Fields of their own, priorities that were set, what the sender gave as its time: an older
    version keeps them within the payload, whatever that is.
    """
    rules = EventRules(priorities={"Stop": 0, "Mine": 3})
    given: list[dict[str, Any]] = [
        {"payload": {"n": 1.5, "text": "é🦀"}, "extra": {"humanInTheLoop": {"choices": [1, None]}}},
        {"payload": ["a", "list"], "extra": {"x": 10**30}},
        {"payload": "a text", "extra": {"x": ""}},
        {"payload": {"vibe_tasks.kept": "not ours", "vibe_tasks.payload": 1}},
        {"payload": {"vibe_tasks.kept": {"extra": 1}}, "extra": {"x": 1}},
        {"payload": {}, "timestamp": 8_000_000_000_000_000},
        {"payload": {}, "kind": "Stop"},
        {"payload": {}, "kind": "Mine"},
        {"payload": {"n": 2}, "chat": [{"role": "user"}]},
    ]
    new = [
        NewEvent(
            source_app="app", session_id="s", hook_event_type=each.pop("kind", "PreToolUse"), **each
        )
        for each in given * 300
    ]
    with database.begin() as connection:
        ingest(connection, new, rules)
    before = stored(database)
    upgrade.downgrade(database, to=4)
    old = payloads(database)
    assert '"n": 1.5' in old[0]  # an older version reads the fields where they were
    upgrade.upgrade(database)
    after = stored(database)
    assert [
        {**each, "priority_metadata": None} for each in after
    ] == [{**each, "priority_metadata": None} for each in before]  # fmt: skip
    assert after[5]["priority_metadata"] == {"sent_timestamp": 8_000_000_000_000_000}
    assert after[7]["priority_metadata"] == {"rule": "configured"}


def test_an_index_that_somebody_took_away_by_hand_stops_no_upgrade(database: Database) -> None:
    """SQLite has no index by session and id since schema 7, PostgreSQL keeps it."""
    upgrade.downgrade(database, to=6)
    if database.is_sqlite:
        with database.begin() as connection:
            connection.execute(text("DROP INDEX idx_events_session"))
    upgrade.upgrade(database)
    assert upgrade.differences(database) == ()
    with database.read() as connection:
        names = {each["name"] for each in inspect(connection).get_indexes("events")}
    assert ("idx_events_session" in names) is not database.is_sqlite
