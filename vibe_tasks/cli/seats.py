"""The reviewers of a qa job, as `vibe jobs show` tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.printing import one_line, short_id


def print_seats(seats: Sequence[Mapping[str, Any]]) -> None:
    """A line for each, with the id to look into its review; nothing where there are none."""
    if seats:
        click.echo("reviews")
    for seat in seats:
        said = seat["verdict"] or f"no vote: {seat['why']}"
        click.echo(
            f"  {seat['seat']}  {short_id(seat['job_id'])}  {one_line(seat['agent'])}: "
            f"{one_line(said)}"
        )
