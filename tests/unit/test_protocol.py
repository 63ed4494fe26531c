from __future__ import annotations

import json
from typing import Any

import pytest

from vibe_tasks import protocol
from vibe_tasks.protocol import NewEvent, event_json, event_message, loads, read_event

HOOK = {"source_app": "shop", "session_id": "s", "hook_event_type": "Stop", "payload": {"a": 1}}


def row(**fields: Any) -> dict[str, Any]:
    """An event as the ledger has it."""
    return {
        "id": 7, "source_app": "shop", "session_id": "s", "hook_event_type": "Stop",
        "payload": {}, "timestamp": 5, "priority": 0, "priority_metadata": None, "summary": None,
        "chat": None, "model_name": None, "extra": None, **fields,
    }  # fmt: skip


# --- what hooks post ---


def test_a_hooks_event_is_read_with_all_it_says() -> None:
    """Known fields by name, all others as they come; what is ours to give is not taken."""
    told = read_event({**HOOK, "timestamp": 12.7, "summary": "s", "chat": [1], "model_name": "m",
                       "humanInTheLoop": {"question": "?"}, "id": 99, "priority": 3})  # fmt: skip
    assert told == NewEvent(
        source_app="shop", session_id="s", hook_event_type="Stop", payload={"a": 1}, timestamp=12,
        summary="s", chat=[1], model_name="m", extra={"humanInTheLoop": {"question": "?"}},
    )  # fmt: skip


@pytest.mark.parametrize("payload", [{}, [], "", 0, False])
def test_an_empty_payload_is_one(payload: Any) -> None:
    """Only a missing one is missing."""
    assert read_event({**HOOK, "payload": payload}).payload == payload


def test_an_agents_own_hook_is_taken_as_it_comes() -> None:
    """Its name for the event, its folder as the application, the whole body as the payload."""
    body = {"hook_event_name": "PreToolUse", "session_id": "abc", "cwd": "/home/x/shop",
            "tool_name": "Bash", "model": "m"}  # fmt: skip
    told = read_event(body)
    assert (told.source_app, told.session_id, told.hook_event_type) == ("shop", "abc", "PreToolUse")
    assert (told.payload, told.model_name, told.extra) == (body, "m", {})
    assert read_event({**body, "cwd": 5, "model": {}}).source_app == "agent"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "must be a JSON object"),
        ({}, "missing: source_app, session_id, hook_event_type, payload"),
        ({**HOOK, "session_id": None}, "missing: session_id"),
        ({**HOOK, "source_app": 5}, "source_app must be a text"),
        ({**HOOK, "source_app": ""}, "source_app must be a text"),
        ({**HOOK, "hook_event_type": "x" * 501}, "hook_event_type may have 500 characters"),
        ({**HOOK, "summary": {}}, "summary must be a text"),
        ({**HOOK, "timestamp": "now"}, "timestamp must be milliseconds"),
        ({**HOOK, "timestamp": True}, "timestamp must be milliseconds"),
        ({**HOOK, "timestamp": -1}, "no moment"),
        ({**HOOK, "timestamp": 1e300}, "no moment"),
        ({"hook_event_name": "Stop"}, "missing: session_id"),
    ],
)
def test_a_wrong_event_is_refused_by_name(body: Any, words: str) -> None:
    """The sender learns which field it is."""
    with pytest.raises(ValueError, match=words):
        read_event(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'"\xff"', "not UTF-8"),
        (b"NaN", "NaN is no JSON number"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5_000, "digits"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, words: str) -> None:
    """Without harm to us."""
    with pytest.raises(ValueError, match=words):
        loads(body)


def test_what_no_database_takes_is_replaced() -> None:
    """NUL, half a character, infinity: the rest of the event is worth keeping."""
    found = loads(rb'{"a\u0000": ["\ud800x", "\ud83d\ude00", 1e999, 2e3, null]}')
    assert found == {"a\ufffd": ["\ufffdx", "\U0001f600", None, 2000.0, None]}
    json.dumps(found, allow_nan=False).encode()
    for large in (b"9" * 400 + b".0", b"-" + b"1" * 300 + b"e99"):  # whichever way it is written
        assert loads(b"[" + large + b", 1.5]") == [None, 1.5]


# --- what clients see ---


def test_fields_without_a_value_are_left_out() -> None:
    """And fields of the sender's own stand beside ours."""
    assert event_json(row(extra={"tool": "x", "payload": "theirs"})) == {
        "id": 7, "source_app": "shop", "session_id": "s", "hook_event_type": "Stop",
        "payload": {}, "timestamp": 5, "priority": 0, "tool": "x",
    }  # fmt: skip
    full = row(summary="s", chat=[], model_name="m", priority_metadata={"rule": "default"})
    assert event_json(full)["priority_metadata"] == {"rule": "default"}
    assert "priority_metadata" not in event_json(full, protocol=1)


def test_version_1_knows_one_message_for_all_events() -> None:
    """Whatever their priority."""
    event = event_json(row(priority=2), protocol=1)
    assert event_message(event, protocol=1) == {"type": "event", "data": event}
    assert protocol.initial([event], protocol=1) == {"type": "initial", "data": [event]}


@pytest.mark.parametrize(
    ("priority", "kind", "name", "bucket"),
    [(0, "event", "regular", "regular"), (2, "priority_event", "critical", "priority")],
)
def test_version_2_tells_the_priority(priority: int, kind: str, name: str, bucket: str) -> None:
    """The kind of message, and its information."""
    event = event_json(row(priority=priority))
    assert event_message(event, protocol=2) == {
        "type": kind, "data": event,
        "priority_info": {"level": priority, "name": name, "bucket": bucket},
    }  # fmt: skip


def test_version_2_begins_with_what_is_offered() -> None:
    """Then with the events, their statistics and the number to go on from."""
    told = protocol.hello(priority_limit=1, regular_limit=2, resumed=False)
    assert (told["type"], told["protocol"], told["supported"]) == ("hello", 2, [1, 2])
    assert told["buckets"] == {"priority_limit": 1, "regular_limit": 2}
    first = protocol.initial([], protocol=2, statistics={"total": 0}, last_id=4)
    assert first == {"type": "initial", "data": [], "priority_statistics": {"total": 0},
                     "last_id": 4}  # fmt: skip


def test_a_slow_client_is_told_what_it_lost() -> None:
    """In one message for many."""
    assert protocol.dropped(regular=3, priority=1) == {
        "type": "dropped", "count": 4, "regular": 3, "priority": 1,
    }  # fmt: skip


def test_an_unknown_version_is_told_which_there_are() -> None:
    """Cut, as anything may stand there."""
    told = protocol.unsupported("9" * 100)
    assert (told["type"], told["supported"]) == ("error", [1, 2])
    assert len(told["error"]) < 80
