"""`vibe audit`: what people did."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import json_option, moment, print_json, print_table, short_id
from vibe_tasks.errors import InputError
from vibe_tasks.store.audit import entries
from vibe_tasks.tasks import resources

SPANS: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds of the units that `--since` knows."""


@click.group(cls=Group)
def audit() -> None:
    """List what people did to the ledger: who, what, when and from where.

    Entries are kept for VIBE_AUDIT_DAYS.
    """


@audit.command(
    "list",
    example="vibe audit list --since 24h\nvibe audit list --target 1b9d6bcd\n"
    "vibe audit list --actor ann@build-3 --action lane --json",
)
@click.option("--target", metavar="NAME", help="What was done to this, or what begins like this.")
@click.option("--actor", metavar="NAME", help="What this person or token did.")
@click.option("--action", metavar="NAME", help="Such actions: job.cancel, or job for all on jobs.")
@click.option("--since", metavar="WHEN", help="From then on: 90m, 24h or 7d ago, or a date.")
@click.option(
    "--limit", type=Whole(1, 100_000), default=100, show_default=True,
    help="At most so many, the newest.",
)  # fmt: skip
@click.option("--before", type=Whole(0), metavar="ID", help="Only below this `id`: the next page.")
@json_option
def list_(since: str | None, as_json: bool, **chosen: Any) -> None:
    """List entries, newest first."""
    moment_of = None if since is None else since_of(since, now=resources.wall_clock())
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = entries(connection, since=moment_of, **chosen)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WHEN", "WHO", "ROLE", "BY", "FROM", "WHAT", "TO", "DETAILS"),
        [
            (
                moment(each["at"]), each["actor"], each["role"], each["source"], each["origin"],
                each["action"], each["target"] and short_id(each["target"]),
                each["details"] and json.dumps(each["details"], ensure_ascii=False),
            )
            for each in found
        ],
        empty=f"nothing in {place()}",
    )  # fmt: skip


def since_of(text: str, *, now: float) -> float:
    """The moment that somebody means, in epoch seconds.

    Args:
        text: `90m`, `24h`, `7d` ago; or a date, with a time or without, of this time zone unless it
            names one.
        now: Epoch seconds.

    Raises:
        InputError: It is none of these.
    """
    if found := re.fullmatch(r"(\d{1,9})([smhd])", text.strip()):
        return now - int(found[1]) * SPANS[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"--since must be as 90m, 24h, 7d, 2026-01-31 or 2026-01-31T12:00, got {text!r}"
        ) from error
