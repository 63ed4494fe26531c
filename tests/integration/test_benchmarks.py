"""Every benchmark runs to its end and prints its tables; what it measures is not judged here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import unmeasured

ROOT = Path(__file__).parents[2]
BENCHMARKS = {
    "capacity": ["--database", "sqlite"],
    "throughput": ["--database", "sqlite"],
    "claims": ["--database", "sqlite"],
    "events": ["--database", "sqlite"],
    "plans": [],
    "routing": [],
    "memory": [],
    "moving": [],
    "makespan": [],
    "scaling": [],
    "stream": [],
    "archive": ["--database", "sqlite"],
    "upkeep": [],
}


LONG = {"archive", "capacity", "claims", "memory", "throughput"}
"""These start a dozen processes to measure a few jobs; they run with VIBE_FULL=1."""


@pytest.mark.parametrize(
    "name", sorted(BENCHMARKS.keys() - (set() if os.environ.get("VIBE_FULL") else LONG))
)
def test_a_benchmark_runs(name: str) -> None:
    """In its quick form; the table has the machine, the method and at least a row."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", *BENCHMARKS[name]],
        env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "\nMachine: " in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) >= 3, done.stdout


def test_every_benchmark_is_in_the_list() -> None:
    """A new script with a main program is run here too."""
    scripts = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if '"--quick"' in path.read_text(encoding="utf-8")
    }
    assert scripts == set(BENCHMARKS)
