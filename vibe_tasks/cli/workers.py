"""`vibe workers`: the worker registry, and draining."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, open_ledger, place
from vibe_tasks.cli.numbers import MOST_SECONDS, Number
from vibe_tasks.cli.printing import json_option, note, print_json, print_table, span
from vibe_tasks.flow.views import registry
from vibe_tasks.labels import host_label
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

LOOK = 0.25
"""Seconds between two looks of who waits for workers to end."""


@click.group(cls=Group)
def workers() -> None:
    """List the workers that have registered; let some of them end."""


@workers.command("list", example="vibe workers list")
@json_option
def list_(as_json: bool) -> None:
    """List workers with their lanes, labels, jobs in hand, room and last sign of life.

    A worker that is `lost` was online and has been silent for longer than a lease. One that is
    `draining` takes nothing new, and ends when it is idle.
    """
    with look_into_ledger() as ledger:
        found = _found(ledger)
    if as_json:
        print_json(found)
    else:
        print_workers(found)


@workers.command(
    example="vibe workers drain celery@build-3\nvibe workers drain celery@build-3 --wait 600"
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--wait", type=Number(min=0, max=MOST_SECONDS), metavar="SECONDS",
    help="Wait so long at most for them to end; exit code 1 where one has not.",
)  # fmt: skip
@json_option
def drain(names: tuple[str, ...], wait: float | None, as_json: bool) -> None:
    """Let workers take nothing new and end when they are idle.

    What they run goes on to its end, however long that takes. A worker that a supervisor looks
    after, such as that of `vibe up`, may be started again: the new one works as ever. One that has
    ended already is what is wanted, so the command can be repeated.
    """
    with open_ledger() as ledger:
        there = registry.drain(
            ledger, names, lease=resources.settings().lease_seconds, by=resources.person()
        )
        if there:
            _tell(there)
        left = _wait(ledger, there, wait) if wait is not None else set(there)
        found = [each for each in _found(ledger) if each["worker_id"] in names]
    if as_json:
        print_json(found)
    else:
        for name in names:
            click.echo(f"worker {name} {_standing(name, left, there)}")
    if wait is not None and left:
        who = ", ".join(sorted(left))
        note(f"{len(left)} of {len(names)} still at work after {span(wait)}: {who}")
        raise SystemExit(1)


def _standing(name: str, left: Collection[str], there: Collection[str]) -> str:
    if name in left:
        return "is draining"
    return "has ended" if name in there else "has ended already"


def _tell(names: Sequence[str]) -> None:
    from vibe_tasks.tasks import remote  # noqa: PLC0415  to list workers nobody needs Celery
    from vibe_tasks.tasks.app import app  # noqa: PLC0415

    remote.tell_to_drain(app, names)


def _wait(ledger: Database, names: Collection[str], seconds: float) -> set[str]:
    """Wait for these workers to end; those that have not."""
    until = resources.monotonic() + seconds
    while True:
        live = {each["worker_id"] for each in _found(ledger) if each["status"] == "draining"}
        left = live & set(names)
        if not left or resources.monotonic() >= until:
            return left
        resources.pause(LOOK)


def _found(ledger: Database) -> list[dict[str, Any]]:
    return registry.registered(ledger, lease=resources.settings().lease_seconds)


def print_workers(found: list[dict[str, Any]]) -> None:
    """A line for each worker."""
    print_table(
        ("WORKER", "STATUS", "TIER", "BUSY", "SEEN", "LANES", "LABELS"),
        [
            (each["worker_id"], each["status"], each["tier"],
             f"{each['active_tasks']}/{each['capacity_limit']}", f"{span(each['age'])} ago",
             ", ".join(each["lanes"]), ", ".join(_told_labels(each)))
            for each in found
        ],
        empty=f"no workers in {place()}",
    )  # fmt: skip


def _told_labels(worker: Mapping[str, Any]) -> list[str]:
    """Those that somebody gave it: that of its host is in its name, those of repositories are
    many.
    """
    ours = (host_label(""), "repo:")
    return [each for each in worker["labels"] or () if not each.startswith(ours)]
