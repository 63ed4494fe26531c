"""Wake-ups that nobody reads: in lanes without Celery workers they would fill the broker.

Every job's message is sent, because whoever sends it does not know who will do the job. Those who
claim from the ledger throw away what they made superfluous, and nothing else: a lane's name may
be that of another program's list, and plain Celery tasks have their messages alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery

from vibe_tasks.store.engine import Database
from vibe_tasks.store.jobs import ended_of
from vibe_tasks.tasks.publisher import sent_of
from vibe_tasks.tasks.queues import broker_keys

BITE = 200
"""Messages that are looked at together, at the old end of a list."""


def throw_away(app: Celery, ledger: Database, lanes: Iterable[str]) -> int:
    """Remove the messages of jobs of this ledger that have ended; how many.

    Only while there are some among the oldest `BITE` of their list.

    Raises:
        One of `BROKER_ERRORS`: The broker is away, or has something else under that name.
    """
    thrown = 0
    with app.connection_for_write() as broker:
        client = broker.default_channel.client
        for lane in lanes:
            for key in broker_keys(lane).values():
                while some := _throw_some(client, ledger, key):
                    thrown += some
    return thrown


def _throw_some(client: Any, ledger: Database, key: str) -> int:
    read = {raw: sent_of(raw) for raw in client.lrange(key, -BITE, -1)}
    jobs = {raw: message.job_id for raw, message in read.items() if message is not None}
    if not jobs:
        return 0
    with ledger.read() as connection:
        ended = set(ended_of(connection, sorted(set(jobs.values()))))
    with client.pipeline(transaction=False) as pipeline:
        for raw, job_id in jobs.items():
            if job_id in ended:
                pipeline.lrem(key, -1, raw)  # one, from the old end
        return sum(pipeline.execute())
