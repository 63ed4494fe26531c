"""What our WebSocket connection does beyond uvicorn's: clients that are slow, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message
from uvicorn import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from tests.wires import Wire
from vibe_tasks.web.frame_protocol import EXTENSION, FrameProtocol
from vibe_tasks.web.frames import Batch, Frame, text_frame
from vibe_tasks.web.stream import Outlet

HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def on_a_connection(look: Callable[[FrameProtocol, Wire], Any]) -> None:
    """Look at an accepted connection, inside an event loop."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async def main() -> None:
        config = Config(app, ws=FrameProtocol, log_config=None, ws_ping_interval=60.0)
        config.load()
        made = FrameProtocol(config, ServerState(), {}, asyncio.get_running_loop())
        wire = Wire()
        made.connection_made(wire)
        made.data_received(HANDSHAKE)
        await wire.wrote.wait()
        wire.written.clear()
        found = look(made, wire)
        if found is not None:
            await found
        made.connection_lost(ConnectionResetError())
        await asyncio.gather(*made.tasks)

    asyncio.run(main())


def test_ready_frames_are_written_as_they_are() -> None:
    """The application is offered the extension, and its bytes reach the wire unchanged."""

    async def look(connection: FrameProtocol, wire: Wire) -> None:
        assert EXTENSION in connection.scope["extensions"]
        await connection.send({"type": EXTENSION, "data": b"abc"})  # type: ignore[arg-type]
        assert wire.written == b"abc"
        wire.close()
        with pytest.raises(ClientDisconnected):
            await connection.send({"type": EXTENSION, "data": b"abc"})  # type: ignore[arg-type]

    on_a_connection(look)


def test_a_client_that_reads_slowly_is_not_taken_for_gone() -> None:
    """Our ping waits behind what it reads: as long as it reads, it is asked again."""

    def look(connection: FrameProtocol, wire: Wire) -> None:
        connection._written, wire.unread = 1000, 900
        connection.send_keepalive_ping()
        wire.unread = 800
        connection.keepalive_timeout()
        assert wire.state == "open"
        assert connection.ping_timer is not None
        connection.send_keepalive_ping()
        connection.keepalive_timeout()
        assert wire.state == "aborted"

    on_a_connection(look)


def test_pings_are_answered_unless_the_answers_pile_up() -> None:
    """A client that asks and does not read fills no memory."""
    ping = b"\x89\x80\0\0\0\0"

    def look(connection: FrameProtocol, wire: Wire) -> None:
        connection.data_received(ping)
        assert wire.written == b"\x8a\x00"
        connection.pause_writing()
        connection.data_received(ping * 10)
        assert wire.written == b"\x8a\x00"
        connection.resume_writing()
        connection.data_received(ping)
        assert wire.written == b"\x8a\x00" * 2

    on_a_connection(look)


def test_empty_parts_of_a_message_are_not_kept() -> None:
    """They have no bytes, so the bound of a message does not count them; there may be millions."""

    def look(connection: FrameProtocol, _wire: Wire) -> None:
        connection.data_received(b"\x01\x81\0\0\0\0a" + b"\x00\x80\0\0\0\0" * 5000)
        assert connection.frames == [b"a"]
        connection.data_received(b"\x80\x80\0\0\0\0")
        assert connection.frames == []
        assert connection.read_paused  # the whole message is there

    on_a_connection(look)


@pytest.mark.parametrize(
    "handshake",
    [HANDSHAKE.replace(b"GET", b"PUT").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
     HANDSHAKE[:-2] + b"X-A: " + b"a" * 9000 + b"\r\n\r\n",
     HANDSHAKE[:-2] + b"X-A: b\r\n" * 200 + b"\r\n"],
)  # fmt: skip
def test_what_is_no_handshake_is_refused(handshake: bytes) -> None:
    """The library says nothing to such a request: its connection would stay open for ever."""

    async def main() -> None:
        async def app(*_: Any) -> None:
            pytest.fail("it was taken for a handshake")

        config = Config(app, ws=FrameProtocol, log_config=None)
        config.load()
        state = ServerState()
        state.default_headers = [(b"x-frame-options", b"DENY")]
        made, wire = FrameProtocol(config, state, {}, asyncio.get_running_loop()), Wire()
        made.connection_made(wire)
        made.data_received(handshake)
        assert wire.state == "closing"
        assert wire.written.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nx-frame-options: DENY\r\n" in wire.written
        made.data_received(b"more")
        made.connection_lost(None)
        assert state.connections == set()

    asyncio.run(main())


def test_a_connection_ends_though_nobody_reads() -> None:
    """To close waits until all was read; a server that stops, or sends one away, does not."""

    async def look(connection: FrameProtocol, wire: Wire) -> None:
        waiting: list[Callable[[], None]] = []
        connection.loop.call_later = lambda _seconds, what: waiting.append(what)  # type: ignore[assignment,return-value,misc]
        connection.shutdown()
        assert wire.state == "closing"
        waiting[-1]()
        assert wire.state == "aborted"
        del connection.loop.call_later

    on_a_connection(look)


def test_who_was_sent_away_is_not_waited_for() -> None:
    """A client that does not answer our goodbye loses its connection all the same."""

    async def look(connection: FrameProtocol, wire: Wire) -> None:
        connection.close_timeout = -10.0  # now, and not in ten seconds
        await connection.send({"type": "websocket.close", "code": 1013})
        await wire.aborted.wait()

    on_a_connection(look)


def test_another_server_gets_each_message_by_itself() -> None:
    """Without the extension the stream is plain ASGI."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        outlet = Outlet(send, ready_frames=False)
        await outlet.frame(text_frame("ü".encode()))
        await outlet.batch(Batch([Frame(1, 0, text_frame(b"a")), Frame(2, 0, text_frame(b"b"))]))

    asyncio.run(main())
    assert sent == [{"type": "websocket.send", "text": text} for text in ("ü", "a", "b")]
