"""How results are told: the machine, the method in a line, and a table that goes into the docs."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

Measured = dict[str, list[float]]
"""What a round measured, by name; a value for each round or sample."""


def machine() -> str:
    """Processor, cores, memory and versions in one line."""
    with os.popen("git --version") as answer:  # noqa: S605  a constant
        git = answer.read().split()[-1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "sqlalchemy"))
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, {packages}, "
        f"SQLite {sqlite3.sqlite_version}, git {git}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and, in brackets, the lowest and highest."""
    if not values:
        return "-"
    middle = statistics.median(values)
    return f"{middle:.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def milliseconds(values: Sequence[float]) -> str:
    """p50, p95 and p99 of seconds, in milliseconds."""
    return " / ".join(f"{1000 * percentile(values, share):.2f}" for share in (0.5, 0.95, 0.99))


def show(title: str, method: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    begin(title, method, head)
    for row in rows:
        told(row)
    print(flush=True)


def begin(title: str, method: str, head: Sequence[str]) -> None:
    """Print the head of a table whose rows come one by one."""
    print(f"\n### {title}\n\n{method}\n\nMachine: {machine()}\n")
    print(f"| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |", flush=True)


def told(row: Sequence[str]) -> None:
    """Print a row as soon as it was measured."""
    print(f"| {' | '.join(row)} |", flush=True)
