"""The load of the lanes: what waits, for how long, what runs, and on how many slots."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, column, select, table

from vibe_tasks.scaling import Load

_DEMAND = table(
    "view_lane_demand", column("lane"), column("waiting"), column("oldest_age"), column("busy"),
    column("slots"),
)  # fmt: skip


def lane_loads(connection: Connection, lanes: Collection[str] | None = None) -> dict[str, Load]:
    """What each lane asks for and has; a lane of which nothing is known is left out.

    Args:
        connection: A connection.
        lanes: Only these; None: all.
    """
    wanted = select(_DEMAND)
    if lanes is not None:
        wanted = wanted.where(_DEMAND.c.lane.in_(sorted(lanes)))
    return {
        row.lane: Load(
            waiting=int(row.waiting), oldest_age=max(0.0, float(row.oldest_age)),
            busy=int(row.busy), slots=int(row.slots),
        )
        for row in connection.execute(wanted)
    }  # fmt: skip
