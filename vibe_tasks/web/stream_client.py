"""`EventStream`: events as they happen, for programs in Python and for our own commands.

A task reads the socket while the program works on what it has: priority events wait for it, of
regular ones the newest. After a break it connects again and goes on after the last event, so that
nothing is missed and nothing comes twice, as far as the server's ledger still has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from vibe_tasks.access import is_loopback, is_secret
from vibe_tasks.buckets import BucketLimits, Buckets
from vibe_tasks.errors import AccessError, InputError, UnavailableError
from vibe_tasks.masking import masked
from vibe_tasks.protocol import SUPPORTED
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.tasks import resources
from vibe_tasks.web.stream_reading import MissedError, StreamEvent, StreamReading, StreamStatistics
from vibe_tasks.web.stream_waiting import Waiting

log = logging.getLogger(__name__)

BACK_OFF = RetryPolicy(max_retries=1, base=0.1, cap=15.0)
"""Waits between two connections, from 0.1 seconds up; it never gives up by itself."""

STEADY = 10.0
"""Seconds after which a connection counts as good: the next wait is short again."""

OPENING = 20.0
"""Seconds in which a server must have answered."""

MAX_MESSAGE = 256 * 1024 * 1024
"""Bytes of a message: what the largest body that a server takes may grow to."""

LIMITS = BucketLimits(bytes=16_000_000)

AWAY = (OSError, EOFError, WebSocketException)
"""What a connection that cannot be made, or ends, raises; a timeout is an OSError."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class EventStream:
    """The events of a server: `async with EventStream(url) as stream: async for each in stream`.

    Args:
        url: The server's address, `http://host:port`, https, ws or wss; a path before `/stream`
            is kept.
        token: Of a role that may read; empty: none.
        sessions: Only events of these; empty: of all.
        min_priority: Only events of this level and above, from 0 to 3.
        limits: What `buckets` keep.
        protocol: The version to ask for. A server that knows no other speaks 1.
        follow: False: it ends after the events that the server begins with.
        patience: Seconds without a connection after which it gives up; None: it never does.
        tell: Gets a line when the connection is lost, and when it is there again.
        uniform: Draws the jitter of waits.
        monotonic: Seconds that only ever grow.
        now: Seconds since 1970.

    Raises:
        InputError: The address or the token is none.
        ValueError: Another argument makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        sessions: Sequence[str] = (),
        min_priority: int = 0,
        limits: BucketLimits = LIMITS,
        protocol: int = 2,
        follow: bool = True,
        patience: float | None = None,
        tell: Callable[[str], None] = log.info,
        uniform: Callable[[float, float], float] = resources.uniform,
        monotonic: Callable[[], float] = resources.monotonic,
        now: Callable[[], float] = resources.wall_clock,
    ) -> None:
        if isinstance(sessions, str):
            raise ValueError(f"sessions must be a list of texts, got {sessions!r}")  # noqa: TRY004
        if min_priority not in range(4):
            raise ValueError(f"min_priority must be from 0 to 3, got {min_priority}")
        if protocol not in SUPPORTED:
            raise ValueError(f"protocol must be one of {SUPPORTED}, got {protocol}")
        if token and not is_secret(token):
            raise InputError("the token has characters that no header can carry")
        self._buckets = Buckets(limits)
        self._base = stream_address(url)
        self._shown = masked(url)
        self._token = token
        self._query = [("session_id", each) for each in sessions]
        if min_priority:
            self._query.append(("min_priority", str(min_priority)))
        if protocol > 1:
            self._query.append(("protocol", str(protocol)))
        self._protocol = protocol
        self._follow = follow
        self._patience = patience
        self._tell = tell
        self._uniform, self._monotonic, self._now = uniform, monotonic, now
        self._reading = StreamReading()
        self._waiting = Waiting()
        self._connections = 0
        self._is_connected = False
        self._is_away = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        found = await self.take(1)
        if not found:
            raise StopAsyncIteration
        return found[0]

    async def take(self, most: int) -> list[StreamEvent]:
        """The next events in their order, at least one; none where the stream has ended.

        Raises:
            AccessError: The server wants a token, or another one.
            UnavailableError: There is no stream at this address, or patience is at its end.
        """
        task = self._start()
        found = await self._waiting.take(most)
        if not found:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        return found

    async def close(self) -> None:
        """End the connection; what has come can still be taken."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._waiting.end()

    @property
    def buckets(self) -> Buckets:
        """The newest events, those of priority apart, as the limits say."""
        self._buckets.expire(self._now())
        return self._buckets

    def statistics(self) -> StreamStatistics:
        """How it has gone so far."""
        tally = self._reading.tally
        return StreamStatistics(
            received=tally.received, dropped=tally.dropped, skipped=self._waiting.skipped,
            doubles=tally.doubles, ignored=tally.ignored,
            reconnects=max(0, self._connections - 1), gaps=tally.gaps,
            protocol=self._reading.protocol, connected=self._is_connected,
            last_id=self._reading.last,
        )  # fmt: skip

    def _start(self) -> asyncio.Task[None]:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return self._task

    async def _run(self) -> None:
        failures, since = 0, self._monotonic()
        try:
            while True:
                began = self._monotonic()
                try:
                    if await self._connect():
                        return
                except MissedError:
                    why = ""
                except AWAY as error:
                    why = self._reason(error)
                if self._reading.begun:
                    since = self._monotonic()
                failures = 1 if self._monotonic() - began >= STEADY else failures + 1
                if why:
                    self._note_away(why, self._monotonic() - since)
                await asyncio.sleep(BACK_OFF.wait_after(failures, uniform=self._uniform))
        finally:
            self._waiting.end()

    async def _connect(self) -> bool:
        """One connection to its end; whether that is the end of all."""
        self._reading.connected()
        async with connect(
            self._address(), open_timeout=OPENING, close_timeout=1, max_size=MAX_MESSAGE,
            compression=None, ping_timeout=60, proxy=None if self._is_near() else True,
            additional_headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
        ) as connection:  # fmt: skip
            self._connections += 1
            self._is_connected = True
            try:
                return await self._listen(connection)
            finally:
                self._is_connected = False

    async def _listen(self, connection: ClientConnection) -> bool:
        while True:
            data = await connection.recv(decode=False)
            events = self._reading.read(data, now=self._now())
            if self._reading.begun:
                self._note_back()
            for each in events:
                self._buckets.add(each.event, size=each.size)
                await self._waiting.put(each)
            if self._reading.begun and not self._follow:
                return True

    def _address(self) -> str:
        query = list(self._query)
        if self._protocol > 1 and self._reading.last is not None:
            query.append(("after", str(self._reading.last)))
        return f"{self._base}?{urlencode(query)}" if query else self._base

    def _is_near(self) -> bool:
        """Whether no proxy can be on the way."""
        return is_loopback(urlsplit(self._base).hostname or "")

    def _reason(self, error: BaseException) -> str:
        """Why there is no connection, where another may be made.

        Raises:
            AccessError: The server does not let us in.
            UnavailableError: There is no stream at this address, and never was.
        """
        if not isinstance(error, InvalidStatus):
            return str(error) or type(error).__name__
        code = error.response.status_code
        if code in {401, 403}:
            what = "does not accept this token" if self._token else "wants a token"
            hint = "" if code == 403 else "; set VIBE_API_TOKEN to one of the server's"
            raise AccessError(f"{self._shown} {what} (HTTP {code}){hint}") from error
        if code < 500 and code not in {408, 425, 429} and not self._connections:
            raise UnavailableError(f"{self._shown} has no event stream (HTTP {code})") from error
        return f"HTTP {code}"

    def _note_away(self, why: str, seconds: float) -> None:
        if self._patience is not None and seconds >= self._patience:
            raise UnavailableError(f"{self._shown} does not answer: {why}")
        if not self._is_away:
            verb = "lost" if self._connections else "cannot reach"
            self._tell(f"{verb} {self._shown} ({why}); trying again")
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            gap = "; events may have been missed" if self._reading.missed else ""
            self._tell(f"connected to {self._shown}{gap}")
        self._is_away = False


def stream_address(url: str) -> str:
    """The WebSocket address of a server's stream.

    Raises:
        InputError: This is no address of a server.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and parts.port != 0
        usable = bool((parts.hostname or "").encode("idna")) and usable
    except ValueError:
        usable = False
    if not usable:
        raise InputError(
            f"{masked(url)!r} is no address of a server, such as http://127.0.0.1:4000"
        )
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/stream"
