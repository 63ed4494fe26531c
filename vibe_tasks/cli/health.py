"""`vibe health`: one question each, for probes and monitors.

Each command starts a Python process, which takes about a second of CPU time: right for readiness
and for a monitor, too dear for a liveness probe every few seconds, which looks at the age of
`VIBE_ALIVE_FILE` instead.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import ledger_exists, look_into_ledger, place
from vibe_tasks.cli.printing import json_option, print_json, span
from vibe_tasks.cli.workers import registry
from vibe_tasks.errors import InputError, SettingsError
from vibe_tasks.masking import masked
from vibe_tasks.store import upkeep
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import probe

SILENT_BEAT = 30.0
"""Seconds; the entry runs every second, and another beat takes over after 20."""

SLOW_DISPATCHER = 10.0
"""Seconds; a dispatcher that lives sends what is due within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer to one question.

    Attributes:
        part: What was asked about.
        healthy: Whether it is at work.
        text: Why, in one line.
        age: Seconds that were compared with the limit; None where nothing was to be measured.
    """

    part: str
    healthy: bool
    text: str
    age: float | None = None


Question = Callable[..., None]
"""The function of a command."""


def _age_option(usual: str) -> Callable[[Question], Question]:
    return click.option(
        "--max-age", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
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
    _answer(ctx, "worker", lambda: _worker(wanted, limit), as_json=as_json)


@health.command(example="vibe health beat --max-age 60")
@_age_option(f"{SILENT_BEAT:.0f}")
@json_option
@click.pass_context
def beat(ctx: click.Context, max_age: float | None, as_json: bool) -> None:
    """Does a beat lead, and a worker of `control` do what it sends?

    Asks about the fleet and not about one process: of two beats one stands by.
    """
    _answer(ctx, "beat", lambda: _beat(max_age or SILENT_BEAT), as_json=as_json)


@health.command(example="vibe health dispatcher")
@_age_option(f"{SLOW_DISPATCHER:.0f}")
@json_option
@click.pass_context
def dispatcher(ctx: click.Context, max_age: float | None, as_json: bool) -> None:
    """Is what is due sent, by beat or by a dispatcher's process?"""
    _answer(ctx, "dispatcher", lambda: _dispatcher(max_age or SLOW_DISPATCHER), as_json=as_json)


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
    _answer(ctx, "broker", _broker, as_json=as_json)


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


def _worker(name: str, limit: float) -> Health:
    with look_into_ledger() as opened, opened.read() as connection:
        rows = registry(list_workers(connection), lease=limit)
    mine = next((each for each in rows if each["worker_id"] == name), None)
    if mine is None:
        others = ", ".join(each["worker_id"] for each in rows if each["status"] == "online")
        hint = f"; online: {others}" if others else ""
        return Health(part="worker", healthy=False, text=f"{name} has not registered{hint}")
    age, status = float(mine["age"]), mine["status"]
    return Health(
        part="worker", healthy=age <= limit and status not in {"lost", "offline"},
        text=f"{name} is {status}, its last beat was {span(age)} ago", age=age,
    )  # fmt: skip


def _beat(limit: float) -> Health:
    with look_into_ledger() as opened, opened.read() as connection:
        age = upkeep.seconds_since(connection, upkeep.DISPATCH)
    if age is None:
        return Health(part="beat", healthy=False, text="nothing that it sends was ever done")
    text = f"what it sends was last done {span(age)} ago"
    return Health(part="beat", healthy=age <= limit, text=text, age=age)


def _dispatcher(limit: float) -> Health:
    with look_into_ledger() as opened, opened.read() as connection:
        age = oldest_unsent(connection)
    text = f"a job is due and unsent since {span(age)}" if age else "nothing due waits to be sent"
    return Health(part="dispatcher", healthy=age <= limit, text=text, age=age)


def _ledger() -> Health:
    if not ledger_exists():
        return Health(part="ledger", healthy=False, text=f"there is none in {place()}")
    with look_into_ledger():
        return Health(part="ledger", healthy=True, text=f"schema {SCHEMA_VERSION}")


def _broker() -> Health:
    found = probe(resources.broker_url())
    if found.forgets:
        text = f"{found.name} drops messages when it is full (maxmemory-policy {found.policy})"
        return Health(part="broker", healthy=False, text=text)
    where = masked(resources.broker_url())
    return Health(part="broker", healthy=True, text=f"{found.name} at {where}")
