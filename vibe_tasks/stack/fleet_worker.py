"""A worker of the fleet, as the keeper of its host runs it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from vibe_tasks.stack.children import Child, Program
from vibe_tasks.store import fleet
from vibe_tasks.tasks import processes, resources


@dataclass(slots=True, kw_only=True)
class Kept:
    """A worker that a keeper runs.

    Attributes:
        member: As it was wanted last.
        child: Its process; None while it waits to be started again.
        started: When it was started last, on the keeper's clock.
        deaths: Deaths in a row.
        due: When to start it again.
        told: When it was told to end, or was about to by itself; None where neither was.
    """

    member: fleet.Member
    child: Child | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0
    told: float | None = None


def worker_program(member: fleet.Member) -> Program:
    """What a worker of the fleet is run as."""
    name = member.worker.rpartition("@")[0]
    return Program(
        name=member.worker,
        argv=(
            sys.executable, "-m", "celery", "-A", "vibe_tasks", "worker", "-n", f"{name}@%h",
            "-Q", member.lane, "-c", str(member.slots), "--without-gossip", "--without-mingle",
            "--loglevel", resources.settings().log_level,
        ),
        # What the starter has to itself; at our SIGTERM it finishes, whatever a container's does.
        environ={**os.environ, "VIBE_WORKER_CAPACITY": str(member.slots), "VIBE_ALIVE_FILE": "",
                 "REMAP_SIGTERM": ""},
    )  # fmt: skip


def process_of(child: Child) -> str | None:
    """A worker's process as it registers it; None where it has ended."""
    found = processes.identity_of(child.pid)
    return None if found is None else found.process


def runs(member: fleet.Member) -> bool:
    """Whether a process that an earlier keeper has started is still about."""
    if member.process is None:
        return False
    if member.host is not None and member.host == processes.this_host():
        return not processes.is_gone(processes.Identity(host=member.host, process=member.process))
    return member.age <= resources.settings().lease_seconds
