"""Jobs run in this process, right after the call that wrote them: for tests without a server.

All but the broker is real: a job is a row of the ledger, an attempt is claimed, and what follows it
is written with its end. A retry does not wait for its time; what was put off by a `countdown`, an
`eta` or `Snooze` waits until it is told to go on. Time limits are nobody's here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from celery import Celery, _state
from celery.app.trace import build_tracer

from vibe_tasks.errors import InputError
from vibe_tasks.jobs import JobStatus, Publication
from vibe_tasks.store import held, hurrying, jobs, outbox
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import labels, publisher, resources

WORKER = "in-place@test"
"""Who claims the attempts."""

MOST_ATTEMPTS = 100
"""Attempts of one job, beyond its `max_retries`, before it is thought to go on for ever."""


class InPlace:
    """The broker and the worker of one process.

    Args:
        app: The application that knows the jobs' functions.
        ledger: The ledger.

    Attributes:
        holds: Whether jobs wait for `run` instead.
        waits: Seconds that nobody waited, by job, in order.
    """

    def __init__(self, app: Celery, ledger: Database) -> None:
        self._app = app
        self._ledger = ledger
        self._messages: list[tuple[int, int, Publication]] = []
        self._numbers = count()
        self._busy = False
        self.holds = False
        self.waits: dict[str, list[float]] = {}

    def take(self, publications: Sequence[Publication]) -> None:
        """Run these jobs, and what follows them; from within a job: when that has ended."""
        for each in publications:
            heappush(self._messages, (int(each.priority), next(self._numbers), each))
        if not self.holds:
            self._work()

    def run(self) -> int:
        """Run whatever waits, each of those that were put off once; how many attempts.

        Raises:
            InputError: A job's function is not known here, or it goes on for ever.
        """
        if self._busy:
            return 0
        self._hurry(None)
        return self._work()

    def _work(self) -> int:
        if self._busy:  # a job has called another: what a worker would get, it gets later
            return 0
        self._busy = True
        attempts: Counter[str] = Counter()
        before = _state.task_join_will_block()
        _state._set_task_join_will_block(True)  # noqa: SLF001  as in a worker's process
        try:
            while self._messages or self._look_again():
                job = heappop(self._messages)[-1]
                attempts[job.id] += 1
                row = self._run(job)
                if attempts[job.id] > MOST_ATTEMPTS + row["max_retries"]:
                    raise InputError(f"job {job.id} ({job.name}) runs again and again")
            return attempts.total()
        finally:
            _state._set_task_join_will_block(before)  # noqa: SLF001
            self._busy = False

    def _look_again(self) -> bool:
        """Whether there is more: what nobody has sent, and what was held and has its turn."""
        with self._ledger.begin() as connection:
            due = outbox.take_unpublished(connection)
            turns = held.give_turns(connection)
            due += outbox.publications(connection, turns.job_ids)
        for each in due:
            heappush(self._messages, (int(each.priority), next(self._numbers), each))
        return bool(self._messages)

    def _run(self, job: Publication) -> dict[str, Any]:
        task = self._app.tasks.get(job.name)
        if task is None:
            raise InputError(f"job {job.id}: nobody knows {job.name}; import the module it is in")
        failures = self._row(job.id)["retry_count"]
        trace: Callable[..., Any] = build_tracer(task.name, task, app=self._app, hostname=WORKER)
        with labels.lent(job.required):
            trace(job.id, (), {}, self._request(job))
        row = self._row(job.id)
        if (row["error"] or "").startswith(KeyboardInterrupt.__name__):
            raise KeyboardInterrupt  # meant for the tests, and not for the job
        if row["status"] == JobStatus.PENDING and row["retry_count"] > failures:
            self._hurry(job.id)
        return row

    def _hurry(self, job_id: str | None) -> None:
        with self._ledger.begin() as connection:
            seconds = hurrying.hurry(connection, None if job_id is None else [job_id])
            messages = outbox.publications(connection, seconds, as_submitted=True)
        for each, wait in seconds.items():
            self.waits.setdefault(each, []).append(wait)
        for message in messages:
            heappush(self._messages, (int(message.priority), next(self._numbers), message))

    def _row(self, job_id: str) -> dict[str, Any]:
        with self._ledger.read() as connection:
            return jobs.find_job(connection, job_id)

    def _request(self, job: Publication) -> dict[str, Any]:
        """What a worker makes of the job's message."""
        message = publisher.message_of(self._app, job)
        _, _, embedded = message.body
        return {
            **message.headers, **embedded, publisher.OURS: resources.wall_clock(),
            "hostname": WORKER, "is_eager": False,
            "delivery_info": {"exchange": "", "routing_key": job.queue},
        }  # fmt: skip
