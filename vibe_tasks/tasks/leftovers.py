"""Wake-ups in lanes that no Celery worker serves: nobody takes them out of the broker.

Every job's message is sent, because whoever sends it does not know who will do the job. Those who
claim from the ledger throw away what they made superfluous.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery

from vibe_tasks.store import outbox, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks.queues import broker_keys

OUTSIDE = "outside"
"""Tier in the registry of those who claim from the ledger and read no messages."""


def throw_away(app: Celery, ledger: Database, lanes: Iterable[str]) -> int:
    """Remove the messages of jobs that wait no more; how many.

    Only in lanes without a worker that reads messages. The newest messages stay, as many as
    there are waiting jobs; should one of them be another's, the dispatcher sends that one again.

    Raises:
        One of `BROKER_ERRORS`: The broker is away.
    """
    thrown = 0
    for lane in lanes:
        with ledger.read() as connection:
            tiers = {
                each["tier"]
                for each in workers.list_workers(connection)
                if each["lane"] == lane and each["status"] == "online"
            }
            wanted = outbox.sent(connection, lane)
        if not tiers <= {OUTSIDE}:
            continue
        with app.connection_for_write() as broker:
            client = broker.default_channel.client
            for priority, key in broker_keys(lane).items():
                keep = wanted.get(priority, 0)
                thrown += max(0, client.llen(key) - keep)
                if keep:
                    client.ltrim(key, 0, keep - 1)  # new ones come in at the front
                else:
                    client.delete(key)
    return thrown
