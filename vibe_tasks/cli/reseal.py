"""`vibe db reseal`: payloads sealed with another key, for the first time, or no more."""

from __future__ import annotations

from functools import partial

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import ledger_exists, place, storage_trouble
from vibe_tasks.cli.printing import counted, json_option, note, print_json
from vibe_tasks.errors import InputError
from vibe_tasks.store import audit
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.resealing import reseal as seal_anew
from vibe_tasks.tasks import resources

BREATH = 0.01
"""Seconds between two batches: SQLite gives the next turn to whoever asks at that moment."""


@click.command(
    cls=Command,
    example="VIBE_PAYLOAD_KEYS=NEW,OLD vibe db reseal\nVIBE_PAYLOAD_KEYS=none,OLD vibe db reseal",
)
@json_option
@click.pass_context
def reseal(ctx: click.Context, as_json: bool) -> None:
    """Seal all payloads with the first key of VIBE_PAYLOAD_KEYS, while workers go on.

    The other keys open what is sealed with them; `none` as the first opens all for good. Killed
    half way, nothing is lost: say it again. Exit code 1 where a value is sealed with none of them.
    """
    with storage_trouble():
        if not ledger_exists():
            raise InputError(f"there is no ledger in {place()}")
        sealing = resources.sealing()
        if sealing is None:
            raise InputError("VIBE_PAYLOAD_KEYS is not set: with which key?")
        ledger = resources.ledger()
        as_it_is = open_database(resources.database_url())
        try:
            done = seal_anew(as_it_is, sealing, pause=partial(resources.pause, BREATH))
        finally:
            as_it_is.close()
        told = {"written": done.written, "left": dict(done.left), "key": done.key}
        audit.note_apart(ledger, resources.person(), "db.reseal", None, told)
    if as_json:
        print_json(told)
    else:
        how = "are plain now" if done.key is None else f"are sealed with key {done.key} now"
        click.echo(f"{counted(done.written, 'value')} {how}")
    for table, number in done.left.items():
        note(f"vibe: {table}: {counted(number, 'value')} sealed with none of VIBE_PAYLOAD_KEYS")
    ctx.exit(1 if done.left else 0)
