"""Lanes as broker queues, and our priorities as the broker's.

A message is a wake-up that may be lost, so it is consumed without acknowledgement: the ledger
brings back what a dead worker had in its hands, and Celery's bookkeeping of unacknowledged
messages (two round trips for each) is not paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu import Exchange, Queue
from kombu.exceptions import KombuError, OperationalError
from kombu.transport.redis import Channel
from redis.exceptions import RedisError

from vibe_tasks.errors import InputError
from vibe_tasks.lane_name import OWN, why_no_lane
from vibe_tasks.priority import Priority

BROKER_ERRORS = (KombuError, OperationalError, RedisError, OSError)
"""What a broker that is away, full or read-only raises through kombu."""

PRIORITY_STEPS = [int(priority) for priority in Priority]
"""A list in the broker for each of our levels. On Redis a lower number is sooner, as ours."""

TRANSPORT_OPTIONS = {
    "priority_steps": PRIORITY_STEPS,
    "queue_order_strategy": "priority",
    "socket_keepalive": True,
    "health_check_interval": 25,
}


def check_lane(lane: object) -> str:
    """The name, where it can be a lane's.

    Raises:
        InputError: It cannot.
    """
    if why := why_no_lane(lane):
        raise InputError(why)
    return str(lane)


def own_queue(worker_id: str) -> str:
    """The name of the queue that this worker alone consumes."""
    return f"{OWN}{worker_id}"


def lane_of_delivery(info: Mapping[str, Any] | None) -> str | None:
    """The lane by which a message came; None where it was sent to one worker, or nobody knows."""
    key = (info or {}).get("routing_key")
    return None if key is None or key.startswith(OWN) else key


def lane_queue(lane: str) -> Queue:
    """The broker queue of a lane."""
    return Queue(lane, routing_key=lane, exchange=Exchange(""), durable=True, no_ack=True)


def broker_priority(priority: Priority) -> int:
    """Our priority as the broker's; the one place where the scales meet."""
    return int(priority)


def broker_keys(lane: str) -> dict[Priority, str]:
    """The broker's list for each priority of a lane, as kombu names them."""
    return {
        priority: f"{lane}{Channel.sep}{int(priority)}" if priority else lane
        for priority in Priority
    }
