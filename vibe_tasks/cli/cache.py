"""`vibe cache`: results that are used again."""

from __future__ import annotations

import click

from vibe_tasks.cache import CHANGES
from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import counted, json_option, print_json
from vibe_tasks.cli.shared import cache_line
from vibe_tasks.errors import InputError
from vibe_tasks.store import cache_figures, result_cache
from vibe_tasks.suggestion import did_you_mean


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
        names = [CHANGES, *(set(cache_figures.names(connection)) - {CHANGES})]
        found = {name: result_cache.counts(connection, cache=name).to_json() for name in names}
    if as_json:
        print_json(found)
        return
    for name, figures in sorted(found.items()):
        click.echo(f"{name}: {cache_line(figures)}")


@cache.command(example="vibe cache clear\nvibe cache clear --cache results")
@click.option("--cache", "name", metavar="NAME", help="Only this cache; else all of them.")
@json_option
def clear(name: str | None, as_json: bool) -> None:
    """Forget all results; agents make them anew. The figures stay."""
    with look_into_ledger() as ledger, ledger.begin() as connection:
        known = sorted({CHANGES, *cache_figures.names(connection)})
        if name is not None and name not in known:
            raise InputError(f"no cache {name} in {place()}{did_you_mean(name, known)}")
        gone = result_cache.clear(connection, cache=name)
    if as_json:
        print_json({"cleared": gone})
    else:
        click.echo(f"forgot {counted(gone, 'result')}")
