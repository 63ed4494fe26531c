"""Taking messages out of workers' own queues, and back to where others find them.

A message goes to the head of its lane's list, where it would be if it had been sent there at once;
that of a job which requires labels does not enter the lane: its job waits in the ledger for a
worker. Where a message belongs the ledger says, not the message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.utils.json import dumps, loads

from vibe_tasks.store import held, outbox, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import publisher
from vibe_tasks.tasks.queues import BROKER_ERRORS, broker_keys, own_queue

log = logging.getLogger(__name__)

OWNERS = "vibe.own-queues"
"""The broker's set of the workers that have a queue of their own, or lately had."""

AWAY = -1
"""What a broker that does not answer had for us."""

BITE = 500
"""Messages of a queue that are moved together, the oldest ones."""

KEPT = 60.0
"""Seconds beyond a lease for which the queue of a worker that is gone is looked after: longer than
any producer still takes it for alive."""

MOVE = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
if KEYS[2] then redis.call('RPUSH', KEYS[2], ARGV[2]) end
return 1
"""
"""Moves a message, if nobody else has done so; without a second key it is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in a worker's own queue.

    Attributes:
        key: The broker's list.
        level: Its place among `broker_keys`.
        raw: As it is in the broker.
        job_id: Its job, or the plain Celery task; None where nobody can tell.
        value: The message; None where it is none.
    """

    key: str
    level: int
    raw: bytes
    job_id: str | None
    value: Any


def take_back(client: Any, ledger: Database, worker: str, *, gone: bool) -> int:
    """Take what is in the own queue of this worker back to the lanes; how many messages.

    Args:
        client: Of Redis.
        ledger: The ledger.
        worker: Its name.
        gone: It will take nothing any more: what no ledger knows is dropped. Otherwise plain Celery
            tasks that somebody has sent to this very worker stay.

    Raises:
        One of `BROKER_ERRORS` or of the database's: Some messages are where they were.
    """
    messages = _messages(client, worker)
    if not messages:
        return 0
    known = [each.job_id for each in messages if each.job_id is not None]
    with ledger.read() as connection:
        jobs = outbox.destinations(connection, known)
    waits = [each.id for each in jobs.values() if each.waits and each.required]
    if waits:
        with ledger.begin() as connection:
            held.hold_for_worker(connection, waits)
    return _move(client, messages, jobs, gone=gone)


def _messages(client: Any, worker: str) -> list[Message]:
    keys = list(broker_keys(own_queue(worker)).values())
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.lrange(key, -BITE, -1)
        found = pipeline.execute()
    return [
        _message(key, level, raw)
        for level, (key, raws) in enumerate(zip(keys, found, strict=True))
        for raw in raws  # the newest first: the oldest comes to the head
    ]


def _message(key: str, level: int, raw: bytes) -> Message:
    try:
        value = loads(raw)
        job_id = str(value["headers"]["id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        value = job_id = None
    return Message(key=key, level=level, raw=raw, job_id=job_id, value=value)


def _move(
    client: Any,
    messages: list[Message],
    jobs: Mapping[str, outbox.Destination],
    *,
    gone: bool,
) -> int:
    lanes = sorted({each.lane for each in jobs.values()})
    heads = _heads(client, lanes)
    with client.pipeline(transaction=False) as pipeline:
        for each in messages:
            job = jobs.get(each.job_id) if each.job_id is not None else None
            if job is not None and job.waits and not job.required:
                to = list(broker_keys(job.lane).values())[each.level]
                pipeline.eval(MOVE, 2, each.key, to, each.raw, _stamped(each, job, heads.get(to)))
            elif job is not None or publisher.sent_of(each.raw) is not None or gone:
                if job is None:
                    log.warning("dropped a message of no job in the ledger: %.200r", each.raw)
                pipeline.eval(MOVE, 1, each.key, each.raw)
        return sum(pipeline.execute())


def _heads(client: Any, lanes: list[str]) -> dict[str, float]:
    """When the next message of each of these lanes' lists was sent."""
    keys = [key for lane in lanes for key in broker_keys(lane).values()]
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.lindex(key, -1)
        found = pipeline.execute()
    heads = {key: publisher.sent_of(raw) for key, raw in zip(keys, found, strict=True) if raw}
    return {key: sent.at for key, sent in heads.items() if sent is not None}


def _stamped(message: Message, job: outbox.Destination, head: float | None) -> bytes | str:
    """The message for the head of a lane's list.

    Who looks for lost messages takes what was sent before the head for lost: it must not look
    younger than what comes after it.
    """
    headers = message.value["headers"]
    sent = headers.get(publisher.OURS)
    if head is not None and isinstance(sent, int | float):
        headers[publisher.OURS] = min(float(sent), head)
    properties = message.value.get("properties")
    info = properties.get("delivery_info") if isinstance(properties, dict) else None
    if isinstance(info, dict):
        info["routing_key"] = job.lane
    return str(dumps(message.value))


def reclaim(app: Celery, ledger: Database, *, lease: float) -> int:
    """Take back what is in own queues of workers that are gone; how many messages, or `AWAY`.

    Any number of dispatchers may do so at once. Costs two questions where all are there.

    Args:
        app: The application whose broker it is.
        ledger: The ledger.
        lease: Seconds of silence after which a worker takes nothing any more.
    """
    try:
        with app.connection_for_write() as broker:
            client = getattr(broker.default_channel, "client", None)
            return 0 if client is None else _reclaim(client, ledger, lease)
    except BROKER_ERRORS as error:
        log.warning("cannot look into workers' own queues: %s", error)
        return AWAY


def _reclaim(client: Any, ledger: Database, lease: float) -> int:
    owners = {each.decode(errors="replace") for each in client.smembers(OWNERS)}
    with ledger.read() as connection:
        alive, lately = workers.heard_of(connection, lease=lease, within=lease + KEPT)
    gone = sorted(owners - alive | lately)  # an emptied broker has forgotten the owners
    if not gone:
        return 0
    filled, moved = _filled(client, gone), 0
    for name in filled:
        taken = take_back(client, ledger, name, gone=True)
        moved += taken
        log.warning("worker %s is gone: took back %d messages of its own queue", name, taken)
    forgotten = owners - alive - lately - set(filled)
    if forgotten:
        client.srem(OWNERS, *forgotten)
    return moved


def _filled(client: Any, names: list[str]) -> list[str]:
    """Those of these workers that have messages in their own queues."""
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.exists(*broker_keys(own_queue(name)).values())
        found = pipeline.execute()
    return [name for name, number in zip(names, found, strict=True) if number]
