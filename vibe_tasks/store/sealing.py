"""Sealing what jobs and plans are given and what they return, at rest.

A sealed value is JSON, `{"$sealed": "v1.KEY.DATA"}`: KEY is the fingerprint of the key, DATA in
base64 a nonce and what AES-256-GCM makes of the value's JSON text (NIST SP 800-38D). So both
databases, copies and older readers keep working, and sealed values and plain ones stand side by
side. Writers seal; whatever is read is opened where the driver hands it over, so no reader can
forget it. What cannot be opened stays as it is: nobody's listing fails for one row.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.errors import SettingsError
from vibe_tasks.payload_keys import Keys
from vibe_tasks.store.engine import SEALING, Database
from vibe_tasks.store.operation_tables import ledger_facts
from vibe_tasks.store.statement import encoded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED = "$sealed"
"""The field of a sealed value."""

VERSION = "v1"
NONCE = 12
"""Bytes; drawn by chance, so a key is good for some four billion values (SP 800-38D, 8.3)."""

SEALED_WITH = "sealed_with"
"""The fact of a ledger that names the key that it is sealed with."""

OPEN_FIELDS = ("effort", "priority", "priority_why")
"""Fields of a task's specification that statements look for."""

_BEGINS = b'{"' + SEALED.encode() + b'"'


class Sealing:
    """Seals and opens values.

    Args:
        keys: The keys of this process.
        random_bytes: Draws a nonce (`os.urandom`).

    Raises:
        SettingsError: The library is missing.
    """

    def __init__(self, keys: Keys, *, random_bytes: Callable[[int], bytes]) -> None:
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415  few need it
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                "VIBE_PAYLOAD_KEYS needs the library cryptography: "
                "pip install 'vibe-tasks[encryption]'"
            ) from error
        self.keys = keys
        self._ciphers: Mapping[str, AESGCM] = {
            name: AESGCM(key.secret) for name, key in keys.known.items()
        }
        self._refused = InvalidTag
        self._random = random_bytes

    @property
    def seals(self) -> bool:
        """Whether what is written is sealed; else it is only opened."""
        return self.keys.first is not None

    def seal(self, text: str) -> dict[str, Any]:
        """The sealed value of this JSON text, which as JSON begins with its seal."""
        if self.keys.first is None:
            raise ValueError("there is no key to seal with")
        name, nonce = self.keys.first.name, self._random(NONCE)
        closed = self._ciphers[name].encrypt(nonce, text.encode("utf-8"), name.encode())
        return {SEALED: f"{VERSION}.{name}.{urlsafe_b64encode(nonce + closed).decode()}"}

    def opened_text(self, seal: object) -> str | None:
        """The JSON text in this seal; None for one that these keys do not open."""
        if key_of(seal) not in self._ciphers:
            return None
        _, name, data = str(seal).split(".", 2)
        try:
            raw = urlsafe_b64decode(data)
            return self._ciphers[name].decrypt(raw[:NONCE], raw[NONCE:], name.encode()).decode()
        except (self._refused, ValueError, Base64Error):
            return None

    def opened(self, value: Any) -> Any:
        """The value, opened where it is sealed and that is possible."""
        if not is_sealed(value):
            return value
        text = self.opened_text(value[SEALED])
        return value if text is None else json.loads(text)

    def loads(self, data: str | bytes) -> Any:
        """JSON as PostgreSQL's driver reads it, opened."""
        return self.opened(json.loads(data))

    def text(self, raw: bytes) -> str:
        """A text as SQLite's driver reads it; of a sealed value the JSON text in it."""
        if not raw.startswith(_BEGINS):
            return raw.decode("utf-8")
        try:
            text = self.opened_text(json.loads(raw).get(SEALED))
        except ValueError:  # a text of somebody's that only begins like one
            text = None
        return raw.decode("utf-8") if text is None else text


def is_sealed(value: object) -> bool:
    """Whether this is a sealed value that was not opened."""
    return isinstance(value, dict) and key_of(value.get(SEALED)) is not None


def key_of(seal: object) -> str | None:
    """The fingerprint of the key of a seal; None for what is none."""
    if not isinstance(seal, str) or not seal.startswith(f"{VERSION}."):
        return None
    return seal.split(".", 2)[1] if seal.count(".") == 2 else None


def sealing_of(connection: Connection) -> Sealing | None:
    """What seals and opens values of this ledger; None: nothing does."""
    found: Sealing | None = connection.get_execution_options().get(SEALING)
    return found


def sealed_text(connection: Connection, value: Any) -> str:
    """The JSON text that is written for this value.

    Raises:
        TypeError: It is no JSON value.
    """
    sealing = sealing_of(connection)
    text = encoded(value)
    return text if sealing is None or not sealing.seals else encoded(sealing.seal(text))


def sealed(connection: Connection, value: Any, *, beside: Mapping[str, Any] | None = None) -> Any:
    """The JSON value that is written for this value.

    Args:
        connection: A connection.
        value: The value.
        beside: Fields that stay in the open, for statements that look for them.

    Raises:
        TypeError: It is no JSON value.
    """
    sealing = sealing_of(connection)
    if sealing is None or not sealing.seals:
        return value
    return {**sealing.seal(encoded(value)), **(beside or {})}


def in_the_open(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the seal of a task's specification."""
    return {name: spec[name] for name in OPEN_FIELDS if name in spec}


def opened(connection: Connection, value: Any) -> Any:
    """A JSON value from a column of text, opened; other columns are when they are read."""
    sealing = sealing_of(connection)
    return value if sealing is None else sealing.opened(value)


def problem(connection: Connection) -> str | None:
    """Why this process cannot work with what the ledger has sealed; None: it can."""
    if not inspect(connection).has_table(ledger_facts.name):
        return None
    name = _sealed_with(connection)
    sealing = sealing_of(connection)
    if name is None or (sealing is not None and name in sealing.keys.known):
        return None
    why = "is not set" if sealing is None else "has other keys"
    return f"the ledger is sealed with key {name}, and VIBE_PAYLOAD_KEYS {why}"


def _sealed_with(connection: Connection) -> str | None:
    fact = select(ledger_facts.c.value).where(ledger_facts.c.name == SEALED_WITH)
    found: str | None = connection.execute(fact).scalar()
    return found


def require_keys(database: Database) -> None:
    """Refuse a ledger whose payloads this process cannot open; the first with a key to seal with
    writes into the ledger that it is sealed.

    Raises:
        SettingsError: The key is missing.
    """
    with database.read() as connection:
        found = problem(connection)
        if found is not None:
            raise SettingsError(found)
        sealing = sealing_of(connection)
        if sealing is None or sealing.keys.first is None or _sealed_with(connection):
            return  # a start, and every command is one, need not wait for its turn to write
        kind = sqlite if database.is_sqlite else postgresql
        fact = kind.insert(ledger_facts).values(name=SEALED_WITH, value=sealing.keys.first.name)
        connection.execute(fact.on_conflict_do_nothing())
