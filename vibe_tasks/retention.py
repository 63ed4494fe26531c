"""What a ledger keeps and for how long, and how much of the rest goes at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vibe_tasks.settings import Settings

AIM = 0.01
"""Seconds for which one batch is to keep SQLite's other writers waiting. Ten claimers of one SQLite
file wait for each other about as long already."""

AIM_ON_SERVER = 0.02
"""Seconds of one batch on PostgreSQL, where none waits for its locks, but for the processor."""

FEWEST, MOST = 100, 5_000
"""Rows of one batch."""

REST = 4.0
"""A batch is followed by a rest so many times as long: four fifths of the time are others'."""

BREATH = 0.01
"""Seconds of the shortest rest: SQLite gives the next turn to whoever asks at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept; None is for ever, or any number of rows.

    Attributes:
        history_days: Age in days from which a row of the history goes to its archive.
        history_keep: Rows that the history has at most.
        jobs_days: Days after its end from which a job goes to the archive.
        jobs_keep: Ended jobs that are not in the archive, at most.
        archive_days: Age in days from which what is archived is deleted.
        archive_keep: Rows of each archive at most.
        usage_days: Age in days from which what agents used is kept as sums alone.
        scale_days: Age in days from which decisions on the fleet's size are deleted, but for the
            newest of each lane.
    """

    history_days: float | None = 7.0
    history_keep: int | None = None
    jobs_days: float | None = 30.0
    jobs_keep: int | None = None
    archive_days: float | None = None
    archive_keep: int | None = None
    usage_days: float | None = None
    scale_days: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not value >= 0:
                raise ValueError(f"{each.name} must be zero or more, got {value}")

    def but(self, *, history_days: float | None, jobs_days: float | None) -> Keeping:
        """The same with these, where they are given: 0 is then all there is."""
        return replace(
            self,
            history_days=self.history_days if history_days is None else history_days,
            jobs_days=self.jobs_days if jobs_days is None else jobs_days,
        )

    @property
    def deletes_archive(self) -> bool:
        """Whether anything archived is ever deleted."""
        return self.archive_days is not None or self.archive_keep is not None


def keeping(settings: Settings) -> Keeping:
    """What the settings say; 0 there is for ever."""
    given = {each.name: getattr(settings, each.name) or None for each in fields(Keeping)}
    return Keeping(**given)


def next_size(size: int, seconds: float, *, aim: float = AIM, most: int = MOST) -> int:
    """Rows of the next batch: as many as take so long at the pace of the last one, but no more than
    twice and no less than half as many as it had. One that the disk held up says little.

    Args:
        size: Rows that the last batch was to have.
        seconds: That it took.
        aim: Seconds that one is to take.
        most: Rows at most.
    """
    fits = int(size * aim / seconds) if seconds > 0 else most
    return min(most, 2 * size, max(FEWEST, size // 2, fits))


def rest_after(seconds: float) -> float:
    """Seconds to leave to others after a batch that took so long."""
    return max(BREATH, REST * seconds)
