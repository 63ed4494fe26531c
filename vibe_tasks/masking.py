"""Values as anybody may see them: without passwords and secrets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

MASK = "***"
"""Stands where a secret was."""

SECRETS = frozenset({"escalation_secret"})
"""Settings whose value nobody is shown."""

ADDRESSES = frozenset({"escalation_webhook"})
"""Settings whose path is a secret: whoever knows it may post there."""


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
    """The value with the password of a URL replaced."""
    if not isinstance(value, str) or "://" not in value or "@" not in value:
        return value
    parts = urlsplit(value)
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = f"{user.split(':', 1)[0]}:{MASK}"
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))
