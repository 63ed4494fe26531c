"""A job's log as people read it: from its beginning, and on as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vibe_tasks.jobs import ENDED
from vibe_tasks.store import job_logs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.job_archive import job_anywhere

MOST = 100
"""Pieces that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Some lines of an attempt.

    Attributes:
        attempt: The attempt.
        lines: JSON objects with `attempt`, `seq`, `at`, `level`, `logger`, `text` and more.
    """

    attempt: int
    lines: tuple[dict[str, Any], ...]


def follow(
    ledger: Database, job_id: str, *, attempt: int | None, on: bool, pause: Callable[[], None]
) -> Iterator[Followed]:
    """What a job has said, oldest first; then, where that is wanted, what it says until it ends.

    Args:
        ledger: The ledger.
        job_id: The job's id, or the beginning of it.
        attempt: Of this attempt alone; None: the latest that said anything, and those after it.
        on: Whether to go on until the job, or that attempt, has ended.
        pause: Waits until the next look.

    Raises:
        UnknownJobError: No such job.
    """
    with ledger.read() as connection:
        known = job_anywhere(connection, job_id)["id"]
        current = attempt or job_logs.latest_attempt(connection, known)
    after = 0
    while True:
        with ledger.read() as connection:
            # Looked at first: what a job has said is written before its end is.
            row = job_anywhere(connection, known)
            pieces = job_logs.pieces_of(connection, known, current, after=after, limit=MOST)
        if pieces:
            after = pieces[-1]["seq"]
            yield Followed(attempt=current, lines=_lines(pieces))
            continue
        over = row["status"] in ENDED or (attempt is not None and row["attempt"] > attempt)
        if on and attempt is None and row["attempt"] > current:
            current, after = current + 1, 0  # one that says nothing is passed over
        elif over or not on:
            return
        else:
            pause()


def _lines(pieces: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"attempt": piece["attempt"], "seq": piece["seq"], **line}
        for piece in pieces
        for line in piece["lines"]
    )
