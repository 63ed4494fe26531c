"""Where Flower listens beside the embedded stack."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from vibe_tasks.errors import InputError

HOST = "127.0.0.1"
"""This machine alone: whoever reaches Flower can cancel jobs and stop workers."""

VARIABLE = "FLOWER_PORT"
"""Flower's own; it takes all its options from variables of this kind."""

USUAL = "5555"


def flower_port(environ: Mapping[str, str]) -> int:
    """The port that `FLOWER_PORT` names, or Flower's usual one.

    Raises:
        InputError: It is no port.
    """
    text = environ.get(VARIABLE) or USUAL
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) < 2**16):
        raise InputError(f"{VARIABLE} must be a port from 1 to 65535, got {text!r}")
    return int(text)


def require_free(port: int) -> None:
    """Look whether somebody listens there already; Flower would say so in its log alone.

    Raises:
        InputError: The port cannot be had.
    """
    with socket.socket() as probe:
        # As Flower does: a port that was in use a moment ago is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"Flower cannot listen on {HOST}:{port}: {error.strerror}; "
                f"name another port with {VARIABLE}=PORT"
            ) from error
