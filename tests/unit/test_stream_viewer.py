"""How one client's way through the stream ends where something fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError
from starlette.types import Message

from vibe_tasks.web.hub import FeedEndedError, Hub, Wish
from vibe_tasks.web.opening import Openings, RemovedError
from vibe_tasks.web.stream import TRY_AGAIN_LATER, Asked, Outlet, Stream, Viewer


class Quiet(Hub):
    """A hub whose feed needs no ledger, and fails as it is told to."""

    def __init__(self, fail: Callable[[], None]) -> None:
        super().__init__(cast("Any", None))
        self._fail = fail

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Nothing is read."""
        yield

    async def refresh(self) -> None:
        """Nothing is new."""
        self._fail()


@pytest.mark.parametrize(
    ("error", "code"),
    [(OperationalError("x", {}, Exception("away")), TRY_AGAIN_LATER),
     (FeedEndedError(), TRY_AGAIN_LATER), (RemovedError(), TRY_AGAIN_LATER),
     (TimeoutError(), TRY_AGAIN_LATER), (ConnectionResetError(), None)],
)  # fmt: skip
def test_a_client_is_told_to_come_again_unless_it_has_gone(
    error: Exception, code: int | None
) -> None:
    """Whatever is away, its events are not: they wait in the ledger."""

    def fail() -> None:
        raise error

    async def send(_message: Message) -> None:
        pytest.fail("there is nothing to say")

    viewer = Viewer(
        Quiet(fail), cast("Openings", None), Outlet(send, ready_frames=True),
        Asked(wish=Wish(protocol=2)),
    )  # fmt: skip
    assert asyncio.run(viewer.serve()) == code


def test_a_connection_that_nobody_looked_at_is_refused() -> None:
    """The guard stands before the stream; without it the stream does not open."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def main() -> None:
        scope = {"type": "websocket", "path": "/stream", "headers": [], "query_string": b"",
                 "extensions": {"websocket.http.response": {}}}  # fmt: skip
        made = Stream.__new__(Stream)  # no ledger is needed to refuse
        await made(scope, receive, send)

    asyncio.run(main())
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 401)
