"""What our HTTP connection does beyond uvicorn's: clients that ask for too much, or do not read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from tests.wires import Wire
from vibe_tasks.web.connection import LARGEST_HEAD, MOST_PIPELINED, Connection, patient

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def on_a_connection(
    look: Callable[[Connection, Wire, asyncio.Event], Awaitable[None]], *, patience: float = 60.0
) -> None:
    """Look at a new connection, inside an event loop; its answers wait for the event."""

    async def main() -> None:
        answering = asyncio.Event()

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await answering.wait()
            headers = [(b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ok"})

        config = Config(app, log_config=None)
        config.load()
        made = patient(patience)(config, ServerState(), {}, asyncio.get_running_loop())
        wire = Wire()
        made.connection_made(wire)
        await look(made, wire, answering)
        answering.set()
        made.connection_lost(None)
        assert (made._timer, made._watch) == (None, None)
        await asyncio.gather(*made.tasks)

    asyncio.run(main())


def test_a_head_that_does_not_end_is_refused() -> None:
    """As soon as it is too large, whatever it begins with; one of just that size is not."""

    async def look(connection: Connection, wire: Wire, _answering: asyncio.Event) -> None:
        connection.data_received(b"GET / HTTP/1.1\r\nX-A: ")
        connection.data_received(b"a" * (LARGEST_HEAD - 21))
        assert wire.state == "open"
        connection.data_received(b"a")
        assert (wire.state, wire.written[:13]) == ("closing", b"HTTP/1.1 431 ")
        connection.data_received(b"a" * 1000)
        assert wire.written.count(b"HTTP/1.1") == 1

    on_a_connection(look)


def test_requests_that_nobody_waits_for_are_bounded() -> None:
    """Some may be sent ahead and are answered in their order; a flood of them fills no memory."""

    async def look(connection: Connection, wire: Wire, answering: asyncio.Event) -> None:
        connection.data_received(REQUEST * (1 + MOST_PIPELINED))
        assert wire.state == "open"
        answering.set()
        await asyncio.gather(*connection.tasks)
        while connection.pipeline:
            await asyncio.gather(*connection.tasks)
        await asyncio.gather(*connection.tasks)
        assert wire.written.count(b"HTTP/1.1 200 ") == 1 + MOST_PIPELINED
        answering.clear()
        connection.data_received(REQUEST * 5000)
        assert len(connection.pipeline) == MOST_PIPELINED
        assert wire.state == "closing"
        assert re.findall(rb"HTTP/1.1 (\d+)", wire.written)[-1] == b"400"

    on_a_connection(look)


def test_a_request_for_two_hosts_is_refused() -> None:
    """A server before us may have looked at the other one (RFC 9112, section 3.2)."""

    async def look(connection: Connection, wire: Wire, _answering: asyncio.Event) -> None:
        connection.data_received(b"GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n")
        assert (wire.state, wire.written[:13]) == ("closing", b"HTTP/1.1 400 ")

    on_a_connection(look)


@pytest.mark.parametrize("paused", [True, False])
def test_who_does_not_read_an_answer_is_cut_off(paused: bool) -> None:
    """A large answer is held for as long as some of it is read, and no longer: to close a
    connection would wait for ever.
    """

    async def look(connection: Connection, wire: Wire, answering: asyncio.Event) -> None:
        def begin() -> None:
            wire.unread = 100_000
            if paused:
                connection.pause_writing()
            else:
                connection.on_response_complete()

        connection.data_received(REQUEST)
        answering.set()
        await asyncio.gather(*connection.tasks)
        assert connection._watch is None  # all was read
        begin()
        first = connection._watch
        connection._look(100_001)
        assert first is not None
        assert first.cancelled()
        assert (wire.state, connection._watch is None) == ("open", False)
        wire.unread = 0
        connection._look(100_000)
        assert (wire.state, connection._watch) == ("open", None)
        begin()
        await wire.aborted.wait()

    on_a_connection(look, patience=0.01)
