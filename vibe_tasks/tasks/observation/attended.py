"""Everything that looks on while this process runs an attempt: its log, its lines, its span."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import signals

from vibe_tasks.jobs import Claim
from vibe_tasks.tasks.observation import in_hand, traces


@contextmanager
def attended(claim: Claim, worker: str | None) -> Iterator[None]:
    """Look on while this attempt runs."""
    with in_hand.bound(claim, worker), traces.running(claim, worker), _recorded(claim):
        yield


@contextmanager
def _recorded(claim: Claim) -> Iterator[None]:
    # Loaded in workers alone: nobody else writes jobs' logs.
    job_log = sys.modules.get("vibe_tasks.tasks.observation.job_log")
    if job_log is None:
        yield
        return
    with job_log.recorded(claim):
        yield


def before_end(outcome: str, error: BaseException | None = None) -> None:
    """The end of the attempt in hand is about to be written: what it has said comes first.

    Args:
        outcome: `completed`, `failed`, `snoozed`, `blocked`, `cancelled`.
        error: What it raised.
    """
    job_log = sys.modules.get("vibe_tasks.tasks.observation.job_log")
    if job_log is not None:
        job_log.flush(error if outcome == "failed" else None)
    traces.ended(outcome, error)


def set_up_log(loglevel: Any = None, logfile: str | None = None, **_: Any) -> None:
    """Write the log of one of Celery's programs as ours; Celery then leaves it alone.

    The level that its command line names holds, the setting's where it names none.
    """
    from vibe_tasks.tasks.observation import logs  # noqa: PLC0415  producers do without it

    named = any(each.startswith(("-l", "--loglevel")) for each in sys.argv)
    logs.set_up(level=loglevel if named else None, file=logfile)


def hear_jobs() -> None:
    """Keep what the jobs of this worker say, and get ready to make spans; before its pool forks.

    Raises:
        SettingsError: Spans are asked for, and a package is missing.
    """
    from vibe_tasks.tasks.observation import job_log  # noqa: PLC0415

    if not logging.getLogger().handlers:
        set_up_log()
    job_log.install()
    traces.prepare()


def begin_pool_process(**_: Any) -> None:
    """In a process of the pool."""
    job_log = sys.modules.get("vibe_tasks.tasks.observation.job_log")
    if job_log is not None:
        job_log.one_at_a_time()
    traces.start()


def install() -> None:
    """Do so in all of Celery's programs; again changes nothing."""
    signals.setup_logging.connect(set_up_log, weak=False)
    signals.worker_process_init.connect(begin_pool_process, weak=False)
    signals.worker_process_shutdown.connect(traces.finish, weak=False)
