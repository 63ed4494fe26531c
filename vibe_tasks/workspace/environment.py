"""The environment that agents and checks run in: named variables, and no others."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

ALLOWED = frozenset(
    {
        "COLORTERM", "HOME", "LANG", "LANGUAGE", "LOGNAME", "NO_COLOR", "PATH", "SHELL", "TERM",
        "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
        # How this machine reaches others, which no program can find out by itself.
        "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
        "all_proxy", "https_proxy", "http_proxy", "no_proxy",
        "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }
)  # fmt: skip
"""What every agent and check is given where it is set, beside all `LC_*`."""

SHORTEST_SECRET = 6
"""Characters; a shorter value is told: it would stand for itself everywhere in a text."""

_OURS = ("VIBE_", "CELERY_", "_MP_FORK_")


def handed_on(base: Mapping[str, str], names: Collection[str]) -> tuple[str, ...]:
    """Values of variables that are handed on by name: any of them may be a secret.

    Args:
        base: Where they are looked up, as a rule os.environ.
        names: The variables; those that everybody is given hold no secret.
    """
    values = (base.get(name, "").strip() for name in sorted(set(names) - ALLOWED))
    return tuple(value for value in values if len(value) >= SHORTEST_SECRET)


def child_environment(
    base: Mapping[str, str], *, extra: Mapping[str, str], allowed: Collection[str] = ()
) -> dict[str, str]:
    """The environment for a child program: what is known to be harmless, and what is named.

    Our own settings, secrets among them, are not handed on whatever is named. `python` is the
    interpreter that we run on.

    Args:
        base: Where to take variables from, as a rule os.environ.
        extra: Variables that are set in any case.
        allowed: Names of further variables to hand on.
    """
    named = ALLOWED | set(allowed)
    kept = {
        name: value
        for name, value in base.items()
        if (name in named or name.startswith("LC_")) and not name.startswith(_OURS)
    }
    path = kept.get("PATH", os.defpath)
    if sys.executable:
        path = os.pathsep.join((str(Path(sys.executable).parent), path))
    return kept | {"PATH": path} | dict(extra)
