"""The caches of results, by name: their figures, and emptying them."""

from __future__ import annotations

from typing import Any

from vibe_tasks.cache import CHANGES
from vibe_tasks.errors import InputError
from vibe_tasks.store import cache_figures, result_cache
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Transaction
from vibe_tasks.suggestion import did_you_mean


def names(connection: Transaction) -> list[str]:
    """The cache of agents' changes, and all that were ever used."""
    return sorted({CHANGES, *cache_figures.names(connection)})


def stats(connection: Transaction) -> dict[str, dict[str, Any]]:
    """What is in each cache, and what became of the looks into it."""
    return {
        name: result_cache.counts(connection, cache=name).to_json() for name in names(connection)
    }


def clear(connection: Transaction, name: str | None, *, place: str, by: By | None = None) -> int:
    """Forget all results of a cache, or with None of all; how many.

    Args:
        connection: A writing transaction.
        name: The cache.
        place: Where we look, for who mistyped the name.
        by: Who does it, for the audit trail.

    Raises:
        InputError: There is no such cache.
    """
    known = names(connection)
    if name is not None and name not in known:
        raise InputError(f"no cache {name} in {place}{did_you_mean(name, known)}")
    gone = result_cache.clear(connection, cache=name)
    note(connection, by, "cache.clear", name, {"results": gone})
    return gone
