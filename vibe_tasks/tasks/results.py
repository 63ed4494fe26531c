"""Results of jobs come from the ledger; Redis keeps only what Celery has beside jobs.

A job's status, result and error are in its row already, so nothing is written twice. Group
and chord bookkeeping, and results of plain Celery tasks, stay with Celery's Redis backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.backends.base import SyncBackendMixin
from celery.backends.redis import RedisBackend
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout

from vibe_tasks.errors import AttemptError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.jobs import results_of
from vibe_tasks.tasks import resources

FIRST_LOOK = 0.002
LONGEST_BETWEEN_LOOKS = 0.1
"""Seconds between two looks at jobs that somebody waits for; the time between them grows."""

IDS_IN_ONE_LOOK = 500
"""Jobs in one query; SQLite and PostgreSQL both bound the parameters of a statement."""

STATES = {
    JobStatus.BLOCKED: states.PENDING,
    JobStatus.PENDING: states.PENDING,
    JobStatus.PROCESSING: states.STARTED,
    JobStatus.COMPLETED: states.SUCCESS,
    JobStatus.FAILED: states.FAILURE,
    JobStatus.CANCELLED: states.REVOKED,
}
"""What a job's status is in Celery's words. A pending job that has failed before is RETRY."""


class JobFailedError(AttemptError):
    """What `AsyncResult.get()` raises for a job that ended as a dead letter."""


class LedgerBackend(SyncBackendMixin, RedisBackend):
    """Celery's result backend, answered from the ledger."""

    supports_native_join = True

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        found = self._look([task_id])
        return found[task_id] if found else super()._get_task_meta_for(task_id)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        task = self.app.tasks.get(getattr(request, "task", None))
        if getattr(task, "lane", None) is not None:
            return result  # a job's result is in its row
        return super()._store_result(
            task_id, result, state, traceback=traceback, request=request, **kwargs
        )

    def wait_for(self, task_id: str, timeout: float | None = None, **options: Any) -> Any:
        """Status and result of a task once it has ended.

        Raises:
            celery.exceptions.TimeoutError: It had not ended in time.
        """
        return next(iter(self.get_many([task_id], timeout=timeout, **options)))[1]

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        on_message: Any = None,
        on_interval: Any = None,
        **_ignored: Any,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (id, status and result) of these tasks as they end.

        All that are awaited are looked at together, more seldom the longer it takes.

        Raises:
            celery.exceptions.TimeoutError: Not all had ended in time.
        """
        self._ensure_not_eager()
        awaited = dict.fromkeys(task_ids)
        began = resources.monotonic()
        pause = FIRST_LOOK
        while True:
            for task_id, meta in self._ended(list(awaited)):
                del awaited[task_id]
                pause = FIRST_LOOK
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta
            if not awaited:
                return
            if on_interval:
                on_interval()
            left = None if timeout is None else began + timeout - resources.monotonic()
            if left is not None and left <= 0:
                raise CeleryTimeout("The operation timed out.")
            resources.pause(pause if left is None else min(pause, left))
            pause = min(LONGEST_BETWEEN_LOOKS, pause * 1.5)

    def _ended(self, task_ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for start in range(0, len(task_ids), IDS_IN_ONE_LOOK):
            some = task_ids[start : start + IDS_IN_ONE_LOOK]
            found = self._look(some)
            for task_id in some:
                meta = found.get(task_id) or super()._get_task_meta_for(task_id)
                if meta["status"] in states.READY_STATES:
                    yield task_id, meta

    def _look(self, task_ids: list[str]) -> dict[str, dict[str, Any]]:
        with resources.ledger().read() as connection:
            rows = results_of(connection, task_ids)
        return {task_id: _meta(row) for task_id, row in rows.items()}


def _meta(row: Any) -> dict[str, Any]:
    state = STATES[JobStatus(row.status)]
    result: Any = None
    if state == states.SUCCESS:
        result = row.result
    elif state == states.FAILURE:
        result = JobFailedError(row.error)
    elif state == states.REVOKED:
        result = TaskRevokedError(row.error or "cancelled")
    elif row.status == JobStatus.PENDING and row.retry_count:
        state = states.RETRY
    ended = state in states.READY_STATES
    return {
        "task_id": row.id,
        "status": state,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": datetime.fromtimestamp(row.status_updated_at, UTC) if ended else None,
        "retries": row.retry_count,
    }
