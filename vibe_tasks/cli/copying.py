"""`vibe db copy`: the ledger in another database, and the move to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.cli.main import FAILED
from vibe_tasks.cli.printing import counted, json_option, note, print_json, span
from vibe_tasks.errors import InputError, MovedError
from vibe_tasks.masking import masked
from vibe_tasks.setting_kinds import database_url
from vibe_tasks.store import audit
from vibe_tasks.store.copying import switch
from vibe_tasks.store.copying.comparison import Compared, Mismatch, compare
from vibe_tasks.store.copying.copier import Copier, Progress, require_schema
from vibe_tasks.store.engine import Database, file_of, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.ledger_copy import schema_of
from vibe_tasks.tasks import resources

_SHOWN = 20
"""Mismatches that are printed; `--json` has more."""

_EXAMPLE = """\
vibe db copy sqlite:////srv/vibe/ledger.db postgresql://vibe@db/vibe
vibe db copy --switch sqlite:////srv/vibe/ledger.db postgresql://vibe@db/vibe"""


@click.command(cls=Command, example=_EXAMPLE)
@click.argument("origin", metavar="FROM")
@click.argument("to", metavar="TO")
@click.option(
    "--switch",
    "switching",
    is_flag=True,
    help="Close FROM, carry over the rest, compare, and let work go on in TO.",
)
@click.option("--compare-only", is_flag=True, help="Copy nothing; only compare the two.")
@click.option("--undo", is_flag=True, help="End the copy, or take back an unfinished switch.")
@click.option("--force", is_flag=True, help="With --undo: also where TO does not answer.")
@json_option
@click.pass_context
def copy(
    ctx: click.Context, *, origin: str, to: str, switching: bool, compare_only: bool, undo: bool,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Copy a ledger to another database while it is in use, and move to it.

    FROM and TO are URLs, sqlite:///PATH or postgresql://USER@HOST/NAME; `-` is the ledger of the
    settings. TO is empty, or an unfinished copy: a copy that was stopped goes on. Without --switch
    FROM stays in use; at the end all rows are compared. Exit code 1 where any differ.
    """
    if switching + compare_only + undo > 1:
        raise InputError("--switch, --compare-only and --undo exclude each other")
    if force and not undo:
        raise InputError("--force goes with --undo")
    with storage_trouble(), _opened(origin) as source, _opened(to) as target:
        _require_there(source, "FROM")
        if compare_only:
            _require_there(target, "TO")
        if undo:
            _undo(source, target, force=force, as_json=as_json)
        elif compare_only:
            for side, which in ((source, "FROM"), (target, "TO")):
                require_schema(side, which)
            began = resources.monotonic()
            found = compare(source, target)
            _tell(Progress(compared=found), began, as_json=as_json, switched=False)
            ctx.exit(FAILED if found.count else 0)
        else:
            require_schema(source, "FROM")
            wrong = _copy(source, target, switching=switching, as_json=as_json)
            ctx.exit(FAILED if wrong else 0)


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    try:
        database = open_database(
            resources.database_url() if url == "-" else database_url(url) or url
        )
    except ValueError as error:
        raise InputError(f"{masked(url)}: {error}") from error
    try:
        yield database
    finally:
        database.close()


def _require_there(database: Database, which: str) -> None:
    """Refuse a file that is no ledger, and one that is not there: a look into it would make it."""
    file = file_of(database.url)
    if file is None:
        return
    if not file.exists():
        raise InputError(f"{which}: there is no file {file}")
    schema_of(file)


def _patience() -> Patience:
    return Patience(sleep=resources.pause, tell=note)


def _copy(source: Database, target: Database, *, switching: bool, as_json: bool) -> int:
    """Copy, and switch where that is wanted; how many rows differ that should not."""
    began = resources.monotonic()
    if switch.is_over(source, target, _patience()):
        _tell_over(target, as_json=as_json)
        return 0
    copier = Copier(source, target, name=uuid4().hex, patience=_patience(), tell=note)
    closed = switch.closed_for(source)
    if closed is not None and not switching:
        raise MovedError(
            f"this ledger has moved to {closed}, or a switch there was stopped: "
            "--switch goes on with it, --undo takes it back"
        )
    copier.begin()
    if closed is None:
        audit.note_apart(
            source, resources.person(), "db.switch" if switching else "db.copy", copier.address
        )
    copier.copy_rows()
    copier.follow()
    found = switch.switch(copier) if switching else copier.compare()
    wrong = found.count if switching else found.wrong
    _tell(copier.progress, began, as_json=as_json, switched=switching and not wrong)
    return wrong


def _tell_over(target: Database, *, as_json: bool) -> None:
    if as_json:
        print_json({"switched": True})
    else:
        click.echo(f"the ledger has moved to {masked(target.url)} already")


def _undo(source: Database, target: Database, *, force: bool, as_json: bool) -> None:
    undone = switch.undo(source, target, _patience(), force=force)
    if undone:
        audit.note_apart(source, resources.person(), "db.copy.undo", str(masked(target.url)))
    if as_json:
        print_json({"undone": undone})
    elif undone:
        click.echo("the copy is ended, and the ledger as before; delete the copy")
    else:
        click.echo("there is no copy of this ledger under way")


def _tell(progress: Progress, began: float, *, as_json: bool, switched: bool) -> None:
    found = progress.compared
    assert found is not None  # noqa: S101  every way here has compared
    seconds = resources.monotonic() - began
    if as_json:
        print_json(_figures(progress, found, seconds, switched=switched))
        return
    for mismatch in found.mismatches[:_SHOWN]:
        click.echo(_line(mismatch))
    if found.count > _SHOWN:
        click.echo(f"… and {found.count - _SHOWN} more")
    click.echo(
        f"{counted(progress.rows, 'row')} copied, {counted(progress.changes, 'change')} carried "
        f"over, {counted(found.rows, 'row')} compared, "
        f"{counted(found.count, 'mismatch', 'mismatches')}; {span(seconds)}"
    )
    if switched:
        click.echo("switched: start workers and servers with the new VIBE_DATABASE_URL")
    elif progress.rows + progress.changes and not found.wrong:
        click.echo("the ledger notes its changes for the copy: --switch moves, --undo ends it")


def _line(mismatch: Mismatch) -> str:
    key = ", ".join(str(part) for part in mismatch.key)
    what = ", ".join(mismatch.columns) or f"not in the {mismatch.lacking}"
    pending = " (still to be carried over)" if mismatch.pending else ""
    return f"{mismatch.table} {key}: {what}{pending}"


def _figures(
    progress: Progress, found: Compared, seconds: float, *, switched: bool
) -> dict[str, Any]:
    return {
        "rows": progress.rows,
        "changes": progress.changes,
        "resumed": progress.resumed,
        "compared": found.rows,
        "mismatches": [asdict(each) for each in found.mismatches],
        "mismatch_count": found.count,
        "pending": found.pending,
        "switched": switched,
        "seconds": round(seconds, 3),
    }
