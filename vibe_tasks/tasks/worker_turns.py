"""Jobs that wait for a worker with labels: they go out when the router knows one with room.

The most urgent ones are asked for at each look. Behind them it goes on where the last look ended,
so that ten thousand jobs for a label that nobody has do not hide those behind them for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

from vibe_tasks.jobs import Publication
from vibe_tasks.store import outbox, worker_line
from vibe_tasks.store.engine import Database
from vibe_tasks.store.worker_line import HEAD, Place
from vibe_tasks.tasks import publisher, router

BATCH = 100
"""Jobs at the head of the line, and behind it, that one look asks for."""


class WorkerTurns:
    """The looks of one dispatcher."""

    def __init__(self) -> None:
        self._after = HEAD

    def give(self, app: Celery, ledger: Database) -> int:
        """Send what a worker has room for now; how many messages."""
        places = self._places(ledger)
        if not places:
            return 0
        for lane in {each.lane for each in places}:
            router.invalidate_worker_cache(lane)  # a worker may have come a moment ago
        with ledger.read() as connection:
            jobs = outbox.publications(connection, [each.id for each in places])
        routed = _routed(app, ledger, jobs)
        if not routed:
            return 0
        with ledger.begin() as connection:
            going = set(worker_line.let_go(connection, [job.id for job, _ in routed]))
        router.forget(ledger, [job.id for job, _ in routed if job.id not in going])
        publisher.send_routed(app, ledger, [each for each in routed if each[0].id in going])
        return len(going)

    def _places(self, ledger: Database) -> tuple[Place, ...]:
        with ledger.read() as connection:
            places = worker_line.line(connection, most=BATCH)
            if len(places) < BATCH:
                self._after = HEAD
                return places
            behind = max(self._after, places[-1].order)
            more = worker_line.line(connection, most=BATCH, after=behind)
        self._after = more[-1].order if len(more) == BATCH else HEAD
        return places + more


def _routed(
    app: Celery, ledger: Database, jobs: Sequence[Publication]
) -> list[tuple[Publication, router.Route]]:
    """Those that may go, and where; they count as sent there."""
    found: list[tuple[Publication, router.Route]] = []
    refused: set[tuple[str, frozenset[str]]] = set()
    for job in jobs:
        asked = job.queue, frozenset(job.required)
        if asked in refused:
            continue  # what no worker has room for now it has none for a job later
        (route,) = router.routes(app, ledger, [job])
        if route.queue is None:
            refused.add(asked)
        else:
            found.append((job, route))
    return found
