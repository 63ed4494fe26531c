"""Numbers and files as commands take them, refused in words that say what to give."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import click

MOST_SECONDS = 366 * 86_400
"""Seconds that a command waits or allows at most: a year."""

LARGEST = 2**63 - 1
"""The largest number that a column of the ledger holds."""


class Number(click.FloatRange):
    """A number between two bounds, and so neither NaN nor infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or one line that says what to give."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = None
        if number is None or not isfinite(number):
            self.fail(_give("number", self, value), param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number between two bounds, that a column of the ledger can hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or one line that says what to give."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = None
        if number is None or abs(number) > LARGEST:
            self.fail(_give("whole number", self, value), param, ctx)
        return number


class File(click.Path):
    """The path of a file, there or not."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; an empty text would be the folder that one is in."""
        if not str(value):
            self.fail("give the name of a file", param, ctx)
        return super().convert(value, param, ctx)


DAYS = Number(min=0, max=36_500)
"""A number of days, as the settings take them: a hundred years at most."""


def _give(what: str, bounds: click.FloatRange | click.IntRange, value: object) -> str:
    if bounds.min is not None and bounds.max is not None:
        first = f"above {bounds.min}, up to" if bounds.min_open else f"from {bounds.min} to"
        what += f" {first} {bounds.max}"
    elif bounds.min is not None:
        what += f" above {bounds.min}" if bounds.min_open else f" of at least {bounds.min}"
    return f"give a {what}, not {value!r}"
