"""Sending wake-ups to the broker.

A message carries the job's id and what Celery itself needs (links, chain, group); the
arguments stay in the ledger. A message that cannot be sent is no error for the producer: its
job goes back to the outbox and the dispatcher sends it once the broker is there again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from vibe_tasks.jobs import Publication
from vibe_tasks.store import outbox
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks.queues import broker_priority

log = logging.getLogger(__name__)

BROKER_ERRORS = (KombuError, OperationalError, RedisError, OSError)
"""What a broker that is away, full or read-only raises through kombu."""

OURS = "ledger_job"
"""Header of messages whose job is in the ledger. Without it the producer was plain Celery, such
as `send_task` by name, and the worker writes the job."""

BATCH = 500
"""Messages in one round trip."""


def publish(app: Celery, ledger: Database, publications: Sequence[Publication]) -> bool:
    """Send these messages in as few round trips as can be; whether it worked.

    What could not be sent goes back to the outbox. Where the broker took a part of a batch,
    some messages are sent again later; the claim drops the second delivery.
    """
    if not publications:
        return True
    try:
        send(app, publications)
    except BROKER_ERRORS as error:
        log.warning("broker away, %d jobs wait in the ledger: %s", len(publications), error)
        with ledger.begin() as connection:
            outbox.give_back(connection, [each.id for each in publications])
        return False
    return True


def send(app: Celery, publications: Sequence[Publication]) -> None:
    """Send these messages.

    Raises:
        One of `BROKER_ERRORS`: The broker did not take them all.
    """
    with app.producer_pool.acquire(block=True, timeout=10) as producer:
        if len(publications) == 1:
            _send_one(app, producer, publications[0])
            return
        with producer.batch(max_size=BATCH):
            for publication in publications:
                _send_one(app, producer, publication)


def _send_one(app: Celery, producer: Any, job: Publication) -> None:
    message = app.amqp.as_task_v2(
        job.id,
        job.name,
        time_limit=job.time_limit,
        argsrepr=f"({job.shown})",
        kwargsrepr="{}",
        **(job.canvas or {}),
    )
    producer.publish(
        message.body,
        exchange="",
        routing_key=job.queue,
        serializer="json",
        headers={**message.headers, OURS: True},
        priority=broker_priority(job.priority),
        retry=False,
        **message.properties,
    )
