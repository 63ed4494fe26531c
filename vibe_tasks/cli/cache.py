"""`vibe cache`: results that are used again."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import counted, json_option, print_json
from vibe_tasks.cli.shared import cache_line
from vibe_tasks.flow.views import caches
from vibe_tasks.tasks import resources


@click.group(cls=Group)
def cache() -> None:
    """Show and empty the caches of results.

    `changes` holds what agents have made; a program's own are called `results`, or as it names
    them.
    """


@cache.command(example="vibe cache stats --json")
@json_option
def stats(as_json: bool) -> None:
    """Show what is in each cache, and what became of the looks into it."""
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = caches.stats(connection)
    if as_json:
        print_json(found)
        return
    for name, figures in found.items():
        click.echo(f"{name}: {cache_line(figures)}")


@cache.command(example="vibe cache clear\nvibe cache clear --cache results")
@click.option("--cache", "name", metavar="NAME", help="Only this cache; else all of them.")
@json_option
def clear(name: str | None, as_json: bool) -> None:
    """Forget all results; agents make them anew. The figures stay."""
    with look_into_ledger() as ledger, ledger.begin() as connection:
        gone = caches.clear(connection, name, place=place(), by=resources.person())
    if as_json:
        print_json({"cleared": gone})
    else:
        click.echo(f"forgot {counted(gone, 'result')}")
