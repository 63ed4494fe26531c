"""The event stream for programs without an event loop of their own, such as our commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from vibe_tasks.web.stream_client import EventStream
from vibe_tasks.web.stream_reading import StreamEvent

MOST = 500
"""Events that are handed over at once."""


def follow(stream: EventStream, take: Callable[[Sequence[StreamEvent]], bool]) -> None:
    """Hand over the events as they come, until the stream ends. Ctrl-C ends it too.

    Args:
        stream: A new stream.
        take: Gets those that have come, in a thread beside: while it takes its time, the stream
            is read on. Says whether to go on.

    Raises:
        AccessError: The server wants a token, or another one.
        UnavailableError: The server does not answer.
    """
    asyncio.run(_follow(stream, take))


async def _follow(stream: EventStream, take: Callable[[Sequence[StreamEvent]], bool]) -> None:
    async with stream:
        while events := await stream.take(MOST):
            if not await asyncio.to_thread(take, events):
                return
