"""`vibe scale`: what was decided on the size of the fleet, and what would be decided now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, open_ledger, place
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import json_option, moment, note, print_json, print_table
from vibe_tasks.store import scale_decisions
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources

if TYPE_CHECKING:
    from vibe_tasks.tasks.fleet.scaler import Verdict


@click.group(cls=Group)
def scale() -> None:
    """Show why the fleet has the size that it has.

    The setting VIBE_FLEET says which lanes are scaled, and how.
    """


@scale.command(example="vibe scale history --lane code")
@click.option("--lane", help="Only decisions on this lane.")
@click.option(
    "--limit", type=Whole(1, 10_000), default=20, show_default=True,
    help="The newest so many.",
)  # fmt: skip
@json_option
def history(lane: str | None, limit: int, as_json: bool) -> None:
    """List the newest decisions, each with its reason, newest first.

    There is one for each change, refusal and error, and none for a look that changed nothing.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = scale_decisions.history(connection, lane=lane, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WHEN", "LANE", "BY", "FROM", "TO", "NOW", "WHY"),
        [
            (moment(each["at"]), each["lane"], each["provisioner"], each["before"],
             each["target"], "?" if each["applied"] is None else each["applied"], _why(each))
            for each in found
        ],
        empty=f"no decisions in {place()}",
    )  # fmt: skip


@scale.command(example="vibe scale check\nvibe scale check --apply")
@click.option("--apply", is_flag=True, help="Carry out what is decided, as beat's check does.")
@json_option
def check(apply: bool, as_json: bool) -> None:
    """Decide now on each lane of the fleet, and say why; without --apply nothing is changed.

    Exit code 1 where a provisioner failed.
    """
    from vibe_tasks.tasks.fleet.check import check as look  # noqa: PLC0415  history needs no Celery

    with open_ledger() as ledger:
        found = look(ledger, resources.settings(), apply=apply, by=resources.person())
        with ledger.read() as connection:
            served = {row["lane"] for row in list_workers(connection)}
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print(found)
    for each in found:
        if each.lane not in served and not (each.load and each.load.waiting):
            note(f"vibe: no worker has served lane {each.lane} yet, and no job waits in it")
    if any(each.error for each in found):
        raise SystemExit(1)


def _print(found: Sequence[Verdict]) -> None:
    print_table(
        ("LANE", "BY", "WAITING", "OLDEST", "BUSY", "FROM", "TO", "WHY"),
        [
            (each.lane, each.provisioner, *_load(each), each.before, each.target,
             _why(asdict(each)))
            for each in found
        ],
        empty="no lane is under the fleet's control: VIBE_FLEET is not set",
    )  # fmt: skip


def _load(verdict: Verdict) -> tuple[Any, ...]:
    load = verdict.load
    if load is None:
        return None, None, None
    return load.waiting, f"{load.oldest_age:.0f} s", f"{load.busy}/{load.slots}"


def _why(decision: dict[str, Any]) -> str:
    reason, error = str(decision["reason"]), decision["error"]
    return reason if error in {None, "refused", reason} else f"{reason}: {error}"
