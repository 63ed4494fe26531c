"""Sending wake-ups to the broker.

A message carries the job's id and what Celery itself needs (links, chain, group); the
arguments stay in the ledger. A message that cannot be sent is no error for the producer: its
job goes back to the outbox and the dispatcher sends it once the broker is there again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from celery import Celery
from kombu.utils.json import loads

from vibe_tasks.jobs import Publication
from vibe_tasks.store import held, outbox
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, Transaction
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources, sealed_messages
from vibe_tasks.tasks.observation import traces
from vibe_tasks.tasks.queues import BROKER_ERRORS, broker_priority
from vibe_tasks.tasks.routing import router

log = logging.getLogger(__name__)

OURS = "ledger_job"
"""Header of messages whose job is in the ledger: when it was sent, in epoch seconds of the
sender's clock. Without it the producer was plain Celery, such as `send_task` by name, and the
worker writes the job."""

LANE = "lane"
"""Header of messages: the job's lane, where a worker gives back what it has no room for."""

WHY = "route"
"""Header of messages: why it went to this worker or to the lane."""

BATCH = 500
"""Messages in one round trip."""

REST = 3.0
"""Seconds for which a process does not ask a broker that did not answer."""


Take = Callable[[Sequence[Publication]], None]
"""Gets messages in the broker's place."""

_takers: list[Take] = []


@contextmanager
def taken_by(take: Take) -> Iterator[None]:
    """In here no message of this process goes to the broker: tests run jobs where they are called.

    Args:
        take: Gets them instead.
    """
    _takers.append(take)
    try:
        yield
    finally:
        _takers.remove(take)


def publish(
    app: Celery, ledger: Database, publications: Sequence[Publication], *, routed: bool = True
) -> bool:
    """Send these messages in as few round trips as can be; whether it worked.

    Each goes to the worker that the router chooses, else to its lane; jobs that no worker with room
    may run are held until there is one.

    What could not be sent goes back to the outbox. Where the broker took a part of a batch,
    some messages are sent again later; the claim drops the second delivery.

    After a failure the broker is not asked for `REST` seconds: who submits a thousand jobs waits
    for its answer once in a while, and not a thousand times.

    Args:
        app: The application whose broker gets them.
        ledger: The ledger.
        publications: The messages.
        routed: False: to the lanes alone. A worker's own queue that has lost a message may be that
            of one that cannot reach the broker, and would lose it again.
    """
    if not publications:
        return True
    if _takers:
        _takers[-1](publications)
        return True
    if _broker.rests(resources.monotonic()):
        _give_back(ledger, publications)
        return False
    return send_routed(app, ledger, _routed(app, ledger, publications, to_lanes=not routed))


def send_routed(
    app: Celery, ledger: Database, routed: Sequence[tuple[Publication, router.Route]]
) -> bool:
    """As `publish`, for messages of which it is known where they go."""
    try:
        send(app, routed)
    except BROKER_ERRORS as error:
        jobs = [job for job, _ in routed]
        router.forget(ledger, [each.id for each in jobs])
        _broker.is_away(resources.monotonic())
        log.warning("broker away, %d jobs wait in the ledger: %s%s", len(jobs), error, _advice())
        _give_back(ledger, jobs)
        return False
    _broker.is_there()
    return True


def _routed(
    app: Celery, ledger: Database, publications: Sequence[Publication], *, to_lanes: bool
) -> list[tuple[Publication, router.Route]]:
    """These messages and where they go, the most urgent first: they get the best places, and
    workers that wait take what comes first. Jobs that are not to be sent now are held.
    """
    urgent_first = sorted(publications, key=attrgetter("priority"))
    if to_lanes:
        router.forget(ledger, [job.id for job in urgent_first])
        routes = [_to_lane(job) for job in urgent_first]
    else:
        routes = router.routes(app, ledger, urgent_first)
    without = [
        job.id for job, route in zip(urgent_first, routes, strict=True) if route.queue is None
    ]
    if without:
        _write(ledger, lambda connection: held.hold_for_worker(connection, without))
    pairs = zip(urgent_first, routes, strict=True)
    return [(job, route) for job, route in pairs if route.queue is not None]


def _to_lane(job: Publication) -> router.Route:
    why = {"choice": None, "why": "sent again, as its message was lost"}
    return router.Route(queue=None if job.required else job.queue, header=why)


def _advice() -> str:
    """What a producer may have missed who sees this for the first time."""
    if resources.settings().broker_url:
        return ""
    return (
        f"; no stack runs in {resources.home()}: run `vibe up` in the same folder, "
        "or give both the same VIBE_HOME"
    )


def _give_back(ledger: Database, publications: Sequence[Publication]) -> None:
    ids = [each.id for each in publications]
    _write(ledger, lambda connection: outbox.give_back(connection, ids))


def _write(ledger: Database, write: Callable[[Transaction], object]) -> None:
    def once(_unsure: bool) -> None:
        with ledger.begin() as connection:
            write(connection)

    try:
        resources.retries.call(once)
    except DATABASE_ERRORS as error:  # they count as sent, and will be found missing
        log.warning("ledger away: %s", reason(error))


class Reach:
    """Whether a process has lately found the broker away.

    Args:
        rest: Seconds for which it is not asked again.
    """

    def __init__(self, *, rest: float) -> None:
        self._rest = rest
        self._until: float | None = None

    def rests(self, now: float) -> bool:
        """Whether it is too early to ask again, at this moment of a monotonic clock."""
        return self._until is not None and now < self._until

    def is_away(self, now: float) -> None:
        """It did not answer."""
        self._until = now + self._rest

    def is_there(self) -> None:
        """It answered."""
        self._until = None


_broker = Reach(rest=REST)


def ask_again() -> None:
    """Another broker is to be asked from now on: what is known of the last one holds no more."""
    _broker.is_there()


def send(app: Celery, routed: Sequence[tuple[Publication, router.Route]]) -> None:
    """Send these messages to where they go, in this order.

    Raises:
        One of `BROKER_ERRORS`: The broker did not take them all.
    """
    if not routed:
        return
    began = resources.wall_clock()
    _send_all(app, routed)
    traces.dispatched([job for job, _ in routed], began=began)


def _send_all(app: Celery, routed: Sequence[tuple[Publication, router.Route]]) -> None:
    with app.producer_pool.acquire(block=True, timeout=10) as producer:
        if len(routed) == 1:
            _send_one(app, producer, *routed[0])
            return
        with producer.batch(max_size=BATCH):
            for job, route in routed:
                _send_one(app, producer, job, route)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message of ours in the broker.

    Attributes:
        job_id: Its job.
        at: When it was sent, in epoch seconds of the sender's clock.
    """

    job_id: str
    at: float


def sent_of(raw: bytes) -> Sent | None:
    """What an entry of a broker's list is; None where it is no message of ours."""
    try:
        headers = loads(raw)["headers"]
        return Sent(job_id=str(headers["id"]), at=float(headers[OURS]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def message_of(app: Celery, job: Publication) -> Any:
    """Celery's message of this job, without our own headers."""
    return app.amqp.as_task_v2(
        job.id,
        job.name,
        time_limit=job.time_limit,
        argsrepr=sealed_messages.shown_of(job),
        kwargsrepr="{}",
        **(job.canvas or {}),
    )


def _send_one(app: Celery, producer: Any, job: Publication, route: router.Route) -> None:
    try:
        message = message_of(app, job)
    except (AttributeError, LookupError, TypeError, ValueError):
        log.exception("job %s cannot be sent", job.id)  # the others can
        return
    producer.publish(
        message.body,
        exchange="",
        routing_key=route.queue,
        serializer=sealed_messages.serializer_of(job),
        headers={
            **message.headers,
            OURS: resources.wall_clock(),
            LANE: job.queue,
            WHY: route.header,
        },
        priority=broker_priority(job.priority),
        retry=False,
        **message.properties,
    )
