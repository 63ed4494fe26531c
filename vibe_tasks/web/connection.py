"""uvicorn's HTTP connection, with bounds where it has none: the size of a head, how long a request
may take to arrive and its answer to be read, and how many requests may wait for their turn.

Without them a few bytes a minute hold a connection for ever, a head may have gigabytes, and each
megabyte of requests that nobody waits for takes fifty of memory.
The parser is httptools: it takes half the CPU time of h11 for each request.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 65_536
"""Bytes of the request line and the headers."""

TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)

MOST_PIPELINED = 32
"""Requests that may wait behind the one that is being answered; no browser sends any."""

READING = 3.0
"""How many times the patience a client may take nothing of an answer that is ready for it."""

AFTERWARDS = 2.0
"""How many times the patience for a body a connection lives on without the end of its request; the
application has given up, and answered, by then."""


class Connection(HttpToolsProtocol):
    """One connection."""

    patience: ClassVar[float] = 10.0
    """Seconds in which the head of a request must have arrived, and then its body."""

    _timer: asyncio.TimerHandle | None = None
    _watch: asyncio.TimerHandle | None = None
    _head: int | None = 0
    """Bytes of a head that is to come; None where a body is, or an answer."""

    _completed: bool = False
    """Whether the bytes that came last held the end of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait(self.patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._wait(None)
        self._watch_reading(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a head that does not end."""
        self._completed = False
        super().data_received(data)
        if self._head is None or self._completed or self.transport.is_closing():
            return  # where a request was completed, its body was among these bytes
        if self._timer is None:  # between two requests there may be empty lines, for ever
            self._wait(self.patience)
        self._head += len(data)
        if self._head > LARGEST_HEAD:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._wait(self.patience)

    def on_headers_complete(self) -> None:
        """Its head is there.

        Raises:
            ValueError: It is refused; the parser makes a 400 of it.
        """
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many requests at once")
        if sum(name == b"host" for name, _ in self.headers) > 1:  # RFC 9112, section 3.2
            raise ValueError("more than one Host")
        self._head = None
        self._wait(self.patience * AFTERWARDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._head = 0
        self._completed = True
        self._wait(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads slower than we write, or not at all."""
        super().pause_writing()
        self._watch_reading(self.transport.get_write_buffer_size())

    def on_response_complete(self) -> None:
        """The answer is written, and perhaps not read."""
        super().on_response_complete()
        self._watch_reading(self.transport.get_write_buffer_size())

    def handle_websocket_upgrade(self) -> None:
        """It becomes a WebSocket, which has its own bounds."""
        self._head = None
        self._wait(None)
        super().handle_websocket_upgrade()

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._end)

    def _watch_reading(self, unread: int | None) -> None:
        """Look later whether some of these bytes were read."""
        if self._watch is not None:
            self._watch.cancel()
        self._watch = None
        if unread:
            self._watch = self.loop.call_later(self.patience * READING, self._look, unread)

    def _look(self, before: int) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread < before:
            self._watch_reading(unread)
        else:
            self.transport.abort()  # to close would wait until all is read

    def _end(self) -> None:
        self._timer = None
        self.transport.close()


def patient(seconds: float) -> type[Connection]:
    """Connections that wait for so many seconds."""

    class Patient(Connection):
        patience = seconds

    return Patient
