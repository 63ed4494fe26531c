"""The attempt that this process, or this thread, has in hand: what is said meanwhile is its."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from vibe_tasks.jobs import Claim
from vibe_tasks.trace import trace_id_of

if TYPE_CHECKING:
    from vibe_tasks.tasks.observation.recorder import Recorder

trace: ContextVar[str | None] = ContextVar("vibe_trace", default=None)
"""The trace of the job in hand, as its row has it."""

recorder: ContextVar[Recorder | None] = ContextVar("vibe_recorder", default=None)
"""Takes what the job in hand says."""


def fields_of(claim: Claim, worker: str | None) -> dict[str, Any]:
    """What each log line of an attempt tells of it."""
    fields = {
        "job": claim.id, "attempt": claim.attempt, "name": claim.name, "lane": claim.lane,
        "plan": claim.plan_id, "task": claim.task_id, "worker": worker,
        "trace": trace_id_of(claim.trace),
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def bound(claim: Claim, worker: str | None) -> Iterator[None]:
    """Let this attempt be the one in hand."""
    mark = trace.set(claim.trace)
    # Loaded where this process writes structured lines; who writes none need not wait for it.
    context = sys.modules.get("structlog.contextvars")
    tokens = context.bind_contextvars(**fields_of(claim, worker)) if context else {}
    try:
        yield
    finally:
        if context:
            context.reset_contextvars(**tokens)
        trace.reset(mark)
