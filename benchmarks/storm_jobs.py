"""The jobs of the storm; each run leaves its traces in a file of its own process.

A run's file survives whatever is killed, and is believed rather than the ledger: what the ledger
does not know of a run is what the storm looks for.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vibe_tasks import Snooze, job
from vibe_tasks.errors import LeaseLostError, PermanentError
from vibe_tasks.jobs import Claim, Publication
from vibe_tasks.tasks.task import LedgerTask

PATIENCE = 100_000
"""Failures that a job survives which is not meant to die, however often its worker is killed."""

RUNS = "STORM_RUNS"
"""Variable that names the folder of the runs' files."""


class Witnessed(LedgerTask):
    """A job's task that notes the start and the end of each run."""

    abstract = True

    def perform(self, claim: Claim) -> tuple[Any, Sequence[Publication]]:
        """One attempt; its start, and how it ended."""
        worker = str(self.request.hostname)
        note("start", claim, worker)
        try:
            done: tuple[Any, Sequence[Publication]] = super().perform(claim)
        except LeaseLostError:
            note("refused", claim, worker)
            raise
        except BaseException:
            note("raised", claim, worker)
            raise
        note("written", claim, worker)
        return done


def note(what: str, claim: Claim, worker: str) -> None:
    """Add a line to this process's file, in one write."""
    line = {
        "what": what, "job": claim.id, "attempt": claim.attempt, "worker": worker,
        "pid": os.getpid(), "mono": time.monotonic(), "wall": time.time(),
        "seconds": claim.kwargs.get("seconds", 0.0),
    }  # fmt: skip
    path = Path(os.environ[RUNS], f"{os.getpid()}.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")


@job(base=Witnessed, max_retries=PATIENCE)
def work(*, seconds: float) -> float:
    """Take so long."""
    time.sleep(seconds)
    return seconds


@job(base=Witnessed, max_retries=PATIENCE, retry_base=0.1, bind=True)
def stumble(self: Any, *, seconds: float, failures: int) -> float:
    """Fail so many times, those by killed workers included."""
    time.sleep(seconds)
    if self.request.retries < failures:
        raise RuntimeError("not yet")
    return seconds


@job(base=Witnessed, max_retries=PATIENCE)
def doze(*, seconds: float) -> float:
    """Ask for more time now and then."""
    time.sleep(seconds)
    if random.random() < 0.5:
        raise Snooze(0.5)
    return seconds


@job(base=Witnessed, max_retries=PATIENCE)
def refuse(*, seconds: float) -> None:
    """Fail for good: meant to die."""
    time.sleep(seconds)
    raise PermanentError("meant to die")


@job(base=Witnessed, max_retries=2, retry_base=0.1)
def wear_out(*, seconds: float) -> None:
    """Fail each time: meant to die."""
    time.sleep(seconds)
    raise RuntimeError("meant to die")


@job(base=Witnessed, max_retries=PATIENCE, bind=True)
def outlast(self: Any, *, seconds: float) -> None:
    """Take so long unless a worker was killed under it before; then end at once."""
    if self.request.retries == 0:
        time.sleep(seconds)


MEANT_TO_DIE = frozenset({"refuse", "wear_out"})
"""Jobs that must end as dead letters."""
