"""The same function as a durable job and as a bare Celery task.

Workers and producers import this with `VIBE_HOME` set; both sides then use one Valkey, each a
database of its own.
"""

from __future__ import annotations

import os
import time

from celery import Celery

from vibe_tasks import job

bare = Celery(
    "bare",
    broker=os.environ["BENCH_BARE_URL"],
    backend=os.environ["BENCH_BARE_URL"],
    set_as_current=False,
)
"""Celery as it comes: Redis for messages and results, JSON, default settings."""


@bare.task(name="bare.noop")
def bare_noop(number: int) -> float:
    """When it ran, in epoch seconds."""
    return time.time() + 0 * number


@job(name="bench.noop")
def noop(number: int) -> float:
    """When it ran, in epoch seconds."""
    return time.time() + 0 * number
