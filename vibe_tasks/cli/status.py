"""`vibe status`: how much waits where, for how long, and who works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vibe_tasks.buckets import BucketLimits
from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.listening import open_stream, server_address
from vibe_tasks.cli.printing import counted, json_option, print_json, print_table, span
from vibe_tasks.cli.program import program
from vibe_tasks.cli.shared import cache_line, print_breakers
from vibe_tasks.cli.workers import print_workers
from vibe_tasks.flow.views.standing import figures
from vibe_tasks.flow.views.unserved import Unserved
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import worker_line
from vibe_tasks.store.mix import Mix, mix
from vibe_tasks.tasks import resources
from vibe_tasks.web.nudges import Nudges

LOOK = 1.0
"""Seconds between two pictures of `--watch`, where no event comes."""

LEAST = 0.25
"""Seconds between two pictures, however many events come."""

MIX_LOOK = 10.0
"""Seconds between two looks at the mix, which reads all jobs of plans."""


@click.command(cls=Command, example="vibe status --watch")
@click.option(
    "--watch", is_flag=True, help="Show it again every second, and when events come, until Ctrl-C."
)
@json_option
def status(watch: bool, as_json: bool) -> None:
    """Show jobs by lane and status, the age of the oldest due one, workers, breakers and cache.

    Warns of lanes with due jobs that no worker serves.
    """
    with look_into_ledger() as ledger, Interruption() as interruption, _nudges(watch) as nudges:
        mixed, due = Mix(), 0.0
        while True:
            if resources.monotonic() >= due:
                with ledger.read() as connection:
                    mixed = mix(connection)
                due = resources.monotonic() + MIX_LOOK
            found = {**figures(ledger, resources.settings()), "mix": mixed.to_json()}
            if watch and not as_json:
                click.clear()  # does nothing where this is no terminal
            if as_json:
                print_json(found)
            else:
                _print(found)
            if not watch:
                return
            resources.pause(LEAST)
            interruption.obey()
            nudges.wait(LOOK - LEAST)
            interruption.obey()


def _nudges(watch: bool) -> Nudges:
    """What says that there is something new; where no server runs, nothing does."""
    url = server_address() if watch else None
    if url is None:
        return Nudges(None)
    none = BucketLimits(priority=0, regular=0)
    return Nudges(open_stream(url, limits=none))


def _print(found: Mapping[str, Any]) -> None:
    names = [str(each) for each in JobStatus]
    rows: list[tuple[Any, ...]] = [
        (lane, *(counts[name] for name in names), _age(counts["oldest_pending_seconds"]))
        for lane, counts in found["lanes"].items()
    ]
    if rows:
        rows.append(("all", *(found["by_status"][name] for name in names), ""))
    headers = ("LANE", *(name.upper() for name in names), "OLDEST DUE")
    print_table(headers, rows, empty=f"no jobs in {place()}")
    click.echo(f"dead letters: {found['dead_letters']}")
    if found["mix"]["dev_tasks"] + found["mix"]["fix_tasks"]:
        click.echo("started: {dev_tasks} dev ({dev_percentage} %), "
                   "{fix_tasks} fix ({fix_percentage} %)".format_map(found["mix"]))  # fmt: skip
    click.echo()
    print_workers(found["workers"])
    print_breakers(found["breakers"])
    if found["cache"]["hits"] + found["cache"]["misses"]:
        click.echo(f"\ncache: {cache_line(found['cache'])}")
    for lack in (worker_line.Lack(**values) for values in found["waiting_for_labels"]):
        click.echo(f"warning: {counted(lack.jobs, 'job waits', 'jobs wait')}: {lack.text()}")
    embedded = not resources.settings().broker_url
    for each in (Unserved(**values) for values in found["unserved_lanes"]):
        click.echo(f"warning: {each.text()}: {each.mend(embedded=embedded, program=program())}")


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else span(seconds)
