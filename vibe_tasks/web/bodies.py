"""Bodies of requests: whole before anybody looks at them, not too large, and not too slow."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vibe_tasks.web.problems import problem


class Bodies:
    """Takes the body of each request in; a middleware.

    Args:
        app: What it stands before.
        limit: Bytes that a body may have.
        patience: Seconds in which it must have arrived.
    """

    def __init__(self, app: ASGIApp, *, limit: int, patience: float) -> None:
        self._app = app
        self._limit = limit
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or 408 instead of the application where it must be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = _length(scope)
        if length == 0:
            await self._app(scope, receive, send)
            return
        body: bytes | None = None
        if length is None or length <= self._limit:
            try:
                async with asyncio.timeout(self._patience):
                    body = await _whole(receive, self._limit)
            except TimeoutError:
                detail = f"the body did not arrive within {self._patience:g} s"
                # Nothing more will be read on this connection, whatever is still to come.
                answer = problem(scope["path"], 408, detail, headers={"Connection": "close"})
                await answer(scope, receive, send)
                return
            except ConnectionError:
                return  # nobody is there to answer
        if body is None:
            # The connection stays open for a while: who is told in the middle of sending, and cut
            # off at once, may lose the answer.
            detail = f"a body may have {self._limit} bytes (VIBE_WEB_MAX_BODY)"
            await problem(scope["path"], 413, detail)(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


def _length(scope: Scope) -> int | None:
    """Bytes of the body; 0 where there is none, None where that is not known before."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
    return length


async def _whole(receive: Receive, limit: int) -> bytes | None:
    """The body; None where it is too large.

    Raises:
        ConnectionError: The other side has gone.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("gone in the middle of the body")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand the body over once, then whatever comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again
