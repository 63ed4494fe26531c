"""Events of others: taken in batches, with priority, and read from two buckets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from tests.ledgers import new_job, submit
from vibe_tasks.protocol import NewEvent
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_handlers, event_query, event_rules, jobs
from vibe_tasks.store.engine import Database, open_database, server_time
from vibe_tasks.store.event_rules import CurrentRules, EventRules
from vibe_tasks.store.events import ingest, record, take_in

ALL: dict[str, Any] = {"limit": 1000, "priority_limit": 1000, "regular_limit": 1000}


def event(kind: str = "PreToolUse", **fields: Any) -> NewEvent:
    given = {"source_app": "app", "session_id": "s", "hook_event_type": kind, "payload": {}}
    return NewEvent(**(given | fields))


def take(database: Database, *new: NewEvent, **rules: Any) -> tuple[dict[str, Any], ...]:
    return take_in(database, new, EventRules(**rules))


def recent(database: Database, **asked: Any) -> list[dict[str, Any]]:
    with database.read() as connection:
        return list(event_query.recent(connection, **(ALL | asked)))


def ids(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def test_events_are_stored_as_they_came(database: Database) -> None:
    """Every field and any JSON value; what is answered is what is read, and ids ascend in the
    order of the batch.
    """
    new = [
        event("Stop", payload={"text": "é🦀", "big": 10**30, "one": 1.0}, summary="a line",
              chat=[{"role": "user"}], model_name="m-1", timestamp=5,
              extra={"x": [None, {"y": 1}]}),
        event("Brand new", payload=["a", 1], source_app="ü", session_id="t"),
        event(payload="text", chat="no list"),
        event(payload=0, chat=False),
        event(payload={"big": "x" * 200_000}),
    ]  # fmt: skip
    stored = take(database, *new)
    assert [row["payload"] for row in stored] == [each.payload for each in new]
    assert ids(stored) == [1, 2, 3, 4, 5]
    with database.read() as connection:
        assert event_query.after(connection, 0, limit=10) == stored
    first = stored[0]
    assert first["extra"] == {"x": [None, {"y": 1}]}
    assert (first["timestamp"], first["model_name"], first["summary"]) == (5, "m-1", "a line")
    assert isinstance(first["payload"]["one"], float)
    assert stored[1]["extra"] is None
    assert take(database) == ()


def test_an_event_without_a_time_or_from_the_future_has_just_happened(database: Database) -> None:
    """A clock that is days ahead would keep its events the newest for days; what it gave is kept.
    A little ahead is taken as it is.
    """
    moment = int(server_time(database) * 1000)
    none, far, near = take(
        database, event(), event("Stop", timestamp=moment + 10**9),
        event(timestamp=moment + 1_000_000),
    )  # fmt: skip
    assert none["timestamp"] == far["timestamp"] == pytest.approx(moment, abs=120_000)
    assert far["priority_metadata"] == {"rule": "default", "sent_timestamp": moment + 10**9}
    assert (near["timestamp"], near["priority_metadata"]) == (moment + 1_000_000, None)


def test_priorities_follow_the_rules(database: Database) -> None:
    """The defaults, and over them what was configured."""
    kinds = ["Stop", "JOB_DEAD", "SCALED", "Mine", "Other"]
    before = take(database, *map(event, kinds))
    after = take(database, *map(event, kinds), priorities={"Stop": 0, "Mine": 2})
    assert [row["priority"] for row in before] == [1, 2, 3, 0, 0]
    assert [row["priority"] for row in after] == [0, 2, 3, 2, 0]
    assert after[0]["priority_metadata"] == {"rule": "configured"}
    assert before[0]["priority_metadata"] == {"rule": "default"}


def test_a_value_that_is_no_json_leaves_nothing(database: Database) -> None:
    """None of the batch is written."""
    bad = [event(), event(payload={"x": float("nan")})]
    with pytest.raises(TypeError, match="JSON"):
        take(database, *bad)
    with pytest.raises(TypeError, match="JSON"), database.begin() as connection:
        ingest(connection, bad, EventRules())
    with database.begin() as connection:
        assert ingest(connection, [], EventRules()) == ()
    assert recent(database) == []


def test_chatter_pushes_nothing_important_out(database: Database) -> None:
    """The newest of each bucket by time; what is too much is taken from the regular ones."""
    take(database, *(event("Stop" if n % 10 == 0 else "PreToolUse", timestamp=n)
                     for n in range(100)))  # fmt: skip
    found = recent(database, limit=12, priority_limit=7, regular_limit=8)
    times = [row["timestamp"] for row in found]
    assert times == sorted(times)
    assert [each for each in times if each % 10 == 0] == [30, 40, 50, 60, 70, 80, 90]
    assert [each for each in times if each % 10] == [95, 96, 97, 98, 99]
    assert len(recent(database, limit=5, priority_limit=7)) == 5
    assert recent(database, limit=0) == []
    assert {row["priority"] for row in recent(database, regular_limit=0)} == {1}


def test_of_events_with_one_time_the_last_are_the_newest(database: Database) -> None:
    """Many may have the same millisecond."""
    take(database, *(event(kind, timestamp=7) for kind in ["Stop", "JOB_DEAD", "x"] * 20))
    found = recent(database, priority_limit=3, regular_limit=2)
    assert ids(found) == [56, 57, 58, 59, 60]


def test_filters(database: Database) -> None:
    """By sessions, types, level and id, alone and together."""
    kinds = ["Stop", "PreToolUse", "JOB_DEAD", "SCALED"]
    take(database, *(event(kinds[n % 4], session_id=f"s{n % 3}", timestamp=n) for n in range(24)))

    def wanted(**asked: Any) -> list[int]:
        return ids(recent(database, **asked))

    def of(numbers: Any) -> list[int]:
        return [n + 1 for n in numbers]

    every = range(24)
    assert wanted() == of(every)
    assert wanted(session_ids=["s1"]) == of(n for n in every if n % 3 == 1)
    assert wanted(session_ids=["s1", "s2", "s1", "no"]) == of(n for n in every if n % 3)
    assert wanted(types=["Stop", "SCALED"]) == of(n for n in every if n % 4 in {0, 3})
    assert wanted(min_priority=2) == of(n for n in every if n % 4 in {2, 3})
    assert wanted(min_priority=1, types=["PreToolUse"]) == []
    assert wanted(until=10) == of(range(10))
    both = {"session_ids": ["s0", "s2"], "types": ["Stop", "JOB_DEAD"]}
    assert wanted(**both) == of(n for n in every if n % 3 != 1 and n % 4 in {0, 2})
    assert wanted(**both, min_priority=2, priority_limit=2) == [15, 19]


def test_reading_on_after_an_id(database: Database) -> None:
    """In the order of the ids; of some sessions, from a level on, up to an id, so many at once."""
    kinds = ["Stop", "PreToolUse"]
    take(database, *(event(kinds[n % 2], session_id=f"s{n % 3}") for n in range(20)))
    with database.read() as connection:

        def after(number: int, **asked: Any) -> list[int]:
            return ids(event_query.after(connection, number, **({"limit": 100} | asked)))

        assert after(15) == [16, 17, 18, 19, 20]
        assert after(0, limit=3) == [1, 2, 3]
        assert after(10, session_ids=["s0", "s2"], limit=4) == [12, 13, 15, 16]
        assert after(10, session_ids=["s0"], min_priority=1) == [13, 19]
        assert after(10, min_priority=1, until=15) == [11, 13, 15]
        assert after(20) == []


def test_reading_on_in_large_and_small_sessions(database: Database) -> None:
    """Page by page the same as all at once, wherever the next of a session's events are."""
    sessions = ["large" if n % 2 else f"of {n // 100}" for n in range(600)]
    take(database, *(event("Stop", session_id=session) for session in sessions))
    with database.read() as connection:
        for wanted in ("large", "of 0", "of 5", "nobody's"):
            found: list[int] = []
            while page := event_query.after(
                connection, found[-1] if found else 0, limit=7, session_ids=[wanted], until=590
            ):
                assert {row["session_id"] for row in page} == {wanted}
                assert len(page) <= 7
                found += ids(page)
            assert found == [n + 1 for n, session in enumerate(sessions[:590]) if session == wanted]


def test_figures_and_names(database: Database) -> None:
    """What there is to filter by, and how many there are; also of nothing."""
    with database.read() as connection:
        assert event_query.last_id(connection) == event_query.trimmed_until(connection) == 0
        assert event_query.statistics(connection)["total"] == 0
        assert event_query.filter_options(connection)["session_ids"] == []
    take(database, event("Stop", source_app="b"), event(session_id="z"), event("JOB_DEAD"))
    with database.read() as connection:
        assert event_query.filter_options(connection) == {
            "source_apps": ["app", "b"], "session_ids": ["s", "z"],
            "hook_event_types": ["JOB_DEAD", "PreToolUse", "Stop"],
        }  # fmt: skip
        assert event_query.statistics(connection) == {
            "total": 3, "priority": 2, "regular": 1,
            "levels": {"regular": 1, "high": 1, "critical": 1, "system": 0},
        }  # fmt: skip
        assert event_query.last_id(connection) == 3


def test_handlers_hear_of_what_others_send(database: Database) -> None:
    """A job for each handler that wants the type, or all; a name of the project's own that comes
    from outside calls nobody, for its handlers trust it.
    """
    with database.begin() as connection:
        for handler, kind in (("one", "Stop"), ("one", "*"), ("dead", "JOB_DEAD")):
            known = next(
                (each.types for each in event_handlers.subscriptions(connection)
                 if each.handler == handler), frozenset()
            )  # fmt: skip
            event_handlers.subscribe(
                connection,
                event_handlers.Subscription(handler=handler, lane="control", types=known | {kind}),
            )
    submit(database, new_job())
    take(database, event("Stop", payload=[1], summary="s"), event("JOB_DEAD"), event("Any"))
    with database.read() as connection:
        called = jobs.list_jobs(connection, where={"kind": event_handlers.KIND})
    told = sorted((row["name"], row["args"]["kwargs"]["event"]["event_type"]) for row in called)
    assert told == [("one", "Any"), ("one", "Stop")]
    stop = next(row for row in called if "Stop" in str(row["args"]))
    assert stop["args"]["kwargs"]["event"]["payload"] == {"value": [1]}
    assert stop["args"]["kwargs"]["event"]["summary"] == "s"


def test_rules_are_changed_while_all_runs(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A row beats the settings, at the next look; one that makes no sense counts for nothing and
    is logged. What is out of bounds is refused.
    """
    settings = Settings(events_regular_limit=50, events_priorities="Stop=3")
    moment = [0.0]
    rules = CurrentRules(database, settings, monotonic=lambda: moment[0])
    assert (rules.get().regular_limit, rules.get().levels["Stop"]) == (50, 3)
    with database.begin() as connection:
        event_rules.set_rule(connection, "regular_limit", 60)
        event_rules.set_rule(connection, "regular_limit", 70)
        event_rules.set_rule(connection, "priorities", {"Mine": 2})
    assert rules.get().regular_limit == 50
    moment[0] = 2.0
    assert (rules.get().regular_limit, rules.get().priorities) == (70, {"Mine": 2})
    with database.begin() as connection:
        event_rules.set_rule(connection, "regular_limit", None)
        connection.execute(text("UPDATE event_rules SET value = '{\"Mine\": 9}'"))
        record(connection, "ESCALATED", session="p", payload={}, summary="")
    rules.forget()
    assert (rules.get().regular_limit, rules.get().priorities) == (50, {"Stop": 3})
    assert caplog.text.count("the rule priorities for events is left out") == 2
    if database.is_sqlite:  # whose columns take anything
        for odd in ("'not JSON'", "7", "x'00'"):
            with database.begin() as connection:
                connection.execute(text(f"UPDATE event_rules SET value = {odd}"))  # noqa: S608
                record(connection, "ESCALATED", session="p", payload={}, summary="")
            rules.forget()
            assert rules.get().priorities == {"Stop": 3}
    with database.begin() as connection:
        for name, value in (
            ("nonsense", 1), ("regular_limit", -1), ("regular_keep", 1.5), ("regular_days", "x"),
            ("priority_limit", True), ("priorities", 3), ("priorities", {"Stop": 4}),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=name):
                event_rules.set_rule(connection, name, value)


def test_own_events_follow_the_rules_too(database: Database) -> None:
    """Those that the process opened the ledger with, and over them what was set at run time."""
    opened = open_database(database.url, event_priorities={"QA_FAILED": 2})
    try:
        with opened.begin() as connection:
            record(connection, "QA_FAILED", session="p", payload={}, summary="")
            event_rules.set_rule(connection, "priorities", {"QA_PASSED": 1})
            for kind in ("QA_FAILED", "QA_PASSED", "SCALED"):
                record(connection, kind, session="p", payload={}, summary="")
    finally:
        opened.close()
    found = recent(database)
    assert [row["priority"] for row in found] == [2, 0, 1, 3]
    assert [row["priority_metadata"] for row in found[2:]] == [
        {"rule": "configured"}, {"rule": "default"},
    ]  # fmt: skip


def test_the_rules_of_before_hold_while_the_ledger_is_away(
    empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Events are taken for it, and lost for nothing."""
    rules = CurrentRules(empty_database, Settings(events_regular_limit=3), monotonic=lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        assert rules.get().regular_limit == 3
    assert "the ledger is away" in caplog.text
