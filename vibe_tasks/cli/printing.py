"""What commands print: lines, aligned columns, or JSON alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from vibe_tasks.words import counted, span

__all__ = [
    "clock", "counted", "json_option", "moment", "note", "one_line", "print_json", "print_table",
    "short_id", "span",
]  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
"""`--json` of listings and reports."""


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True, default=str))


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    click.echo(text, err=True)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Aligned columns; on a terminal no line is longer than it is wide.

    Args:
        headers: One for each column.
        rows: Values in the order of the headers; None and "" are printed as `-`.
        empty: What to say where there is no row.
    """
    table = [[one_line("-" if cell in (None, "") else str(cell)) for cell in row] for row in rows]
    if not table:
        click.echo(empty)
        return
    widths = [max(map(len, column)) for column in zip(headers, *table, strict=True)]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.secho(_line(headers, widths, limit), bold=True)
    for row in table:
        click.echo(_line(row, widths, limit))


def _line(cells: Sequence[str], widths: Sequence[int], limit: int | None) -> str:
    text = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str, *, most: int = 300) -> str:
    """The text as one line without control characters: agents' words must not steer a terminal."""
    words = "".join(each if each.isprintable() else " " for each in text[: 4 * most]).split()
    joined = " ".join(words)
    return joined if len(joined) <= most else f"{joined[: most - 1]}…"


def short_id(job_id: str) -> str:
    """The beginning of a UUID, as commands accept it; other ids stay whole."""
    return job_id[:8] if len(job_id) == 36 and job_id.count("-") == 4 else job_id


def clock(epoch: float) -> str:
    """Hours, minutes and seconds here, of epoch seconds."""
    return datetime.fromtimestamp(epoch, tz=UTC).astimezone().strftime("%H:%M:%S")


def moment(epoch: float | None) -> str | None:
    """Date and time here, of epoch seconds."""
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
