"""`vibe status`: how much waits where, for how long, and who works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import counted, json_option, print_json, print_table, span
from vibe_tasks.cli.shared import breaker_values, cache_line, print_breakers
from vibe_tasks.cli.waiting import Unserved, unserved
from vibe_tasks.cli.workers import print_workers, registry
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import breakers, result_cache, worker_line
from vibe_tasks.store.engine import Database
from vibe_tasks.store.mix import Mix, mix
from vibe_tasks.store.stats import get_queue_stats
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources

LOOK = 1.0
"""Seconds between two pictures of `--watch`."""

MIX_LOOK = 10.0
"""Seconds between two looks at the mix, which reads all jobs of plans."""


@click.command(cls=Command, example="vibe status --watch")
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl-C.")
@json_option
def status(watch: bool, as_json: bool) -> None:
    """Show jobs by lane and status, the age of the oldest due one, workers, breakers and cache.

    Warns of lanes with due jobs that no worker serves.
    """
    with look_into_ledger() as ledger, Interruption() as interruption:
        mixed, due = Mix(), 0.0
        while True:
            if resources.monotonic() >= due:
                with ledger.read() as connection:
                    mixed = mix(connection)
                due = resources.monotonic() + MIX_LOOK
            found = {**figures(ledger), "mix": mixed.to_json()}
            if watch and not as_json:
                click.clear()  # does nothing where this is no terminal
            if as_json:
                print_json(found)
            else:
                _print(found)
            if not watch:
                return
            resources.pause(LOOK)
            interruption.obey()


def figures(ledger: Database) -> dict[str, Any]:
    """The queue and its workers at this moment, as JSON values; all but the mix."""
    with ledger.read() as connection:
        stats = get_queue_stats(connection)
        rows = list_workers(connection)
        unsent = oldest_unsent(connection)
        window = resources.settings().breaker_window_seconds
        standing = breakers.states(connection, window=window)
        cached = result_cache.counts(connection)
        lacks = worker_line.lacks(connection, lease=resources.settings().lease_seconds)
    workers = registry(rows, lease=resources.settings().lease_seconds)
    return {
        "lanes": {
            lane: {
                **{str(each): counts.get(each, 0) for each in JobStatus},
                "oldest_pending_seconds": stats.oldest_pending_seconds.get(lane),
            }
            for lane, counts in sorted(stats.lanes.items())
        },
        "by_status": stats.by_status,
        "dead_letters": stats.dead_letters,
        "oldest_unsent_seconds": unsent,
        "workers": workers,
        "breakers": [breaker_values(each) for each in standing],
        "cache": cached.to_json(),
        "waiting_for_labels": [asdict(each) for each in lacks],
        "unserved_lanes": [asdict(each) for each in unserved(stats, workers)],
    }


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
        click.echo(f"warning: {each.text()}: {each.mend(embedded=embedded)}")


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else span(seconds)
