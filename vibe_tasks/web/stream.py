"""`WS /stream`: a client begins with the newest events, or where it left off, and then hears of
each as it happens.

Between what was read of the ledger and what comes live nothing is missed and nothing comes twice:
a client is attached to the hub at a position first, and the ledger is read up to that position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from vibe_tasks.protocol import SUPPORTED, cleaned, dropped, ignored, unsupported
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.web.frame_protocol import EXTENSION
from vibe_tasks.web.frames import Batch, message_frame, text_of
from vibe_tasks.web.hub import Client, FeedEndedError, Hub, Outgoing, Wish
from vibe_tasks.web.opening import Openings, RemovedError
from vibe_tasks.web.problems import problem
from vibe_tasks.web.security import require
from vibe_tasks.web.services import Services

log = logging.getLogger(__name__)

SUBPROTOCOL = "vibe"

PATIENCE = 10.0
"""Seconds that a new client waits for a ledger that does not answer."""

CHUNK = 262_144
"""Bytes that are given to the connection at once."""

PAGE = 500
"""Events that are read of the ledger at once for a client that resumes; with fewer to go it is
attached to the hub."""

MESSAGES, WINDOW = 600, 60.0
"""Messages that a client may send, in so many seconds. It has nothing to say: none is read."""

POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013
"""Why a connection ends: https://www.iana.org/assignments/websocket."""

MOST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client asked for.

    Attributes:
        wish: The events that it gets.
        after: The last event that it has; None: it begins anew.
        unsupported: The version that it asked for and does not get.
        ignored: What it is told of parameters that make no sense.
    """

    wish: Wish
    after: int | None = None
    unsupported: str | None = None
    ignored: tuple[dict[str, Any], ...] = ()


def routes(services: Services) -> list[BaseRoute]:
    """The stream's route, and what whoever asks for it as for a page is told."""
    return [WebSocketRoute("/stream", Stream(services)), Route("/stream", _no_page)]


async def _no_page(_request: Request) -> Response:
    return problem(
        "/stream", 426, "this is a WebSocket: connect to it with ws:// or wss://",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )  # fmt: skip


def asked_for(query: QueryParams) -> Asked:
    """What these parameters ask for; what makes no sense is left out, and version 2 has a word
    for that.

    A client that asks for a version that there is not gets the first, and is told.
    """
    version = query.get("protocol", "1")
    refused = None if version in {str(each) for each in SUPPORTED} else version
    protocol = 1 if refused is not None else int(version)
    level, last = query.get("min_priority", ""), query.get("after", "")
    wish = Wish(
        protocol=protocol,
        sessions=frozenset(cleaned(name) for name in query.getlist("session_id") if name),
        min_priority=int(level) if level in {"0", "1", "2", "3"} else 0,
    )
    # Version 1 has no word for whether a client can go on where it left off.
    if protocol == 1:
        return Asked(wish=wish, unsupported=refused)
    after, wrong = _id(last), []
    if level and level != str(wish.min_priority):
        wrong.append(ignored("min_priority", level, "a number from 0 to 3"))
    if last and after is None:
        wrong.append(ignored("after", last, "the id of an event"))
    return Asked(wish=wish, after=after, ignored=tuple(wrong))


class Stream:
    """The ASGI application behind the route.

    Args:
        services: The parts of this process.
    """

    def __init__(self, services: Services) -> None:
        self._hub = services.hub
        self._openings = Openings(
            services.ledger, services.settings, monotonic=services.monotonic
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until it leaves."""
        websocket = WebSocket(scope, receive, send)
        try:
            require(scope, "read")
        except HTTPException as error:
            refusal = problem("/stream", error.status_code, error.detail, headers=error.headers)
            await websocket.send_denial_response(refusal)
            return
        offered = scope.get("subprotocols", ())
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        outlet = Outlet(send, ready_frames=EXTENSION in scope.get("extensions", {}))
        viewer = Viewer(self._hub, self._openings, outlet, asked_for(websocket.query_params))
        code = await _first_of(viewer.serve(), _hear(receive))
        if code is not None:
            with suppress(OSError, RuntimeError):  # it has gone meanwhile
                await websocket.close(code)


class Outlet:
    """Where one client's messages go.

    Args:
        send: The ASGI connection.
        ready_frames: Whether it takes frames as they are; else each is a message of its own.
    """

    def __init__(self, send: Send, *, ready_frames: bool) -> None:
        self._send = send
        self._ready_frames = ready_frames

    async def batch(self, batch: Batch) -> None:
        """Send these."""
        if self._ready_frames:
            await self._send({"type": EXTENSION, "data": batch.data})
        else:
            for frame in batch.frames:
                await self.frame(frame.data)

    async def frame(self, data: bytes) -> None:
        """Send this."""
        if self._ready_frames:
            await self._send({"type": EXTENSION, "data": data})
        else:
            await self._send({"type": "websocket.send", "text": text_of(data)})


class Viewer:
    """One client's way through the stream.

    Args:
        hub: Gives out what happens.
        openings: What a client begins with.
        outlet: Where messages go.
        asked: What the client wants.
    """

    def __init__(self, hub: Hub, openings: Openings, outlet: Outlet, asked: Asked) -> None:
        self._hub = hub
        self._openings = openings
        self._outlet = outlet
        self._asked = asked
        self._wish = asked.wish

    async def serve(self) -> int | None:
        """Send until the client has gone; the code to close with where it has not."""
        try:
            if self._asked.unsupported is not None:
                await self._outlet.frame(message_frame(unsupported(self._asked.unsupported)))
            for told in self._asked.ignored:
                await self._outlet.frame(message_frame(told))
            async with self._hub.listening():
                async with asyncio.timeout(PATIENCE):
                    await self._hub.refresh()
                if self._asked.after is None:
                    await self._begin(None)
                else:
                    await self._resume(self._asked.after)
        except (TimeoutError, FeedEndedError, RemovedError):
            return TRY_AGAIN_LATER
        except DATABASE_ERRORS as error:
            log.warning("a client of the stream is sent away: %s", reason(error))
            return TRY_AGAIN_LATER
        except OSError:  # it has gone
            pass
        return None

    async def _begin(self, after: int | None) -> None:
        client = self._hub.attach(self._wish)
        until = self._hub.position
        try:
            opening = await run_in_threadpool(
                self._openings.begin, self._wish, until=until, after=after
            )
            for frame in opening.frames:
                await self._outlet.frame(frame)
            await self._live(client)
        finally:
            self._hub.detach(client)

    async def _resume(self, after: int) -> None:
        opening = await run_in_threadpool(
            self._openings.begin, self._wish, until=self._hub.position, after=after
        )
        if not opening.resumed:
            await self._begin(None)
            return
        for frame in opening.frames:
            await self._outlet.frame(frame)
        while self._hub.position - after > PAGE:
            after = await self._page(after, until=self._hub.position)
        client, until = self._hub.attach(self._wish, after=after), self._hub.position
        try:
            while after < until:
                after = await self._page(after, until=until)
            await self._live(client)
        finally:
            self._hub.detach(client)

    async def _page(self, after: int, *, until: int) -> int:
        """Send some of the events from one to the other; the last that the client has now."""
        rows = await run_in_threadpool(
            self._openings.later, self._wish, after=after, until=until, limit=PAGE
        )
        for row in rows:
            await self._outlet.frame(Outgoing(row).frame(self._wish.protocol).data)
        return int(rows[-1]["id"]) if len(rows) == PAGE else until

    async def _live(self, client: Client) -> None:
        while True:
            lost, batch = await client.next(CHUNK)
            if lost is not None and self._wish.protocol > 1:
                told = dropped(regular=lost.regular, priority=lost.priority)
                await self._outlet.frame(message_frame(told))
            if batch is not None:
                await self._outlet.batch(batch)


async def _hear(receive: Receive) -> int | None:
    """Let pass what the client says, until it leaves or says too much: the code to close with."""
    clock = asyncio.get_running_loop().time
    began, heard = clock(), 0
    while (await receive())["type"] != "websocket.disconnect":
        heard += 1
        if clock() - began > WINDOW:
            began, heard = clock(), 1
        if heard > MESSAGES:
            return POLICY_VIOLATION
    return None


async def _first_of(*ways: Coroutine[Any, Any, int | None]) -> int | None:
    """What the first of them to end returns; the others are ended."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _id(text: str) -> int | None:
    """An event's id; None for what is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return min(int(text), MOST_ID)
