"""Frames that are built once for all clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode

from vibe_tasks.web.backlog import BacklogLimits
from vibe_tasks.web.frames import Batch, Frame, json_bytes, message_frame, text_frame, text_of
from vibe_tasks.web.hub import Client, Outgoing, Wish

ROW: dict[str, Any] = {
    "id": 7, "source_app": "app", "session_id": "s", "hook_event_type": "Stop", "payload": {},
    "timestamp": 1, "summary": None, "chat": None, "model_name": None, "priority": 1,
    "priority_metadata": {"rule": "default"}, "extra": {"own": "ü"},
}  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_is_what_the_websockets_library_makes(size: int) -> None:
    """At every border of the three ways to write a length, and the text comes back."""
    text = b"x" * size
    assert text_frame(text) == TheirFrame(Opcode.TEXT, text).serialize(mask=False)
    assert text_of(text_frame(text)) == text.decode()


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.floats(allow_nan=False), st.none())))
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    """Any text of any language."""
    assert json.loads(text_of(message_frame(message))) == message


def test_half_a_character_breaks_no_connection() -> None:
    """A browser ends a connection over bytes that are no UTF-8; old rows may hold such a text."""
    assert json_bytes({"a": "x\ud800"}) == b'{"a":"x?"}'


def test_a_batch_is_its_frames_in_a_row() -> None:
    """One write sends several messages."""
    batch = Batch([Frame(1, 0, b"ab"), Frame(2, 1, b"c")])
    assert (batch.data, batch.size) == (b"abc", 3)


def test_an_event_is_encoded_once_for_each_version() -> None:
    """Clients of one version share the bytes; version 1 is told of no priority's reason."""
    event = Outgoing(ROW)
    assert event.frame(2) is event.frame(2)
    first, second = (json.loads(text_of(event.frame(version).data)) for version in (1, 2))
    assert first["type"] == "event"
    assert second["type"] == "priority_event"
    assert second["priority_info"] == {"level": 1, "name": "high", "bucket": "priority"}
    assert first["data"]["own"] == "ü"
    assert "priority_metadata" not in first["data"]


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        (Wish(protocol=1), True),
        (Wish(protocol=2, sessions=frozenset({"s", "t"})), True),
        (Wish(protocol=2, sessions=frozenset({"t"})), False),
        (Wish(protocol=2, min_priority=1), True),
        (Wish(protocol=2, min_priority=2), False),
    ],
)
def test_a_client_gets_what_it_asked_for(wish: Wish, wanted: bool) -> None:
    """By session and by level."""
    assert wish.covers(ROW) is wanted


def test_a_client_that_was_ahead_gets_nothing_twice() -> None:
    """Another process had told it more than this one has given out yet."""

    async def main() -> list[int]:
        client = Client(Wish(protocol=2), 2, BacklogLimits())
        client.push(Batch([Frame(1, 0, b"a"), Frame(2, 0, b"b")]))
        client.push(Batch([Frame(2, 0, b"b"), Frame(3, 0, b"c")]))
        client.push(Batch([Frame(4, 0, b"d")]))
        _, batch = await client.next(100)
        return [frame.id for frame in batch.frames] if batch else []

    assert asyncio.run(main()) == [3, 4]
