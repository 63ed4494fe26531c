"""A real cluster under random mischief loses nothing, doubles nothing, overlaps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def figures(script: str, *options: str, seconds: float) -> dict[str, Any]:
    """The figures that a benchmark prints; it must have ended well."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{script}.py"), "--json", *options],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}, cwd=BENCHMARKS.parent,
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_a_storm_loses_and_doubles_nothing(database: str) -> None:
    """Workers, pool processes, dispatchers and the broker are killed and paused, the broker is
    emptied, the ledger locked or restarted: every job whose call returned ends once.
    """
    told = figures(
        "storm", "--database", database, "--seconds", "20", "--calm", "0.3", "1.0",
        "--seed", "7", seconds=280,
    )  # fmt: skip
    assert told["sound"]
    assert told["submitted"] > 100
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
    assert told["completed"] + told["dead"] + told["cancelled"] >= told["submitted"]
    assert told["drained"] is not None


@pytest.mark.timeout(400)
def test_twenty_workers_killed_with_twenty_jobs_running() -> None:
    """Each time all twenty jobs are run again and end once."""
    told = figures("kills", "--only", "running", "--kills", "20", seconds=380)["running"]
    assert told["rounds"] == 20
    assert told["completed"] == 400
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0


@pytest.mark.timeout(200)
@pytest.mark.parametrize("only", ["flush", "empty"])
def test_a_broker_that_forgets_two_thousand_jobs(only: str) -> None:
    """It is emptied, or killed and started empty, in mid-run: all complete, none twice."""
    told = figures("kills", "--only", only, "--kills", "1", seconds=180)[only]
    assert told["completed"] == 2_000
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0


@pytest.mark.timeout(200)
def test_a_worker_killed_at_a_third_of_five_hundred_jobs() -> None:
    """The field's measure: 500 jobs of 20 ms; bare Celery finishes 490, we finish 500."""
    told = figures("kills", "--only", "worker", "--kills", "2", seconds=180)["worker"]
    assert told["completed"] == 1_000
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
