"""The web server of one process: uvicorn around the application, on a socket that is open."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from vibe_tasks.access import require_token, tokens_of
from vibe_tasks.errors import InputError
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database
from vibe_tasks.web.answers import SAFE_HEADERS
from vibe_tasks.web.app import create_app
from vibe_tasks.web.assembly import assemble
from vibe_tasks.web.connection import patient
from vibe_tasks.web.frame_protocol import MAX_INCOMING, FrameProtocol

STOP_SECONDS = 5
"""Seconds that answers under way get when the server is to end."""

LAST_SECONDS = 5.0
"""Seconds more, after which the process ends whatever it still waits for, such as a database."""

WORKERS = "AnyIO worker thread"
"""Beginning of the names of the threads in which handlers run."""

MOST_CONNECTIONS = 4_000
"""Connections at once of one process; a request over one more is answered with 503."""

BACKLOG = 2_048


class Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it, and ends when it is told to."""

    _last: threading.Timer | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Let it end, within `STOP_SECONDS + LAST_SECONDS`, whoever is still connected."""
        if not self.should_exit:
            self.should_exit = True
            self._last = threading.Timer(STOP_SECONDS + LAST_SECONDS, os._exit, (0,))
            self._last.daemon = True
            self._last.start()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `end` is called."""
        try:
            super().run(sockets)
        finally:
            if self._last is not None and not self._is_stuck():
                self._last.cancel()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """The same, inside an event loop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def _is_stuck(self) -> bool:
        """Whether a thread still waits for something, for which Python would wait at its end."""
        workers = [
            each
            for each in threading.enumerate()
            if each.name.startswith(WORKERS) and getattr(each, "loop", None) is self._loop
        ]
        for each in workers:
            each.join(1.0)
        return any(each.is_alive() for each in workers)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """An open socket.

    Its protocol is named, which `socket.create_server` does not do: asyncio switches Nagle's
    algorithm off for such alone, and with it each answer would wait for 40 ms.

    Raises:
        InputError: The address cannot be had.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}; name another port with "
            "--port or VIBE_WEB_PORT"
        ) from error
    return opened


def open_door(settings: Settings) -> socket.socket:
    """The socket that the settings name.

    Raises:
        SettingsError: It can be reached from other machines, and there is no token.
        InputError: The address cannot be had.
    """
    require_token(settings.web_host, tokens_of(settings.api_token, settings.api_tokens))
    return listen(settings.web_host, settings.web_port)


def url_of(listening: socket.socket) -> str:
    """The address of this server as a person on this machine opens it."""
    host, port = listening.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def server_of(app: Any, *, patience: float = 10.0) -> Server:
    """A server for this application; `run(sockets=[…])` serves until `end` is called.

    Args:
        app: The application.
        patience: Seconds in which the head of a request must have arrived, and then its body.
    """
    config = uvicorn.Config(
        app,
        lifespan="on",
        http=patient(patience),
        ws=FrameProtocol,
        ws_max_size=MAX_INCOMING,
        ws_per_message_deflate=False,
        log_config=None,
        log_level="warning",  # its other lines hold whole addresses
        access_log=False,
        server_header=False,
        headers=list(SAFE_HEADERS),
        limit_concurrency=MOST_CONNECTIONS,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config)


def web_server(settings: Settings, ledger: Database) -> Server:
    """The server of these settings."""
    return server_of(create_app(assemble(settings, ledger)), patience=settings.web_patience)


@contextmanager
def stopped_by_signals(end: Callable[[], None]) -> Iterator[None]:
    """Call this at SIGTERM and Ctrl-C instead of what would happen otherwise."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: end()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
