"""How everything stands at this moment: lanes, workers, breakers, cache."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vibe_tasks.flow.views.registry import registry
from vibe_tasks.flow.views.unserved import unserved
from vibe_tasks.jobs import JobStatus
from vibe_tasks.settings import Settings
from vibe_tasks.store import breakers, result_cache, worker_line
from vibe_tasks.store.breakers import Breaker
from vibe_tasks.store.engine import Database
from vibe_tasks.store.stats import get_queue_stats
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.workers import list_workers


def figures(ledger: Database, settings: Settings) -> dict[str, Any]:
    """The queue and its workers at this moment, as JSON values; all but the mix."""
    with ledger.read() as connection:
        stats = get_queue_stats(connection)
        rows = list_workers(connection)
        unsent = oldest_unsent(connection)
        standing = breakers.states(connection, window=settings.breaker_window_seconds)
        cached = result_cache.counts(connection)
        lacks = worker_line.lacks(connection, lease=settings.lease_seconds)
    workers = registry(rows, lease=settings.lease_seconds)
    return {
        "lanes": {
            lane: {
                **{str(each): counts.get(each, 0) for each in JobStatus},
                "oldest_pending_seconds": stats.oldest_pending_seconds.get(lane),
            }
            for lane, counts in sorted(stats.lanes.items())
        },
        "by_status": stats.by_status,
        "dead_letters": stats.dead_letters,
        "oldest_unsent_seconds": unsent,
        "workers": workers,
        "breakers": [breaker_values(each) for each in standing],
        "cache": cached.to_json(),
        "waiting_for_labels": [asdict(each) for each in lacks],
        "unserved_lanes": [asdict(each) for each in unserved(stats, workers)],
    }


def breaker_values(breaker: Breaker) -> dict[str, Any]:
    """A breaker as JSON values."""
    return {
        "name": breaker.name,
        "state": str(breaker.state),
        "wait_seconds": breaker.wait,
        "error_rate": breaker.error_rate,
        "calls": breaker.calls,
        "failures": breaker.failures,
        "times_opened": breaker.times_opened,
        "reason": breaker.reason,
    }
