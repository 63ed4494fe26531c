"""`vibe db`: the ledger's schema and its upkeep."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import open_ledger, storage_trouble
from vibe_tasks.cli.printing import counted, json_option, print_json
from vibe_tasks.store.history import archive_old_history, count_history
from vibe_tasks.store.upgrade import Moved, differences
from vibe_tasks.store.upgrade import downgrade as take_down
from vibe_tasks.store.upgrade import upgrade as bring_up
from vibe_tasks.store.version import SCHEMA_VERSION, require_current
from vibe_tasks.tasks import resources


@click.group(cls=Group)
def db() -> None:
    """Upgrade, check and tidy the ledger's database."""


@db.command(example="VIBE_DATABASE_URL=postgresql://vibe:secret@db/vibe vibe db upgrade")
@click.option("--to", type=click.IntRange(1, SCHEMA_VERSION), default=SCHEMA_VERSION,
              show_default=True, metavar="VERSION")  # fmt: skip
@json_option
def upgrade(to: int, as_json: bool) -> None:
    """Bring the schema up to this program's version; an empty database gets all of it."""
    with storage_trouble():
        moved = bring_up(resources.database(), to=to)
    _tell(moved, as_json=as_json)


@db.command(example="vibe db downgrade --to 1")
@click.option("--to", type=click.IntRange(0, SCHEMA_VERSION), required=True, metavar="VERSION",
              help="0 removes all tables.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def downgrade(to: int, yes: bool, as_json: bool) -> None:
    """Take the schema back to an older version; stop all workers first."""
    if to == 0 and not yes:
        click.confirm("This removes every job, plan and event. Go on?", abort=True, err=True)
    with storage_trouble():
        moved = take_down(resources.database(), to=to)
    _tell(moved, as_json=as_json)


@db.command(example="vibe db check")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Compare the database with what this program expects; exit code 1 where they differ."""
    with storage_trouble():
        database = resources.database()
        require_current(database)
        found = differences(database)
    if as_json:
        print_json({"version": SCHEMA_VERSION, "differences": found})
    elif found:
        for line in found:
            click.echo(line)
    else:
        click.echo(f"schema {SCHEMA_VERSION}, as it should be")
    ctx.exit(1 if found else 0)


@db.command(example="vibe db archive --days 30")
@click.option("--days", type=click.FloatRange(min=0), default=7.0, show_default=True,
              help="Move what is older than this.")  # fmt: skip
@json_option
def archive(days: float, as_json: bool) -> None:
    """Move old history rows to the archive; nothing is deleted, and workers go on meanwhile."""
    with open_ledger() as ledger:
        moved = archive_old_history(ledger, days)
        history, archived = count_history(ledger)
    if as_json:
        print_json({"moved": moved, "history": history, "archive": archived})
    else:
        click.echo(
            f"{counted(moved, 'row')} moved; the history has {history}, the archive {archived}"
        )


def _tell(moved: Moved, *, as_json: bool) -> None:
    if as_json:
        print_json({"before": moved.before, "after": moved.after})
    elif moved.before == moved.after:
        click.echo(f"schema {moved.after}, nothing to do")
    else:
        click.echo(f"schema {moved.before} → {moved.after}")
