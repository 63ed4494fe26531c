"""The event stream after a break, on both databases: no gap and no double, whoever writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import insert, text
from websockets.exceptions import ConnectionClosed

from tests.streams import Hook, hook, watching, write
from tests.web import Web, a_server, running_web, served
from vibe_tasks.protocol import NewEvent
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.event_query import TRIMMED
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.event_tables import metric_marks
from vibe_tasks.store.events import ingest
from vibe_tasks.store.version import create
from vibe_tasks.web import opening, stream


@pytest.fixture
def web(tmp_path: Path, database: Database) -> Iterator[Web]:
    """A server; the test runs on SQLite and on PostgreSQL."""
    with running_web(tmp_path / "home", database_url=database.url) as running:
        yield running


@pytest.fixture
def agent(web: Web) -> Iterator[Hook]:
    """A hook that posts to it."""
    with hook(web.url) as posting:
        yield posting


@contextmanager
def another(web: Web) -> Iterator[str]:
    """A second web process's parts on the same ledger; its address."""
    with served(a_server(web.ledger)[1]) as url:
        yield url


def test_a_client_goes_on_where_it_left_off(web: Web, agent: Hook) -> None:
    """It hears of all that happened meanwhile, in order and once, also while events pour in; in
    another process as well as in the one that it knew.
    """
    seen = [agent.stored()["id"] for _ in range(3)]
    meanwhile = write(web.ledger, 700) + write(web.ledger, 500, session="two")
    with another(web) as other_url:
        for url in (web.url, other_url):
            pouring = Thread(target=lambda: [agent.stored() for _ in range(60)])
            with watching(url, f"protocol=2&after={seen[-2]}") as client:
                hello, initial = client.next(), client.next()
                pouring.start()
                assert hello["resumed"] is True
                assert (initial["data"], initial["last_id"]) == ([], seen[-2])
                ids = [each["id"] for each in client.events(1 + len(meanwhile) + 60)]
            pouring.join()
            assert ids == sorted(set(ids))
            assert ids[: 1 + len(meanwhile)] == [seen[-1], *meanwhile]
        with watching(other_url, f"protocol=2&session_id=two&after={seen[0]}") as client:
            client.until(lambda message: message["type"] == "initial")
            live = agent.stored(session_id="two")["id"]
            assert [each["id"] for each in client.events(501)] == [*meanwhile[700:], live]


def test_a_client_that_cannot_go_on_is_told_and_begins_anew(
    web: Web, agent: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where retention has removed what it missed, and where the ledger is another one."""
    posted = [agent.stored()["id"] for _ in range(3)]
    with web.ledger.begin() as connection:
        connection.execute(
            insert(metric_marks).values(source=TRIMMED, position=posted[1])
        )  # fmt: skip
    for after, resumed in ((posted[0], False), (posted[1], True), (posted[-1] + 1000, False)):
        with watching(web.url, f"protocol=2&after={after}") as client:
            hello, initial = client.next(), client.next()
            live = agent.stored()["id"]
            heard = [each["data"]["id"] for each in client.until(lambda _: True)]
        assert hello["resumed"] is resumed
        assert [each["id"] for each in initial["data"]] == ([] if resumed else posted)
        assert heard == [posted[2] if resumed else live]
        posted.append(live)
    # Removed after it was asked whether all is there.
    monkeypatch.setattr(opening, "_has_all_since", lambda *_: True)
    with watching(web.url, f"protocol=2&after={posted[0]}") as client:
        assert [client.next()["resumed"], client.next()["data"]] == [True, []]
        with pytest.raises(ConnectionClosed) as closed:
            client.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


def test_every_process_sees_all_events(web: Web, agent: Hook) -> None:
    """Whichever of several web processes took an event, and also what nobody posted."""
    with (
        another(web) as other_url,
        hook(other_url) as other_agent,
        watching(web.url, "protocol=2") as here,
        watching(other_url, "protocol=2") as there,
    ):
        for client in (here, there):
            client.until(lambda message: message["type"] == "initial")
        posted = [each.stored()["id"] for each in (agent, other_agent) * 20]
        posted += write(web.ledger, 5)
        for client in (here, there):
            assert [each["id"] for each in client.events(45)] == posted


def test_an_event_that_is_committed_late_comes_in_its_place(
    tmp_path: Path, postgres_url: str
) -> None:
    """On PostgreSQL a transaction may be committed after one with greater ids: all who listen, and
    who come meanwhile, hear of both in the order of their ids.
    """
    with (
        running_web(tmp_path / "home", database_url=_made(postgres_url)) as web,
        hook(web.url) as agent,
        watching(web.url, "protocol=2") as early,
    ):
        early.until(lambda message: message["type"] == "initial")
        with web.ledger.begin() as connection:
            new = NewEvent(source_app="a", session_id="s", hook_event_type="Stop", payload=1)
            late = ingest(connection, [new], EventRules())[0]["id"]
            posted = agent.stored()["id"]
            with watching(web.url, "protocol=2") as second:
                initial = second.until(lambda message: message["type"] == "initial")[-1]
                assert initial["last_id"] < late
                run_now(connection)
                assert [each["id"] for each in second.events(2)] == [late, posted]
        assert [each["id"] for each in early.events(2)] == [late, posted]
    assert late < posted


def run_now(connection: Any) -> None:
    """End the transaction in the middle of its `with`."""
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("BEGIN")


def _made(url: str) -> str:
    ledger = open_database(url)
    create(ledger)
    ledger.close()
    return url


def test_a_ledger_that_is_away_sends_clients_away(
    web: Web, agent: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes then is told to come again; who is there hears the rest when it is back."""
    monkeypatch.setattr(stream, "PATIENCE", 0.5)
    with watching(web.url, "protocol=2") as there:
        there.until(lambda message: message["type"] == "initial")
        with web.ledger.begin() as connection:
            connection.execute(text("ALTER TABLE events RENAME TO events_away"))
        assert agent.post(b'{"source_app": "a", "session_id": "s", "hook_event_type": "x", '
                          b'"payload": 1}')[0] == 503  # fmt: skip
        assert web.client.get("/events/recent").status_code == 503
        assert web.client.get("/events/filter-options").status_code == 503
        with watching(web.url, "protocol=2") as client, pytest.raises(ConnectionClosed) as closed:
            client.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        with web.ledger.begin() as connection:
            connection.execute(text("ALTER TABLE events_away RENAME TO events"))
        stored = agent.stored()
        assert there.event()["id"] == stored["id"]
