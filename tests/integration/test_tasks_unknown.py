from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import running_cluster
from tests.processes import until


def test_a_function_that_no_worker_knows_ends_as_a_dead_letter(
    request: pytest.FixtureRequest,
) -> None:
    """Not as a job that waits for ever: each refusal is a failed attempt that names the function,
    the worker and what to look at.
    """
    with (
        running_cluster(request, "sqlite") as cluster,
        cluster.worker("code", environ={"VIBE_IMPORTS": ""}) as worker,
    ):
        cluster.dispatcher()
        result = cluster.jobs.fail.delay("log")
        row = cluster.until(result.id, "failed")
        assert (
            "knows no function cluster_jobs.fail: is its module in VIBE_IMPORTS?" in (row["error"])
        )
        assert row["id"] in cluster.dead_letters()
        assert len(cluster.errors(result.id)) == row["max_retries"]
        assert worker.exit_code() is None


def test_who_does_not_know_a_function_leaves_it_to_who_does(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """While a live worker of the lane knows it no failure is counted, however busy that one is;
    the refusal is a line of the log.
    """
    log, gate = str(tmp_path / "log"), tmp_path / "gate"
    with (
        running_cluster(request, "sqlite") as cluster,
        cluster.worker("code", environ={"VIBE_IMPORTS": ""}) as ignorant,
        cluster.worker("code"),
    ):
        cluster.dispatcher()
        first = cluster.jobs.hold.delay(log, str(gate))
        until(lambda: cluster.jobs.lines(log))
        second = cluster.jobs.add.delay(1, 2)
        until(lambda: "knows no function cluster_jobs.add" in str(cluster.row(second.id)["error"]))
        gate.touch()
        for each in (first, second):
            assert cluster.until(each.id, "completed")["retry_count"] == 0
        told = ignorant.log.read_text(encoding="utf-8")
        assert "this worker knows no function" in told
        assert "Traceback" not in told
