"""Kinds of settings: what their texts may be, and what they are made into.

Each check raises ValueError with what to write instead; who reads settings adds the name.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from vibe_tasks.access import is_secret, parse_token
from vibe_tasks.event_priority import parse_priorities
from vibe_tasks.labels import FORM, is_label
from vibe_tasks.payload_keys import check_entry
from vibe_tasks.redaction import checked_patterns
from vibe_tasks.weights import weights_of


def words(value: object) -> object:
    """The parts between commas of a text; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def fleet_texts(value: object) -> object:
    """As `words`; a table of the settings file becomes texts `LANE=REST`."""
    if isinstance(value, Mapping):
        return tuple(f"{lane}={rest}" for lane, rest in value.items())
    return words(value)


def database_url(value: str) -> str:
    """A URL of a ledger, as SQLAlchemy reads it, or an empty text."""
    if not value:
        return value
    scheme = urlsplit(value).scheme
    if scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
        return "postgresql+psycopg" + value[len(scheme) :]
    if scheme == "sqlite":
        if value.startswith("sqlite:///") and value not in {"sqlite:///", "sqlite:///:memory:"}:
            return value
        raise ValueError("a ledger in memory is shared with nobody; use sqlite:///PATH")
    raise ValueError("use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")


def broker_url(value: str) -> str:
    """A URL of a broker that we can use, or an empty text."""
    schemes = {"redis", "rediss", "redis+socket", "sentinel", "memory"}
    if value and urlsplit(value).scheme not in schemes:
        raise ValueError("use redis://HOST:PORT/0, rediss://…, redis+socket://PATH or sentinel://…")
    return value


def web_address(value: str) -> str:
    """An address without a password in it, which everybody may read; or an empty text."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if value and (not sound or "@" in parts.netloc or any(not "!" <= c <= "~" for c in value)):
        raise ValueError("use https://HOST/PATH or http://HOST/PATH")
    return value


def command_line(value: str) -> str:
    """A text that a shell's rules divide into words."""
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(f"not a command line: {error}") from error
    return value


def weights_text(value: str) -> str:
    """Points of the router's score, as `weights.weights_of` reads them."""
    weights_of(value)
    return value


def priorities_text(value: str) -> str:
    """Levels by event type, as `event_priority.parse_priorities` reads them."""
    parse_priorities(value)
    return value


def label(value: str) -> str:
    """One label."""
    if not is_label(value):
        raise ValueError(f"{FORM}, got {value!r}")
    return value


def secret(value: str) -> str:
    """A secret that an HTTP header can carry, or an empty text."""
    if value and not is_secret(value):
        raise ValueError("use visible ASCII characters without spaces")
    return value


def token(value: str) -> str:
    """A token with its role and name, as `access.parse_token` reads it."""
    parse_token(value)
    return value


def origin(value: str) -> str:
    """An origin as browsers write it."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or value != f"{parts.scheme}://{parts.netloc}" or "@" in value:
        raise ValueError(f"use http://HOST:PORT or https://HOST, without a path, got {value!r}")
    return value.lower()


def patterns(value: str) -> str:
    """Regular expressions, as `redaction.checked_patterns` reads them."""
    checked_patterns(value)
    return value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Labels = Annotated[tuple[Annotated[str, AfterValidator(label)], ...], BeforeValidator(words)]
FleetText = Annotated[tuple[str, ...], BeforeValidator(fleet_texts)]
DatabaseUrl = Annotated[str, AfterValidator(database_url)]
BrokerUrl = Annotated[str, AfterValidator(broker_url)]
WebAddress = Annotated[str, AfterValidator(web_address)]
CommandLine = Annotated[str, AfterValidator(command_line)]
WeightsText = Annotated[str, AfterValidator(weights_text)]
PrioritiesText = Annotated[str, AfterValidator(priorities_text)]
PayloadKeys = Annotated[
    tuple[Annotated[str, AfterValidator(check_entry)], ...], BeforeValidator(words)
]
Patterns = Annotated[str, AfterValidator(patterns)]
Secret = Annotated[str, AfterValidator(secret)]
Tokens = Annotated[tuple[Annotated[str, AfterValidator(token)], ...], BeforeValidator(words)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(origin)], ...], BeforeValidator(words)]
