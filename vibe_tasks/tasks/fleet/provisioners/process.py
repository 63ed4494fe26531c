"""Workers as processes of the host that the check ran on.

Which workers are wanted is in the registry alone. On each host one keeper (`stack.keeper`) starts
what is wanted there, starts again what dies, and lets go of what drains. It is found by its lock;
where it is gone, the next check on that host starts it again. Its workers end with it, however it
ends, so that none is started twice and none is left over.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from vibe_tasks.fleet import FleetLane
from vibe_tasks.store import fleet, upkeep, workers
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.tasks import processes, remote, resources
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order, ProvisionerError
from vibe_tasks.workspace.detached import start_detached

PREFIX = "auto-"

KEEPER = "vibe_tasks.stack.keeper"
"""The module of the keeper."""

PAUSE = "fleet silence"
"""Under what the ledger remembers when silence was judged last."""

LOG = "fleet-keeper.log"
"""Its log, in the folder `logs` of the home of whoever started it."""


class Process:
    """Workers of this host.

    Args:
        ledger: The ledger.
        start: Starts this host's keeper, unless it runs.
        tell: Tells workers at once that they are to drain.
        patience: Seconds from the order of a worker to its first sign.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        ledger: Database,
        *,
        patience: float,
        every: float,
        start: Callable[[], None] | None = None,
        tell: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._start = start or start_keeper
        self._tell = tell or tell_to_drain
        self._patience = patience
        self._every = every

    def look(self, lane: FleetLane, *, last: int | None) -> Found:  # noqa: ARG002
        """Those that are wanted, on all hosts."""
        with self._ledger.read() as connection:
            found = members(connection, lane.lane)
            patient = self._patient(upkeep.last_look(connection, PAUSE))
        late = [] if patient else [each for each in found if self._gave_no_sign(each)]
        there = [each for each in found if not each.leaving and each not in late]
        trouble = f"{late[0].worker} gave no sign for {self._patience:.0f} s" if late else None
        up = [each for each in there
              if each.status != fleet.STARTING and each.age <= fleet.SILENT]  # fmt: skip
        return Found(
            size=len(there), starting=len(there) - len(up),
            idle=sum(not each.busy for each in up), trouble=trouble,
        )  # fmt: skip

    def tend(self, lane: FleetLane) -> None:
        """See that this host's keeper runs, if it has something to keep."""
        with self._ledger.begin() as connection:
            found = members(connection, lane.lane)
            last = upkeep.last_look(connection, PAUSE)
            patient = self._patient(last)
            until = last.now + fleet.SILENT if self._paused(last) else last.patient_until
            upkeep.keep_look(connection, PAUSE, at=last.now, patient_until=until)
            for each in found:
                if not patient and self._gave_no_sign(each):
                    fleet.give_up(connection, each.worker)
        if any(is_here(each.worker) for each in found):
            self._start()

    def scale(self, lane: FleetLane, order: Order) -> int:
        """Want more of this host's; or let some drain, wherever they are."""
        told: list[str] = []
        with self._ledger.begin() as connection:
            there = [each for each in members(connection, lane.lane) if not each.leaving]
            for _ in range(len(there), order.target):
                _want(connection, lane)
            going = fleet.first_to_go(there)
            for each in going[: max(0, len(there) - order.target)]:
                if each.status == fleet.STARTING:
                    fleet.give_up(connection, each.worker)
                else:
                    workers.drain(connection, each.worker)
                    told.append(each.worker)
            left = [each for each in members(connection, lane.lane) if not each.leaving]
        if told:
            self._tell(told)
        self.tend(lane)
        return len(left)

    def _paused(self, last: upkeep.Looked) -> bool:
        """Whether nobody has looked for long: the ledger was away, or the machine slept, and every
        worker was silent meanwhile.
        """
        return last.now - last.at > max(fleet.SILENT, 2 * self._every)

    def _patient(self, last: upkeep.Looked) -> bool:
        return self._paused(last) or last.now < last.patient_until <= last.now + fleet.SILENT

    def _gave_no_sign(self, member: fleet.Member) -> bool:
        return member.age > max(self._patience, fleet.SILENT)


def members(connection: Transaction, lane: str | None = None) -> tuple[fleet.Member, ...]:
    """The workers that this provisioner has ordered, of a lane or of all."""
    found = fleet.members(connection, PREFIX, lane)
    return tuple(each for each in found if each.worker.startswith(_prefix(each.lane)))


def is_here(worker: str) -> bool:
    """Whether a worker of this name belongs to this host."""
    return worker.rpartition("@")[2] == socket.gethostname()


def start_keeper() -> None:
    """Start this host's keeper unless it runs.

    Raises:
        ProvisionerError: It cannot be started.
    """
    if keeper_runs():
        return
    home = resources.make_home()
    argv = [sys.executable, "-m", KEEPER]
    try:
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        start_detached(
            argv, env={**os.environ, "VIBE_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            cwd=Path.cwd(), log=home / "logs" / LOG,
        )  # fmt: skip
    except OSError as error:
        raise ProvisionerError(f"cannot start the keeper of this host: {error}") from error


def keeper_lock() -> Path:
    """The file whose lock this host's keeper of this ledger holds, whatever its home is."""
    mark = sha256(f"{processes.this_host()} {resources.database_url()}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"vibe-keeper-{os.getuid()}-{mark}.lock")


def take_keeper_lock() -> int | None:
    """Hold the lock until `leave_keeper_lock`, or the end of this process, whose id the file shows
    to people; None where another process has it.

    Raises:
        ProvisionerError: The file cannot be written.
    """
    path = keeper_lock()
    try:
        while True:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(held).st_ino:
                    os.ftruncate(held, 0)
                    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
                    return held
            except BlockingIOError:
                os.close(held)
                return None
            except FileNotFoundError:
                pass
            os.close(held)  # who had it has removed the file meanwhile: it locks nobody out
    except OSError as error:
        raise ProvisionerError(f"cannot lock {path}: {error.strerror}") from error


def touch_keeper_lock(held: int) -> None:
    """Let the file look young: what is old in the temporary folder is removed by many systems, and
    another keeper would find no lock.
    """
    with suppress(OSError):
        os.utime(held)


def leave_keeper_lock(held: int) -> None:
    """Let another process have the lock. The file goes first, while nobody else can have it."""
    with suppress(FileNotFoundError):
        keeper_lock().unlink()
    os.close(held)


def keeper_runs() -> bool:
    """Whether this host has a keeper.

    Raises:
        ProvisionerError: It cannot be known.
    """
    held = take_keeper_lock()
    if held is None:
        return True
    leave_keeper_lock(held)
    return False


def _want(connection: Transaction, lane: FleetLane) -> None:
    prefix = _prefix(lane.lane)
    # Of all lanes: those whose names differ in an @ alone share their workers' names.
    taken = {each.number for each in members(connection) if each.worker.startswith(prefix)}
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    fleet.want(
        connection, f"{prefix}{number}@{socket.gethostname()}", lane.lane,
        slots=lane.slots, host=processes.this_host(), tier=resources.settings().worker_tier,
    )  # fmt: skip


def _prefix(lane: str) -> str:
    """What the names of this lane's workers begin with; Celery reads a host from the first @ on."""
    return f"{PREFIX}{lane.replace('@', '.')}-"


def tell_to_drain(names: Sequence[str]) -> None:
    """Tell these workers what their next heartbeat would tell them."""
    from vibe_tasks.tasks.app import app  # noqa: PLC0415  the application imports this module

    remote.tell_to_drain(app, names)
