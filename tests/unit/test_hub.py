"""Clients of a feed that has ended: they come again rather than miss events without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from vibe_tasks.store.engine import Database
from vibe_tasks.web.backlog import BacklogLimits
from vibe_tasks.web.frames import Batch, Frame, text_frame
from vibe_tasks.web.hub import Client, FeedEndedError, Hub, Wish

WISH = Wish(protocol=2)


def batch(*ids: int) -> Batch:
    """Events of these ids."""
    return Batch(Frame(each, 0, text_frame(b"x")) for each in ids)


def at_once(way: Coroutine[Any, Any, Any]) -> Any:
    """What it comes to, which must not take waiting."""

    async def main() -> Any:
        async with asyncio.timeout(60):
            return await way

    return asyncio.run(main())


def test_a_client_that_has_ended_gets_what_waits_and_nothing_later() -> None:
    """The next feed begins at its own place: between the two events would be missing."""

    async def main() -> None:
        client = Client(WISH, 1, BacklogLimits())
        client.push(batch(1, 2))
        client.end()
        client.push(batch(9))
        _, first = await client.next(1000)
        assert first is not None
        assert [frame.id for frame in first.frames] == [2]
        with pytest.raises(FeedEndedError):
            await client.next(1000)

    at_once(main())


def test_who_comes_to_a_feed_that_has_ended_is_told() -> None:
    """A client that resumes reads the ledger first; nobody would tell it any more."""

    async def main() -> None:
        client = Hub(cast("Database", None)).attach(WISH)
        with pytest.raises(FeedEndedError):
            await client.next(1000)

    at_once(main())


def test_the_end_of_an_old_feed_leaves_its_successor_alone() -> None:
    """A second one beside it would give everything out twice."""

    async def main() -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        hub = Hub(cast("Database", None))
        old = asyncio.create_task(fail())
        await asyncio.wait([old])
        new = hub._following = asyncio.create_task(asyncio.Event().wait())  # type: ignore[assignment]
        client = hub.attach(WISH)
        hub._after_feed(old)
        assert hub._following is new
        client.push(batch(1))
        assert await client.next(1000) != (None, None)
        await hub.stop()

    at_once(main())
