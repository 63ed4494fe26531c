"""Boot steps of our workers: the ledger is checked, leases are renewed, children die with us."""

from __future__ import annotations

import atexit
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from billiard import pool as billiard_pool
from billiard.process import current_process
from celery import bootsteps, signals

from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.flow import attempts
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import (
    followers,
    processes,
    publisher,
    quiet,
    remote,
    resources,
    subscriptions,
)
from vibe_tasks.tasks.broker_probe import probe
from vibe_tasks.tasks.labels import worker_labels
from vibe_tasks.tasks.main_process import unknown
from vibe_tasks.tasks.main_process.giving_back import OwnQueueStep, kept
from vibe_tasks.tasks.main_process.heartbeat import Heartbeat
from vibe_tasks.tasks.main_process.reception import ReceptionStep
from vibe_tasks.tasks.observation import attended, traces
from vibe_tasks.tasks.pool import drain, scaling_commands
from vibe_tasks.tasks.pool.limited import LimitStep
from vibe_tasks.tasks.pool.room import capacity_of
from vibe_tasks.tasks.pool.sheet import sheet
from vibe_tasks.tasks.routing import own_queue

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""Linux: prctl(2)."""

LOOK_EVERY = 0.5
"""Seconds between two looks for dead pool processes, and between two counted turns of the loop."""

LAST_LOOKS = 20
"""Tenths of a second for which a pool process that ends waits until its main process has read all
it wrote. billiard waits for 30 s, and once the broker was away it miscounts and waits in vain;
how jobs ended is in the ledger by then."""

_main_process: int | None = None
"""Id of the worker's main process."""


class LedgerStep(bootsteps.StartStopStep):
    """Refuses to start on a ledger of another version; registers, beats, leaves."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._heartbeat: Heartbeat | None = None
        self._looks: list[Any] = []
        global _main_process  # noqa: PLW0603  one worker in one process
        _main_process = os.getpid()
        # Set before the pool forks.
        billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_LOOKS
        sheet()  # made before the pool, whose processes are to share it
        # Celery collects garbage before each fork: not in what was imported, which stays, and
        # which the pool's processes then share with us for longer.
        gc.freeze()
        try:
            check_bounds(getattr(parent, "autoscale", None))
            attended.hear_jobs()
            resources.ledger().leave_checkpoints()
        except InputError as error:
            sys.stderr.write(f"vibe: {error}\n")
            raise SystemExit(2) from error

    def start(self, parent: Any) -> None:
        """Register the worker and begin to renew its leases."""
        own_queue.select(parent.app, parent.hostname)
        lanes = own_queue.lanes_of(parent.app)
        warn_of_no_stack()
        self._heartbeat = Heartbeat(parent, register(parent, lanes))
        subscriptions.renew(parent.app, lanes)
        self._heartbeat.start()
        kept.start(parent)
        atexit.register(self._leave)

    def stop(self, parent: Any) -> None:  # noqa: ARG002  Celery's signature
        """The consumer has stopped: nothing more is taken from the worker's own queue."""
        kept.stop()

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Look for dead pool processes more often than Celery's every five seconds.

        Celery also hears of a death at once, but looks for its exit code before there is one.
        """
        for look in self._looks:
            look.cancel()  # registered again after the broker was away
        maintain = getattr(getattr(parent.pool, "_pool", None), "maintain_pool", None)
        turn = self._heartbeat and self._heartbeat.turn
        looks = (maintain, turn, lambda: drain.drain.turn(parent))
        self._looks = [hub.call_repeatedly(LOOK_EVERY, each) for each in looks if each]

    def _leave(self) -> None:
        """At the end of the process: hand back what the pool did not finish, and sign off.

        Not at this step's `stop`: that comes before the pool's, whose jobs need their leases
        until they are done.
        """
        if os.getpid() != _main_process or self._heartbeat is None:
            return
        self._heartbeat.stop()
        try:
            self._heartbeat.leave("the worker was stopped")
        except DATABASE_ERRORS as error:
            log.warning("could not leave the registry: %s", reason(error))
        kept.end()


def check_bounds(autoscale: Sequence[int] | None) -> None:
    """Refuse what `--autoscale` cannot mean; Celery has sorted the two.

    Raises:
        InputError: A bound is below zero.
    """
    if autoscale and min(autoscale) < 0:
        most, least = autoscale
        raise InputError(f"--autoscale: MAX,MIN must be 0 or more, got {most} and {least}")


def warn_of_no_stack() -> None:
    """Say why a worker finds no broker, where none is named and no stack runs; it tries on."""
    if resources.settings().broker_url:
        return
    try:
        probe(resources.broker_url())
    except UnavailableError:
        log.warning(
            "no stack runs in %s: run `vibe up` there, or set VIBE_BROKER_URL; "
            "until then this worker tries again and again", resources.home(),
        )  # fmt: skip


def register(worker: Any, lanes: list[str]) -> workers.Registered:
    """Put a Celery worker into the registry; as what.

    What a dead worker of the same name and host held is taken back. Where one of that name lives,
    the name stands for no process: each can lose what it holds by its leases alone.
    """
    ledger, settings, name = resources.ledger(), resources.settings(), worker.hostname
    me = processes.identity_of(os.getpid())
    held: tuple[leases.Held, ...] = ()
    token, shared = uuid4().hex, False
    with ledger.begin() as connection:
        before = workers.registered_as(connection, name)
        if before is not None and is_gone(before):
            held = leases.held_by(connection, name)
        elif before is not None and me is not None:
            shared = before.age <= settings.lease_seconds
        registered = workers.Registered(
            worker=name,
            # Two of one name: no host, so that nobody judges by the process; what stands there
            # in its place still tells this start from others.
            host=me.host if me and not shared else None,
            process=me.process if me and not shared else token,
        )
        workers.register(
            connection, registered, lanes, tier=settings.worker_tier,
            capacity=capacity_of(worker), version=processes.program_version(),
            labels=worker_labels(), functions=unknown.known(worker.app),
        )  # fmt: skip
    if shared:
        log.warning("another worker is called %s: give each a name of its own with -n", name)
    taken = attempts.take_back(ledger, held, uniform=resources.uniform, tell=traces.lost)
    publisher.publish(worker.app, ledger, taken.following)
    followers.tell(worker.app, ledger, taken.dead)
    return registered


def is_gone(registered: workers.Registered) -> bool:
    """Whether the process of a registered worker surely runs no more."""
    if registered.host is None or registered.process is None:
        return False
    return processes.is_gone(processes.Identity(host=registered.host, process=registered.process))


def begin_pool_process(**_: Any) -> None:
    """Make this pool process end when the worker's main process dies, also by SIGKILL.

    It also leads a process group from now on: at a time limit billiard ends the group of a
    leader, so that nothing of what a job has started runs on.
    """
    if _main_process in {None, os.getpid()}:
        return  # a pool without processes of its own sends this signal too
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != _main_process:  # it died before; the id 1 may be our worker in a container
        os._exit(1)
    os.setpgid(0, 0)
    sheet().take_line(current_process().index)


def install(app: Any) -> None:
    """Give an application's workers our boot steps."""
    app.steps["worker"].add(LedgerStep)
    app.steps["consumer"].add(ReceptionStep)
    app.steps["consumer"].add(OwnQueueStep)
    app.steps["consumer"].add(LimitStep)
    quiet.install()
    attended.install()
    remote.install()
    drain.install()
    scaling_commands.install()
    signals.worker_process_init.connect(begin_pool_process, weak=False)
    signals.task_unknown.connect(unknown.refuse, weak=False)
