"""What the stream's messages mean to a client, and what waits for its program."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from vibe_tasks.errors import InputError
from vibe_tasks.web.stream_client import EventStream, stream_address
from vibe_tasks.web.stream_reading import MissedError, StreamEvent, StreamReading
from vibe_tasks.web.stream_waiting import Waiting, WaitingLimits


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "hook_event_type": "x", "timestamp": 1000 + number, **fields}


def read(reading: StreamReading, *messages: Any) -> list[int]:
    """The ids of the new events of these messages."""
    found = []
    for each in messages:
        found += reading.read(json.dumps(each).encode(), now=5.0)
    return [each.id for each in found]


def hello(*, resumed: bool) -> dict[str, Any]:
    return {"type": "hello", "protocol": 2, "features": ["resume"], "resumed": resumed}


def initial(*numbers: int, **more: Any) -> dict[str, Any]:
    return {"type": "initial", "data": [event(number) for number in numbers], **more}


def live(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "event", "data": event(number, **fields)}


def test_version_2_goes_on_where_it_left_off() -> None:
    """What was read before counts as read; where the server cannot go on there is a gap, said
    once, and what it begins with anew is no double.
    """
    reading = StreamReading()
    assert read(reading, hello(resumed=False), initial(3, 1, last_id=7), live(9)) == [3, 1, 9]
    assert (reading.protocol, reading.last, reading.tally.gaps) == (2, 9, 0)
    reading.connected()
    assert read(reading, hello(resumed=True), initial(last_id=9), live(9), live(12)) == [12]
    assert (reading.missed, reading.tally.doubles) == (False, 1)
    reading.connected()
    found = reading.read(json.dumps(hello(resumed=False)).encode(), now=0)
    found += reading.read(json.dumps(initial(12, 15, 14, last_id=16)).encode(), now=0)
    found += reading.read(json.dumps(live(17)).encode(), now=0)
    assert [(each.id, each.after_gap) for each in found] == [(15, True), (14, False), (17, False)]
    assert (reading.missed, reading.tally.gaps, reading.tally.doubles) == (True, 1, 2)


@pytest.mark.parametrize(
    ("numbers", "new", "gap"),
    [([4, 5, 6], [6], False), ([5], [], False), ([6, 7], [6, 7], False), ([8, 9], [8, 9], True),
     ([4, 9], [9], False), ([], [], True), ([1, 2], [1, 2], True)],
)  # fmt: skip
def test_version_1_tells_doubles_by_their_ids(
    numbers: list[int], new: list[int], gap: bool
) -> None:
    """After a break it begins anew; a ledger with lesser ids is another one."""
    reading = StreamReading()
    assert read(reading, initial(5)) == [5]
    reading.connected()
    assert read(reading, initial(*numbers), live(20), live(20)) == [*new, 20]
    assert (reading.protocol, reading.missed) == (1, gap)


def test_what_the_server_drops_is_counted_or_fetched() -> None:
    """Regular events are gone; for those of priority the client comes again."""
    reading = StreamReading()
    lost = {"type": "dropped", "count": 3, "regular": 3, "priority": 0}
    grave = {"type": "dropped", "count": 4, "regular": 3, "priority": 1}
    read(reading, hello(resumed=False), grave, initial(1, last_id=1), lost)
    assert reading.tally.dropped == 3 + 4  # it had nothing yet to go on from
    with pytest.raises(MissedError):
        read(reading, grave)
    assert (reading.last, reading.tally.dropped) == (1, 7)


def test_an_event_has_all_that_we_rely_on() -> None:
    """Level and time, also from a server that knows neither."""
    reading = StreamReading()
    found = [
        reading.read(json.dumps({"type": "event", "data": each}).encode(), now=5.0)[0]
        for each in (
            {"id": 1, "hook_event_type": "Stop"},
            {"id": 2, "hook_event_type": "Stop", "priority": 3, "timestamp": 7.9},
            {"id": 3, "priority": True, "timestamp": "soon"},
            {"id": 4, "priority": 4, "timestamp": 1e300},
        )
    ]
    told = [(each.level, each.name, each.event["timestamp"], each.live) for each in found]
    assert told == [
        (1, "high", 5000, True), (3, "system", 7, True), (0, "regular", 5000, True),
        (0, "regular", 5000, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"{", b"null", b"[]", b'"event"', b"{}", b'{"type": 5}', b"[" * 100_000,
     b'{"type": "news", "data": {}}', b'{"type": "event"}', b'{"type": "event", "data": 5}',
     b'{"type": "event", "data": {"id": true}}', b'{"type": "event", "data": {"id": -1}}',
     b'{"type": "event", "data": {"id": 9223372036854775808}}', b'{"type": "initial", "data": 5}',
     b'{"type": "initial", "data": [5]}', b'{"type": "dropped", "count": -1}'],
)  # fmt: skip
def test_nonsense_is_counted_and_left_out(data: bytes) -> None:
    """Whatever a server says, the next event is read."""
    reading = StreamReading()
    assert reading.read(data, now=0.0) == []
    assert reading.tally.ignored == 1
    assert read(reading, {"type": "error", "error": "no"}, {"type": "hello"}, live(8)) == [8]


def streamed(number: int, level: int, size: int = 1) -> StreamEvent:
    return StreamEvent(event=event(number), level=level, name="", live=True, size=size)


def test_regular_events_make_room_and_priority_events_wait_for_it() -> None:
    """In order; by number and by bytes."""

    async def scenario() -> None:
        waiting = Waiting(WaitingLimits(regular=2, priority=2, size=100))
        for number, level in enumerate([0, 1, 0, 2, 0], start=1):
            await waiting.put(streamed(number, level))
        assert (len(waiting), waiting.skipped) == (4, 1)
        blocked = asyncio.create_task(waiting.put(streamed(6, 1)))
        await asyncio.sleep(0)
        assert not blocked.done()
        assert [each.id for each in await waiting.take(3)] == [2, 3, 4]
        await blocked
        await waiting.put(streamed(7, 0, size=99))
        await waiting.put(streamed(8, 0, size=500))
        assert waiting.skipped == 3
        waiting.end()
        assert [each.id for each in await waiting.take(9)] == [6, 8]
        assert await waiting.take(9) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("url", "address"),
    [("http://h:4000", "ws://h:4000/stream"), ("https://h/", "wss://h/stream"),
     ("ws://[::1]:1/vibe/", "ws://[::1]:1/vibe/stream"), ("wss://h", "wss://h/stream")],
)  # fmt: skip
def test_a_server_is_named_by_its_address(url: str, address: str) -> None:
    """As a browser shows it, or as a WebSocket."""
    assert stream_address(url) == address


@pytest.mark.parametrize("url", ["", "h:4000", "ftp://h", "http://", "http://h:0", "http://h:x",
                                 f"http://{'a' * 70}", "http://a..b"])  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """In one line."""
    with pytest.raises(InputError, match="no address of a server"):
        stream_address(url)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"sessions": "one"}, "sessions"), ({"min_priority": 4}, "min_priority"),
     ({"protocol": 3}, "protocol"), ({"token": "a b"}, "token")],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    """At once, and named."""
    with pytest.raises((ValueError, InputError), match=words):
        EventStream("http://h", **options)
