"""`vibe lanes`: what waits in which lane, and the rules that hold for it on all hosts."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.lane_scaling import changes, refusal, rules_text, scaling_options
from vibe_tasks.cli.ledger import look_into_ledger, open_ledger, place
from vibe_tasks.cli.printing import json_option, note, print_json, print_table, span
from vibe_tasks.errors import InputError
from vibe_tasks.flow.views import lanes as views
from vibe_tasks.flow.views.lanes import (
    LaneRules,
    is_served,
    lane_and_rules,
    lanes_and_rules,
    listed,
    unserved,
)
from vibe_tasks.rate import parse_rate, rate_text
from vibe_tasks.store import lanes as rules
from vibe_tasks.store.engine import Database
from vibe_tasks.store.lane_list import Lane
from vibe_tasks.store.lanes import Keep
from vibe_tasks.store.scaling_rules import Rules
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.queues import check_lane

NO_LIMIT = "none"


lane_argument = click.argument("lane")


@click.group(cls=Group)
def lanes() -> None:
    """List, pause, resume and limit lanes.

    Rules hold for all workers of all hosts together, from the next start on.
    """


@lanes.command("list", example="vibe lanes list --json")
@json_option
def list_(as_json: bool) -> None:
    """List lanes with their rules and jobs.

    Held jobs are due and wait for their turn: for room in their lane, or for their concurrency key.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = lanes_and_rules(connection)
    if as_json:
        print_json([listed(*each) for each in found])
        return
    print_table(
        ("LANE", "STATE", "AT ONCE", "RATE", "RUNNING", "READY", "HELD", "OLDEST DUE", "SCALING"),
        [
            (each.lane, "paused" if each.paused else "open", each.concurrency,
             each.rate and rate_text(each.rate), each.running, each.ready, each.held,
             None if each.oldest is None else span(each.oldest),
             rules_text(scaling))
            for each, scaling in found
        ],
        empty=f"no lanes in {place()}",
    )  # fmt: skip


@lanes.command(example="vibe lanes pause deploy")
@lane_argument
@json_option
def pause(lane: str, as_json: bool) -> None:
    """Start nothing of a lane any more; what runs goes on, what waits keeps its place."""
    check_lane(lane)
    with open_ledger() as ledger:
        changed = views.pause(ledger, lane, by=resources.person())
        done = f"lane {lane} is paused" if changed else f"lane {lane} was paused already"
        _tell(ledger, lane, done, as_json=as_json)


@lanes.command(example="vibe lanes resume deploy")
@lane_argument
@json_option
def resume(lane: str, as_json: bool) -> None:
    """Let a paused lane go on."""
    check_lane(lane)
    with open_ledger() as ledger:
        changed = views.resume(ledger, lane, by=resources.person())
        done = f"lane {lane} goes on" if changed else f"lane {lane} was not paused"
        _tell(ledger, lane, done, as_json=as_json)


@lanes.command(
    example="vibe lanes limit code --concurrency 8 --rate 100/m\n"
    "vibe lanes limit code --rate none\n"
    "vibe lanes limit code --max 12 --scale-up 20 --scale-after 120"
)
@lane_argument
@click.option(
    "--concurrency", metavar="NUMBER",
    help="How many of its jobs may run at once; none: any number.",
)  # fmt: skip
@click.option("--rate", help="How many may start in a time: 10/s, 100/m, 500/h; none: any number.")
@scaling_options
@json_option
def limit(
    lane: str, concurrency: str | None, rate: str | None, as_json: bool, **scaling: str | None
) -> None:
    """Limit how many of a lane's jobs run at once or start in a time, on all hosts together.

    And set the rules by which its workers are scaled, in place of the settings; none: as they say.
    The thresholds hold for growing pools within workers too, whose bounds are their own:
    `--autoscale`, or Celery's `control autoscale`.
    """
    check_lane(lane)
    scaled = changes(scaling)
    if concurrency is None and rate is None and not scaled:
        raise InputError("give --concurrency, --rate, or a rule of scaling")
    at_once, starts = _number(concurrency), _rate(rate)
    with open_ledger() as ledger:
        try:
            views.limit(
                ledger, lane, concurrency=at_once, rate=starts, scaling=scaled,
                by=resources.person(),
            )  # fmt: skip
        except ValueError as error:
            raise refusal(error) from error
        _tell(ledger, lane, f"lane {lane}: {_limits(*_now(ledger, lane))}", as_json=as_json)


def _number(text: str | None) -> int | Keep | None:
    if text is None or text == NO_LIMIT:
        return Keep.AS_IT_IS if text is None else None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) < rules.MANY):
        raise InputError(f"--concurrency must be a number from 1, or {NO_LIMIT}, got {text!r}")
    return int(text)


def _rate(text: str | None) -> float | Keep | None:
    if text is None or text == NO_LIMIT:
        return Keep.AS_IT_IS if text is None else None
    rate = parse_rate(text)
    if not rate < rules.MANY:
        raise InputError(f"--rate is too high to be a limit: {text}")
    return rate


def _limits(lane: Lane, scaling: Rules | None) -> str:
    limits = [f"{lane.concurrency} at once"] if lane.concurrency is not None else []
    if lane.rate is not None:
        limits.append(rate_text(lane.rate))
    if text := rules_text(scaling):
        limits.append(f"scaled {text}")
    return ", ".join(limits) or "no limits"


def _now(ledger: Database, lane: str) -> LaneRules:
    with ledger.read() as connection:
        return lane_and_rules(connection, lane)


def _tell(ledger: Database, lane: str, done: str, *, as_json: bool) -> None:
    """Say what was done, and where it may be a misspelt name."""
    if as_json:
        print_json(listed(*_now(ledger, lane)))
    else:
        click.echo(done)
    with ledger.read() as connection:
        served = is_served(connection, lane)
    if not served:
        note(f"vibe: {unserved(lane)}")
