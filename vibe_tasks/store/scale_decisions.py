"""What was decided on the size of a lane's fleet, and what each lane's scaler has in mind.

A row is written for a change, a refusal or an error, not for each look. What is remembered from
look to look, such as since when a lane is calm, is with the lane's newest row. One process at a
time decides for a lane: it holds a lease in `upkeep`, which runs out when it is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.engine import now
from vibe_tasks.store.scaling_tables import scale_decisions
from vibe_tasks.store.schema import upkeep

_D, _U = scale_decisions.c, upkeep.c

LEASE = "scale "
"""What the names of the leases begin with; the lane follows."""

EVERY_LANE = "scale"
"""The row that is locked while the sizes of all lanes are looked at together."""

INTERRUPTED = "interrupted before it was applied"
"""The error of a decision whose process was ended; the next look decides anew."""

KEPT = 500
"""Decisions of a lane that are kept."""

_STATE = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A lane's newest decision, and what was kept with it.

    Attributes:
        id: Its number; None where nothing was ever decided.
        state: JSON values.
    """

    id: int | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A decision that is about to be written.

    Attributes:
        lane: The lane.
        provisioner: Who is to carry it out.
        before: Workers there were.
        target: Workers there should be.
        reason: Why, for people.
        figures: What it was decided upon, as JSON values.
        state: What is kept with it.
        error: Why it was not carried out; None where it is about to be.
    """

    lane: str
    provisioner: str
    before: int
    target: int
    reason: str
    figures: Mapping[str, Any]
    state: Mapping[str, Any]
    error: str | None = None


def take(connection: Connection, lane: str, *, seconds: float) -> float | None:
    """Ask to decide for this lane; the end of our lease, None where somebody else has one.

    What a process that was killed had decided and not applied is marked as interrupted.
    """
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = kind.insert(upkeep).values(
        name=LEASE + lane, looked_at=now(), patient_until=now() + seconds
    )
    # A lease that is longer than any can be is of a clock that was set back since.
    free = or_(_U.patient_until <= now(), _U.patient_until > now() + 2 * seconds)
    taken = connection.execute(
        row.on_conflict_do_update(
            index_elements=[_U.name],
            set_={"looked_at": now(), "patient_until": now() + seconds},
            where=free,
        ).returning(_U.patient_until)
    ).scalar()
    if taken is None:
        return None
    connection.execute(
        update(scale_decisions)
        .where(_D.lane == lane, _D.applied.is_(None), _D.error.is_(None))
        .values(error=INTERRUPTED)
    )
    return float(taken)


def let_go(connection: Connection, lane: str, until: float) -> None:
    """Another may decide for this lane from now on, unless our lease has run out and it does."""
    connection.execute(
        update(upkeep)
        .where(_U.name == LEASE + lane, _U.patient_until == until)
        .values(patient_until=_U.looked_at)
    )


def lock_lanes(connection: Connection) -> None:
    """Until the end of the transaction nobody else decides on a size: bounds hold over all."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = kind.insert(upkeep).values(name=EVERY_LANE, looked_at=now(), patient_until=now())
    connection.execute(
        row.on_conflict_do_update(index_elements=[_U.name], set_={"looked_at": now()})
    )


def kept(connection: Connection, lane: str) -> Kept:
    """What was kept for this lane."""
    row = connection.execute(
        select(_D.id, _D.figures).where(_D.lane == lane).order_by(_D.id.desc()).limit(1)
    ).first()
    return Kept() if row is None else Kept(id=row.id, state=row.figures.get(_STATE) or {})


def write(connection: Connection, entry: Entry) -> int:
    """Write a decision; its number. The oldest of its lane beyond `KEPT` go."""
    number = connection.execute(
        insert(scale_decisions)
        .values(
            at=now(), lane=entry.lane, provisioner=entry.provisioner, before=entry.before,
            target=entry.target, reason=entry.reason, error=entry.error,
            applied=None if entry.error is None else entry.before,
            figures={**entry.figures, _STATE: dict(entry.state)},
        )
        .returning(_D.id)
    ).scalar_one()  # fmt: skip
    oldest = select(_D.id).where(_D.lane == entry.lane).order_by(_D.id.desc()).offset(KEPT).limit(1)
    connection.execute(
        delete(scale_decisions).where(_D.lane == entry.lane, _D.id <= oldest.scalar_subquery())
    )
    return int(number)


def keep(connection: Connection, number: int, state: Mapping[str, Any]) -> None:
    """Keep this with a decision, in place of what was kept with it."""
    figures = connection.execute(select(_D.figures).where(_D.id == number)).scalar_one()
    connection.execute(
        update(scale_decisions)
        .where(_D.id == number)
        .values(figures={**figures, _STATE: dict(state)})
    )


def settle(connection: Connection, number: int, *, applied: int, error: str | None = None) -> None:
    """What came of a decision: how many workers there are now, and what went wrong."""
    connection.execute(
        update(scale_decisions).where(_D.id == number).values(applied=applied, error=error)
    )


def history(
    connection: Connection, *, lane: str | None = None, limit: int = 50, before: int | None = None
) -> tuple[dict[str, Any], ...]:
    """The newest decisions, newest first, with their `age` in seconds.

    Args:
        connection: A connection.
        lane: Only on this lane.
        limit: At most so many.
        before: Only below this `id`: the next page.
    """
    wanted = select(scale_decisions, (now() - _D.at).label("age"))
    if lane is not None:
        wanted = wanted.where(_D.lane == lane)
    if before is not None:
        wanted = wanted.where(_D.id < before)
    rows = connection.execute(wanted.order_by(_D.id.desc()).limit(limit)).mappings()
    return tuple(
        {**row, "figures": {name: value for name, value in row["figures"].items()
                            if name != _STATE}}
        for row in rows
    )  # fmt: skip


def sizes(connection: Connection) -> dict[str, int]:
    """Workers of each lane, as its newest decision has them."""
    newest = select(func.max(_D.id)).group_by(_D.lane)
    rows = connection.execute(select(_D.lane, _D.figures).where(_D.id.in_(newest)))
    return {row.lane: int((row.figures.get(_STATE) or {}).get("size", 0)) for row in rows}
