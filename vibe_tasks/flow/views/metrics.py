"""All that `/metrics` tells, read from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vibe_tasks.flow.views.registry import registry
from vibe_tasks.settings import Settings
from vibe_tasks.store import breakers, event_query, metric_sums, metric_totals
from vibe_tasks.store.breakers import Breaker
from vibe_tasks.store.engine import Database
from vibe_tasks.store.metric_sums import Used
from vibe_tasks.store.metric_totals import Totals
from vibe_tasks.store.stats import QueueStats, get_queue_stats
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.workers import list_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The deployment at one moment.

    Attributes:
        queue: Jobs by lane and status, ages, dead letters.
        oldest_unsent: Seconds that the oldest due job has waited for the dispatcher; None: none.
        workers: The registry, a mapping for each worker.
        breakers: All breakers.
        used: What agents used.
        votes: Results of reviewers' votes, counted.
        totals: Sums over the history of jobs.
        unsummed: Rows of history that are not in them yet.
        last_event: Number of the newest event, which is how many there ever were, or more.
    """

    queue: QueueStats
    oldest_unsent: float | None
    workers: tuple[Mapping[str, Any], ...]
    breakers: tuple[Breaker, ...]
    used: tuple[Used, ...]
    votes: Mapping[str, int]
    totals: Totals
    unsummed: int
    last_event: int


def figures(ledger: Database, settings: Settings) -> Figures:
    """Sum what is new, then read it all."""
    metric_totals.sum_history(ledger)
    with ledger.read() as connection:
        return Figures(
            queue=get_queue_stats(connection),
            oldest_unsent=oldest_unsent(connection),
            workers=tuple(registry(list_workers(connection), lease=settings.lease_seconds)),
            breakers=breakers.states(connection, window=settings.breaker_window_seconds),
            used=metric_sums.used(connection),
            votes=metric_sums.decided(connection),
            totals=metric_totals.totals(connection),
            unsummed=metric_totals.unsummed(connection),
            last_event=event_query.last_id(connection),
        )
