"""Figures of the result cache: what is in it, and what happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.cache import CHANGES, hit_rate
from vibe_tasks.store.agent_tables import cache_counts, result_cache
from vibe_tasks.store.engine import now

_R, _N = result_cache.c, cache_counts.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How a cache stands, and what happened in it since the ledger is there.

    Attributes:
        size: Results in it.
        making: Results that are being made.
        bytes: Size of the results together, as JSON.
        hits: Looks that found something.
        misses: Looks that found nothing, so that it was made.
        waits: Looks that found another making it.
        evictions: Results that went because newer ones needed their place.
    """

    size: int = 0
    making: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    waits: int = 0
    evictions: int = 0

    @property
    def hit_rate(self) -> float:
        """Hits as a percentage of hits and misses, from 0 to 100."""
        return hit_rate(hits=self.hits, misses=self.misses)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self) | {"hit_rate": self.hit_rate}


def counts(connection: Connection, *, cache: str | None = CHANGES) -> Counts:
    """How a cache stands, or with None all of them together."""
    is_ready = _R.status == "ready"
    # What has expired is nothing any more, though it may not have been removed yet.
    there = connection.execute(
        select(
            func.count(case((is_ready, 1))).label("size"),
            func.count(case((~is_ready, 1))).label("making"),
            func.coalesce(func.sum(case((is_ready, _R.size))), 0).label("bytes"),
        ).where(
            or_(
                and_(is_ready, _R.expires_at > now()),
                and_(~is_ready, _R.held_until > now()),
            ),
            *in_cache(cache),
        )
    ).one()
    statement = select(_N.name, func.sum(_N.number).label("number")).group_by(_N.name)
    if cache is not None:
        statement = statement.where(_N.cache == cache)
    numbers = {row.name: int(row.number) for row in connection.execute(statement)}
    return Counts(
        size=there.size,
        making=there.making,
        bytes=int(there.bytes),
        hits=numbers.get("hits", 0),
        misses=numbers.get("misses", 0),
        waits=numbers.get("waits", 0),
        evictions=numbers.get("evictions", 0),
    )


def names(connection: Connection) -> tuple[str, ...]:
    """The caches that were ever used, by name."""
    counted = select(_N.cache).union(select(_R.cache)).order_by("cache")
    return tuple(connection.execute(counted).scalars())


def in_cache(cache: str | None) -> list[ColumnElement[bool]]:
    """The condition of an entry of this cache; of any with None."""
    return [] if cache is None else [_R.cache == cache]


def add(connection: Connection, cache: str, name: str, number: int = 1) -> None:
    """Count what happened. Last in a transaction: everybody writes these rows."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        kind.insert(cache_counts)
        .values(cache=cache, name=name, number=number)
        .on_conflict_do_update(
            index_elements=[_N.cache, _N.name], set_={"number": _N.number + number}
        )
    )
