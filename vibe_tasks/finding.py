"""The outcome of one check of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at.
        ok: Whether it is as it must be.
        text: What was found.
        mend: What to do about it; with `ok` this is a warning, empty where nothing is wrong.
        there: Whether there is such a thing here; with `ok` nothing needs it.
    """

    check: str
    ok: bool
    text: str
    mend: str = ""
    there: bool = True


def fine(check: str, text: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, ok=True, text=text)


def absent(check: str, text: str) -> Finding:
    """There is no such thing here, and nothing needs it."""
    return Finding(check=check, ok=True, text=text, there=False)


def warning(check: str, text: str, mend: str) -> Finding:
    """Work goes on, and somebody should look."""
    return Finding(check=check, ok=True, text=text, mend=mend)


def wrong(check: str, text: str, mend: str) -> Finding:
    """Work stands still, is lost, or soon will be."""
    return Finding(check=check, ok=False, text=text, mend=mend)
