"""The ledger's archive: moving what is old, and telling how much of everything there is."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vibe_tasks.jobs import LIVE
from vibe_tasks.retention import Keeping, rest_after
from vibe_tasks.store import job_archive
from vibe_tasks.store.batches import Step
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.history import SECONDS_PER_DAY, count_history
from vibe_tasks.store.job_rows import results_of
from vibe_tasks.store.retention import SELDOM, tidying

FOLDERS = 200
"""Folders of attempts that are looked at together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What became of old rows.

    Attributes:
        archived: Rows that went to the archive, by the table that they left.
        deleted: Rows that were deleted, by table.
        more: Whether there may be more to do.
    """

    archived: Mapping[str, int] = field(default_factory=dict)
    deleted: Mapping[str, int] = field(default_factory=dict)
    more: bool = False


def tidy(
    ledger: Database, keeping: Keeping, *, monotonic: Callable[[], float],
    pause: Callable[[float], None], seconds: float | None = None, seldom: float = 0.0,
) -> Tidied:  # fmt: skip
    """Archive and delete what the ledger does not keep, and leave others most of the time.

    Args:
        ledger: The ledger.
        keeping: What is kept.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
        seconds: After which to stop; None: when all is done.
        seldom: As that of `tidying`.
    """
    began = monotonic()
    archived, deleted = Counter[str](), Counter[str]()
    for step in tidying(ledger, keeping, monotonic=monotonic, seldom=seldom):
        (archived if step.verb == "archived" else deleted)[step.table] += step.rows
        if seconds is not None and monotonic() - began >= seconds:
            return Tidied(archived=dict(archived), deleted=dict(deleted), more=True)
        pause(rest_after(step.seconds))
    return Tidied(archived=dict(archived), deleted=dict(deleted))


def figures(ledger: Database, done: Tidied, *, folders: int) -> dict[str, Any]:
    """What was done and how much there is now, as JSON values.

    Args:
        ledger: The ledger.
        done: What became of old rows.
        folders: Folders of attempts that were deleted from this host.
    """
    history, archive = count_history(ledger)
    with ledger.read() as connection:
        ended, archived = job_archive.count_jobs(connection)
    return {
        "moved": done.archived.get("job_history", 0), "history": history, "archive": archive,
        "jobs": {"moved": done.archived.get("jobs", 0), "ended": ended, "archive": archived},
        "deleted": {table: rows for table, rows in sorted(done.deleted.items()) if rows},
        "folders": folders,
    }  # fmt: skip


class Turns:
    """The steps of one pass after another, a few at a time between other work.

    Args:
        ledger: The ledger.
        keeping: What is kept.
        monotonic: Seconds that only ever grow.
        pause: Waits so many seconds.
    """

    def __init__(
        self, ledger: Database, keeping: Keeping, *, monotonic: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._keeping = keeping
        self._monotonic = monotonic
        self._pause = pause
        self._steps: Iterator[Step] | None = None

    def take(self, most: int) -> bool:
        """Do at most so many steps; whether there are more in this pass."""
        if self._steps is None:
            self._steps = tidying(
                self._ledger, self._keeping, monotonic=self._monotonic, seldom=SELDOM
            )
        # What breaks here begins anew the next time: a generator that raised is over.
        steps, self._steps = self._steps, None
        for _ in range(most):
            step = next(steps, None)
            if step is None:
                return False
            self._pause(rest_after(step.seconds))
        self._steps = steps
        return True


def remove_old_attempts(
    ledger: Database, home: Path, days: float, *, most: int | None = None
) -> int:
    """Delete the folders with attempts' files of jobs of which nothing was written for so long; how
    many. What has not ended keeps its own, and so does a dead letter.

    Args:
        ledger: The ledger.
        home: This host's.
        days: Age; 0: nothing is deleted.
        most: Folders after which to stop, or a few more; None: when all is done.
    """
    place = home / "attempts"
    if not days or not place.is_dir():
        return 0
    before = server_time(ledger) - days * SECONDS_PER_DAY
    old = (each for each in place.iterdir() if _written(each) < before)
    gone = 0
    while (most is None or gone < most) and (found := list(islice(old, FOLDERS))):
        some = {each.name: each for each in found}
        with ledger.read() as connection:
            known = results_of(connection, some)
            dead = job_archive.dead_among(connection, list(some))
        for job_id, folder in some.items():
            if job_id not in dead and (job_id not in known or known[job_id].status not in LIVE):
                shutil.rmtree(folder, ignore_errors=True)
                gone += not folder.exists()
    return gone


def _written(folder: Path) -> float:
    """When something in this job's folder was written last; in future for what is no folder, and
    where something goes away while we look.
    """
    if folder.is_symlink() or not folder.is_dir():
        return float("inf")
    try:
        places = [folder, *folder.iterdir()]
        files = [file for place in places if place.is_dir() for file in place.iterdir()]
        return max(each.lstat().st_mtime for each in (*places, *files))
    except OSError:
        return float("inf")
