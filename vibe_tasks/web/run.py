"""Running the web server until somebody ends it: in this process, or in several."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from vibe_tasks.errors import SettingsError
from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import logs
from vibe_tasks.web.place import Place
from vibe_tasks.web.processes import Processes, end_with_parent
from vibe_tasks.web.server import (
    LAST_SECONDS,
    MOST_CONNECTIONS,
    STOP_SECONDS,
    Server,
    open_door,
    stopped_by_signals,
    url_of,
    web_server,
)

OTHER_FILES = 1_000
"""Files that a process has open beside its connections."""

LOOK = 0.25
"""Seconds between two looks at the processes."""

log = logging.getLogger(__name__)


def run_web(
    settings: Settings, ledger: Database, *, processes: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; from the main thread.

    Args:
        settings: With the address to listen on.
        ledger: The ledger, its schema verified.
        processes: How many processes serve; of one this is it.
        ready: Called with the server's address when it can be reached.

    Raises:
        SettingsError: Others could reach it, and there is no token.
        InputError: The address cannot be had.
        UnavailableError: One of several processes keeps dying.
    """
    with open_door(settings) as listening:
        url = url_of(listening)
        server = web_server(settings, ledger) if processes == 1 else None
        with _named(settings, url):
            ready(url)
            if server is None:
                _look_after(listening, processes)
                return
            with stopped_by_signals(server.end):
                _serve(server, listening)


def _look_after(listening: socket.socket, count: int) -> None:
    told = threading.Event()
    several = Processes(serve_here, listening, count=count, clock=resources.monotonic)
    with stopped_by_signals(told.set):
        several.start()
        try:
            while not told.wait(LOOK):
                several.poll()
        finally:
            listening.close()  # who comes now is refused, and does not wait for nobody
            several.stop(grace=STOP_SECONDS + LAST_SECONDS)


def serve_here(listening: socket.socket) -> None:
    """What each of several processes does."""
    logs.set_up()
    server = web_server(resources.settings(), resources.ledger())
    end_with_parent(server.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's: our parent has heard it too
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    _serve(server, listening)


def _serve(server: Server, listening: socket.socket) -> None:
    # Half a million objects are here to stay: a look through them for garbage would hold up every
    # client for a moment, and the interpreter's last one its end by most of a second.
    gc.collect()
    gc.freeze()
    allow_connections()
    server.run([listening])


def allow_connections() -> None:
    """Let this process have as many as it may serve: the usual limit is a quarter of them."""
    wanted = MOST_CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _named(settings: Settings, url: str) -> Iterator[None]:
    """Let commands find the server, where there is a home to find it in."""
    place: Place | None = None
    with suppress(OSError, SettingsError):
        if not settings.database_url or resources.home().is_dir():
            place = Place(resources.make_home())
            if not place.take(url):
                log.warning("another web server of this home runs already; commands use that one")
    try:
        yield
    finally:
        if place is not None:
            place.leave()
