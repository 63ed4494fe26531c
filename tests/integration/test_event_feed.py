"""The feed of events: all, in order, once, also where commits overtake each other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest
from sqlalchemy import Connection, text

from tests.processes import until
from vibe_tasks.protocol import NewEvent
from vibe_tasks.store import version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.event_feed import EventFeed
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.events import ingest, record


def put(connection: Connection, *names: str) -> list[int]:
    """Write an event of each of these names; their ids."""
    new = [
        NewEvent(source_app="app", session_id="s", hook_event_type=name, payload={})
        for name in names
    ]
    return [row["id"] for row in ingest(connection, new, EventRules())]


def names(feed: EventFeed, limit: int = 1000) -> list[str]:
    return [row["hook_event_type"] for row in feed.read(limit)]


@pytest.fixture
def server(postgres_url: str) -> Iterator[Database]:
    """A ledger on PostgreSQL, where commits may overtake."""
    database = open_database(postgres_url)
    version.create(database)
    yield database
    database.close()


def test_events_come_in_order_from_where_it_left_off(database: Database) -> None:
    """Each once, at most as many as asked for; what was there before is left out on request."""
    with database.begin() as connection:
        put(connection, "a", "b", "c")
    feed, later = EventFeed(database, 0), EventFeed.from_end(database)
    assert [names(feed, 2), names(feed, 2), names(feed)] == [["a", "b"], ["c"], []]
    assert names(later) == []
    with database.begin() as connection:
        put(connection, "d")
    assert (names(feed), names(later)) == (["d"], ["d"])
    assert feed.position == later.position == 4


def test_an_empty_ledger_has_a_feed(database: Database) -> None:
    """What comes first is told."""
    feed = EventFeed.from_end(database)
    assert names(feed) == []
    with database.begin() as connection:
        record(connection, "PLAN_STARTED", session="p", payload={}, summary="")
    assert names(feed) == ["PLAN_STARTED"]


def test_removed_events_hold_nothing_up(database: Database) -> None:
    """Gaps that retention made are none to wait for."""
    with database.begin() as connection:
        put(connection, *"abcdefgh")
        connection.execute(text("DELETE FROM events WHERE id IN (1, 3, 4, 7)"))
    feed = EventFeed(database, 0, patience=600)
    assert names(feed) == ["b", "e", "f", "h"]
    assert EventFeed.from_end(database, patience=600).position == 8


@pytest.mark.postgres
@pytest.mark.parametrize("own", [False, True])
def test_a_later_commit_does_not_overtake(server: Database, *, own: bool) -> None:
    """An event whose transaction is open holds back those with greater ids, however it is written;
    when it is committed all come in order.
    """
    feed = EventFeed(server, 0, patience=600)
    with ExitStack() as ending:
        slow = ending.enter_context(server.begin())
        if own:
            record(slow, "slow", session="p", payload={}, summary="")
        else:
            put(slow, "slow")
        with server.begin() as connection:
            put(connection, "quick")
        at_end = EventFeed.from_end(server, patience=600)
        for _ in range(3):
            assert (names(feed), names(at_end)) == ([], [])
        with server.begin() as connection:
            put(connection, "third")
        assert (names(feed), names(at_end)) == ([], [])
    assert names(feed) == ["slow", "quick", "third"]
    assert names(at_end) == ["slow", "quick", "third"]


@pytest.mark.postgres
def test_what_is_before_the_gap_is_told_at_once(server: Database) -> None:
    """Only what comes after it waits."""
    feed = EventFeed(server, 0, patience=600)
    with server.begin() as connection:
        put(connection, "first")
    with ExitStack() as ending:
        slow = ending.enter_context(server.begin())
        put(slow, "slow")
        with server.begin() as connection:
            put(connection, "quick")
        assert (names(feed), names(feed)) == (["first"], [])
    assert names(feed) == ["slow", "quick"]


@pytest.mark.postgres
def test_what_was_rolled_back_is_waited_for_no_longer(server: Database) -> None:
    """Its ids never come."""
    feed = EventFeed(server, 0, patience=600)
    with pytest.raises(ValueError, match="no"), server.begin() as slow:  # noqa: PT012
        put(slow, "never", "ever")
        with server.begin() as connection:
            put(connection, "quick")
        assert names(feed) == []
        raise ValueError("no")
    assert names(feed) == ["quick"]


@pytest.mark.postgres
def test_a_transaction_that_never_ends_is_given_up(
    server: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """After a while the others' events go on, and it is logged."""
    feed = EventFeed(server, 0, patience=0.0)
    with ExitStack() as ending:
        slow = ending.enter_context(server.begin())
        put(slow, "slow")
        with server.begin() as connection:
            put(connection, "quick")
        with caplog.at_level(logging.WARNING):
            assert names(feed) == ["quick"]
    assert "events after 0, up to 2" in caplog.text
    assert names(feed) == []


@pytest.mark.postgres
def test_an_open_transaction_that_began_later_holds_nothing_up(server: Database) -> None:
    """Only transactions that may have drawn the missing id count."""
    feed = EventFeed(server, 0, patience=600)
    with pytest.raises(ValueError, match="no"), server.begin() as slow:  # noqa: PT012
        put(slow, "never")
        raise ValueError("no")
    with server.begin() as connection:
        put(connection, "quick")
    with ExitStack() as ending:
        other = ending.enter_context(server.begin())
        assert names(feed) == ["quick"]
        put(other, "other")
        with server.begin() as connection:
            put(connection, "third")
        assert names(feed) == []
    assert names(feed) == ["other", "third"]


@pytest.mark.postgres
def test_many_writers_miss_nothing(server: Database) -> None:
    """Six writers, some of whose transactions are rolled back: what was committed comes, each
    event once, by id, and in the order of each writer.
    """
    committed: list[set[str]] = [set() for _ in range(6)]
    done = threading.Event()

    def write(number: int) -> None:
        dice = Random(number)
        for turn in range(60):
            batch = [f"{number}:{turn:03d}:{n}" for n in range(dice.randint(1, 5))]
            with ExitStack() as ending:
                connection = ending.enter_context(server.engine.connect())
                connection.exec_driver_sql("BEGIN")
                put(connection, *batch)
                if dice.random() < 0.3:  # whoever began later commits first
                    connection.exec_driver_sql("SELECT pg_sleep(0.01)")
                if dice.random() < 0.2:
                    connection.exec_driver_sql("ROLLBACK")
                else:
                    connection.exec_driver_sql("COMMIT")
                    committed[number] |= set(batch)

    writers = [threading.Thread(target=write, args=[number]) for number in range(6)]
    watcher = threading.Thread(target=lambda: ([each.join() for each in writers], done.set()))
    feed, found = EventFeed(server, 0, patience=600), []
    for each in (*writers, watcher):
        each.start()

    def all_read() -> bool:
        over = done.is_set()
        found.extend(feed.read(50))
        return over and len(found) >= sum(map(len, committed))

    until(all_read, seconds=120)
    watcher.join()
    ids = [row["id"] for row in found]
    told = [row["hook_event_type"] for row in found]
    assert ids == sorted(set(ids))
    assert sorted(told) == sorted(set.union(*committed))
    for number in range(6):
        mine = [name for name in told if name.startswith(f"{number}:")]
        assert mine == sorted(mine)
    assert feed.read() == ()
