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
from vibe_tasks.tasks import publisher
from vibe_tasks.tasks.routing import router

BATCH = 100
"""Jobs at the head of the line that one look asks for; and jobs that are read together."""

BEHIND = 500
"""Jobs behind the head that one look asks for: so many a second are passed over that wait for what
nobody has."""


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
        routed = _routed(app, ledger, places)
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
            more = worker_line.line(connection, most=BEHIND, after=behind)
        self._after = more[-1].order if len(more) == BEHIND else HEAD
        return places + more


def _routed(
    app: Celery, ledger: Database, places: Sequence[Place]
) -> list[tuple[Publication, router.Route]]:
    """Those that may go, and where; they count as sent there."""
    route = router.batch(app, ledger)
    found: list[tuple[Publication, router.Route]] = []
    refused: set[tuple[str, frozenset[str]]] = set()
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        asking = [each.id for each in some if (each.lane, each.required) not in refused]
        with ledger.read() as connection:
            jobs = outbox.publications(connection, asking)
        for job in jobs:
            asked = job.queue, frozenset(job.required)
            if asked in refused:
                continue  # what no worker has room for now it has none for a job later
            decided = route(job)
            if decided.queue is None:
                refused.add(asked)
            else:
                found.append((job, decided))
    return found
