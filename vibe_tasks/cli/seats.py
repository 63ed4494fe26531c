"""The reviewers of a qa job, as `vibe jobs show` tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.printing import one_line, short_id
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.consensus import Seat, seats_of
from vibe_tasks.store.engine import Transaction


def seats_told(connection: Transaction, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each reviewer of a qa job said, by seat: `seat`, `agent`, `verdict`, or `why` there is
    none, and the `job_id` of the review; empty for other jobs and where nobody was asked.
    """
    if row["kind"] != "qa" or row["plan_id"] is None:
        return []
    seats = sorted(seats_of(connection, row), key=lambda seat: seat.number)
    return [
        {
            "seat": seat.number, "agent": seat.agent, "verdict": _verdict(seat),
            "why": None if _verdict(seat) else _why_not(seat), "job_id": seat.id,
        }
        for seat in seats
    ]  # fmt: skip


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


def _verdict(seat: Seat) -> str | None:
    said = seat.result if isinstance(seat.result, Mapping) else {}
    return str(said.get("verdict")) if seat.status == JobStatus.COMPLETED else None


def _why_not(seat: Seat) -> str:
    if seat.status == JobStatus.PROCESSING:
        return "under way"
    return seat.error or ("yet to come" if seat.live else str(seat.status))
