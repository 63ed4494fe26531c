"""`vibe jobs log`: what a job says while it runs, or has said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import look_into_ledger
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import json_option, one_line, print_json
from vibe_tasks.flow.views.job_log import Followed, follow
from vibe_tasks.log_buffer import LONGEST_LINE
from vibe_tasks.tasks import resources

LOOK = 0.5
"""Seconds between two looks for more."""


@click.command(cls=Command, example="vibe jobs log 1b9d6bcd --follow")
@click.argument("job_id", metavar="ID")
@click.option(
    "--attempt", type=Whole(1, 2**31 - 1), metavar="N",
    help="That of this attempt. [default: the latest that said anything]",
)  # fmt: skip
@click.option("--follow", "-f", "on", is_flag=True, help="Go on until the job has ended.")
@json_option
def log(job_id: str, attempt: int | None, on: bool, as_json: bool) -> None:
    """Print what a job has said: its log lines, warnings and prints, its agent's and its checks'
    output.

    Of each attempt the beginning and the end are kept; a line tells what is missing between them.
    With --follow and --json each line is one JSON object.
    """
    with look_into_ledger() as ledger:
        found = follow(ledger, job_id, attempt=attempt, on=on, pause=_pause)
        if as_json and not on:
            print_json([line for each in found for line in each.lines])
            return
        for line in _lines(found, attempts=on and attempt is None, as_json=as_json):
            click.echo(line)


def _pause() -> None:
    resources.pause(LOOK)


def _lines(found: Iterator[Followed], *, attempts: bool, as_json: bool) -> Iterator[str]:
    """Lines for people, with a heading where another attempt begins, or JSON."""
    current = None
    for each in found:
        if as_json:
            yield from map(_json, each.lines)
            continue
        if attempts and each.attempt != current and current is not None:
            yield f"--- attempt {each.attempt}"
        current = each.attempt
        yield from map(_line, each.lines)


def _json(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _line(line: Mapping[str, Any]) -> str:
    at = line.get("at")
    when = datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%H:%M:%S") if at else " " * 8
    level, text = str(line.get("level") or ""), str(line.get("text") or "")
    margin = " " * (len(text) - len(text.lstrip(" ")))
    return f"{when}  {level:<8} {margin}{one_line(text, most=LONGEST_LINE)}"
