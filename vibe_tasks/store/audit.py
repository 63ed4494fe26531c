"""The audit trail: what people did, who it was, when, and from where.

An entry is written in the transaction of what was done: both are there, or neither. What programs
do by themselves is no entry of it: jobs have a history of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sqlalchemy import Connection, delete, func, insert, inspect, or_, select

from vibe_tasks.failures import bounded
from vibe_tasks.store.engine import Database, now, server_time
from vibe_tasks.store.operation_tables import audit
from vibe_tasks.store.redacting import redacted
from vibe_tasks.store.version import is_in_place

_A = audit.c
SECONDS_PER_DAY = 86_400.0
BATCH = 1_000
"""Entries deleted in one transaction."""

LONGEST = 1_000
"""Characters that are kept of a text among the details."""

MOST_NAMED = 100
"""Members that are kept of a list among them; how many there were is said."""

TRIMMED = "audit.trim"
"""The action of the entry that says that older ones were deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who does something.

    Attributes:
        actor: `USER@HOST` of a command, the name of a token over HTTP.
        role: Of the token; None for who needs none.
        source: How it came: `cli`, `http`, `python`, or `upkeep`.
        origin: From where: the host of a command, the address of who asks over HTTP.
    """

    actor: str
    role: str | None = None
    source: str
    origin: str


def note(
    connection: Connection,
    by: By | None,
    action: str,
    target: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down what somebody does.

    Args:
        connection: The writing transaction of what is done; call it last in there.
        by: Who; None: a program by itself, of which nothing is written.
        action: What, such as `job.cancel`.
        target: To what: a job's or plan's id, a lane's or worker's name …
        details: JSON values. Long texts are cut, secrets taken out.
    """
    if by is None:
        return
    # Cut last: half a secret would not be known for one; then what became a text on the way.
    clean = redacted(connection, _short(redacted(connection, dict(details or {}))))
    connection.execute(
        insert(audit).values(
            at=now(), actor=by.actor, role=by.role, source=by.source, origin=by.origin,
            action=action, target=target,
            details=clean or None,
        )
    )  # fmt: skip


def note_apart(
    database: Database,
    by: By | None,
    action: str,
    target: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """As `note`, in a transaction of its own: for what takes many, or none of this database. Where
    the ledger has no such table, as one that went back to an older version, or takes no writes as
    it has moved to another database or is a copy that is not finished, nothing is written.
    """
    if by is None:
        return
    with database.begin() as connection:
        if inspect(connection).has_table(audit.name) and is_in_place(connection):
            note(connection, by, action, target, details)


def entries(
    connection: Connection,
    *,
    target: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: float | None = None,
    limit: int = 100,
    before: int | None = None,
) -> tuple[dict[str, Any], ...]:
    """Entries, newest first.

    Args:
        connection: A connection.
        target: Only what was done to this, or to what begins like this.
        actor: Only what this one did.
        action: Only such actions: `job.cancel`, or `job` for all on jobs.
        since: Only from this moment on, in epoch seconds.
        limit: At most so many.
        before: Only those with a lower id: the next page.
    """
    statement = select(audit).order_by(_A.id.desc()).limit(limit)
    if target is not None:
        same = _A.target == target
        statement = statement.where(or_(same, _A.target.startswith(target, autoescape=True)))
    if actor is not None:
        statement = statement.where(_A.actor == actor)
    if action is not None:
        below = _A.action.startswith(f"{action}.", autoescape=True)
        statement = statement.where(or_(_A.action == action, below))
    if since is not None:
        statement = statement.where(_A.at >= since)
    if before is not None:
        statement = statement.where(_A.id < before)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def count_entries(connection: Connection) -> int:
    """How many entries there are."""
    return int(connection.execute(select(func.count()).select_from(audit)).scalar_one())


def trim(database: Database, days: float, by: By, *, most: int | None = None) -> int:
    """Delete what is older than so many days, and write down how much that was; how many entries.

    Args:
        database: The ledger.
        days: Age; 0: nothing is deleted.
        by: The program that does it.
        most: Batches at most; None: until nothing is left to delete.
    """
    if not days:
        return 0
    oldest = server_time(database) - days * SECONDS_PER_DAY
    gone = batches = 0
    while most is None or batches < most:
        old = select(_A.id).where(_A.at < oldest).order_by(_A.at).limit(BATCH)
        with database.read() as connection:  # most of the time nobody need wait for a write
            if connection.execute(old.limit(1)).first() is None:
                break
        with database.begin() as connection:
            ids = list(connection.execute(old.with_for_update(skip_locked=True)).scalars())
            if not ids:  # another deletes them at this moment
                break
            until = connection.execute(select(func.max(_A.at)).where(_A.id.in_(ids))).scalar()
            connection.execute(delete(audit).where(_A.id.in_(ids)))
            note(connection, by, TRIMMED, None, {"entries": len(ids), "until": until, "days": days})
        batches += 1
        gone += len(ids)
    return gone


def _short(value: Any) -> Any:
    """The value as JSON takes it, and as long as it may be here."""
    if isinstance(value, str):
        return bounded(value, longest=LONGEST)
    if isinstance(value, Mapping):
        return {str(name): _short(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        members = [_short(each) for each in list(value)[:MOST_NAMED]]
        return [*members, f"… of {len(value)}"] if len(value) > MOST_NAMED else members
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
