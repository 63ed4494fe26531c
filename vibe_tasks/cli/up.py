"""`vibe up`: the embedded stack in the foreground."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.crew import Crew
from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import open_ledger
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import counted
from vibe_tasks.cli.run import log_to_file, workers_option
from vibe_tasks.cli.served_lanes import served_lanes
from vibe_tasks.errors import InputError, SettingsError
from vibe_tasks.fleet import FleetLane, parse_fleet
from vibe_tasks.stack.flower import HOST, flower_port
from vibe_tasks.tasks import resources
from vibe_tasks.web.place import find_server

LOOK = 0.25
"""Seconds between two looks at the children."""


@click.command(cls=Command, example="VIBE_IMPORTS=shop.jobs vibe up --workers 4")
@workers_option
@click.option(
    "--max-workers", type=Whole(1, 256), metavar="N",
    help="Let the worker grow to so many processes when jobs wait, from those of --workers.",
)  # fmt: skip
@click.option(
    "--flower", is_flag=True,
    help="Run Flower too, on http://127.0.0.1:5555, or the port that FLOWER_PORT names.",
)  # fmt: skip
@click.option(
    "--web", is_flag=True,
    help="Run the API and the dashboard too, on http://127.0.0.1:4000, or where VIBE_WEB_HOST and "
    "VIBE_WEB_PORT say.",
)  # fmt: skip
def up(processes: int, max_workers: int | None, flower: bool, web: bool) -> None:
    """Run the whole embedded stack until Ctrl-C: broker, worker, dispatcher, beat.

    For programs that call `.delay()` and for `vibe submit`. The worker serves the lanes of the
    modules that VIBE_IMPORTS names, too.
    """
    grow_to = max_workers or 0
    if grow_to and grow_to < processes:
        raise InputError(f"--max-workers: fewer than --workers, {grow_to} and {processes}")
    if resources.settings().broker_url:
        raise SettingsError(
            "VIBE_BROKER_URL is set, and `vibe up` brings a broker of its own: unset it, or "
            "start workers with `celery -A vibe_tasks worker`"
        )
    port = flower_port(os.environ) if flower else 0
    if web:
        # Who does not want it shall not wait for its libraries.
        from vibe_tasks.web.server import open_door  # noqa: PLC0415

        open_door(resources.settings()).close()  # what is wrong with it would stand in a log alone
    log_to_file()
    lanes, fleet = served_lanes(), parse_fleet(resources.settings().fleet)
    home = resources.home()
    with open_ledger() as ledger:
        crew = Crew(
            ledger, home, processes=processes, lanes=lanes, beat=True, flower=port,
            grow_to=grow_to, web=web,
        )  # fmt: skip
        with crew, Interruption() as interruption:
            crew.start()
            click.echo(f"home     {home}")
            click.echo(f"ledger   {ledger.engine.url.render_as_string(hide_password=True)}")
            click.echo(f"broker   {resources.broker_url()}")
            click.echo(f"worker   {_processes(processes, grow_to)} for {', '.join(lanes)}")
            _show_fleet(fleet)
            if port:
                click.echo(f"flower   http://{HOST}:{port}")
            click.echo(f"logs     {crew.stack.logs}")
            _keep(crew, interruption, web=web)
            click.echo("stopping")
    if any(each.provisioner == "process" for each in fleet):
        click.echo("the fleet's workers finish their jobs and end; idle ones in about 30 s")
    click.echo("stopped; what was not finished goes on with the next start")


def _keep(crew: Crew, interruption: Interruption, *, web: bool) -> None:
    """Keep the stack running until a signal comes, and tell when its parts are there."""
    ready, seen = False, not web
    while not interruption.came:
        crew.poll()
        if not seen and (url := find_server(resources.home())) is not None:
            seen = True
            click.echo(f"web      {url}/")
        if not ready and seen and crew.at_work():
            ready = True
            click.echo("ready; Ctrl-C stops it")
        resources.pause(LOOK)


def _processes(least: int, most: int) -> str:
    return (
        f"{least} to {most} processes" if most > least else counted(least, "process", "processes")
    )


def _show_fleet(fleet: Iterable[FleetLane]) -> None:
    for each in fleet:
        size = f"{each.least} to {each.most} workers"
        click.echo(f"fleet    {size} for {each.lane}, by {each.provisioner}")
