"""What one client of the stream has still to be sent, bounded: regular events go first.

Source: phase-11-priority-events, WP2 and WP4; the bounds are our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from vibe_tasks.web.frames import Batch, Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogLimits:
    """How much may wait for one client.

    The bytes of an event are shared by all clients that it waits for: 200 slow ones cost little
    more than one.

    Attributes:
        regular: Events of level 0; some seconds of a flood, which a client sits out.
        priority: Events of the levels 1 to 3.
        size: Bytes of both.
    """

    regular: int = 10_000
    priority: int = 10_000
    size: int = 32_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Events that a client was not sent.

    Attributes:
        regular: Those of level 0.
        priority: Those of the levels 1 to 3.
    """

    regular: int
    priority: int


class Backlog:
    """Frames that wait for one client.

    A client that keeps up takes each batch before the next comes: that one is handed through as
    it is, and nothing is done for each event and client. Only where batches meet are they taken
    apart.

    Args:
        limits: How much may wait.
    """

    def __init__(self, limits: BacklogLimits) -> None:
        self._limits = limits
        self._whole: Batch | None = None
        self._regular: deque[Frame] = deque()
        self._priority: deque[Frame] = deque()
        self._size = 0
        self._lost_regular = 0
        self._lost_priority = 0

    def __bool__(self) -> bool:
        return bool(self._whole or self._regular or self._priority or self._has_lost())

    def push(self, batch: Batch) -> None:
        """Take these in; what is too much is lost, the oldest regular ones first.

        Args:
            batch: Events that are newer than all that came before.
        """
        if not self and self._fits(batch):
            self._whole = batch
            return
        if self._whole is not None:
            self._add(self._whole.frames)
            self._whole = None
        self._add(batch.frames)
        self._shed()

    def take(self, size: int) -> Batch | None:
        """The oldest frames that wait, in the order of their ids; None where none does.

        Args:
            size: Bytes to take; at least one frame is taken, however long.
        """
        if self._whole is not None and self._whole.size <= size:
            whole, self._whole = self._whole, None
            return whole
        if self._whole is not None:
            self._add(self._whole.frames)
            self._whole = None
        taken: list[Frame] = []
        while self._regular or self._priority:
            queue = self._older()
            size -= len(queue[0].data)
            if taken and size < 0:
                break
            taken.append(queue.popleft())
            self._size -= len(taken[-1].data)
        return Batch(taken) if taken else None

    def lost(self) -> Lost | None:
        """What was lost since this was last asked; None where nothing was."""
        if not self._has_lost():
            return None
        lost = Lost(regular=self._lost_regular, priority=self._lost_priority)
        self._lost_regular = self._lost_priority = 0
        return lost

    def _has_lost(self) -> bool:
        return bool(self._lost_regular or self._lost_priority)

    def _fits(self, batch: Batch) -> bool:
        limits = self._limits
        return len(batch.frames) <= min(limits.regular, limits.priority) and (
            batch.size <= limits.size
        )

    def _add(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            (self._priority if frame.priority else self._regular).append(frame)
            self._size += len(frame.data)

    def _older(self) -> deque[Frame]:
        """The queue whose first frame is the older one; not both are empty."""
        if not self._regular or not self._priority:
            return self._regular or self._priority
        return self._regular if self._regular[0].id < self._priority[0].id else self._priority

    def _shed(self) -> None:
        limits = self._limits
        while self._regular and (len(self._regular) > limits.regular or self._size > limits.size):
            self._size -= len(self._regular.popleft().data)
            self._lost_regular += 1
        while self._priority and (
            len(self._priority) > limits.priority or self._size > limits.size
        ):
            self._size -= len(self._priority.popleft().data)
            self._lost_priority += 1
