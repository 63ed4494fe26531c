"""`vibe workers`: the worker registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import json_option, print_json, print_table, span
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources


@click.group(cls=Group)
def workers() -> None:
    """List the workers that have registered."""


@workers.command("list", example="vibe workers list")
@json_option
def list_(as_json: bool) -> None:
    """List workers with their lanes, jobs in hand, room and last sign of life.

    A worker that is `lost` was online and has been silent for longer than a lease.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = registry(list_workers(connection), lease=resources.settings().lease_seconds)
    if as_json:
        print_json(found)
    else:
        print_workers(found)


def print_workers(found: list[dict[str, Any]]) -> None:
    """A line for each worker."""
    print_table(
        ("WORKER", "STATUS", "TIER", "BUSY", "SEEN", "LANES"),
        [
            (each["worker_id"], each["status"], each["tier"],
             f"{each['active_tasks']}/{each['capacity_limit']}", f"{span(each['age'])} ago",
             ", ".join(each["lanes"]))
            for each in found
        ],
        empty=f"no workers in {place()}",
    )  # fmt: skip


def registry(rows: Iterable[Mapping[str, Any]], *, lease: float) -> list[dict[str, Any]]:
    """One entry for each worker, from the registry's rows, which are one for each lane.

    Args:
        rows: The registry.
        lease: Seconds of silence after which an online worker is called lost.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(row["worker_id"], {**row, "lanes": []})
        entry["lanes"].append(row["lane"])
        entry.pop("lane", None)
        if row["status"] == "online" and row["age"] > lease:
            entry["status"] = "lost"
    return list(found.values())
