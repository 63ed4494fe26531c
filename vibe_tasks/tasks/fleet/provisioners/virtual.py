"""Workers that are registered and nothing else: the hook for capacity that comes from elsewhere.

What stands behind such a worker (a pod, a function, a person's session) claims jobs under its name
with `claim_next_job` or `vibe jobs claim --worker`. No message is sent to it.
Source: design document, feature 15.
"""

from __future__ import annotations

from vibe_tasks.fleet import PROVISIONERS, FleetLane
from vibe_tasks.store import fleet, workers
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order

PREFIX = "@"


class Virtual:
    """Rows of the registry, kept fresh.

    Args:
        ledger: The ledger.
    """

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger

    def look(self, lane: FleetLane, *, last: int | None) -> Found:  # noqa: ARG002
        """Those that are registered."""
        with self._ledger.read() as connection:
            found = members(connection, lane.lane)
        there = [each for each in found if not each.leaving]
        return Found(size=len(there), starting=0, idle=sum(not each.busy for each in there))

    def tend(self, lane: FleetLane) -> None:
        """Say that all are there; those that were to end and hold nothing are forgotten."""
        with self._ledger.begin() as connection:
            found = members(connection, lane.lane)
            for each in found:
                if each.leaving and not each.busy:
                    workers.forget(connection, each.worker)
            fleet.refresh(connection, [each.worker for each in found])

    def scale(self, lane: FleetLane, order: Order) -> int:
        """Register more; or forget some, those that hold a job once they have ended it."""
        with self._ledger.begin() as connection:
            for _ in range(order.before, order.target):
                _register(connection, lane.lane, slots=lane.slots)
            found = members(connection, lane.lane)
            there = [each for each in found if not each.leaving]
            going = fleet.first_to_go(there)
            for each in going[: max(0, len(there) - order.target)]:
                workers.drain(connection, each.worker)
        self.tend(lane)
        return self.look(lane, last=None).size


def provision_virtual_worker(connection: Transaction, lane: str) -> str:
    """Register a virtual worker of this lane, whatever the fleet's settings say; its name.

    The registry takes it for gone after a minute, unless the lane is under fleet control by
    `virtual` or its owner beats for it.
    Source: design document, feature 15.

    Args:
        connection: A writing transaction.
        lane: The lane.
    """
    return _register(connection, lane, slots=PROVISIONERS["virtual"])


def _register(connection: Transaction, lane: str, *, slots: int) -> str:
    taken = {each.number for each in members(connection, lane)}
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    name = f"{PREFIX}{lane}-auto-{number}"
    fleet.want(connection, name, lane, slots=slots, status="online")
    return name


def members(connection: Transaction, lane: str | None = None) -> tuple[fleet.Member, ...]:
    """The virtual workers of a lane, or of all."""
    found = fleet.members(connection, PREFIX, lane)
    return tuple(each for each in found if each.worker.startswith(f"{PREFIX}{each.lane}-auto-"))
