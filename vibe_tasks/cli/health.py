"""`vibe health`: one question each, for probes and monitors.

Each command starts a Python process, which takes about a second of CPU time: right for readiness
and for a monitor, too dear for a liveness probe every few seconds, which looks at the age of
`VIBE_ALIVE_FILE` instead.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Concatenate, ParamSpec

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import ledger_exists, look_into_ledger, place
from vibe_tasks.cli.numbers import MOST_SECONDS, Number
from vibe_tasks.cli.printing import json_option, print_json
from vibe_tasks.errors import InputError, SettingsError
from vibe_tasks.store.engine import Database
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import health as tasks_health
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.health import SILENT_BEAT, SLOW_DISPATCHER, Health

Given = ParamSpec("Given")

Question = Callable[..., None]
"""The function of a command."""


def _age_option(usual: str) -> Callable[[Question], Question]:
    return click.option(
        "--max-age", type=Number(min=0, min_open=True, max=MOST_SECONDS), metavar="SECONDS",
        help=f"Seconds that are still well. [default: {usual}]",
    )  # fmt: skip


@click.group(cls=Group)
def health() -> None:
    """Answer one question with one line; exit code 0: healthy, 1: not.

    A server that does not answer is not healthy either. Wrong settings are exit code 2, as ever.
    """


@health.command(example="vibe health worker --name celery@host1 --json")
@click.option("--name", metavar="NAME", help="The worker's name. [default: celery@ and this host]")
@_age_option("a lease")
@json_option
@click.pass_context
def worker(ctx: click.Context, name: str | None, max_age: float | None, as_json: bool) -> None:
    """Has this worker beaten in the registry lately?"""
    wanted = name or f"celery@{socket.gethostname()}"
    limit = max_age or resources.settings().lease_seconds
    _answer(ctx, "worker", lambda: _of_ledger(tasks_health.worker, wanted, limit), as_json=as_json)


@health.command(example="vibe health beat --max-age 60")
@_age_option(f"{SILENT_BEAT:.0f}")
@json_option
@click.pass_context
def beat(ctx: click.Context, max_age: float | None, as_json: bool) -> None:
    """Does a beat lead, and a worker of `control` do what it sends?

    Asks about the fleet and not about one process: of two beats one stands by.
    """
    _answer(
        ctx, "beat", lambda: _of_ledger(tasks_health.beat, max_age or SILENT_BEAT), as_json=as_json
    )


@health.command(example="vibe health dispatcher")
@_age_option(f"{SLOW_DISPATCHER:.0f}")
@json_option
@click.pass_context
def dispatcher(ctx: click.Context, max_age: float | None, as_json: bool) -> None:
    """Is what is due sent, by beat or by a dispatcher's process?"""
    limit = max_age or SLOW_DISPATCHER
    _answer(ctx, "dispatcher", lambda: _of_ledger(tasks_health.dispatcher, limit), as_json=as_json)


@health.command(example="until vibe health ledger; do sleep 5; done")
@json_option
@click.pass_context
def ledger(ctx: click.Context, as_json: bool) -> None:
    """Does the ledger answer, with this program's schema?"""
    _answer(ctx, "ledger", _ledger, as_json=as_json)


@health.command(example="vibe health broker")
@json_option
@click.pass_context
def broker(ctx: click.Context, as_json: bool) -> None:
    """Does the broker answer, and keep every message?"""
    _answer(ctx, "broker", lambda: tasks_health.broker(resources.broker_url()), as_json=as_json)


def _answer(ctx: click.Context, part: str, look: Callable[[], Health], *, as_json: bool) -> None:
    resources.settings()  # wrong ones are no illness of the part that is asked about
    try:
        found = look()
    except SettingsError:
        raise
    except InputError as error:
        found = Health(part=part, healthy=False, text=" ".join(str(error).split()))
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(f"{part}: {'healthy' if found.healthy else 'not healthy'}, {found.text}")
    ctx.exit(0 if found.healthy else 1)


def _of_ledger(
    look: Callable[Concatenate[Database, Given], Health], *args: Given.args, **kwargs: Given.kwargs
) -> Health:
    with look_into_ledger() as opened:
        return look(opened, *args, **kwargs)


def _ledger() -> Health:
    if not ledger_exists():
        return Health(part="ledger", healthy=False, text=f"there is none in {place()}")
    with look_into_ledger():
        return Health(part="ledger", healthy=True, text=f"schema {SCHEMA_VERSION}")
