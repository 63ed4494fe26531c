"""What waits between the socket and whoever reads the stream: priority events stay.

A reader that is too slow loses the oldest regular events. Where priority events alone are too
many, nothing more is taken off the connection until there is room: the server, and its ledger
behind it, keep the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from vibe_tasks.web.stream_reading import StreamEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLimits:
    """How much may wait.

    Attributes:
        regular: Events of level 0; the oldest go.
        priority: Events of the levels 1 to 3; then the connection waits.
        size: Bytes of each of the two.
    """

    regular: int = 2_000
    priority: int = 5_000
    size: int = 8_000_000


class Waiting:
    """The events that nobody has taken yet, in the order in which they came.

    Args:
        limits: How much may wait.

    Attributes:
        skipped: Regular events that had to go.
    """

    def __init__(self, limits: WaitingLimits = WaitingLimits()) -> None:
        self.skipped = 0
        self._limits = limits
        self._regular: deque[tuple[int, StreamEvent]] = deque()
        self._priority: deque[tuple[int, StreamEvent]] = deque()
        self._regular_size = self._priority_size = 0
        self._number = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._regular) + len(self._priority)

    async def put(self, event: StreamEvent) -> None:
        """Take an event in; one of priority waits while too many of them are here."""
        while event.level and self._is_full():
            self._room.clear()
            await self._room.wait()
        self._number += 1
        if event.level:
            self._priority.append((self._number, event))
            self._priority_size += event.size
        else:
            self._regular.append((self._number, event))
            self._regular_size += event.size
            self._shed()
        self._changed.set()

    async def take(self, most: int) -> list[StreamEvent]:
        """The next events, at least one, in order; none where there will be no more."""
        while not len(self):
            if self._ended:
                return []
            self._changed.clear()
            await self._changed.wait()
        taken = [self._next() for _ in range(min(most, len(self)))]
        self._room.set()
        return taken

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._changed.set()

    def _is_full(self) -> bool:
        return (
            len(self._priority) >= self._limits.priority or self._priority_size > self._limits.size
        )

    def _shed(self) -> None:
        while len(self._regular) > self._limits.regular or (
            self._regular_size > self._limits.size and len(self._regular) > 1
        ):
            _, gone = self._regular.popleft()
            self._regular_size -= gone.size
            self.skipped += 1

    def _next(self) -> StreamEvent:
        if not self._priority or (self._regular and self._regular[0] < self._priority[0]):
            _, event = self._regular.popleft()
            self._regular_size -= event.size
        else:
            _, event = self._priority.popleft()
            self._priority_size -= event.size
        return event
