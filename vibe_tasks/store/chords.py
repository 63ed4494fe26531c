"""Chords: a body that starts when all members of its group have completed.

The body is a job that is `blocked` until then. How many members are missing is counted in the
chord's row, whose lock makes the last two members see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.job_rows import results_of
from vibe_tasks.store.schema import chord_results, chords
from vibe_tasks.store.sealing import sealed
from vibe_tasks.store.statement import Statement

_C = chords.c
_R = chord_results.c
_COUNT = Statement(
    update(chords)
    .where(_C.group_id == bindparam("of_group", type_=_C.group_id.type))
    .values(missing=_C.missing - literal_column("1"))
    .returning(_C.missing)
)
IDS_IN_ONE_LOOK = 500
"""Jobs in one query; both databases bound the parameters of a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chord:
    """A chord all of whose members have completed.

    Attributes:
        group_id: Its group.
        body_id: The job that waits for the members.
        members: Ids of the members, in the order of their results.
        takes_results: Whether the body's first argument is the list of their results.
    """

    group_id: str
    body_id: str
    members: tuple[str, ...]
    takes_results: bool


def open_chord(
    connection: Connection,
    group_id: str,
    *,
    body_id: str,
    members: Sequence[str],
    takes_results: bool,
) -> None:
    """Write a chord none of whose members has completed."""
    connection.execute(
        insert(chords).values(
            group_id=group_id, body_id=body_id, members=list(members), missing=len(members),
            takes_results=int(takes_results),
        )
    )  # fmt: skip


def add_member(connection: Connection, group_id: str, member_id: str) -> bool:
    """One more member to wait for; False where there is no such chord in the ledger."""
    row = connection.execute(
        select(_C.members).where(_C.group_id == group_id).with_for_update()
    ).first()
    if row is None:
        return False
    connection.execute(
        update(chords)
        .where(_C.group_id == group_id)
        .values(members=[*row.members, member_id], missing=_C.missing + 1)
    )
    return True


def waits_in_chord(connection: Connection, job_id: str) -> bool:
    """Whether this job is the body of a chord that is not complete."""
    statement = select(_C.group_id).where(_C.body_id == job_id).limit(1)
    return connection.execute(statement).first() is not None


def missing_of(connection: Connection, body_id: str) -> int | None:
    """How many members the body of a chord waits for; None for a job that is none."""
    statement = select(_C.missing).where(_C.body_id == body_id).limit(1)
    found: int | None = connection.execute(statement).scalar()
    return found


def body_of(connection: Connection, group_id: str) -> str | None:
    """The body that waits for this group; None where there is no such chord in the ledger."""
    found: str | None = connection.execute(
        select(_C.body_id).where(_C.group_id == group_id)
    ).scalar()
    return found


def count_member(connection: Connection, group_id: str) -> int | None:
    """One more member has completed; how many are missing, None for no chord of the ledger.

    To be called once for each member, in the transaction of its completion. The row stays locked
    until its end.
    """
    row = _COUNT.first(connection, {"of_group": group_id})
    return None if row is None else int(row[0])


def find_chord(connection: Connection, group_id: str) -> Chord:
    """A chord of the ledger. It may have thousands of members: read it when it is complete."""
    row = connection.execute(select(chords).where(_C.group_id == group_id)).one()
    return Chord(
        group_id=row.group_id, body_id=row.body_id, members=tuple(row.members),
        takes_results=bool(row.takes_results),
    )  # fmt: skip


def keep_result(connection: Connection, group_id: str, member_id: str, result: Any) -> bool:
    """Keep the result of a member that is no job; whether it is new."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = (
        kind.insert(chord_results)
        .values(group_id=group_id, member_id=member_id, result=sealed(connection, result))
        .on_conflict_do_nothing()
        .returning(_R.member_id)  # of an INSERT, SQLAlchemy does not know the number of rows
    )
    return connection.execute(statement).first() is not None


def results(connection: Connection, chord: Chord) -> list[Any]:
    """The members' results, in their order."""
    found: dict[str, Any] = {
        row.member_id: row.result
        for row in connection.execute(
            select(_R.member_id, _R.result).where(_R.group_id == chord.group_id)
        )
    }
    wanted = [member for member in chord.members if member not in found]
    for start in range(0, len(wanted), IDS_IN_ONE_LOOK):
        rows = results_of(connection, wanted[start : start + IDS_IN_ONE_LOOK])
        found.update((member, row.result) for member, row in rows.items())
    return [found[member] for member in chord.members]


def close_chord(connection: Connection, group_id: str) -> None:
    """Forget a chord whose body has what it needs."""
    connection.execute(delete(chords).where(_C.group_id == group_id))
