"""One question each about the parts of a deployment: is it at work?"""

from __future__ import annotations

from dataclasses import dataclass

from vibe_tasks import waiting
from vibe_tasks.flow.views.registry import registered
from vibe_tasks.masking import masked
from vibe_tasks.store import upkeep
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.tasks.broker_probe import probe
from vibe_tasks.words import span

SILENT_BEAT = 30.0
"""Seconds; the entry runs every second, and another beat takes over after 20."""

SLOW_DISPATCHER = waiting.SLOW_DISPATCHER
"""Seconds; a dispatcher that lives sends what is due within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer to one question.

    Attributes:
        part: What was asked about.
        healthy: Whether it is at work.
        text: Why, in one line.
        age: Seconds that were compared with the limit; None where nothing was to be measured.
    """

    part: str
    healthy: bool
    text: str
    age: float | None = None


def worker(ledger: Database, name: str, limit: float) -> Health:
    """Has this worker beaten in the registry lately?

    Args:
        ledger: The ledger.
        name: The worker's.
        limit: Seconds that are still well.
    """
    rows = registered(ledger, lease=limit)
    mine = next((each for each in rows if each["worker_id"] == name), None)
    if mine is None:
        others = ", ".join(each["worker_id"] for each in rows if each["status"] == "online")
        hint = f"; online: {others}" if others else ""
        return Health(part="worker", healthy=False, text=f"{name} has not registered{hint}")
    age, status = float(mine["age"]), mine["status"]
    return Health(
        part="worker", healthy=age <= limit and status not in {"lost", "offline"},
        text=f"{name} is {status}, its last beat was {span(age)} ago", age=age,
    )  # fmt: skip


def beat(ledger: Database, limit: float = SILENT_BEAT) -> Health:
    """Does a beat lead, and a worker of `control` do what it sends?

    Asks about the fleet and not about one process: of two beats one stands by.
    """
    with ledger.read() as connection:
        age = upkeep.seconds_since(connection, upkeep.DISPATCH)
    if age is None:
        return Health(part="beat", healthy=False, text="nothing that it sends was ever done")
    text = f"what it sends was last done {span(age)} ago"
    return Health(part="beat", healthy=age <= limit, text=text, age=age)


def dispatcher(ledger: Database, limit: float = SLOW_DISPATCHER) -> Health:
    """Is what is due sent, by beat or by a dispatcher's process?"""
    with ledger.read() as connection:
        age = oldest_unsent(connection)
    text = f"a job is due and unsent since {span(age)}" if age else "nothing due waits to be sent"
    return Health(part="dispatcher", healthy=age <= limit, text=text, age=age)


def broker(url: str) -> Health:
    """Does the broker answer, and keep every message?

    Raises:
        UnavailableError: It does not answer.
    """
    found = probe(url)
    if found.forgets:
        text = f"{found.name} drops messages when it is full (maxmemory-policy {found.policy})"
        return Health(part="broker", healthy=False, text=text)
    return Health(part="broker", healthy=True, text=f"{found.name} at {masked(url)}")
