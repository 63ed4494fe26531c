"""Where each job's message goes: to a worker's own queue while that one has room, else to the lane.

The producer decides, from what it knows of the workers and from what it has itself sent to them
since: so a burst within one life of the cache spreads, and a worker is sent no more than it has
free slots. What it has sent counts until it sees the job's end, or hears a heartbeat of the worker
that is later.

A job's lane is decided when it is submitted, see `task_routes`; its worker at each publication.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from celery import Celery, current_app

from vibe_tasks.jobs import Publication
from vibe_tasks.routing import (
    Decision,
    Wish,
    WorkerState,
    able,
    choose,
    preference,
)
from vibe_tasks.store.candidates import Seen, watch_written, workers_of
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.queues import own_queue
from vibe_tasks.tasks.routing import slots
from vibe_tasks.tasks.routing.worker_cache import Look, WorkerCache
from vibe_tasks.weights import Weights, weights_of

FreeSlots = Callable[[Sequence[str]], Mapping[str, int]]
"""Asks the broker how many jobs each of these workers could take now; it leaves out what it does
not know."""

ASK_AGAIN = 0.05
"""Seconds between two questions about one worker: as often as it may post its free slots. With
fewer, every fifth of twenty hard jobs a second went past a senior that was idle."""

AWAY = "the ledger does not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a message goes.

    Attributes:
        queue: Its routing key; None: no worker that has what the job requires has room, so it is
            not to be sent.
        header: Why, as JSON values.
    """

    queue: str | None
    header: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Sent:
    worker: str
    at: float


class Router:
    """What one process knows and has decided. For any number of threads.

    Args:
        cache: The workers of each lane.
        weights: Points of the score.
        monotonic: Seconds that only ever grow.
    """

    def __init__(
        self, cache: WorkerCache, weights: Weights, monotonic: Callable[[], float]
    ) -> None:
        self.cache = cache
        self._weights = weights
        self._monotonic = monotonic
        self._turn = threading.RLock()  # a signal's handler may publish in the midst of it
        self._learnt: dict[str, Look] = {}
        self._lanes: dict[str, tuple[str, ...]] = {}
        self._states: dict[str, WorkerState] = {}
        self._sent: dict[str, _Sent] = {}
        self._asked: dict[str, float] = {}

    def route(self, job: Publication, free_slots: FreeSlots) -> Route:
        """Where this job's message goes; counted as sent there."""
        look = self.cache.of(job.queue)
        if look.workers is None:
            return _as_route(job, Decision(worker=None, why=AWAY))
        wish = wish_of(job)
        with self._turn:
            self._learn(job.queue, look)
            decision, better = self._decide(job, wish)
            if not better:
                return self._send(job, decision)
        free = free_slots(better)  # a round trip, with nothing locked
        with self._turn:
            for worker, slots_left in free.items():
                self._correct(worker, slots_left)
            return self._send(job, self._decide(job, wish)[0])

    def forget(self, job_ids: Iterable[str]) -> None:
        """These jobs have ended, or were not sent: they take no slot."""
        with self._turn:
            for job_id in job_ids:
                self._take_back(job_id)

    def workers(self, lane: str) -> tuple[WorkerState, ...]:
        """The workers of this lane, with what this process has sent to them since the look."""
        look = self.cache.of(lane)
        with self._turn:
            if look.workers is not None:
                self._learn(lane, look)
            return tuple(
                self._states.get(each.worker.worker_id, each.worker) for each in look.workers or ()
            )

    def _learn(self, lane: str, look: Look) -> None:
        if self._learnt.get(lane) is look:
            return
        self._learnt[lane] = look
        seen = [each for each in look.workers or () if each.worker.has_queue]
        self._lanes[lane] = tuple(each.worker.worker_id for each in seen)
        heard = {each.worker.worker_id: look.at - each.age for each in seen}
        # What was sent before a heartbeat is in it, or has ended; what was sent after is not.
        self._sent = {
            job_id: sent
            for job_id, sent in self._sent.items()
            if sent.at > heard.get(sent.worker, float("-inf"))
        }
        for each in seen:
            self._states[each.worker.worker_id] = each.worker
        for sent in self._sent.values():
            if sent.worker in heard:
                self._add(sent.worker, 1)
        served = {worker for workers in self._lanes.values() for worker in workers}
        for worker in self._states.keys() - served:
            del self._states[worker]
        self._sent = {job: sent for job, sent in self._sent.items() if sent.worker in served}
        self._asked = {worker: at for worker, at in self._asked.items() if worker in served}

    def _decide(self, job: Publication, wish: Wish) -> tuple[Decision, list[str]]:
        """The decision, and the workers that are better ones if they are not as full as we think:
        what we have sent to them has made them full.
        """
        states = [self._states[each] for each in self._lanes[job.queue]]
        decision = choose(states, wish, self._weights, draw=job.id)
        if not (wish.labels or wish.required or wish.effort >= self._weights.hard):
            return decision, []
        full = [each for each in able(states, wish) if each.free <= 0]
        if not full:
            return decision, []
        least = 0.0
        if decision.worker is not None:
            least = preference(decision.worker, wish, self._weights)
        now = self._monotonic()
        ours = {sent.worker for sent in self._sent.values()}
        better = [
            each.worker_id
            for each in full
            # A job that is to wait for one of them is not to wait for the next heartbeat too.
            if (each.worker_id in ours or wish.required)
            and now >= self._asked.get(each.worker_id, now)
            and (
                (wish.required and decision.choice is None)
                or preference(each, wish, self._weights) > least
            )
        ]
        for worker in better:
            self._asked[worker] = now + ASK_AGAIN
        return decision, better

    def _send(self, job: Publication, decision: Decision) -> Route:
        self._take_back(job.id)  # it was sent before, and is sent again
        if decision.choice is not None:
            self._sent[job.id] = _Sent(decision.choice, self._monotonic())
            self._add(decision.choice, 1)
        return _as_route(job, decision)

    def _take_back(self, job_id: str) -> None:
        sent = self._sent.pop(job_id, None)
        if sent is not None:
            self._add(sent.worker, -1)

    def _correct(self, worker: str, free: int) -> None:
        """The worker itself has said how much room it has: what we have sent is in that."""
        state = self._states.get(worker)
        if state is None or free <= 0:
            return
        self._sent = {job_id: sent for job_id, sent in self._sent.items() if sent.worker != worker}
        self._states[worker] = state.with_active(state.capacity_limit - free)

    def _add(self, worker: str, number: int) -> None:
        state = self._states.get(worker)
        if state is not None:
            self._states[worker] = state.with_active(state.active_tasks + number)


def wish_of(job: Publication) -> Wish:
    """What a job says about its worker."""
    return Wish(
        effort=job.effort, priority=job.priority, labels=job.labels, required=job.required,
        function=job.name,
    )  # fmt: skip


def _as_route(job: Publication, decision: Decision) -> Route:
    if decision.choice is not None:
        queue: str | None = own_queue(decision.choice)
    else:
        queue = None if job.required else job.queue
    return Route(queue=queue, header=decision.compact())


@lru_cache(maxsize=1)
def _router_of(ledger: Database) -> Router:
    lease = resources.settings().lease_seconds

    def look(lane: str) -> tuple[Seen, ...]:
        with ledger.read() as connection:
            return workers_of(connection, lane, lease=lease)

    cache = WorkerCache(look, resources.monotonic)
    watch_written(ledger, cache.invalidate)
    return Router(cache, weights_of(resources.settings().router_weights), resources.monotonic)


os.register_at_fork(after_in_child=_router_of.cache_clear)  # its locks may be held for ever


def batch(app: Celery, ledger: Database) -> Callable[[Publication], Route]:
    """Says of one job after another where its message goes, for messages that are sent together
    when all of that is known; they count as sent.
    """
    router = _router_of(ledger)
    chosen: Counter[str | None] = Counter()
    silent = False

    def free_slots(workers: Sequence[str]) -> Mapping[str, int]:
        nonlocal silent
        # A broker that hangs costs a batch one timeout, and not one for each of its jobs.
        found = {} if silent else slots.look(app, workers)
        silent = not found
        # What this batch has for a worker the broker does not know yet.
        return {worker: free - chosen[worker] for worker, free in found.items()}

    def route_next(job: Publication) -> Route:
        route = router.route(job, free_slots)
        chosen[route.header["choice"]] += 1
        return route

    return route_next


def routes(app: Celery, ledger: Database, jobs: Sequence[Publication]) -> list[Route]:
    """Where the messages of these jobs go, which are sent together; they count as sent."""
    return list(map(batch(app, ledger), jobs))


def route(publication: Publication) -> Route:
    """Where the message of this job goes; it counts as sent."""
    return routes(current_app, resources.ledger(), [publication])[0]


def forget(ledger: Database, job_ids: Iterable[str]) -> None:
    """These jobs have ended, or were not sent."""
    _router_of(ledger).forget(job_ids)


def get_cached_workers(lane: str) -> tuple[WorkerState, ...]:
    """The workers of this lane that live and do not drain; one query in ten seconds.

    What this process has sent to them since is counted as active. Empty while the ledger is away.
    """
    return _router_of(resources.ledger()).workers(lane)


def invalidate_worker_cache(lane: str | None = None) -> None:
    """Look again the next time, at this lane or at all."""
    _router_of(resources.ledger()).cache.invalidate(lane)
