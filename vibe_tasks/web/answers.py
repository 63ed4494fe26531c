"""What every answer has: safe headers, and a line in the log.

The line says who did what, never a token: no header is in it, and of the address the path alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vibe_tasks.web.origins import SAFE
from vibe_tasks.web.security import identity

_CONTENT = (
    "default-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

SAFE_HEADERS = (
    ("Content-Security-Policy", _CONTENT),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
"""The server sends them with all it says, refusals and errors of its own too. A page of ours runs
our files and nothing else, and nobody can put it into a frame."""

LONGEST = 200
"""Characters of a path, or of an address that a proxy gave, in the log."""

INTAKE = frozenset({"/events", "/api/v1/events"})
"""Thousands of events a second are no news."""

log = logging.getLogger("vibe_tasks.web.access")


class Answers:
    """Completes and logs each answer; a middleware.

    Args:
        app: What it stands before.
        monotonic: Seconds on a clock that never goes back.
    """

    def __init__(self, app: ASGIApp, *, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and look at what comes back."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        begun = self._monotonic()
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
                _complete(message)
            elif kind == "websocket.accept":
                status = 101
            elif kind in {"websocket.http.response.start", "websocket.close"} and status == 500:
                status = message.get("status", 403)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            _tell(scope, status, self._monotonic() - begun)


def _complete(message: Message) -> None:
    """What a browser may keep: nothing, or, of what it can ask about again, that alone."""
    names = {name.lower() for name, _ in message.get("headers", ())}
    if b"cache-control" not in names:
        value = b"private, no-cache" if b"etag" in names else b"no-store"
        message["headers"] = [*message.get("headers", ()), (b"cache-control", value)]


def _tell(scope: Scope, status: int, seconds: float) -> None:
    method = scope.get("method", "WEBSOCKET")
    level = _level(method, scope["path"], status)
    if not log.isEnabledFor(level):
        return
    who = identity(scope)
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    log.log(
        level, "%s %s %d in %.0f ms, %s at %s", method,
        _shown(raw.decode("latin-1")), status, seconds * 1000,
        who.name if who else "nobody", _shown((scope.get("client") or ("",))[0]),
    )  # fmt: skip


def _shown(text: str) -> str:
    """A stranger's text in one line of the log."""
    return ascii(text)[1:-1][:LONGEST]


def _level(method: str, path: str, status: int) -> int:
    if status >= 500:
        return logging.WARNING
    quiet = method in SAFE or path in INTAKE
    return logging.DEBUG if quiet and status not in {401, 403, 429} else logging.INFO
