"""Taking results out of the cache: on demand, when they are too old, or when there are too many."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from vibe_tasks.cache import CHANGES
from vibe_tasks.store.agent_tables import result_cache
from vibe_tasks.store.cache_figures import add, in_cache
from vibe_tasks.store.engine import now

_R = result_cache.c
_DELETE = delete(result_cache).where(
    _R.cache == bindparam("of_cache"), _R.key == bindparam("of_key")
)

AT_ONCE = 100
"""Entries removed with one new one, so that nobody pays for a long time of neglect."""


def drop(connection: Connection, key: str, *, cache: str = CHANGES) -> bool:
    """Forget a result that turned out to be of no use; whether it was there."""
    dropped = connection.execute(
        delete(result_cache).where(_R.cache == cache, _R.key == key, _R.status == "ready")
    )
    return dropped.rowcount == 1


def drop_tag(connection: Connection, tag: str) -> int:
    """Forget all results that belong to this; how many."""
    return _delete(connection, _R.tag == tag)


def clear(connection: Connection, *, cache: str | None = None) -> int:
    """Empty a cache, or all; how many results went. What is being made is not stored."""
    ready = connection.execute(
        select(func.count()).where(_R.status == "ready", *in_cache(cache))
    ).scalar_one()
    _delete(connection, *in_cache(cache))
    return int(ready)


def tidy(connection: Connection, cache: str, max_entries: int) -> None:
    """Remove what has expired, and what was not used for longest of what is too many."""
    _delete(connection, _R.cache == cache, _R.expires_at < now(), most=AT_ONCE)
    held = connection.execute(
        select(func.count()).where(_R.cache == cache, _R.status == "ready")
    ).scalar_one()
    if held > max_entries:
        most = min(AT_ONCE, held - max_entries)
        gone = _delete(connection, _R.cache == cache, _R.status == "ready", most=most)
        if gone:
            add(connection, cache, "evictions", gone)


def _delete(
    connection: Connection, *conditions: ColumnElement[bool], most: int | None = None
) -> int:
    """Delete what answers the conditions: all of it, or what was not used for longest and nobody
    has locked.
    """
    chosen = select(_R.cache, _R.key).where(*conditions)
    if most is None:
        chosen = chosen.order_by(_R.cache, _R.key).with_for_update()
    else:
        chosen = chosen.order_by(_R.used_at).limit(most).with_for_update(skip_locked=True)
    gone = [{"of_cache": row.cache, "of_key": row.key} for row in connection.execute(chosen)]
    if gone:
        connection.execute(_DELETE, gone)
    return len(gone)
