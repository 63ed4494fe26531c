"""Remote-control commands of the autoscaler: `set_scaling` and `scaling`; and a safe `pool_shrink`.

`celery -A vibe_tasks control set_scaling up_depth=20 down_after=60` and, beside Celery's own
`control autoscale MAX MIN`, for the workers that it reaches and as long as these run. For all
workers of a lane, those that start later too, there is `vibe lanes limit`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.worker import control as celerys
from celery.worker import state as in_hand
from celery.worker.control import control_command, inspect_command

from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.tasks.pool import prefork
from vibe_tasks.tasks.pool.autoscaler import Autoscaler

log = logging.getLogger(__name__)

THRESHOLDS = {"up_depth": int, "down_depth": int, "up_age": float, "down_after": float}
"""What can be set, and what it is of."""

NO_VALUE = "none"
NOT_SCALING = {"error": "this worker does not scale: start it with --autoscale=MAX,MIN"}


def parsed(changes: Sequence[str]) -> dict[str, float | None]:
    """Thresholds of `NAME=VALUE` words; `none` for those of the lanes again.

    Raises:
        ValueError: A name is unknown, or a value is no number.
    """
    found: dict[str, float | None] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in THRESHOLDS:
            raise ValueError(f"unknown threshold {name!r}{did_you_mean(name, THRESHOLDS)}")
        try:
            found[name] = None if text == NO_VALUE else THRESHOLDS[name](text)
        except ValueError as error:
            raise ValueError(f"{name} must be a number or {NO_VALUE}, got {text!r}") from error
    return found


def _set_scaling(state: Any, changes: Sequence[str] = (), **_: Any) -> dict[str, Any]:
    """Change thresholds of this worker's autoscaler: up_depth, down_depth, up_age, down_after."""
    scaler = state.consumer.controller.autoscaler
    if not isinstance(scaler, Autoscaler):
        return NOT_SCALING
    try:
        scaler.set_scaling(parsed(changes))
    except ValueError as error:
        return {"error": str(error)}
    log.info("thresholds of the pool from now on: %s", " ".join(changes))
    return {"ok": scaler.scaling()["thresholds"]}


def _scaling(state: Any, **_: Any) -> dict[str, Any]:
    """The autoscaler's bounds, processes, changes, thresholds and last reason."""
    scaler = state.consumer.controller.autoscaler
    return scaler.scaling() if isinstance(scaler, Autoscaler) else NOT_SCALING


def _pool_shrink(state: Any, n: int = 1, **_: Any) -> dict[str, str]:
    """Shrink pool by n processes/threads; none that is at work ends."""
    worker = state.consumer.controller
    if worker.autoscaler or not prefork.can_change(worker):
        answer: dict[str, str] = celerys.pool_shrink(state, n)
        return answer
    free = prefork.size(worker.pool) - len(in_hand.reserved_requests) - 1
    ended = prefork.end_idle(worker.pool, worker.hub, min(int(n), free))
    return {"ok": f"pool will shrink by {ended}"}


def install() -> None:
    """Let workers hear these commands."""
    control_command(name="pool_shrink", args=[("n", int)], signature="[N=1]")(_pool_shrink)
    control_command(name="set_scaling", variadic="changes", signature="[NAME=VALUE ...]")(
        _set_scaling
    )
    inspect_command(name="scaling")(_scaling)
