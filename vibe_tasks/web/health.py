"""`/healthz`: does this process answer; `/readyz`: can it do its work.

Ready is who reaches a ledger of the right schema. The broker is told of and not asked for: what is
submitted while it is away is in the ledger, and is sent when it is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vibe_tasks.errors import InputError, SchemaError
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.version import require_current
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import probe
from vibe_tasks.web.services import Services

PATHS = ("/healthz", "/readyz")

FRESH_LEDGER = 1.0
FRESH_BROKER = 5.0
"""Seconds for which an answer is given again: anybody may ask, and as often as they like."""


class Remembered:
    """The answer to a question, asked anew when it is too old. From any thread.

    Args:
        ask: The question.
        fresh: Seconds for which its answer holds.
        monotonic: Seconds on a clock that never goes back.
    """

    def __init__(
        self, ask: Callable[[], str], *, fresh: float, monotonic: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._fresh = fresh
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._answer, self._until = "", float("-inf")

    def __call__(self) -> str:
        """The answer; one thread asks, the others wait for what it is told."""
        with self._turn:
            if self._monotonic() >= self._until:
                self._answer = self._ask()
                self._until = self._monotonic() + self._fresh
            return self._answer


def ledger_state(ledger: Database) -> str:
    """`ok`, or why not, in words that tell a stranger nothing."""
    try:
        require_current(ledger)
    except SchemaError:
        return "wrong schema"
    except (InputError, *DATABASE_ERRORS):
        return "unavailable"
    return "ok"


def broker_state() -> str:
    """`ok`, or why not."""
    try:
        found = probe(resources.broker_url())
    except InputError:
        return "unavailable"
    return "drops messages when it is full" if found.forgets else "ok"


def router(services: Services) -> APIRouter:
    """The two paths."""
    routes = APIRouter(tags=["health"])
    ledger = Remembered(
        lambda: ledger_state(services.ledger), fresh=FRESH_LEDGER, monotonic=services.monotonic
    )
    broker = Remembered(broker_state, fresh=FRESH_BROKER, monotonic=services.monotonic)

    @routes.get("/healthz", summary="Whether this process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get(
        "/readyz", summary="Whether this process can do its work",
        responses={503: {"description": "The ledger cannot be used."}},
    )  # fmt: skip
    def readyz() -> Response:
        found = ledger()
        ready = found == "ok"
        content = {"status": "ok" if ready else "not ready", "ledger": found, "broker": broker()}
        return JSONResponse(content, 200 if ready else 503)

    return routes
