"""What a server process may do wrong, for tests; light, as each of them imports it."""

from __future__ import annotations

import os
import signal
import socket


def dies(_listening: socket.socket) -> None:
    """It does not get far."""
    os._exit(3)


def stays(listening: socket.socket) -> None:
    """It hears no signal, and says so by a connection to its own door."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.create_connection(listening.getsockname()):
        signal.pause()
