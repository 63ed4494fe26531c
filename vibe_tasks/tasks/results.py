"""Results of jobs come from the ledger; Redis keeps only what Celery has beside jobs.

A job's status, result and error are in its row already, so nothing is written twice. Chords are
in the ledger too. Groups, and results of plain Celery tasks, stay with Celery's Redis backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.backends.base import SyncBackendMixin
from celery.backends.redis import RedisBackend
from celery.canvas import maybe_signature
from celery.exceptions import ChordError, TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from vibe_tasks.errors import AttemptError
from vibe_tasks.flow import chords
from vibe_tasks.jobs import JobStatus, Publication
from vibe_tasks.store import chords as chord_rows
from vibe_tasks.store.jobs import CHORD_ERROR, ended_of, results_of
from vibe_tasks.store.sealing import is_sealed
from vibe_tasks.tasks import follow, resources
from vibe_tasks.tasks.publisher import publish
from vibe_tasks.tasks.queues import lane_of_delivery
from vibe_tasks.tasks.routing import router

FIRST_LOOK = 0.002
LONGEST_BETWEEN_LOOKS = 0.1
"""Seconds between two looks at jobs that somebody waits for; the time between them grows."""

REST = 4
"""A look at thousands of jobs takes a while: rest so many times as long, so that who waits does
not take the processor from who works."""

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

    def _get_pool(self, **params: Any) -> Any:
        """Celery's, without the client's three more tries of a server that does not answer.

        A connection that is lost is made again once: it may have been lost long ago.
        """
        once = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        return super()._get_pool(**params, retry=once)

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        found = self._look([task_id])
        if not found:
            return super()._get_task_meta_for(task_id)
        if found[task_id]["status"] in states.READY_STATES:
            router.forget(resources.ledger(), [task_id])
        return found[task_id]

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: Any = None,
        request: Any = None,
        **options: Any,
    ) -> None:
        """Tell chords, chains and error links; not of a job that will be tried again."""
        if self._is_job(request) and not self._is_dead(task_id):
            return
        super().mark_as_failure(task_id, exc, traceback=traceback, request=request, **options)

    def _is_job(self, request: Any) -> bool:
        task = self.app.tasks.get(getattr(request, "task", None))
        return getattr(task, "lane", None) is not None

    def _is_dead(self, task_id: str) -> bool:
        row = self._rows([task_id]).get(task_id)
        return row is not None and row.status == JobStatus.FAILED

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        written = self._is_job(request) and (
            state not in states.PROPAGATE_STATES or self._rows([task_id])
        )
        if written:
            return result  # a job's result is in its row; a job that a failed chain spared has none
        return super()._store_result(
            task_id, result, state, traceback=traceback, request=request, **kwargs
        )

    # --- chords ---

    def apply_chord(self, header_result_args: Any, body: Any, **options: Any) -> None:
        """Write a chord into the ledger, before its members are sent."""
        group_id, members = header_result_args[:2]
        if not follow.open_chord(self.app, resources.ledger(), group_id, members, body):
            super().apply_chord(header_result_args, body, **options)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """How many members a chord has; the ledger counts its own."""
        if self._body_of(group_id) is None:
            super().set_chord_size(group_id, chord_size)

    def add_to_chord(self, group_id: str, result: Any) -> Any:
        """One more member, from inside of one."""
        with resources.ledger().begin() as connection:
            added = chord_rows.add_member(connection, group_id, result.id)
        return None if added else super().add_to_chord(group_id, result)

    def on_chord_part_return(
        self, request: Any, state: str, result: Any, propagate: Any = None, **options: Any
    ) -> None:
        """A member has ended whose end was not written together with the chord's."""
        group_id = request.group
        body_id = group_id and self._body_of(group_id)
        if not body_id:
            super().on_chord_part_return(request, state, result, propagate, **options)
            return
        if state != states.SUCCESS:
            body = maybe_signature(request.chord, app=self.app)
            with resources.ledger().begin() as connection:
                chords.fail_body(connection, body_id, f"member {request.id}: {result}")
            try:
                raise ChordError(f"member {request.id}: {result!r}")  # noqa: TRY301
            except ChordError as error:  # Celery wants it with its traceback
                self.chord_error_from_stack(body, error)
            return
        lane = lane_of_delivery(request.delivery_info) or "code"
        following: Sequence[Publication] | None = ()
        with resources.ledger().begin() as connection:
            if chord_rows.keep_result(connection, group_id, request.id, result):
                following = chords.member_completed(connection, group_id, lane=lane)
        publish(self.app, resources.ledger(), following or ())

    def _body_of(self, group_id: str) -> str | None:
        with resources.ledger().read() as connection:
            return chord_rows.body_of(connection, group_id)

    # --- waiting ---

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
        known: set[str] = set()
        began = resources.monotonic()
        pause = FIRST_LOOK
        while True:
            looked = resources.monotonic()
            ended = list(self._ended(list(awaited), known))
            took = resources.monotonic() - looked
            router.forget(resources.ledger(), [task_id for task_id, _ in ended])
            for task_id, meta in ended:
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
            rest = max(pause, REST * took)
            resources.pause(rest if left is None else min(rest, left))
            pause = min(LONGEST_BETWEEN_LOOKS, pause * 1.5)

    def _ended(self, task_ids: list[str], known: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Those that have ended; `known` is to hold those that are in the ledger."""
        ours = [task_id for task_id in task_ids if task_id in known]
        for some in _batches(ours):
            yield from self._look(self._over(some)).items()
        for some in _batches([task_id for task_id in task_ids if task_id not in known]):
            found = self._look(some)
            known.update(found)
            for task_id in some:
                meta = found.get(task_id) or super()._get_task_meta_for(task_id)
                if meta["status"] in states.READY_STATES:
                    yield task_id, meta

    def _over(self, task_ids: Sequence[str]) -> list[str]:
        def look(_unsure: bool) -> list[str]:
            with resources.ledger().read() as connection:
                return ended_of(connection, task_ids)

        return resources.retries.call(look)

    def _look(self, task_ids: list[str]) -> dict[str, dict[str, Any]]:
        return {task_id: _meta(row) for task_id, row in self._rows(task_ids).items()}

    def _rows(self, task_ids: list[str]) -> dict[str, Any]:
        def look(_unsure: bool) -> dict[str, Any]:
            with resources.ledger().read() as connection:
                return dict(results_of(connection, task_ids))

        return resources.retries.call(look)


def _batches(task_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(task_ids), IDS_IN_ONE_LOOK):
        yield task_ids[start : start + IDS_IN_ONE_LOOK]


def _meta(row: Any) -> dict[str, Any]:
    state = STATES[JobStatus(row.status)]
    result: Any = None
    if state == states.SUCCESS:
        result = row.result
        if is_sealed(result):
            state = states.FAILURE
            result = JobFailedError(
                f"the result of job {row.id} is sealed with a key that is none of VIBE_PAYLOAD_KEYS"
            )
    elif state == states.FAILURE:
        result = JobFailedError(row.error)
    elif state == states.REVOKED and (row.error or "").startswith(CHORD_ERROR):
        state, result = states.FAILURE, ChordError(row.error.removeprefix(CHORD_ERROR))
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
