"""When upkeep was last done, where each time it may be another process that does it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import upkeep

_U = upkeep.c

DISPATCH = "dispatch"
"""Name under which is kept when beat's entry `vibe.dispatch` last ran to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The last look of all processes that do this upkeep.

    Attributes:
        now: The database's clock, in epoch seconds.
        at: When the last look came to its end; `now` where there was none.
        patient_until: Until when nothing rash is to be done.
    """

    now: float
    at: float
    patient_until: float


def moment(connection: Connection) -> float:
    """The database's clock, in epoch seconds."""
    return float(connection.execute(select(now())).scalar_one())


def last_look(connection: Connection, name: str) -> Looked:
    """When this upkeep was last done."""
    row = connection.execute(select(_U.looked_at, _U.patient_until).where(_U.name == name)).first()
    present = moment(connection)
    if row is None:
        return Looked(now=present, at=present, patient_until=present)
    return Looked(now=present, at=row.looked_at, patient_until=row.patient_until)


def seconds_since(connection: Connection, name: str) -> float | None:
    """Seconds since this upkeep was last done; None where it never was."""
    age = connection.execute(select(now() - _U.looked_at).where(_U.name == name)).scalar()
    return None if age is None else max(0.0, float(age))


def keep_look(connection: Connection, name: str, *, at: float, patient_until: float) -> None:
    """Remember a look."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"looked_at": at, "patient_until": patient_until}
    connection.execute(
        kind.insert(upkeep)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[_U.name], set_=values)
    )


def forget(connection: Connection, name: str) -> None:
    """As if this upkeep had never been done."""
    connection.execute(delete(upkeep).where(_U.name == name))


def mark_end(connection: Connection, name: str) -> None:
    """A look has come to its end now."""
    connection.execute(
        update(upkeep)
        .where(_U.name == name)
        .values(looked_at=case((_U.looked_at > now(), _U.looked_at), else_=now()))
    )
