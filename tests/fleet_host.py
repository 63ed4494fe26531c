"""A host of the fleet, with programs that sleep in place of workers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vibe_tasks.fleet import FleetLane
from vibe_tasks.stack.children import Program
from vibe_tasks.stack.keeper import Keeper
from vibe_tasks.store import fleet, version, workers
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.tasks import processes
from vibe_tasks.tasks.fleet.provisioners.process import Process
from vibe_tasks.tasks.fleet.provisioners.provisioner import Order

HOST = socket.gethostname()
CODE = FleetLane(lane="code", provisioner="process", least=0, most=5, slots=2)
ONE, TWO = f"auto-code-1@{HOST}", f"auto-code-2@{HOST}"
SLEEP = ("sleep", "300")
DEAF = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done")


class Host:
    """A host whose clock is the test's, a ledger, and a keeper."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.ledger: Database = open_database(f"sqlite:///{folder / 'ledger.db'}")
        version.create(self.ledger)
        self.argv = SLEEP
        self.keepers = [self.keeper()]
        self.provisioner = Process(
            self.ledger, patience=120, every=10, start=lambda: None, tell=lambda _names: None
        )

    def keeper(self) -> Keeper:
        """Another keeper."""
        return Keeper(self.ledger, logs=self.logs, program=self.program, clock=lambda: self.now)

    def program(self, member: fleet.Member) -> Program:
        """What stands for a worker."""
        return Program(name=member.worker, argv=self.argv, environ=dict(os.environ))

    def turn(self, seconds: float = 1.0) -> bool:
        """Go on so many seconds, and let the keeper look, which the deployment's worker does."""
        self.now += seconds
        return self.keepers[-1].turn()

    def deploy(self) -> None:
        """Another worker of this host, that is no part of the fleet, is heard of."""
        with self.ledger.begin() as connection:
            fleet.want(connection, f"celery@{HOST}", "control", slots=1, status="online",
                       host=processes.this_host())  # fmt: skip

    def size(self, target: int) -> int:
        """Want so many workers."""
        return self.provisioner.scale(
            CODE, Order(number=1, before=0, target=target, reason="a test wants it")
        )

    def register(self, worker: str) -> None:
        """What a worker of this name does when it is up."""
        found = processes.identity_of(self.pids[worker])
        assert found is not None
        with self.ledger.begin() as connection:
            me = workers.Registered(worker=worker, host=found.host, process=found.process)
            workers.register(connection, me, ["code"], tier="standard", capacity=2)

    def sign_off(self, worker: str) -> None:
        """What a worker of this name does at its end, or a dispatcher that finds it dead."""
        with self.ledger.begin() as connection:
            me = workers.registered_as(connection, worker)
            assert me is not None
            assert workers.sign_off(connection, me)

    @property
    def pids(self) -> dict[str, int]:
        """Of the keeper's workers."""
        return dict(self.keepers[-1].pids)


def is_gone(pid: int) -> bool:
    found = processes.identity_of(pid)
    return found is None or processes.is_gone(found)


@contextmanager
def deployed_host(folder: Path) -> Iterator[Host]:
    """A host with a deployment; what its keepers run ends with it."""
    made = Host(folder)
    made.deploy()
    try:
        yield made
    finally:
        for each in made.keepers:
            each.kill()
        made.ledger.close()
