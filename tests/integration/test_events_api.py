"""`/events`: what hooks post and what old clients ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.streams import Hook, event_of, hook
from tests.web import Web, running_web
from vibe_tasks.web.intake import IntakeFullError


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server for all tests here; what one of them posts, the others may see."""
    with running_web(tmp_path_factory.mktemp("web") / "home") as running:
        yield running


@pytest.fixture
def agent(web: Web) -> Iterator[Hook]:
    """A hook that posts to it."""
    with hook(web.url) as posting:
        yield posting


def test_a_stored_event_is_answered_whole(agent: Hook) -> None:
    """With its id and its priority; a missing time is filled in, other fields are kept."""
    status, stored = agent.post(event_of(hook_event_type="Notification", own={"a": [1, None]}))
    assert status == 200
    assert isinstance(stored.pop("timestamp"), int)
    assert stored == {
        **event_of(hook_event_type="Notification", own={"a": [1, None]}), "id": stored["id"],
        "priority": 1, "priority_metadata": {"rule": "default"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"\xff\xfe{\0}\0", "not UTF-8"),
        (b'{"payload": NaN}', "no JSON"),
        (b"[" * 5000, "nested too deeply"),
        (b'{"payload": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deeply"),
        (b'{"payload": ' + b"9" * 5000 + b"}", "Exceeds"),
        (b"{}", "missing: source_app, session_id, hook_event_type, payload"),
        (json.dumps(event_of(payload=None)).encode(), "missing: payload"),
        (json.dumps(event_of(session_id=7)).encode(), "session_id must be a text"),
        (json.dumps(event_of(source_app="")).encode(), "source_app must be a text"),
        (json.dumps(event_of(session_id="s" * 501)).encode(), "may have 500 characters"),
        (json.dumps(event_of(timestamp="now")).encode(), "timestamp must be"),
        (json.dumps(event_of(timestamp=-1)).encode(), "timestamp is no moment"),
        (json.dumps(event_of(timestamp=10**400)).encode(), "timestamp is no moment"),
        (json.dumps(event_of(summary=["x"])).encode(), "summary must be a text"),
        (b'{"hook_event_name": "Stop"}', "missing: session_id"),
        (b'{"hook_event_name": 5, "session_id": "s"}', "hook_event_type must be a text"),
    ],
)
def test_a_bad_event_is_refused_with_what_is_wrong(agent: Hook, body: bytes, said: str) -> None:
    """400 and `error`, as these clients have always had it; the connection stays good."""
    status, answer = agent.post(body)
    assert status == 400
    assert list(answer) == ["error"]
    assert said in answer["error"]
    assert agent.post(event_of())[0] == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": "\0\ud800 half"},
        {"session_id": "s\0"},
        {"payload": {"\ud800": 1e308 * 10}},
        {"payload": {"deep": json.loads("[" * 97 + "]" * 97)}},
        {"payload": 10**4000},
        {"payload": False},
        {"id": 5, "priority": 3, "priority_metadata": "mine"},
        {"timestamp": 0},
        {"timestamp": 1.5e12},
        {"timestamp": 8_640_000_000_000_000},
        {"summary": "", "chat": [], "model_name": ""},
        {"hook_event_type": "a name that nobody knows 🦊"},
    ],
)
def test_what_is_odd_but_no_mistake_is_taken(web: Web, agent: Hook, fields: dict[str, Any]) -> None:
    """What no database takes is replaced, ids and priorities are ours to give."""
    if fields.get("payload") == {"\ud800": float("inf")}:
        status, stored = agent.post(json.dumps(event_of()).encode()[:-1] + b', "x": [1e999]}')
        assert (status, stored["x"]) == (200, [None])
        return
    status, stored = agent.post(event_of(**fields))
    assert (status, stored["priority"]) == (200, 0)
    (found,) = (
        each
        for each in web.client.get("/events/recent?limit=1000").json()
        if each["id"] == stored["id"]
    )
    assert found == stored
    assert "\0" not in json.dumps(found, ensure_ascii=False)


def test_an_agents_own_hook_is_taken_as_it_comes(web: Web) -> None:
    """The whole body is the payload; the working directory or a header says which application it
    is. The answer holds nothing that the agent could take for an order.
    """
    body = {
        "hook_event_name": "PreToolUse", "session_id": "own", "cwd": "/home/me/shop", "model": "m",
        "tool_name": "Bash", "tool_input": {"command": "ls"},
    }  # fmt: skip
    for headers in ({}, {"X-Source-App": "desk"}):
        answer = web.client.post("/events", json=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    first, second = web.client.get("/events/recent?session_id=own").json()
    assert (first["source_app"], second["source_app"]) == ("shop", "desk")
    assert (first["hook_event_type"], first["payload"], first["model_name"]) == (
        "PreToolUse", body, "m",
    )  # fmt: skip


def test_recent_events_come_oldest_first_and_filtered(web: Web, agent: Hook) -> None:
    """By sessions and level; with a limit the newest, and regular ones make room first."""
    kinds = ("PreToolUse", "Stop", "PreToolUse", "PreToolUse")
    ids = [agent.stored(session_id="r1", hook_event_type=kind)["id"] for kind in kinds]
    other = agent.stored(session_id="r2")["id"]

    def recent(query: str) -> list[int]:
        answer = web.client.get(f"/events/recent?{query}")
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()]

    assert recent("session_id=r1") == ids
    assert recent("session_id=r1&session_id=r2") == [*ids, other]
    assert recent("session_id=r1&min_priority=1") == [ids[1]]
    assert recent("session_id=r1&limit=2") == [ids[1], ids[3]]
    assert recent("session_id=r1&limit=10000") == ids
    assert recent("session_id=%00") == []
    assert recent("")[-1] == other


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=-1", f"limit={'9' * 400}", "limit=10001",
              "min_priority=4", "min_priority=high", "limit=%C2%B2"]
)  # fmt: skip
def test_a_bad_filter_is_refused(web: Web, query: str) -> None:
    """With what it may be."""
    answer = web.client.get(f"/events/recent?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]


def test_more_than_the_default_buckets_can_be_asked_for(web: Web, agent: Hook) -> None:
    """A limit beyond both buckets widens them: an old client that wants 400 events gets them."""
    ids = [agent.stored(session_id="many")["id"] for _ in range(230)]
    answer = web.client.get("/events/recent?session_id=many&limit=301").json()
    assert [each["id"] for each in answer] == ids
    assert len(web.client.get("/events/recent?session_id=many").json()) == 200


def test_filter_options_name_what_there_is(web: Web, agent: Hook) -> None:
    """Applications, sessions and types, as old clients fill their menus with them."""
    agent.stored(source_app="menu app", session_id="menu session", hook_event_type="MenuType")
    options = web.client.get("/events/filter-options").json()
    assert set(options) == {"source_apps", "session_ids", "hook_event_types"}
    assert "menu app" in options["source_apps"]
    assert "menu session" in options["session_ids"]
    assert "MenuType" in options["hook_event_types"]


def test_a_full_intake_asks_to_come_again(
    web: Web, agent: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with `Retry-After`: nothing of it was stored."""

    def full(*_: object, **__: object) -> Future[Any]:
        raise IntakeFullError("too many events wait")

    monkeypatch.setattr(web.services.intake, "put", full)
    answer = web.client.post("/events", json=event_of())
    assert (answer.status_code, answer.json()) == (503, {"error": "too many events wait"})
    assert answer.headers["Retry-After"] == "1"
    monkeypatch.undo()
    assert agent.post(event_of())[0] == 200
