"""The keeper of a host: runs the workers that the fleet's scaler wants on it.

`python -m vibe_tasks.stack.keeper`, started by the provisioner `process`; one for each host and
ledger. What is wanted is in the registry, so that a keeper that was killed is replaced by any
other; its workers end with it. It ends by itself when nothing is wanted any more, and lets its
workers finish and end when no other worker of this host has been heard of for a while: then the
deployment was stopped here.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from vibe_tasks.errors import InputError
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.stack.children import Child, Program
from vibe_tasks.stack.fleet_worker import Kept, process_of, runs, worker_program
from vibe_tasks.stack.supervisor import HEALTHY_AFTER, how_it_ended
from vibe_tasks.store import fleet, leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import processes, resources
from vibe_tasks.tasks.fleet.provisioners.process import (
    is_here,
    leave_keeper_lock,
    members,
    take_keeper_lock,
    touch_keeper_lock,
)
from vibe_tasks.tasks.observation.logs import set_up

LOOK = 1.0
"""Seconds between two looks at what is wanted."""

RESTART = RetryPolicy(max_retries=1000, base=0.5, factor=2.0, cap=60.0, jitter=0.0)
"""Waits of 1, 2, 4 … 60 s before a worker that keeps dying is started again; the check gives a
worker up that never registers."""

IDLE = 60.0
"""Seconds without anything to keep, after which the keeper ends."""

ORPHANED = 30.0
"""Seconds without another live worker on this host, after which the deployment counts as stopped;
a worker that is restarted is back sooner."""

BLINK = 5.0
"""Seconds; two looks, or an order and its start, are less apart unless something is in the way."""

BLIND = 600.0
"""Seconds for which the ledger may be away before the keeper lets its workers end."""

STUBBORN = 15.0
"""Seconds after which a worker that was told to end and holds no job is killed."""

LAST = 600.0
"""Seconds that jobs may still take once the keeper itself is to end."""

log = logging.getLogger(__name__)


class Keeper:
    """The fleet's workers of this host. Call its methods from the main thread.

    Args:
        ledger: The ledger.
        logs: An existing folder for their logs.
        program: The command line and environment of one.
        clock: Seconds on a clock that never goes back.
    """

    def __init__(
        self, ledger: Database, *, logs: Path, program: Callable[[fleet.Member], Program],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._logs = logs
        self._program = program
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._seen = self._alone_since = self._busy_at = clock()
        self._ending: float | None = None
        self._orphaned = False

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the workers that run, by their names."""
        return {name: each.child.pid for name, each in self._kept.items() if each.child}

    def end(self, why: str) -> None:
        """Start nothing more, and let what runs finish."""
        self._orphaned = False
        if self._ending is None:
            log.info("%s: letting %d workers end", why, len(self._kept))
            self._ending = self._clock()

    def turn(self) -> bool:
        """Look once, and do what is to be done; whether there is more to do."""
        if not self._logs.is_dir():  # the home is gone, and the ledger with it perhaps
            self.kill()
            return False
        self._bury()
        try:
            self._look()
        except DATABASE_ERRORS as error:
            log.warning("the ledger is away: %s", reason(error))
            if self._clock() - self._seen > BLIND:
                self.end("the ledger was away for too long")
        if self._ending is not None:
            return self._wind_up()
        return bool(self._kept) or self._clock() - self._busy_at < IDLE

    def kill(self) -> None:
        """End everything at once."""
        for each in self._kept.values():
            if each.child is not None:
                each.child.kill()
        self._kept.clear()

    def _look(self) -> None:
        with self._ledger.read() as connection:
            found = {each.worker: each for each in members(connection) if is_here(each.worker)}
            left = fleet.signed_off(connection, self._kept)
            holding = {name for name in self._kept if leases.held_by(connection, name)}
            others = workers.heard_at(
                connection, processes.this_host(), name=socket.gethostname(),
                seconds=resources.settings().lease_seconds,
            ) - set(found)  # fmt: skip
        self._heed(others)
        wanted = {name: each for name, each in found.items() if not each.leaving}
        if wanted:
            self._busy_at = self._clock()
        again = self._want_again(found, left)
        for name, each in list(self._kept.items()):
            each.member = found.get(name, each.member)
            if name in again:
                continue
            if each.child is None and name not in wanted:
                del self._kept[name]
            elif self._ending is not None or name not in found or self._is_older(each, found[name]):
                ends = each.child is not None and left.get(name, "") == process_of(each.child)
                self._let_go(each, holds=name in holding, ends=ends)
        if self._ending is None:
            for name, member in wanted.items():
                self._have(name, member)
        else:
            self._take_back(found)

    def _heed(self, others: Collection[str]) -> None:
        """Whether the deployment is here, of which these other workers were heard of."""
        before, now = self._seen, self._clock()
        self._seen = now
        # While the ledger was away nobody could be heard of.
        if others or now - before > BLINK:
            self._alone_since = now
        elif self._ending is None and now - self._alone_since > ORPHANED:
            self.end("no other worker runs on this host")
            self._orphaned = True
        if others and self._orphaned:  # we have the lock: nobody else would start what is wanted
            log.info("the deployment is back")
            self._ending, self._orphaned = None, False

    def _bury(self) -> None:
        """Note who has died. Before the look: who has left has then said so in the registry."""
        for name, each in list(self._kept.items()):
            code = None if each.child is None else each.child.exit_code()
            if code is None or each.child is None:
                continue
            each.child.kill()  # what it left behind would work beside its successor
            if each.told is not None or code == 0:
                # SIGTERM ends it at once where it has not begun to listen to that.
                orderly = code in {0, -signal.SIGTERM}
                log.log(logging.INFO if orderly else logging.WARNING,
                        "%s has ended (%s)", name, how_it_ended(code))  # fmt: skip
                del self._kept[name]
                continue
            long = self._clock() - each.started >= HEALTHY_AFTER
            each.deaths = 1 if long else each.deaths + 1
            wait = RESTART.wait_after(each.deaths, uniform=lambda low, _high: low)
            each.child, each.due = None, self._clock() + wait
            log.warning("%s ended (%s)", name, how_it_ended(code))

    def _want_again(
        self, found: Mapping[str, fleet.Member], left: Mapping[str, str | None]
    ) -> set[str]:
        """Workers that died and that somebody has signed off before we started them again, or
        before their successors have registered: they are wanted as before.
        """
        again: dict[str, float] = {}
        for name, process in left.items():
            each = self._kept[name]
            if name in found or each.member.leaving or each.told is not None:
                continue
            if each.child is None:
                again[name] = 0.0
            # One that has signed off itself is about to end, and is not started again.
            elif process and process_of(each.child) not in {None, process}:
                again[name] = self._clock() - each.started
        if not again or self._ending is not None:
            return set()
        with self._ledger.begin() as connection:
            for name, age in again.items():
                fleet.want_again(connection, name, age=age)
        return set(again)

    def _have(self, name: str, member: fleet.Member) -> None:
        """See that this worker runs."""
        each = self._kept.setdefault(name, Kept(member=member))
        if each.child is not None or self._clock() < each.due or runs(member):
            return
        try:
            each.child = Child(self._program(member), logs=self._logs)
        except InputError as error:
            each.due = self._clock() + RESTART.cap
            log.warning("%s", error)
        else:
            each.started = self._clock()
            log.info("%s started, process %d", name, each.child.pid)

    def _is_older(self, each: Kept, member: fleet.Member) -> bool:
        """Whether this process is of an earlier order: it gave no sign, was given up, and its name
        was ordered anew before we looked.
        """
        age = self._clock() - each.started
        return member.status == fleet.STARTING and age > member.age + BLINK

    def _let_go(self, each: Kept, *, holds: bool, ends: bool) -> None:
        """Tell a worker that nobody wants any more to finish and end.

        One that has drained and signed off does so by itself: a signal in its last moments would
        kill it, as nobody listens any more.
        """
        if each.child is None:
            return
        if each.told is None:
            if not ends:
                each.child.ask_to_end()
            each.told = self._clock()
        elif not holds and self._clock() - each.told > STUBBORN:
            log.warning("%s does not end and holds nothing: killed", each.member.worker)
            each.child.kill()

    def _take_back(self, found: Mapping[str, fleet.Member]) -> None:
        """What has not been started will not be."""
        never = [name for name, each in found.items()
                 if each.status == fleet.STARTING and name not in self._kept]  # fmt: skip
        if never:
            with self._ledger.begin() as connection:
                for name in never:
                    fleet.give_up(connection, name)

    def _wind_up(self) -> bool:
        """Whether workers still finish."""
        for each in self._kept.values():
            if each.child is not None and each.told is None:
                each.child.ask_to_end()
                each.told = self._clock()
        left = any(each.child is not None for each in self._kept.values())
        if left and self._ending is not None and self._clock() - self._ending > LAST:
            self.kill()
            return False
        return left


def main(_arguments: Collection[str] = ()) -> int:
    """Keep until there is nothing to keep; the exit code."""
    held = take_keeper_lock()
    if held is None:
        return 0
    set_up()
    logs = resources.make_home() / "logs"
    keeper = Keeper(
        resources.ledger(), logs=logs, program=worker_program, clock=resources.monotonic
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.end("told to end"))
    log.info("keeping the fleet's workers of this host, process %d", os.getpid())
    try:
        while keeper.turn():
            touch_keeper_lock(held)
            resources.pause(LOOK)
    finally:
        keeper.kill()
        leave_keeper_lock(held)
    log.info("nothing left to keep")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
