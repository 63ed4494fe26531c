"""After a plan's end: those who want to hear of it are told before the stack stops."""

from __future__ import annotations

from collections.abc import Callable

from vibe_tasks.cli.interruption import Interruption
from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.cli.printing import counted
from vibe_tasks.cli.program import program
from vibe_tasks.cli.watching import LOOK, View
from vibe_tasks.store import event_handlers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

PATIENCE = 30.0
"""Seconds to wait for messages that are tried again, the last time after about 14 of them."""


def until_told(
    ledger: Database,
    plan_id: str,
    *,
    view: View,
    poll: Callable[[], None],
    interruption: Interruption,
) -> None:
    """Return when every handler has heard of the plan's events, or is given up, or we are.

    Args:
        ledger: The ledger.
        plan_id: The plan, which has ended.
        view: Says what we wait for.
        poll: Called at each look; keeps the stack running.
        interruption: Ends the wait; the plan has ended all the same.

    Raises:
        UnavailableError: The ledger does not answer, or the stack cannot be kept running.
    """
    end = resources.monotonic() + PATIENCE
    said = False
    while left := _left(ledger, plan_id):
        messages = counted(len(left), "message")
        if interruption.came or resources.monotonic() >= end:
            view.say(f"{messages} about its events not delivered yet; {program()} up goes on")
            return
        if not said:
            said = True
            view.say(f"delivering {messages} about its events")
        poll()
        resources.pause(LOOK)


def _left(ledger: Database, plan_id: str) -> tuple[str, ...]:
    with storage_trouble(), ledger.read() as connection:
        return event_handlers.untold(connection, plan_id)
