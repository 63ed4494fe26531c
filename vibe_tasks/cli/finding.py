"""What `vibe doctor` finds."""

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
