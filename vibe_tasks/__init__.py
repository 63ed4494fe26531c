"""Durable, Celery-based work for coding agents and plain programs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "app": "vibe_tasks.tasks.app",
    "job": "vibe_tasks.tasks.job",
    "dev": "vibe_tasks.tasks.work",
    "fix": "vibe_tasks.tasks.work",
    "qa": "vibe_tasks.tasks.work",
    "deploy": "vibe_tasks.tasks.work",
    "submit": "vibe_tasks.tasks.work",
    "on_event": "vibe_tasks.tasks.on_event",
    "Event": "vibe_tasks.events",
    "EventType": "vibe_tasks.events",
    "EventRouter": "vibe_tasks.flow.event_router",
    "EventStream": "vibe_tasks.web.stream_client",
    "Buckets": "vibe_tasks.buckets",
    "BucketLimits": "vibe_tasks.buckets",
    "Overflow": "vibe_tasks.buckets",
    "JobQueue": "vibe_tasks.tasks.consumers.job_queue",
    "JobProcessor": "vibe_tasks.tasks.consumers.job_processor",
    "QueueMonitor": "vibe_tasks.tasks.consumers.queue_monitor",
    "current_job": "vibe_tasks.tasks.consumers.in_hand",
    "CircuitBreaker": "vibe_tasks.tasks.circuit_breaker",
    "CircuitBreakerConfig": "vibe_tasks.breaker",
    "CircuitBreakerOpenError": "vibe_tasks.errors",
    "ResultCache": "vibe_tasks.tasks.result_cache",
    "PriorityAssigner": "vibe_tasks.priority",
    "calculate_worker_score": "vibe_tasks.routing",
    "get_cached_workers": "vibe_tasks.tasks.routing.router",
    "invalidate_worker_cache": "vibe_tasks.tasks.routing.router",
    "claim_next_job": "vibe_tasks.store.jobs",
    "complete_job": "vibe_tasks.store.jobs",
    "fail_job": "vibe_tasks.store.jobs",
    "get_queue_stats": "vibe_tasks.store.stats",
    "check_saturation": "vibe_tasks.flow.scaling",
    "provision_virtual_worker": "vibe_tasks.tasks.fleet.provisioners.virtual",
    "Snooze": "vibe_tasks.errors",
    "Cancel": "vibe_tasks.errors",
}

__all__ = sorted(_PLACES)  # noqa: PLE0605  the table is the list


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that a pure module stays light."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
