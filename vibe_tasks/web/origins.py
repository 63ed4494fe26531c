"""Which pages of a browser may use us: decisions about the headers Host and Origin.

Any page that a person looks at can make their browser send requests to any address, ours too. The
browser says in `Origin` which page it was. A name that its owner lets point to our address (DNS
rebinding) makes such a page look like ours: it gives itself away in `Host`.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from vibe_tasks.access import is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, whoever sends them (RFC 9110, section 9.2.1)."""

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def names_this_machine(host: str) -> bool:
    """Whether the header Host names this machine, by a name that nobody else can own."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def may_come_from(origin: str | None, host: str, others: Collection[str]) -> bool:
    """Whether a page of this origin may change something, or listen.

    Args:
        origin: The header; None where there is none: that is no browser's page.
        host: The header Host.
        others: Origins that may, beside our own.
    """
    return origin is None or origin.lower() in others or _is_own(origin, host)


def _is_own(origin: str, host: str) -> bool:
    """The scheme is not compared: who ends TLS before us speaks HTTP to us."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        usual = _PORTS.get(page.scheme)
        return (
            page.scheme in _PORTS
            and bool(page.hostname)
            and page.hostname == asked.hostname
            and (page.port or usual) == (asked.port or usual)
        )
    except ValueError:
        return False
