"""Where in the broker the message of a job is: in its lane, in a worker's own queue, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis

from vibe_tasks.errors import UnavailableError
from vibe_tasks.lane_name import OWN
from vibe_tasks.priority import Priority
from vibe_tasks.store import workers
from vibe_tasks.store.engine import Transaction
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import asked
from vibe_tasks.tasks.broker_socket import stack_answers
from vibe_tasks.tasks.publisher import sent_of
from vibe_tasks.tasks.queues import broker_keys, own_queue
from vibe_tasks.waiting import Message

MOST = 10_000
"""Messages of one list that are looked through, those that are consumed next."""

BITE = 1_000
"""Messages in one answer of the broker."""

UNSEEN = ("memory:", "sentinel:")
"""How the URLs begin of brokers whose lists this cannot read."""


def ask_broker(connection: Transaction, row: Mapping[str, Any]) -> Message | None:
    """Where the message of a job, a row of `jobs`, is; None: that cannot be asked."""
    url = resources.broker_url()
    if url.startswith(UNSEEN):
        return None
    if not resources.settings().broker_url and not stack_answers():
        return Message(answers=False)
    names = {each["worker_id"] for each in workers.list_workers(connection)
             if each["lane"] == row["lane"]}  # fmt: skip
    queues = [row["lane"], *(own_queue(name) for name in sorted(names))]
    try:
        return asked(url, lambda client: _found(client, row, queues))
    except UnavailableError:
        return Message(answers=False)


def _found(client: Redis, row: Mapping[str, Any], queues: list[str]) -> Message:
    sure = True
    for queue in queues:
        place, whole = _place(client, broker_keys(queue)[Priority(row["priority"])], row["id"])
        sure = sure and whole
        if place is not None:
            own = queue.startswith(OWN)
            return Message(
                answers=True, queue=queue.removeprefix(OWN) if own else queue, own=own, ahead=place
            )
    return Message(answers=True, sure=sure)


def _place(client: Any, key: str, job_id: str) -> tuple[int | None, bool]:
    """How many messages of a list come before the job's, None where it is not among them; and
    whether all of them were looked at. The next one is at the list's end.
    """
    marked = job_id.encode()
    for start in range(0, MOST, BITE):
        raws = client.lrange(key, -start - BITE, -start - 1)
        for number, raw in enumerate(reversed(raws)):
            sent = sent_of(raw) if marked in raw else None
            if sent is not None and sent.job_id == job_id:
                return start + number, True
        if len(raws) < BITE:
            return None, True
    return None, False
