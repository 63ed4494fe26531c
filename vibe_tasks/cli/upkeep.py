"""`vibe db vacuum`, `backup`, `restore` and `restored`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import require_ledger, storage_trouble
from vibe_tasks.cli.numbers import File
from vibe_tasks.cli.printing import counted, json_option, note, print_json
from vibe_tasks.errors import InputError
from vibe_tasks.stack.lock import StackLock
from vibe_tasks.store import audit, restored, workers
from vibe_tasks.store.backup import back_up
from vibe_tasks.store.copying import change_log
from vibe_tasks.store.engine import Database
from vibe_tasks.store.restore import refuse_over_work, require_backup
from vibe_tasks.store.restore import restore as put_back
from vibe_tasks.store.vacuum import Room, Vacuumed, sqlite_file
from vibe_tasks.store.vacuum import vacuum as give_back
from vibe_tasks.store.vacuum import vacuum_full as write_anew
from vibe_tasks.store.version import require_current
from vibe_tasks.tasks import resources

_FILE = File()


@click.command(cls=Command, example="vibe db vacuum")
@click.option("--full", is_flag=True,
              help="Write the whole ledger anew; nobody can use it meanwhile.")  # fmt: skip
@click.option("--force", is_flag=True,
              help="With --full: also while others use it, who wait meanwhile.")  # fmt: skip
@json_option
def vacuum(full: bool, force: bool, as_json: bool) -> None:
    """Give back the room of what was deleted, while workers go on.

    SQLite: the file shrinks, in slices of some 20 ms. PostgreSQL: VACUUM (ANALYZE) of the tables
    that change most; autovacuum does the same by itself. Beat and the embedded stack do it daily.
    """
    if force and not full:
        raise InputError("--force goes with --full")
    with storage_trouble():
        database = _there()
        if full:
            lease = None if force else resources.settings().lease_seconds
            done = write_anew(database, lease=lease)
        else:
            require_current(database)
            done = give_back(database, monotonic=resources.monotonic, pause=resources.pause)
        figures = {"before": done.before.size, "after": done.after.size, "full": full}
        audit.note_apart(database, resources.person(), "db.vacuum", None, figures)
    if as_json:
        print_json(asdict(done))
    else:
        _tell(done)


@click.command(cls=Command, example="vibe db backup /backups/ledger-2026-11-22.db")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def backup(file: Path, force: bool, as_json: bool) -> None:
    """Write a backup of the ledger to FILE, while workers go on.

    It is of one moment, and is read back and compared before it gets its name. For SQLite; on
    PostgreSQL use its own tools: docs/backup.md shows how.
    """
    with storage_trouble():
        database = _there()
        done = back_up(database, file, pause=resources.pause, force=force)
        figures = {"size": done.size, "schema": done.schema}
        audit.note_apart(database, resources.person(), "db.backup", done.file, figures)
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(
            f"{done.file}: {_megabytes(done.size)}, schema {done.schema}, "
            f"{counted(done.rows['jobs'], 'job')}, proved"
        )


@click.command(cls=Command, example="vibe db restore /backups/ledger-2026-11-22.db")
@click.argument("file", type=_FILE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True,
    help="Also where there is a ledger with work in it: it is moved aside, nothing is deleted; or "
    "where the backup was made while its ledger moved to another database.",
)  # fmt: skip
@json_option
@click.pass_context
def restore(ctx: click.Context, file: Path, yes: bool, force: bool, as_json: bool) -> None:
    """Put the backup FILE in the place of the ledger; stop everything first.

    The backup is read from end to end before anything changes. Work goes on with the next start:
    due jobs are sent again, and what ran when the backup was made runs again, without a failure
    counted. With --force it asks first on a terminal, and needs --yes elsewhere.
    """
    lease = resources.settings().lease_seconds
    with storage_trouble():
        database = resources.database()
        if database.is_sqlite:
            require_backup(file, database)
            refuse_over_work(database, lease=lease, force=force)
            if force and sqlite_file(database).exists() and not yes and not _agreed():
                note("nothing changed")
                ctx.exit(1)
        lock = StackLock(resources.make_home())
        lock.acquire()
        try:
            done = put_back(
                file, database, lease=lease, pause=resources.pause, force=force,
                by=resources.person(),
            )  # fmt: skip
        finally:
            lock.release()
    if as_json:
        print_json(asdict(done))
        return
    click.echo(f"{counted(done.jobs, 'job')} restored, {_goes_on(done.taken_back, done.due)}")
    if done.schema != done.schema_before:
        click.echo(f"schema {done.schema_before} → {done.schema}")
    if done.aside:
        click.echo(f"the ledger that was there is {done.aside}")


@click.command("restored", cls=Command, example="vibe db restored")
@click.option(
    "--force", is_flag=True,
    help="Also while workers count as online, or where it was being moved to another database.",
)  # fmt: skip
@json_option
def restored_(force: bool, as_json: bool) -> None:
    """Let the work of a ledger go on that other tools have restored; before workers start.

    For PostgreSQL, after `pg_restore`. Due jobs are sent again, what ran when the backup was made
    runs again, without a failure counted, and the registry of workers is emptied.
    """
    with storage_trouble():
        database = _there()
        with database.read() as connection:
            copying = change_log.is_on(connection)
        if not copying:
            require_current(database)
        if not force:
            with database.read() as connection:
                lease = resources.settings().lease_seconds
                workers.refuse_while_online(connection, lease=lease)
        restored.end_copy(database, force=force)
        require_current(database)
        with database.begin() as connection:
            done = restored.resume(connection, by=resources.person())
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(_goes_on(done.taken_back, done.due))


def _there() -> Database:
    """The ledger of any version, where there is one.

    Raises:
        InputError: There is none.
    """
    require_ledger()
    return resources.database()


def _agreed() -> bool:
    """Ask; a program that cannot be asked has to say --yes."""
    if not sys.stdin.isatty():
        raise InputError("this moves the ledger aside: give --yes where nobody can be asked")
    return click.confirm("This moves the ledger aside and puts the backup in its place. Go on?",
                         err=True)  # fmt: skip


def _goes_on(taken_back: int, due: int) -> str:
    return f"{counted(due, 'job')} may start, {counted(taken_back, 'attempt')} taken back"


def _tell(done: Vacuumed) -> None:
    for name, found in (("before", done.before), ("after", done.after)):
        click.echo(f"{name:<7} {_megabytes(found.size)}, {_rest(found)}")
    if done.more:
        click.echo("there is more to give back: run it again")


def _rest(found: Room) -> str:
    if found.free is None:
        return counted(found.dead, "dead row")
    return f"{_megabytes(found.free)} of it free, log {_megabytes(found.log)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
