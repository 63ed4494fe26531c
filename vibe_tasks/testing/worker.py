"""A real worker for tests: broker, worker and dispatcher of a home of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from vibe_tasks.cli.crew import Crew
from vibe_tasks.jobs import ENDED, LANES
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app
from vibe_tasks.testing.ledger import VibeLedger
from vibe_tasks.testing.place import own_ledger

PROCESSES = 2
"""Jobs that the worker runs at a time."""

PATIENCE = 60.0
"""Seconds that a test waits for what takes a second or two on a machine that is not overloaded."""

LOOK = 0.02
"""Seconds between two looks at what is waited for."""

QUICK = {"dispatch_seconds": 0.1}
"""A deployment's waits, shortened."""


class VibeWorker(VibeLedger):
    """What the fixture `vibe_worker` gives: the ledger of a real worker.

    Args:
        database: The ledger's database.
        crew: The stack.
    """

    def __init__(self, database: Database, crew: Crew) -> None:
        super().__init__(database)
        self._crew = crew

    @property
    def logs(self) -> Path:
        """The folder of the logs: `worker.log`, `dispatcher.log`, `valkey.log`."""
        return self._crew.stack.logs

    def wait(
        self, which: Any, status: str | None = None, *, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """The job's row, once it has ended, or has this status; the test fails where it takes long.

        Args:
            which: The job's result or id.
            status: `pending`, `processing`, `completed`, `failed`, `cancelled` or `blocked`.
            timeout: Seconds to wait.
        """
        row = self.job(which)
        end = resources.monotonic() + timeout
        while row["status"] not in ({status} if status else ENDED):
            if resources.monotonic() >= end:
                pytest.fail(f"job {row['id']} is {row['status']} after {timeout} s{self._said()}")
            self._crew.poll()
            resources.pause(LOOK)
            row = self.job(which)
        return row

    def _said(self) -> str:
        return said(self.logs / "worker.log")


@contextmanager
def running_worker(home: Path, settings: Mapping[str, Any]) -> Iterator[VibeWorker]:
    """A broker, a worker and a dispatcher for this process' calls, until the end of the `with`."""
    modules = sorted({*job_modules(app.tasks.values()), *_words(settings.get("imports", ()))})
    with ExitStack() as stack:
        path = pytest.MonkeyPatch()
        stack.callback(path.undo)
        # What this process has found, and the worker's need not: a test's folder, a `src`.
        path.setenv("PYTHONPATH", os.pathsep.join(each for each in sys.path if each))
        own = {**QUICK, **settings, "imports": modules}
        database = stack.enter_context(own_ledger(home, own, broker=""))
        lanes = (*LANES, *(queue.name for queue in app.conf.task_queues))
        crew = Crew(
            database, resources.home(), processes=PROCESSES, lanes=tuple(dict.fromkeys(lanes))
        )
        stack.enter_context(crew)
        crew.start()
        _until_at_work(crew)
        yield VibeWorker(database, crew)


def job_modules(tasks: Iterable[object]) -> set[str]:
    """The modules of these Celery tasks that another process can import by their names."""
    names = {type(task).__module__ for task in tasks}
    theirs = {name for name in names if not name.startswith(("celery.", "vibe_tasks."))}
    return set(filter(_found, theirs))


def _found(module: str) -> bool:
    with suppress(ImportError, ValueError):
        return find_spec(module) is not None
    return False


def _words(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [each.strip() for each in parts if each.strip()]


def _until_at_work(crew: Crew) -> None:
    end = resources.monotonic() + PATIENCE
    while not crew.at_work():
        crew.poll()
        if resources.monotonic() >= end:
            pytest.fail(f"the worker does not start{said(crew.stack.logs / 'worker.log')}")
        resources.pause(LOOK)


def said(log: Path) -> str:
    """The end of a log, for a message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "; its log ends with:\n" + "\n".join(text.splitlines()[-20:])
