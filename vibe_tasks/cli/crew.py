"""Who does the work: the embedded stack of this home, ours or another process's."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.errors import UnavailableError
from vibe_tasks.flow import attempts
from vibe_tasks.stack.embedded import EmbeddedStack, worker_name
from vibe_tasks.stack.lock import HomeTakenError
from vibe_tasks.store import leases, outbox, watching, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.worktree import remove_leftover

LOOK_AGAIN = 1.0
"""Seconds between two looks whether the other process's stack is still there."""

AT_ONCE = 0.2
"""Seconds of grace for a worker that has nothing in its hands."""

GOODBYE = 2.0
"""Seconds of grace where people are connected to the web server: they are told."""

log = logging.getLogger(__name__)


class Crew:
    """The stack of one home; a context manager of the main thread.

    Where another process runs it already we are its guest, and take over when it goes.

    Args:
        ledger: The ledger.
        home: The home folder.
        processes: Processes of the worker.
        lanes: Lanes that the worker serves.
        beat: Whether beat runs too.
        flower: Flower's port; 0: it does not run.
        grow_to: Processes that the worker may grow to; 0: it does not grow.
        web: Whether the web server runs too.
    """

    def __init__(
        self,
        ledger: Database,
        home: Path,
        *,
        processes: int,
        lanes: Sequence[str],
        beat: bool = False,
        flower: int = 0,
        grow_to: int = 0,
        web: bool = False,
    ) -> None:
        self._ledger = ledger
        self._home = home
        self._worker = worker_name(home)
        self.stack = EmbeddedStack(
            home, workers=processes, lanes=lanes, environ=os.environ, beat=beat, flower=flower,
            grow_to=grow_to, web=web,
        )  # fmt: skip
        self.owns = False
        # The spans of the last second are sent at the end of each process.
        traced = resources.settings().traces != "none"
        self._idle_grace = None if traced else GOODBYE if web else AT_ONCE
        self._look_at = 0.0

    def start(self) -> None:
        """Start the stack.

        Raises:
            HomeTakenError: Another process runs it.
            InputError: The home cannot be used, or the broker does not start.
        """
        self.stack.start(first=self._clear_up)
        self.owns = True

    def join(self) -> None:
        """Start the stack unless it runs.

        Raises:
            InputError: The home cannot be used, or the broker does not start.
        """
        with suppress(HomeTakenError):
            self.start()

    def poll(self) -> None:
        """Keep the stack running; call it a few times a second.

        Raises:
            UnavailableError: A part of it keeps dying.
        """
        if self.owns:
            self.stack.poll()
        elif resources.monotonic() >= self._look_at:
            self._look_at = resources.monotonic() + LOOK_AGAIN
            self.join()

    def at_work(self) -> bool:
        """Whether the worker has begun to take jobs.

        Raises:
            UnavailableError: The ledger does not answer.
        """
        with storage_trouble(), self._ledger.read() as connection:
            rows = workers.list_workers(connection)
        return any(row["worker_id"] == self._worker and row["status"] == "online" for row in rows)

    def stop(self) -> None:
        """Stop the stack if it is ours; what is under way has a few seconds to end."""
        if not self.owns:
            return
        self.owns = False
        try:
            self.stack.stop(grace=None if self._busy() else self._idle_grace)
        finally:
            self.stack.stop(grace=0.0)
            with suppress(UnavailableError):
                self._give_back("its stack was stopped")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _busy(self) -> bool:
        """Whether our worker has a job in its hands, as far as we can see."""
        try:
            with storage_trouble(), self._ledger.read() as connection:
                return bool(leases.held_by(connection, self._worker))
        except UnavailableError:
            return True

    def _clear_up(self) -> None:
        """After a stack that was killed: nothing of it runs any more, and its broker was empty."""
        with storage_trouble():
            self._give_back("its stack was killed")
            with self._ledger.begin() as connection:
                outbox.forget_sent(connection)
            with self._ledger.read() as connection:
                running = watching.running_attempts(connection)
        remove_leftovers(self._home / "worktrees", {f"{job}-{number}" for job, number in running})

    def _give_back(self, why: str) -> None:
        with storage_trouble():
            count = attempts.interrupt(self._ledger, self._worker, f"interrupted: {why}")
            with self._ledger.begin() as connection:
                workers.leave(connection, self._worker)
        if count:
            log.warning("%d attempts were interrupted: %s", count, why)


def remove_leftovers(worktrees: Path, used: set[str]) -> None:
    """Remove the folders that killed attempts left; `used` names those of live ones."""
    if not worktrees.is_dir():
        return
    for folder in worktrees.iterdir():
        if folder.name not in used:
            remove_leftover(folder)
