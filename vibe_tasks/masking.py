"""Values as anybody may see them: without passwords and secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK = "***"
"""Stands where a secret was."""

SECRETS = frozenset(
    {"api_token", "api_tokens", "escalation_secret", "fleet_secret", "payload_keys"}
)
"""Settings whose value nobody is shown."""

ADDRESSES = frozenset({"escalation_webhook", "fleet_webhook"})
"""Settings whose path is a secret: whoever knows it may post there."""

_WEB = frozenset({"http", "https"})

DRIVER = "+psycopg"
"""What our URLs of PostgreSQL have and nobody has to write: people are not shown it."""

SHORTEST = 4
"""Characters of a secret that is looked for in texts; a shorter one is in every second word."""

_NO_PASSWORDS = frozenset({"", "x-oauth-basic"})
"""Passwords that say that the user is a token."""

_NO_KEY = re.compile(r"none\Z|file:")
"""What `payload_keys` may say that is no key."""

_PASSWORD = re.compile(r"^([^:/?#@]*:)[^@]*@")
"""The user and password of other addresses. SQLAlchemy's may have any character but an @."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")

_SECRET = re.compile(r"pass|pwd|secret|token|key|auth|credential", re.IGNORECASE)
"""Names of parameters whose value is one; of an address of a database the others are shown."""


def shown(name: str, value: Any) -> Any:
    """A setting's value without what only its owner may know."""
    if name not in SECRETS | ADDRESSES or not value:
        return masked(value)
    if name in SECRETS or not isinstance(value, str) or "://" not in value:
        return MASK
    scheme, _, rest = value.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}/{MASK}"


def masked(value: Any) -> Any:
    """The value with the secrets of a URL replaced: its password, and in its query what is named
    like one; and as people write it, without the name of a driver. In a web address a user alone is
    a token, as hosting sites give them out, and the whole query may be one.
    """
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    web = scheme.lower() in _WEB
    if not web:
        rest = _PASSWORD.sub(rf"\1{MASK}@", rest)
    rest, hash_, fragment = rest.partition("#")
    rest, mark, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    if "@" in host:
        user, _, host = host.rpartition("@")
        host = f"{_web_user(user) if web else user}@{host}"
    if query:
        query = "&".join(_parameter(each, web=web) for each in query.split("&"))
    if web and fragment:
        fragment = MASK
    return f"{scheme.removesuffix(DRIVER)}://{host}{slash}{path}{mark}{query}{hash_}{fragment}"


def masked_text(text: str) -> str:
    """The text with the secrets of all URLs in it replaced."""
    return _URL.sub(lambda found: str(masked(found[0])), text)


def without(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets replaced, and what holds another one first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def secrets_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The secrets in these settings, each as it may turn up in a text, the longest first.

    Args:
        settings: Values by name.
    """
    found: set[str] = set()
    for name, value in settings.items():
        texts = [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
        for text in filter(None, texts):
            if name in SECRETS and not (name == "payload_keys" and _NO_KEY.match(text)):
                # A token may come with its role and name.
                found |= {text, text.split(":", 2)[-1]}
            elif name in ADDRESSES:
                found.add(text)
            found |= _password_of(text)
    return tuple(sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True))


def _password_of(url: str) -> set[str]:
    """The password in a URL, as it stands there and as it is; none that the rest of it tells too,
    such as `postgres`, which is in many a text.
    """
    scheme, separator, rest = url.partition("://")
    found = re.match(r"([^:/?#@]*):([^@]*)@", rest) if separator else None
    if found is None or found[2] in scheme + found[1] + rest[found.end() :]:
        return set()
    return {found[2], unquote(found[2])}


def _web_user(user: str) -> str:
    name, _, password = user.partition(":")
    return MASK if password in _NO_PASSWORDS else f"{name}:{MASK}"


def _parameter(text: str, *, web: bool) -> str:
    name, equals, _ = text.partition("=")
    if not equals:
        return MASK if web else text
    return f"{name}={MASK}" if web or _SECRET.search(name) else text
