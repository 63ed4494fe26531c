from __future__ import annotations

import pytest

from tests.cluster import running_cluster


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
        row = cluster.until(result.id, "failed", seconds=30)
        assert (
            "knows no function cluster_jobs.fail: is its module in VIBE_IMPORTS?" in (row["error"])
        )
        assert row["id"] in cluster.dead_letters()
        assert len(cluster.errors(result.id)) == row["max_retries"]
        assert worker.exit_code() is None
