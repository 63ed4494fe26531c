"""Messages as WebSocket frames: built once, then sent to as many clients as want them.

A server's frames are not masked, so the same bytes serve all clients (RFC 6455, section 5.1).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from struct import pack
from typing import Any, NamedTuple

FINAL_TEXT = 0x81
"""First byte of a text message in one frame."""

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Frame(NamedTuple):
    """One event's message.

    Attributes:
        id: The event's id.
        priority: Its level; 0 is regular.
        data: The whole frame.
    """

    id: int
    priority: int
    data: bytes


class Batch:
    """Frames in the order of their ids, shared by all clients that get them.

    Args:
        frames: At least one.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.frames = tuple(frames)

    @cached_property
    def data(self) -> bytes:
        """All of them, one after the other, for one write."""
        return b"".join(frame.data for frame in self.frames)

    @cached_property
    def size(self) -> int:
        """Their bytes."""
        return sum(len(frame.data) for frame in self.frames)


def json_bytes(value: Any) -> bytes:
    """The value as JSON in UTF-8; half a character becomes a question mark."""
    return _encoder.encode(value).encode("utf-8", "replace")


def text_frame(text: bytes) -> bytes:
    """A text message of these UTF-8 bytes as one frame."""
    size = len(text)
    if size < 126:
        return pack("!BB", FINAL_TEXT, size) + text
    if size < 65_536:
        return pack("!BBH", FINAL_TEXT, 126, size) + text
    return pack("!BBQ", FINAL_TEXT, 127, size) + text


def message_frame(message: Mapping[str, Any]) -> bytes:
    """A message of the protocol as one frame."""
    return text_frame(json_bytes(message))


def text_of(frame: bytes) -> str:
    """The text that `text_frame` was given."""
    start = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[start:].decode("utf-8")
