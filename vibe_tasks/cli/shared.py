"""Breakers and caches as commands show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import click

from vibe_tasks.breaker import State
from vibe_tasks.cli.printing import counted, print_table, span


def print_breakers(found: Collection[Mapping[str, Any]]) -> None:
    """Those that ever opened; of the others there is nothing to say."""
    rows = [
        (each["name"], _state(each), f"{each['error_rate']:.0f}% of {each['calls']}",
         each["times_opened"], each["reason"])
        for each in found
        if each["times_opened"]
    ]  # fmt: skip
    if rows:
        click.echo()
        print_table(("BREAKER", "STATE", "FAILED", "OPENED", "LAST TIME BECAUSE"), rows, empty="")


def _state(breaker: Mapping[str, Any]) -> str:
    if breaker["state"] == State.OPEN:
        return f"open for {span(breaker['wait_seconds'])}"
    return str(breaker["state"]).replace("_", " ")


def cache_line(figures: Mapping[str, Any]) -> str:
    """A cache in one line."""
    looks = figures["hits"] + figures["misses"]
    size = figures["bytes"] / 1_000_000
    return (
        f"{counted(figures['size'], 'result')} ({size:.1f} MB), {figures['making']} being made; "
        f"{figures['hits']} of {counted(looks, 'look')} found one ({figures['hit_rate']:.0f}%), "
        f"{figures['waits']} waited; {figures['evictions']} evicted"
    )
