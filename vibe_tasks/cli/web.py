"""`vibe web`: the HTTP API, the event stream and the dashboard."""

from __future__ import annotations

from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import open_ledger
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import logs
from vibe_tasks.web.run import run_web


@click.command(cls=Command, example="vibe web --port 8080")
@click.option("--host", metavar="HOST", help="Address to listen on. [default: VIBE_WEB_HOST]")
@click.option(
    "--port", type=Whole(0, 65_535), metavar="PORT",
    help="Port; 0 for any free one. [default: VIBE_WEB_PORT]",
)  # fmt: skip
@click.option(
    "--processes", type=Whole(1, 64), default=1, show_default=True, metavar="N",
    help="Processes that share the port.",
)  # fmt: skip
def web(host: str | None, port: int | None, processes: int) -> None:
    """Serve the API, the event stream and the dashboard until Ctrl-C.

    It listens on this machine alone unless told otherwise, and then needs VIBE_API_TOKEN. It looks
    at the ledger that the settings name, whoever works on it.
    """
    given: dict[str, Any] = {"web_host": host, "web_port": port}
    settings = resources.settings().model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    logs.set_up(settings)
    with open_ledger() as ledger:
        run_web(settings, ledger, processes=processes, ready=_tell)


def _tell(url: str) -> None:
    click.echo(f"dashboard  {url}/")
    click.echo(f"events     {url}/events")
    click.echo("Ctrl-C stops it")
