"""The result cache: what decides a result, as one key.

Two pieces of work with the same key have the same result, as far as anybody can tell: so all that
decides it is in the key, and nothing that does not. What that is for agents, `flow.recall` says.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

CHANGES = "changes"
"""The cache of what agents have changed."""

RESULTS = "results"
"""The cache of users' own code that names none."""

UNDECIDING = frozenset(
    {"timeout", "idle_timeout", "budget", "price", "cache", "limits", "sandbox", "env"}
)
"""What an agent's description says about how it is run and paid, not about what it answers."""


def content_key(content: Any) -> str:
    """SHA-256 of a JSON value, in hexadecimal: equal values have equal keys, in whatever order the
    keys of their mappings are.

    Raises:
        TypeError: It is no JSON value.
    """
    return sha256(canonical(content)).hexdigest()


def size_of(value: Any) -> int:
    """Bytes of a JSON value as it is stored.

    Raises:
        TypeError: It is no JSON value.
    """
    return len(canonical(value))


def canonical(value: Any) -> bytes:
    """The value as JSON in the one way in which equal values are written equally.

    Raises:
        TypeError: It is no JSON value.
    """
    try:
        text = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except (ValueError, RecursionError) as error:  # NaN, a lone surrogate, one that holds itself
        raise TypeError(f"no JSON value: {error}") from error


def hit_rate(*, hits: int, misses: int) -> float:
    """Looks that found something as a percentage, from 0 to 100; 0 where nobody looked."""
    return round(100 * hits / (hits + misses), 2) if hits + misses else 0.0
