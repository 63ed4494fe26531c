"""Whether an embedded stack runs in this home, as seen from its broker's socket.

Asked without a client: commands that only look shall not wait for one to be imported.
"""

from __future__ import annotations

import socket
from pathlib import Path

from vibe_tasks.tasks import resources

ANSWER_LIMIT = 0.5
"""Seconds for the answer to one PING."""


def broker_answers(path: Path) -> bool:
    """Whether a broker on this socket answers a PING within half a second."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_LIMIT)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def stack_answers() -> bool:
    """Whether an embedded stack runs in this home."""
    return broker_answers(resources.broker_socket())
