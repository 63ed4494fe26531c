"""Giving events out: one look at the ledger for all clients of this process.

The feed gives every event once and in the order of ids, whichever process wrote it. Each is made
a frame once for each version of the protocol that is spoken here, and clients that asked for the
same share the bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from vibe_tasks.protocol import event_json, event_message
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.event_feed import EventFeed
from vibe_tasks.store.retries import reason
from vibe_tasks.web.backlog import Backlog, BacklogLimits, Lost
from vibe_tasks.web.frames import Batch, Frame, message_frame

log = logging.getLogger(__name__)

Row: TypeAlias = Mapping[str, Any]

Result = TypeVar("Result")

POLL = 0.1
"""Seconds between two looks at the ledger while nobody of this process writes."""

TICK = 0.04
"""Least seconds between two looks: what comes in between goes out in one write."""

PAGE = 1_000
"""Events that one look takes; where there are more, the next look follows at once."""

AWAY = 1.0
"""Seconds between two looks at a ledger that is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which events a client wants, and how.

    Attributes:
        protocol: Version.
        sessions: Sessions; empty: all.
        min_priority: Least level.
    """

    protocol: int
    sessions: frozenset[str] = frozenset()
    min_priority: int = 0

    def covers(self, row: Row) -> bool:
        """Whether this event is one of them."""
        return row["priority"] >= self.min_priority and (
            not self.sessions or row["session_id"] in self.sessions
        )


class FeedEndedError(Exception):
    """The feed has ended; its clients come again."""


class Outgoing:
    """An event on its way out, and its frames.

    Args:
        row: As the ledger has it.
    """

    __slots__ = ("_frames", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self._frames: dict[int, Frame] = {}

    def frame(self, protocol: int) -> Frame:
        """Its message in this version of the protocol; made once."""
        found = self._frames.get(protocol)
        if found is None:
            event = event_json(self.row, protocol=protocol)
            data = message_frame(event_message(event, protocol=protocol))
            found = Frame(self.row["id"], self.row["priority"], data)
            self._frames[protocol] = found
        return found


class Client:
    """One client of the stream, as the hub sees it.

    Args:
        wish: What it wants.
        after: The last event that it has.
        limits: How much may wait for it.
    """

    def __init__(self, wish: Wish, after: int, limits: BacklogLimits) -> None:
        self.wish = wish
        self._after = after
        self._backlog = Backlog(limits)
        self._filled = asyncio.Event()
        self._ended = False

    def push(self, batch: Batch) -> None:
        """Events for this client; none where it has ended, since others are missing then."""
        if self._ended:
            return
        if batch.frames[0].id <= self._after:
            new = tuple(frame for frame in batch.frames if frame.id > self._after)
            if not new:
                return
            batch = Batch(new)
        self._backlog.push(batch)
        self._filled.set()

    async def next(self, size: int) -> tuple[Lost | None, Batch | None]:
        """What to send now, about so many bytes, and what was lost before; waits for it.

        Raises:
            FeedEndedError: Nothing comes any more.
        """
        while not self._backlog:
            if self._ended:
                raise FeedEndedError
            self._filled.clear()
            await self._filled.wait()
        return self._backlog.lost(), self._backlog.take(size)

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._filled.set()


class Hub:
    """The clients of this process, and the feed that they share. Belongs to one event loop.

    Args:
        ledger: The ledger.
        limits: How much may wait for one client.
    """

    def __init__(self, ledger: Database, *, limits: BacklogLimits | None = None) -> None:
        self.position = 0
        """Every event up to this id was given out, or was there before anybody listened."""
        self._ledger = ledger
        self._limits = limits or BacklogLimits()
        self._groups: dict[Wish, set[Client]] = {}
        self._listeners = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader = ThreadPoolExecutor(1, "event feed")
        self._following: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._begun = 0
        self._done = 0
        self._looked = asyncio.Condition()

    async def start(self) -> None:
        """Begin; nothing is read before the first client comes."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """End the feed."""
        self._loop = None
        await self._end_feed()
        self._reader.shutdown()

    def nudge(self) -> None:
        """Something was written: look now. From any thread."""
        loop = self._loop
        if loop is not None and self._listeners:
            with suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(self._wanted.set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While somebody listens, the feed is read."""
        self._listeners += 1
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
            self._following.add_done_callback(self._after_feed)
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                await self._end_feed()

    async def refresh(self) -> None:
        """Wait until `position` covers all that was committed before this call."""
        ticket = self._begun + 1
        self._wanted.set()
        async with self._looked:
            await self._looked.wait_for(lambda: self._done >= ticket)

    def attach(self, wish: Wish, *, after: int = 0) -> Client:
        """A client that gets every event after `position` as it is now, while it is attached; of a
        feed that has ended meanwhile, none.

        Args:
            wish: What it wants.
            after: The last event that it has, where another process was ahead of this one.
        """
        client = Client(wish, after, self._limits)
        self._groups.setdefault(wish, set()).add(client)
        if self._following is None:
            client.end()
        return client

    def detach(self, client: Client) -> None:
        """It gets no more."""
        group = self._groups[client.wish]
        group.discard(client)
        if not group:
            del self._groups[client.wish]

    async def _end_feed(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _after_feed(self, following: asyncio.Task[None]) -> None:
        if following.cancelled():
            return
        log.error("the event stream has ended", exc_info=following.exception())
        if following is not self._following:
            return  # it was to end, and there may be another one
        self._following = None
        for client in [client for group in self._groups.values() for client in group]:
            client.end()

    async def _follow(self) -> None:
        feed: EventFeed | None = None
        away = False
        while True:
            self._wanted.clear()
            self._begun += 1
            number = self._begun
            try:
                if feed is None:
                    feed = await self._read(EventFeed.from_end, self._ledger)
                    self.position = feed.position
                spoken = {wish.protocol for wish in self._groups}
                events = await self._read(self._look, feed, spoken)
            except DATABASE_ERRORS as error:
                if not away:
                    log.warning("the event stream waits for the ledger: %s", reason(error))
                away = True
                await asyncio.sleep(AWAY)
                continue
            away = False
            self._give_out(events)
            if len(events) < PAGE:
                await self._rest(number)

    async def _rest(self, number: int) -> None:
        """Tell who waits that look `number` has seen all there is; wait for the next."""
        async with self._looked:
            self._done = number
            self._looked.notify_all()
        await asyncio.sleep(TICK)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL - TICK):
                await self._wanted.wait()

    def _give_out(self, events: Sequence[Outgoing]) -> None:
        if not events:
            return
        for wish, clients in self._groups.items():
            frames = [each.frame(wish.protocol) for each in events if wish.covers(each.row)]
            if frames:
                batch = Batch(frames)
                for client in clients:
                    client.push(batch)
        self.position = events[-1].row["id"]

    async def _read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, function, *arguments)

    @staticmethod
    def _look(feed: EventFeed, protocols: Collection[int]) -> tuple[Outgoing, ...]:
        """What is new; the frames are made here, beside the event loop."""
        events = tuple(Outgoing(row) for row in feed.read(PAGE))
        for event in events:
            for protocol in protocols:
                event.frame(protocol)
        return events


def open_hub(_settings: Settings, ledger: Database) -> Hub:
    """The hub of this process."""
    return Hub(ledger)
