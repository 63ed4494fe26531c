"""The result cache that all processes share: one makes a result, the others wait for it.

Who asks for a key gets the result, or is to make it, or waits while another makes it. Take no more
than one key in a transaction, after plans, jobs and breakers: then nobody waits crosswise. An
eviction passes over what others have locked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks import cache as keys
from vibe_tasks.cache import CHANGES
from vibe_tasks.store.agent_tables import result_cache
from vibe_tasks.store.cache_figures import Counts, add, counts
from vibe_tasks.store.cache_removal import clear, drop, drop_tag, tidy
from vibe_tasks.store.engine import now
from vibe_tasks.store.sealing import sealed

__all__ = [
    "Busy", "Counts", "Hit", "Mine", "Taken", "clear", "counts", "drop", "drop_tag", "give_up",
    "look", "put", "take",
]  # fmt: skip

_R = result_cache.c

LOOK_AGAIN = 5.0
"""Seconds after which it is worth asking again for what another is making: it may be done long
before its lease ends, or have failed."""

KEPT = 3_600.0
"""Seconds for which the place of one whose lease has run out is kept unless another takes it: it
may come to an end after all."""


@dataclass(frozen=True, slots=True)
class Hit:
    """It is there.

    Attributes:
        value: What was stored.
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Mine:
    """Whoever asked makes it, and ends with `put` or `give_up`."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another makes it.

    Attributes:
        seconds: After which it is worth asking again.
    """

    seconds: float


Taken: TypeAlias = Hit | Mine | Busy


def take(  # noqa: PLR0917  the order is fixed, names may be used
    connection: Connection,
    key: str,
    holder: str,
    lease: float,
    tag: str | None,
    ttl: float,
    *,
    cache: str = CHANGES,
) -> Taken:
    """Ask for a result.

    One who is making it already goes on doing so with a new lease: a job that lost its worker and
    comes back waits for nobody, and a long piece of work can ask again to keep its lease.

    Args:
        connection: A writing transaction.
        key: What decides the result.
        holder: Who asks, such as a job's id.
        lease: Seconds for which the others wait for it to be made. Above zero.
        tag: What it will belong to, for `drop_tag`.
        ttl: Seconds for which a result is good, here that of an older result too: one that was
            made longer ago is made again. Above zero.
        cache: Which cache.

    Raises:
        ValueError: A number of seconds is none.
    """
    _check(lease=lease, ttl=ttl)
    if _start(connection, cache, key, _making(holder, lease, tag)):
        add(connection, cache, "misses")
        return Mine()
    row = _find(connection, cache, key, ttl)
    if row is None:  # it was dropped in between
        return take(connection, key, holder, lease, tag, ttl, cache=cache)
    if row.status == "ready" and row.good:
        return _hit(connection, cache, key, row.value)
    own = row.status == "making" and row.holder == holder
    if row.status == "making" and not own and row.left > 0:
        add(connection, cache, "waits")
        return Busy(min(row.left, LOOK_AGAIN))
    connection.execute(
        update(result_cache)
        .where(_R.cache == cache, _R.key == key)
        .values(_making(holder, lease, tag))
    )
    if not own:
        add(connection, cache, "misses")
    return Mine()


def look(connection: Connection, key: str, ttl: float, *, cache: str = CHANGES) -> Hit | None:
    """A result that is there, without a promise to make it where it is not.

    Args:
        connection: A writing transaction.
        key: What decides the result.
        ttl: Seconds for which a result is good, as in `take`.
        cache: Which cache.

    Raises:
        ValueError: `ttl` is no number of seconds.
    """
    _check(ttl=ttl)
    row = _find(connection, cache, key, ttl)
    if row is not None and row.status == "ready" and row.good:
        return _hit(connection, cache, key, row.value)
    add(connection, cache, "misses")
    return None


def renew(connection: Connection, key: str, holder: str, lease: float) -> bool:
    """Go on making a result with a new lease; whether it is still this holder's to make.

    Args:
        connection: A writing transaction.
        key: What decides the result.
        holder: Who makes it, as in `take`.
        lease: Seconds for which the others wait. Above zero.
    """
    _check(lease=lease)
    until = now() + lease
    return _change_own(connection, CHANGES, key, holder, {"held_until": until, "expires_at": until})


def put(  # noqa: PLR0917  the order is fixed, names may be used
    connection: Connection,
    key: str,
    holder: str | None,
    value: Any,
    size: int,
    ttl: float,
    max_entries: int,
    *,
    cache: str = CHANGES,
) -> bool:
    """Store a result; whether it was stored.

    It is not where another has taken over after the lease's end, or where the cache was emptied
    meanwhile. Where this makes too many, those that were not used for longest go.

    Args:
        connection: A writing transaction.
        key: What decides the result.
        holder: Who made it, as in `take`; None stores it whoever makes it.
        value: A JSON value.
        size: Its bytes.
        ttl: Seconds for which it is good. Above zero.
        max_entries: Results that the cache holds at most. At least 1.
        cache: Which cache.

    Raises:
        TypeError: The value is no JSON value.
        ValueError: `ttl` or `max_entries` is out of its bounds.
    """
    _check(ttl=ttl)
    if max_entries < 1:
        raise ValueError(f"max_entries must be 1 or more, got {max_entries}")
    keys.canonical(value)  # the database's driver would not say what is wrong
    ready = {
        "status": "ready", "value": sealed(connection, value), "size": size, "holder": None,
        "held_until": None, "created_at": now(), "expires_at": now() + ttl, "used_at": now(),
        "hits": 0,
    }  # fmt: skip
    if holder is None:
        kind = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(
            kind.insert(result_cache)
            .values(ready | {"cache": cache, "key": key})
            .on_conflict_do_update(index_elements=[_R.cache, _R.key], set_=ready)
        )
    elif not _change_own(connection, cache, key, holder, ready):
        return False
    tidy(connection, cache, max_entries)
    return True


def give_up(connection: Connection, key: str, holder: str, *, cache: str = CHANGES) -> bool:
    """Who was to make it has failed: let another try; whether it was still the one to make it."""
    given_up = connection.execute(
        delete(result_cache).where(
            _R.cache == cache, _R.key == key, _R.status == "making", _R.holder == holder
        )
    )
    return given_up.rowcount == 1


def _check(**seconds: float) -> None:
    for name, value in seconds.items():
        if not (value > 0 and isfinite(value)):
            raise ValueError(f"{name} must be above zero, got {value}")


def _making(holder: str, lease: float, tag: str | None) -> dict[str, Any]:
    return {
        "status": "making", "value": None, "size": 0, "holder": holder,
        "held_until": now() + lease, "tag": tag, "created_at": now(),
        "expires_at": now() + lease + KEPT, "used_at": now(), "hits": 0,
    }  # fmt: skip


def _start(connection: Connection, cache: str, key: str, making: dict[str, Any]) -> bool:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    started = connection.execute(
        kind.insert(result_cache)
        .values(making | {"cache": cache, "key": key})
        .on_conflict_do_nothing()
        .returning(_R.key)
    )
    return started.first() is not None


def _find(connection: Connection, cache: str, key: str, ttl: float) -> Row[Any] | None:
    """The entry, locked."""
    return connection.execute(
        select(
            _R.status, _R.value, _R.holder, (_R.held_until - now()).label("left"),
            and_(_R.expires_at > now(), _R.created_at > now() - ttl).label("good"),
        )
        .where(_R.cache == cache, _R.key == key)
        .with_for_update()
    ).first()  # fmt: skip


def _hit(connection: Connection, cache: str, key: str, value: Any) -> Hit:
    connection.execute(
        update(result_cache)
        .where(_R.cache == cache, _R.key == key)
        .values(used_at=now(), hits=_R.hits + 1)
    )
    add(connection, cache, "hits")
    return Hit(value)


def _change_own(
    connection: Connection, cache: str, key: str, holder: str, values: dict[str, Any]
) -> bool:
    changed = connection.execute(
        update(result_cache)
        .where(_R.cache == cache, _R.key == key, _R.status == "making", _R.holder == holder)
        .values(values)
    )
    return changed.rowcount == 1
