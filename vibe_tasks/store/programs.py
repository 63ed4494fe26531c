"""Which workers could not go on if the schema changed under them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, null, select

from vibe_tasks.errors import InputError
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import worker_health
from vibe_tasks.store.version import fits

TOLD = 5
"""Workers that a refusal names."""

SILENT = 5
"""The last schema version whose workers did not register what they were made for."""

_W = worker_health.c


def refuse_unfit(
    connection: Connection, *, before: int, after: int, oldest: int, lease: float
) -> None:
    """Refuse a change of the schema that workers which are online could not work on.

    Args:
        connection: A connection; works on every schema version.
        before: The ledger's schema version.
        after: What it is to become.
        oldest: The oldest version whose programs can work on that.
        lease: Seconds of silence after which a worker counts as gone.

    Raises:
        InputError: Such workers are online; the message names them.
    """
    if before == 0:
        return  # no schema, no workers
    unfit = [
        f"{worker} (schema {program})"
        for worker, program in _online(connection, before, lease=lease)
        if not fits(program, schema=after, oldest=oldest)
    ]
    if unfit:
        more = f" and {len(unfit) - TOLD} more" if len(unfit) > TOLD else ""
        raise InputError(
            f"online: {', '.join(unfit[:TOLD])}{more}; schema {after} is for programs of "
            f"{_range(oldest, after)}: stop them first, or give --force where they are gone"
        )


def _online(connection: Connection, before: int, *, lease: float) -> list[tuple[str, int]]:
    names = {each["name"] for each in inspect(connection).get_columns(worker_health.name)}
    made_for = _W.schema_version
    told = made_for if made_for.name in names else null()
    found = (
        select(_W.worker_id, told.label("made_for"))
        .where(_W.status.in_(("online", "draining")), _W.last_seen >= now() - lease)
        .distinct()
        .order_by(_W.worker_id)
    )
    silent = min(before, SILENT)
    return [
        (row.worker_id, silent if row.made_for is None else row.made_for)
        for row in connection.execute(found)
    ]


def _range(oldest: int, newest: int) -> str:
    return f"schema {newest}" if oldest == newest else f"schemas {oldest} to {newest}"
