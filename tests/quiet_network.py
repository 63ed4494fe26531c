"""Who changes the machine's network interfaces waits for browsers, and they for it.

Chromium breaks off what it is loading whenever an interface comes or goes (ERR_NETWORK_CHANGED),
loopback or not. Other tests run beside it, in processes of their own.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_DOOR, _ROOM = (
    Path(tempfile.gettempdir(), f"vibe-tests-network-{os.getuid()}-{name}.lock")
    for name in ("door", "room")
)
"""Whoever waits for the room holds the door: nobody is passed by for ever."""


_held = 0
"""Times that this process has the room for its browsers: a second window waits for nobody, as who
waits for the first would wait for ever.
"""


@contextmanager
def unchanged_network() -> Iterator[None]:
    """Meanwhile no test changes an interface."""
    global _held  # noqa: PLW0603  the lock is the process's
    with ExitStack() as stack:
        if _held == 0:
            stack.enter_context(_locked(fcntl.LOCK_SH))
        _held += 1
        try:
            yield
        finally:
            _held -= 1


@contextmanager
def changed_network() -> Iterator[None]:
    """Meanwhile no test has a browser that loads something."""
    with _locked(fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(way: int) -> Iterator[None]:
    with _ROOM.open("a") as room:
        with _DOOR.open("a") as door:
            fcntl.flock(door, way)
            fcntl.flock(room, way)
        yield
