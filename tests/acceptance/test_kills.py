"""A worker that is killed costs seconds, and no job."""

from __future__ import annotations

import pytest

from tests.acceptance.benchmark_script import figures
from tests.long import FULL, long

KILLS = 20 if FULL else 8


@pytest.mark.timeout(400)
def test_workers_killed_with_twenty_jobs_running() -> None:
    """Each time all twenty jobs are run again and end once. In threads, as twenty processes take
    seconds to start; those are killed in `integration/test_tasks_recovery.py`.
    """
    told = figures(
        "kills", "--only", "running", "--kills", str(KILLS), "--pool", "threads", seconds=380
    )["running"]
    assert told["rounds"] == KILLS
    assert told["completed"] == 20 * KILLS
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0


@long
@pytest.mark.timeout(200)
def test_a_worker_killed_at_a_third_of_five_hundred_jobs() -> None:
    """The field's measure: 500 jobs of 20 ms; bare Celery finishes 490, we finish 500."""
    told = figures("kills", "--only", "worker", "--kills", "1", seconds=180)["worker"]
    assert told["completed"] == 500
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
