"""Who may do what over HTTP: roles, and the tokens that carry them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address

from vibe_tasks.errors import SettingsError

FORM = "use ROLE:NAME:SECRET with a role of read, operate or admin"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

_SECRET = re.compile(r"[!-~]+")
"""What an HTTP header can carry: visible ASCII."""


class Role(IntEnum):
    """What somebody may do; each role may do what those before it may."""

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """Its name as settings and messages write it."""
        return self.name.lower()


ROLES = {role.word: role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks.

    Attributes:
        name: Of the token, or `local` for somebody on this machine where there are no tokens.
        role: What they may do.
    """

    name: str
    role: Role


LOCAL = Identity(name="local", role=Role.ADMIN)
"""Everybody on this machine, as long as nothing else can reach us and no token is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret, and whose it is. Only its digest is kept, so that nothing can print it."""

    identity: Identity
    digest: bytes = field(repr=False)


def digest_of(secret: str) -> bytes:
    """What is kept and compared of a secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()


def is_secret(text: str) -> bool:
    """Whether a header can carry this text as a token."""
    return _SECRET.fullmatch(text) is not None


def parse_token(text: str) -> Token:
    """A token as the setting `api_tokens` writes one, `ROLE:NAME:SECRET`.

    Raises:
        ValueError: It is none; the message does not repeat it.
    """
    role, _, rest = text.partition(":")
    name, colon, secret = rest.partition(":")
    if role not in ROLES or not colon or not _NAME.fullmatch(name) or not is_secret(secret):
        raise ValueError(FORM)
    return Token(identity=Identity(name=name, role=ROLES[role]), digest=digest_of(secret))


def tokens_of(admin: str, others: Sequence[str]) -> tuple[Token, ...]:
    """The tokens of the settings `api_token` and `api_tokens`.

    Raises:
        ValueError: One is not written as it should be.
    """
    found = [parse_token(text) for text in others]
    if admin:
        identity = Identity(name="admin", role=Role.ADMIN)
        found.append(Token(identity=identity, digest=digest_of(admin)))
    return tuple(found)


def identity_of(tokens: Sequence[Token], secret: str) -> Identity | None:
    """Whose secret this is; None for nobody's.

    All are compared, and each in a time that does not tell how much of it was right.
    """
    given, found = digest_of(secret), None
    for token in tokens:
        if compare_digest(token.digest, given):
            found = token.identity
    return found


def is_loopback(host: str) -> bool:
    """Whether this name or number of a host means this machine and nothing else."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def require_token(host: str, tokens: Sequence[Token]) -> None:
    """Refuse to listen where others can reach us, as long as nobody has to show a token.

    Raises:
        SettingsError: There is none.
    """
    if not tokens and not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached from other machines: set VIBE_API_TOKEN (or VIBE_API_TOKENS), "
            "or listen on 127.0.0.1"
        )
