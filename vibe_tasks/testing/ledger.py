"""A ledger as a test looks into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibe_tasks.flow import by_hand
from vibe_tasks.store import history, jobs
from vibe_tasks.store.engine import Database

ALL = 100_000
"""Jobs of one test."""


class VibeLedger:
    """What the fixture `vibe_ledger` gives: the jobs that a test has made.

    A job is named by its result, as `delay` gives it, or by its id.

    Args:
        database: The ledger's database.

    Attributes:
        database: The same, for functions such as `claim_next_job`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def job(self, which: Any) -> dict[str, Any]:
        """The job's row: `status`, `lane`, `priority`, `attempt`, `retry_count`, `error`, ….

        Raises:
            UnknownJobError: There is none.
        """
        with self.database.read() as connection:
            return jobs.find_job(connection, id_of(which))

    def jobs(self, **where: str) -> list[dict[str, Any]]:
        """The rows of all jobs, or of those with such columns, in the order of their submission."""
        with self.database.read() as connection:
            return list(reversed(jobs.list_jobs(connection, where=where, limit=ALL)))

    def history(self, which: Any) -> list[Mapping[str, Any]]:
        """Each change of the job's `status`, oldest first; `details` has errors and reasons."""
        return list(history.history_of(self.database, id_of(which)))

    def errors(self, which: Any) -> list[str]:
        """The errors of the job's failed attempts, oldest first."""
        found = (each for each in self.history(which) if each["from_status"] == "processing")
        return [each["details"] for each in found if each["details"]]

    def dead_letters(self) -> list[dict[str, Any]]:
        """The rows of the jobs that nobody will try again by himself."""
        with self.database.read() as connection:
            return list(reversed(jobs.list_jobs(connection, dead=True, limit=ALL)))

    def retry(self, which: Any) -> None:
        """Retry a dead letter, or what was cancelled, as `vibe dlq retry` does.

        Raises:
            UnknownJobError: There is no such job.
            IllegalMoveError: It has not failed.
        """
        by_hand.retry(self.database, id_of(which), by=None)


def id_of(which: Any) -> str:
    """The id of a job that is named by its result or its id."""
    return str(getattr(which, "id", which))
