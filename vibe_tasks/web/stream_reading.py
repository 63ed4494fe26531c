"""What the messages of the stream mean to a client: which events are new, and what was missed.

Pure: connections come and go around it. Whatever makes no sense is counted and left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from vibe_tasks.event_priority import EventPriority, calculate_event_priority

MOST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """An event of the stream.

    Attributes:
        event: As the server sent it; `id`, `timestamp` and `priority` are there in any case.
        level: Its priority, from 0 to 3.
        name: That priority's name: regular, high, critical or system.
        live: Whether it came as it happened, or while we were away; False: the stream began with
            it.
        after_gap: Whether events before it may be missing, because the server could not go on
            where we left off.
        size: Bytes of its message, about.
    """

    event: Mapping[str, Any]
    level: int
    name: str
    live: bool
    after_gap: bool = False
    size: int = 0

    @property
    def id(self) -> int:
        """Its number in the ledger."""
        number: int = self.event["id"]
        return number


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was read.

    Attributes:
        received: Events, without doubles.
        dropped: Events that the server did not send because we read too slowly.
        doubles: Events that we had already.
        ignored: Messages and events that make no sense.
        gaps: How often events may have been missed while there was no connection.
    """

    received: int = 0
    dropped: int = 0
    doubles: int = 0
    ignored: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatistics:
    """How the stream has gone so far.

    Attributes:
        received: Events that came, without doubles.
        dropped: Regular events that the server did not send because we read too slowly.
        skipped: Regular events that the program was too slow to take.
        doubles: Events that came again and were left out.
        ignored: Messages that make no sense.
        reconnects: Connections after the first.
        gaps: How often events may have been missed: the server could not go on where we left off.
        protocol: The version that the server speaks; None: not known yet.
        connected: Whether there is a connection now.
        last_id: The last event; None: none yet.
    """

    received: int
    dropped: int
    skipped: int
    doubles: int
    ignored: int
    reconnects: int
    gaps: int
    protocol: int | None
    connected: bool
    last_id: int | None


class MissedError(Exception):
    """The server has not sent priority events, but still has them: connect again for them."""


class StreamReading:
    """Reads the messages of one connection after the other.

    Attributes:
        last: The last event that we have; None: none yet.
        protocol: The version that the server speaks; None: not known yet.
        begun: Whether the server has said from where on it sends.
        missed: Whether it could not go on where we left off.
        tally: What was read so far.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.protocol: int | None = None
        self.begun = False
        self.missed = False
        self.tally = Tally()
        self._can_resume = False
        self._resumed = False
        self._gap = False

    def connected(self) -> None:
        """A connection begins."""
        self.begun = self.missed = self._can_resume = self._resumed = False
        self.protocol = None

    def read(self, data: bytes, *, now: float) -> list[StreamEvent]:
        """The new events of a message.

        Args:
            data: The message.
            now: Seconds since 1970: when an event came that does not say when it was.

        Raises:
            MissedError: Connecting again brings what the server had no room for.
        """
        try:
            message = json.loads(data.decode())
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"type": "hello"}:
                self._greet(message)
            case {"type": "initial", "data": list(events)}:
                return self._begin(events, message.get("last_id"), len(data), now)
            case {"type": "event" | "priority_event", "data": event}:
                return self._live(event, len(data), now)
            case {"type": "dropped", "count": int(count)} if count >= 0:
                self._lose(count, message.get("priority"))
            case {"type": "error"}:  # it does not speak our version: `initial` of 1 follows
                pass
            case _:
                self.tally.ignored += 1
        return []

    def _greet(self, hello: Mapping[str, Any]) -> None:
        self.protocol = 2
        features = hello.get("features")
        self._can_resume = isinstance(features, list) and "resume" in features
        self._resumed = self._can_resume and hello.get("resumed") is True

    def _begin(self, given: Sequence[Any], until: Any, size: int, now: float) -> list[StreamEvent]:
        self.protocol = self.protocol or 1
        self.begun = True
        size = size // max(1, len(given))
        events = [each for each in (self._event(event, now) for event in given) if each]
        newest = max((each["id"] for each in events), default=0)
        if _is_id(until) and not self._resumed:  # else what came meanwhile is yet to come
            newest = max(newest, until)
        last, self.last = self.last, max(newest, self.last or 0)
        if last is None:
            return [self._taken(each, size, live=False) for each in events]
        if not self._resumed and newest < last:  # another ledger: its ids begin anew
            self.last, last = newest, -1
            self._miss()
        elif not self._resumed and not (self.protocol == 1 and _reaches_back(events, last)):
            self._miss()
        new = [each for each in events if each["id"] > last]
        self.tally.doubles += len(events) - len(new)
        return [self._taken(each, size, live=True) for each in new]

    def _live(self, given: Any, size: int, now: float) -> list[StreamEvent]:
        event = self._event(given, now)
        if event is None:
            return []
        if self.last is not None and event["id"] <= self.last:
            self.tally.doubles += 1
            return []
        self.last = event["id"]
        return [self._taken(event, size, live=True)]

    def _lose(self, count: int, priority: Any) -> None:
        if priority != 0 and self._can_resume and self.last is not None:
            raise MissedError
        self.tally.dropped += count

    def _miss(self) -> None:
        self.tally.gaps += 1
        self.missed = self._gap = True

    def _taken(self, event: dict[str, Any], size: int, *, live: bool) -> StreamEvent:
        self.tally.received += 1
        level = EventPriority(event["priority"])
        gap, self._gap = self._gap, False
        return StreamEvent(
            event=event, level=int(level), name=level.label, live=live, after_gap=gap, size=size
        )

    def _event(self, given: Any, now: float) -> dict[str, Any] | None:
        """The event with all that we rely on; None for what is none."""
        if not isinstance(given, dict) or not _is_id(given.get("id")):
            self.tally.ignored += 1
            return None
        level, timestamp = given.get("priority"), given.get("timestamp")
        if not _is_whole(level) or level not in range(4):  # its server knows no priorities
            level = int(calculate_event_priority(str(given.get("hook_event_type"))))
        if not _is_whole(timestamp):
            # Some clocks count with a fraction.
            timestamp = int(timestamp if _is_moment(timestamp) else now * 1000)
        return {**given, "priority": level, "timestamp": timestamp}


def _reaches_back(events: Sequence[Mapping[str, Any]], last: int) -> bool:
    """Whether nothing can lie between the last event that we have and these, of version 1."""
    new = sorted(event["id"] for event in events if event["id"] > last)
    if new == list(range(last + 1, last + 1 + len(new))):
        return True
    for grave in (False, True):
        bucket = [event["id"] for event in events if bool(event["priority"]) is grave]
        if bucket and min(bucket) > last:
            return False
    return True


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> TypeGuard[int]:
    return _is_whole(value) and 0 <= value <= MOST_ID


def _is_moment(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) and abs(value) < MOST_ID
