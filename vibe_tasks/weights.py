"""What the router's terms are worth, in points.

Source: design document, feature 14, "Weighted Scoring Router".
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from vibe_tasks.suggestion import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The points of each term.

    Attributes:
        slot: For each free slot of a worker.
        senior: For a senior worker, where the job is hard.
        other: For any other worker, where the job is hard.
        hard: Effort from which a job is hard, from 1 to 5; above 5: none is.
        critical: For a critical job, whichever worker takes it.
        high: For a job of high priority, likewise.
    """

    slot: float = 10
    senior: float = 50
    other: float = -20
    hard: float = 4
    critical: float = 30
    high: float = 15


MOST = 10**6
"""Points, above or below zero."""

NAMES = tuple(each.name for each in fields(Weights))


def weights_of(text: str) -> Weights:
    """The weights of a text such as `senior=80,slot=5`; what it does not name is as designed.

    Raises:
        ValueError: A name is unknown, or a value no number.
    """
    given: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in NAMES:
            raise ValueError(f"no weight is called {name!r}{did_you_mean(name, NAMES)}")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not -MOST <= number <= MOST:
            raise ValueError(f"{name} must be a number, at most a million, got {value!r}")
        given[name] = int(number) if number.is_integer() else number
    return Weights(**given)
