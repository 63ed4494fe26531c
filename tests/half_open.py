"""A TCP door to a unix socket whose open connections can be made to swallow all they get."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Door:
    """Lets connections through to a server; those that are swallowed stay open and are silent.

    Attributes:
        port: Its port.
        opened: Connections so far.
    """

    def __init__(self, server: Path, address: str = "127.0.0.1") -> None:
        self._server = str(server)
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        self.opened = 0
        self._swallowed = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """Nothing of what is open now gets through any more, in neither direction."""
        self._swallowed.set()
        self._swallowed = threading.Event()

    def close(self) -> None:
        """Close all."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                inside, _ = self._listener.accept()
                outside = socket.socket(socket.AF_UNIX)
                outside.connect(self._server)
                self._sockets += [inside, outside]
                self.opened += 1
                for pair in ((inside, outside), (outside, inside)):
                    threading.Thread(
                        target=_pump, args=(*pair, self._swallowed), daemon=True
                    ).start()


def _pump(source: socket.socket, target: socket.socket, swallowed: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            if not swallowed.is_set():
                target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def door_to(server: Path, address: str = "127.0.0.1") -> Iterator[Door]:
    """A door at this address, closed at the end."""
    door = Door(server, address)
    try:
        yield door
    finally:
        door.close()
