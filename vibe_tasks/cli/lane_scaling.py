"""Options of `vibe lanes limit` for the rules of scaling, and those rules in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import Any

import click

from vibe_tasks.errors import InputError
from vibe_tasks.store.scaling_rules import Rules

NO_RULE = "none"

OPTIONS: Mapping[str, tuple[str, str, str]] = {
    "min_size": ("--min", "NUMBER", "Fewest workers that scaling leaves the lane."),
    "max_size": ("--max", "NUMBER", "Most workers that scaling gives the lane."),
    "up_depth": ("--scale-up", "NUMBER", "Grow when more jobs than this wait."),
    "down_depth": ("--scale-down", "NUMBER", "Shrink only while fewer jobs than this wait."),
    "up_age": ("--scale-age", "SECONDS", "Grow when a job has waited so long."),
    "down_after": ("--scale-after", "SECONDS", "Shrink when fewer were enough for so long."),
}
"""Option, metavar and help of each rule."""

WHOLE = ("min_size", "max_size", "up_depth", "down_depth")


def scaling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all rules; each gives its text, or None where it was not given."""
    for name, (option, metavar, text) in reversed(list(OPTIONS.items())):
        command = click.option(option, name, metavar=metavar, help=text)(command)
    return command


def changes(given: Mapping[str, str | None]) -> dict[str, float | None]:
    """Rules to set, or with None to remove, of the options that were given.

    Raises:
        InputError: One is no number.
    """
    return {name: _value(name, text) for name, text in given.items() if text is not None}


def _value(name: str, text: str) -> float | None:
    if text == NO_RULE:
        return None
    try:
        value = int(text) if name in WHOLE else float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        kind = "a whole number" if name in WHOLE else "a number of seconds"
        raise InputError(f"{OPTIONS[name][0]} must be {kind}, or {NO_RULE}, got {text!r}")
    return value


def refusal(error: ValueError) -> InputError:
    """What the store says of rules that do not go together, in the words of the options."""
    text = str(error)
    for name, (option, _, _) in OPTIONS.items():
        text = text.replace(name, option)
    return InputError(text)


def rules_text(rules: Rules | None) -> str | None:
    """What was set, in words; None for nothing."""
    if rules is None or rules == Rules():
        return None
    words = []
    for value, text in (
        (rules.min_size, "at least {:d} workers"), (rules.max_size, "at most {:d} workers"),
        (rules.up_depth, "up above {:d}"), (rules.up_age, "up after {:g} s"),
        (rules.down_depth, "down below {:d}"), (rules.down_after, "down after {:g} s"),
    ):  # fmt: skip
        if value is not None:
            words.append(text.format(value))
    return ", ".join(words)
