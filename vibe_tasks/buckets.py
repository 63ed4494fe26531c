"""Two buckets of events: important ones are never pushed out by chatter.

Source: phase-11-priority-events, WP2 and WP3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

Item = TypeVar("Item")

Row = Mapping[str, Any]
"""An event as clients see it: at least `id`, `timestamp` in ms, and `priority`."""


class Overflow(StrEnum):
    """Which event goes when both buckets together hold more than they may."""

    OLDEST_REGULAR = "remove_oldest_regular"  #: priority events go when no regular one is left
    OLDEST = "remove_oldest"  #: whatever is oldest
    LOWEST_PRIORITY = "remove_lowest_priority"  #: the oldest of the lowest level


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLimits:
    """How much a view keeps.

    Attributes:
        priority: Most events of the levels 1 to 3.
        regular: Most events of level 0.
        total: Most events in both; None: no bound of its own.
        bytes: Most bytes in both, as `Buckets.add` is told; None: no bound.
        max_age: Seconds after which an event goes; None: never.
        overflow: What goes when both together hold too much.
    """

    priority: int = 100
    regular: int = 200
    total: int | None = None
    bytes: int | None = None
    max_age: float | None = None
    overflow: Overflow = Overflow.OLDEST_REGULAR

    def __post_init__(self) -> None:
        for name in ("priority", "regular", "total", "bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be zero or more, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketStatistics:
    """What two buckets hold, and what went.

    Attributes:
        priority: Events of the levels 1 to 3 now.
        regular: Events of level 0 now.
        bytes: Bytes of both now.
        received: Events that came in, ever.
        removed_priority: Priority events that had to go.
        removed_regular: Regular events that had to go.
        expired: Events that went because of their age.
    """

    priority: int
    regular: int
    bytes: int
    received: int
    removed_priority: int
    removed_regular: int
    expired: int


def merge_buckets(
    priority: Iterable[Item], regular: Iterable[Item], *, limit: int, time: Callable[[Item], Any]
) -> list[Item]:
    """Both by time, oldest first; where they are more than `limit`, the oldest regular ones go
    first, then the oldest priority ones.
    """
    grave = sorted(priority, key=time)
    chatter = sorted(regular, key=time)
    grave = grave[max(0, len(grave) - limit) :]
    chatter = chatter[max(0, len(chatter) - (limit - len(grave))) :]
    return sorted([*grave, *chatter], key=time)


class Buckets:
    """The newest events, those of priority apart from the rest.

    Args:
        limits: How much is kept.
    """

    def __init__(self, limits: BucketLimits = BucketLimits()) -> None:
        self.limits = limits
        self._priority: deque[tuple[Row, int]] = deque()
        self._regular: deque[tuple[Row, int]] = deque()
        self._bytes = 0
        self._received = 0
        self._removed = {"priority": 0, "regular": 0}
        self._expired = 0

    def add(self, event: Row, *, size: int = 0) -> None:
        """Take an event in; what it pushes out is gone.

        Args:
            event: The event.
            size: Its bytes, where `limits.bytes` is to hold.
        """
        self._received += 1
        self._bytes += size
        bucket = self._priority if event["priority"] else self._regular
        bucket.append((event, size))
        while len(self._priority) > self.limits.priority:
            self._drop(self._priority)
        while len(self._regular) > self.limits.regular:
            self._drop(self._regular)
        while self._too_much():
            self._drop(self._victim())

    def expire(self, now: float) -> None:
        """Let go what is older than `limits.max_age`; `now` in seconds since 1970."""
        if self.limits.max_age is None:
            return
        oldest = (now - self.limits.max_age) * 1000
        for bucket in (self._priority, self._regular):
            kept = [pair for pair in bucket if pair[0]["timestamp"] >= oldest]
            self._expired += len(bucket) - len(kept)
            bucket.clear()
            bucket.extend(kept)
        self._bytes = sum(size for _, size in (*self._priority, *self._regular))

    def events(self) -> Sequence[Row]:
        """All of them by time, oldest first."""
        return merge_buckets(
            (event for event, _ in self._priority),
            (event for event, _ in self._regular),
            limit=len(self._priority) + len(self._regular),
            time=event_time,
        )

    def statistics(self) -> BucketStatistics:
        """What they hold, and what went."""
        return BucketStatistics(
            priority=len(self._priority), regular=len(self._regular), bytes=self._bytes,
            received=self._received, removed_priority=self._removed["priority"],
            removed_regular=self._removed["regular"], expired=self._expired,
        )  # fmt: skip

    def _too_much(self) -> bool:
        held = len(self._priority) + len(self._regular)
        if self.limits.total is not None and held > self.limits.total:
            return True
        return self.limits.bytes is not None and held > 0 and self._bytes > self.limits.bytes

    def _victim(self) -> deque[tuple[Row, int]]:
        """The bucket whose oldest event goes."""
        if not self._priority or not self._regular:
            return self._priority or self._regular
        if self.limits.overflow is Overflow.OLDEST:
            return min(self._priority, self._regular, key=lambda bucket: event_time(bucket[0][0]))
        return self._regular

    def _drop(self, bucket: deque[tuple[Row, int]]) -> None:
        """Let the oldest of a bucket go; of the lowest level, where that is the rule."""
        name = "priority" if bucket is self._priority else "regular"
        self._removed[name] += 1
        place = 0
        if name == "priority" and self.limits.overflow is Overflow.LOWEST_PRIORITY:
            place = min(range(len(bucket)), key=lambda n: (bucket[n][0]["priority"], n))
        self._bytes -= bucket[place][1]
        del bucket[place]


def event_time(event: Row) -> tuple[int, int]:
    """What events are in order by: their time in ms, then their id."""
    return event["timestamp"], event["id"]
