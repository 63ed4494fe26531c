"""Workers that somebody else's service starts and ends: it is told what size a lane should have.

The request is signed as that of an escalation is. The size is an absolute number, so that one which
is sent again, after an answer that was lost, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.escalation import body_of, headers_of
from vibe_tasks.fleet import FleetLane
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order, ProvisionerError
from vibe_tasks.tasks.webhook import ask

FORMAT = 1
"""Version of the message; new keys do not change it."""

MOST = 1_000_000
"""Workers that an answer is believed to have."""


class Webhook:
    """A service that takes orders.

    Args:
        url: Where it is.
        secret: What the requests are signed with; empty: they are not.
        timeout: Seconds for one answer.
        wall_clock: Epoch seconds.
    """

    def __init__(
        self, url: str, *, secret: str, timeout: float, wall_clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._wall_clock = wall_clock

    def look(self, lane: FleetLane, *, last: int | None) -> Found:  # noqa: ARG002
        """As many as the last answer said."""
        return Found(size=last or 0)

    def tend(self, lane: FleetLane) -> None:
        """Nothing: it is the service's."""

    def scale(self, lane: FleetLane, order: Order) -> int:
        """Tell it; as many as its answer's `applied` says, else as many as were asked for."""
        message = {
            "version": FORMAT, "type": "SCALE", "lane": lane.lane, "before": order.before,
            "target": order.target, "reason": order.reason, "slots": lane.slots,
        }  # fmt: skip
        body = body_of(message)
        headers = headers_of(
            message, body, delivery=f"scale-{order.number}", timestamp=int(self._wall_clock()),
            secret=self._secret,
        )  # fmt: skip
        try:
            said = ask(self._url, body, headers, timeout=self._timeout)
        except TransientError as error:
            raise ProvisionerError(f"webhook: {error}", retry_after=error.retry_after) from error
        except PermanentError as error:
            raise ProvisionerError(f"webhook: {error}") from error
        return _applied(said, order.target)


def _applied(said: bytes, target: int) -> int:
    try:
        answer = json.loads(said)
    except ValueError:
        return target
    applied = answer.get("applied") if isinstance(answer, dict) else None
    if isinstance(applied, int) and not isinstance(applied, bool) and 0 <= applied <= MOST:
        return applied
    return target
