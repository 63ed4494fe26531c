"""Workers in the registry, without a dispatcher that could do their part."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import ready, running_cluster
from tests.processes import until

LONG_LEASE = {"VIBE_LEASE_SECONDS": "600"}


def test_a_worker_that_starts_again_under_its_name_takes_its_jobs_back(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What a dead process of this name held is free at once."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with running_cluster(request, "sqlite") as cluster:
        first = cluster.start_worker("code", "-n", "same@test", environ=LONG_LEASE)
        ready(first)
        result = cluster.jobs.hold.delay(str(log), str(gate))
        until(log.exists)
        first.kill()
        assert cluster.status(result.id) == "processing"
        ready(cluster.start_worker("code", "-n", "same@test", environ=LONG_LEASE))
        row = cluster.until(result.id, "pending")
        assert row["error"] == "WorkerLost: its process is gone: same@test"
