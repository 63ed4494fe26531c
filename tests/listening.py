"""Listening to a cluster's ledger, for tests of notifications and of those who wait for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster import Cluster
from tests.ledgers import new_job, submit
from tests.processes import until

NEVER = 3600.0
"""Seconds between two looks, where only a notification shall end a wait in time."""


@contextmanager
def listening(cluster: Cluster, *, poll: float = NEVER) -> Iterator[Any]:
    """Wake-ups of this ledger that surely hear what is committed from now on."""
    wakeups, broker = cluster.module("wakeups"), cluster.module("resources").broker_url()
    connect = wakeups.source_of(cluster.ledger, broker)
    with wakeups.Wakeups(cluster.ledger, connect, poll=poll, settle=0) as made:
        until_heard(cluster, made)
        yield made


@contextmanager
def feed(cluster: Cluster, wakeups: Any, *lanes: str) -> Iterator[list[Any]]:
    """A list into which the notifications of these lanes are put as they come."""
    seen: list[Any] = []
    with cluster.module("consumers.feed").Feed(wakeups, seen.append, lanes):
        yield seen


def until_heard(cluster: Cluster, wakeups: Any) -> None:
    """Wait until a new job is heard of: the connection is there, and who tells knows of it."""
    with feed(cluster, wakeups, "probe") as seen:

        def told() -> bool:
            submit(cluster.ledger, new_job(lane="probe"))
            return bool(seen)

        until(told)
