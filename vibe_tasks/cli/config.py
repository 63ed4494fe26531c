"""`vibe config`: the effective settings."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.printing import json_option, print_json, print_table
from vibe_tasks.setting_sources import PREFIX
from vibe_tasks.tasks import resources


@click.command(cls=Command, example="VIBE_LEASE_SECONDS=60 vibe config")
@json_option
def config(as_json: bool) -> None:
    """Show every setting, its value and where it came from; passwords are masked.

    A setting comes from an environment variable, else from vibe.toml in the current folder,
    else it has its default.
    """
    listing, derived = resources.shown_settings()
    if as_json:
        settings = [
            {"name": each.name, "value": each.value, "source": each.source} for each in listing
        ]
        print_json({"settings": settings, "in_use": derived})
        return
    print_table(
        ("SETTING", "VALUE", "FROM"),
        [(f"{PREFIX}{each.name.upper()}", _shown(each.value), each.source) for each in listing],
        empty="no settings",
    )
    click.echo()
    print_table(("IN USE", ""), derived.items(), empty="")


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
