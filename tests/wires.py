"""A connection without a network: what a protocol writes, and a client that reads as it is told."""

from __future__ import annotations

import asyncio


class Wire(asyncio.Transport):
    """A connection to a client that reads only what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unread = 0
        self.state = "open"
        self.wrote, self.aborted = asyncio.Event(), asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data
        self.wrote.set()

    def get_write_buffer_size(self) -> int:
        """What the client has not read."""
        return self.unread

    def is_closing(self) -> bool:
        """Whether it is to end."""
        return self.state != "open"

    def close(self) -> None:
        """End it once all was read."""
        self.state = "closing" if self.state == "open" else self.state

    def abort(self) -> None:
        """End it now."""
        self.state = "aborted"
        self.aborted.set()

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""
