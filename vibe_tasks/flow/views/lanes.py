"""Lanes as people see them: what waits in each, and the rules that hold for it on all hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vibe_tasks.jobs import LANES
from vibe_tasks.rate import rate_text
from vibe_tasks.store import lanes as rules
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.lane_list import Lane, list_lanes
from vibe_tasks.store.lanes import Keep
from vibe_tasks.store.scaling_rules import Rules, rules_of, set_rules
from vibe_tasks.store.workers import list_workers

LaneRules = tuple[Lane, Rules | None]
"""A lane, and what was set for its scaling; None: nothing."""


def lanes_and_rules(connection: Transaction) -> list[LaneRules]:
    """Every lane that a deployment has, that has rules, or jobs that live, by name."""
    scaling = rules_of(connection)
    found = list_lanes(connection, also={*LANES, *scaling})
    return [(each, scaling.get(each.lane)) for each in found]


def lane_and_rules(connection: Transaction, lane: str) -> LaneRules:
    """This lane, whether anything of it is known or not."""
    found = next(each for each in list_lanes(connection, also=[lane]) if each.lane == lane)
    return found, rules_of(connection, [lane]).get(lane)


def listed(lane: Lane, scaling: Rules | None) -> dict[str, Any]:
    """A lane as JSON values; `rate` as people write it."""
    values = asdict(lane)
    values["oldest_seconds"] = values.pop("oldest")
    return values | {
        "rate": lane.rate and rate_text(lane.rate),
        "scaling": None if scaling is None else asdict(scaling),
    }


def limit(
    ledger: Database, lane: str, *, concurrency: int | Keep | None = Keep.AS_IT_IS,
    rate: float | Keep | None = Keep.AS_IT_IS, scaling: Mapping[str, float | None],
    by: By | None = None,
) -> None:  # fmt: skip
    """Set rules of a lane; with None take them away.

    Args:
        ledger: The ledger.
        lane: The lane.
        concurrency: How many of its jobs may run at once.
        rate: How many may start in a second.
        scaling: Rules of scaling, by the names of `Rules`; others stay as they are.
        by: Who does it, for the audit trail.

    Raises:
        ValueError: Rules of scaling are out of bounds, or do not go with each other.
    """
    with ledger.begin() as connection:
        rules.limit(connection, lane, concurrency=concurrency, rate=rate)
        if scaling:
            set_rules(connection, lane, scaling)
        given = {"concurrency": concurrency, "rate": rate, **scaling}
        changed = {name: value for name, value in given.items() if value is not Keep.AS_IT_IS}
        note(connection, by, "lane.limit", lane, changed)


def pause(ledger: Database, lane: str, *, by: By | None) -> bool:
    """Start nothing of a lane any more; whether that is new.

    Args:
        ledger: The ledger.
        lane: The lane.
        by: Who does it, for the audit trail.
    """
    with ledger.begin() as connection:
        changed = rules.pause(connection, lane)
        note(connection, by, "lane.pause", lane, {"changed": changed})
    return changed


def resume(ledger: Database, lane: str, *, by: By | None) -> bool:
    """Let a paused lane go on; whether it was paused. Arguments as of `pause`."""
    with ledger.begin() as connection:
        changed = rules.resume(connection, lane)
        note(connection, by, "lane.resume", lane, {"changed": changed})
    return changed


def is_served(connection: Transaction, lane: str) -> bool:
    """Whether a worker that is online serves this lane."""
    rows = list_workers(connection)
    return any(row["lane"] == lane and row["status"] == "online" for row in rows)


def unserved(lane: str) -> str:
    """What whoever sets rules of such a lane is told: its name may be misspelt."""
    return f"no worker that is online serves lane {lane}"
