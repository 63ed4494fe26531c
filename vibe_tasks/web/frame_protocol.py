"""uvicorn's WebSocket connection, with a way in for frames that are ready to be written.

To encode a message for each of 200 clients costs more than all else that the stream does. The
ASGI extension `vibe.frames` takes the bytes of whole frames, as `frames` builds them once for all.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.frames import Frame
    from websockets.http11 import Request

EXTENSION = "vibe.frames"
"""Key in the scope's extensions, and the type of the message: `data` are whole text frames."""

MAX_INCOMING = 65_536
"""Bytes of one message from a client; nothing that one has to tell us is longer."""

SEND_BUFFER = 262_144
"""Bytes that the system takes from us before the client has them. By itself it takes megabytes:
what is in there is on its way, and cannot be left out when the client turns out to be slow."""

LAST_WORDS = 2.0
"""Seconds that a client has to read what it was sent before the connection was to end."""


class FrameProtocol(WebSocketsSansIOProtocol):
    """One connection; offers the extension to the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.max_message_size = MAX_INCOMING
        self.conn.available_extensions = None  # what is shared cannot be compressed for one
        self._written = 0
        self._read_at_ping = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what is under way to a client that does not read."""
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def handle_connect(self, event: Request) -> None:
        """Tell the application what it may send."""
        super().handle_connect(event)
        if not self.close_sent:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = {}

    def data_received(self, data: bytes) -> None:
        """Refuse what is no handshake to the WebSocket library, such as one with a body."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            head = [b"HTTP/1.1 400 Bad Request\r\n"]
            head += [b"%b: %b\r\n" % header for header in self.default_headers]
            head += [b"content-length: 0\r\nconnection: close\r\n\r\n"]
            self.transport.write(b"".join(head))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """A part of a message; the library bounds their bytes, and empty ones have none."""
        if event.data or event.fin:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, unless the client does not read its answers: they would pile up."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(answer)

    def send_keepalive_ping(self) -> None:
        """Ask whether the client is there."""
        super().send_keepalive_ping()
        self._read_at_ping = self._read()

    def keepalive_timeout(self) -> None:
        """End it, unless the client is only slow: then our ping waits behind what it reads."""
        if self._read() > self._read_at_ping:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._give_up()

    def shutdown(self) -> None:
        """The server stops; who does not read does not hold it up."""
        super().shutdown()
        self.loop.call_later(LAST_WORDS, self._give_up)

    async def send(self, message: ASGISendEvent) -> None:
        """Write ready frames as they are; all else is uvicorn's."""
        given = cast("dict[str, Any]", message)
        if given["type"] != EXTENSION:
            await super().send(message)
            if given["type"] == "websocket.close":
                self.loop.call_later(self.close_timeout + LAST_WORDS, self._give_up)
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        self._written += len(given["data"])
        self.transport.write(given["data"])

    def _read(self) -> int:
        """Bytes that have left for the client."""
        return self._written - self.transport.get_write_buffer_size()

    def _give_up(self) -> None:
        """End it now: to close it would wait until the client has read everything."""
        self.transport.abort()
