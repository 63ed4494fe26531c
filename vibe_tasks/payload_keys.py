"""Keys that payloads are sealed with, as the setting `payload_keys` writes them."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

NONE = "none"
"""In the place of the first key: nothing is sealed any more; the others still open."""

FILE = "file:"
"""Beginning of an entry that names a file with keys."""

BYTES = 32

FORM = (
    f"use {BYTES} bytes in URL-safe base64 (python -c 'import base64, os; "
    f"print(base64.urlsafe_b64encode(os.urandom({BYTES})).decode())'), or {FILE}/PATH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        secret: Its bytes.
        name: A fingerprint, which tells nothing about them.
    """

    secret: bytes = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """All keys of a process.

    Attributes:
        first: What is written is sealed with this one; None: it is not sealed.
        known: With which sealed values can be opened, by their names.
    """

    first: Key | None
    known: dict[str, Key]


def parse_key(text: str) -> Key:
    """A key.

    Raises:
        ValueError: It is none; the message does not repeat it.
    """
    try:
        secret = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, Base64Error) as error:
        raise ValueError(FORM) from error
    if len(secret) != BYTES:
        raise ValueError(FORM)
    return Key(secret=secret, name=sha256(b"vibe_tasks payload key\0" + secret).hexdigest()[:12])


def check_entry(text: str) -> str:
    """An entry of the setting.

    Raises:
        ValueError: It is no key, names no file, and is not `none`.
    """
    if text != NONE and not (text.startswith(FILE) and text != FILE):
        parse_key(text)
    return text


def parse_keys(entries: Sequence[str]) -> Keys:
    """All keys, files read already: the first seals, all open.

    Raises:
        ValueError: One is none, or `none` is not the first.
    """
    if NONE in entries[1:]:
        raise ValueError(f"{NONE} must be the first entry, or not be there")
    found = [parse_key(each) for each in entries if each != NONE]
    first = found[0] if found and entries[0] != NONE else None
    return Keys(first=first, known={each.name: each for each in found})
