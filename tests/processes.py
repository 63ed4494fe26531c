"""Looking at real processes, and waiting for what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic

import psutil
from psutil import Process

PATIENCE = 60.0
"""Seconds that a test waits for what should come soon. It is there to end a hang, and measures
nothing: on a busy machine all of it may be needed."""

MEASURED = "COVERAGE_PROCESS_CONFIG"
"""Variable by which coverage reaches child processes."""


def until(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """Wait until the condition holds; fails the test where it does not in time."""
    end, pause = monotonic() + seconds, Event()
    while not condition():
        assert monotonic() < end, f"not within {seconds} s: {condition}"
        pause.wait(0.01)


def runs(process: Process) -> bool:
    """Whether it is there and not a zombie that nobody has reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_line(process: Process) -> list[str]:
    """Of a process that may end at any moment; empty where it has."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def descendants(process: Process) -> list[Process]:
    """The children, their children and so on."""
    return list(process.children(recursive=True))


@contextmanager
def ended_by_id() -> Iterator[list[Process]]:
    """A list to put processes in; those that still run at the end are killed.

    A number that went to another process in the meantime is left alone.
    """
    processes: list[Process] = []
    try:
        yield processes
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def unmeasured(environ: Mapping[str, str]) -> dict[str, str]:
    """This environment for children in which no coverage is measured; it doubles their time."""
    return {name: value for name, value in environ.items() if name != MEASURED}


def is_measured(environ: Mapping[str, str]) -> bool:
    """Whether coverage is measured in children of this environment."""
    return MEASURED in environ
