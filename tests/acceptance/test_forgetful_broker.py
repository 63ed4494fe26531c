"""A broker that loses everything costs seconds, and no job."""

from __future__ import annotations

import pytest

from tests.acceptance.benchmark_script import figures


@pytest.mark.timeout(200)
@pytest.mark.parametrize("only", ["flush", "empty"])
def test_a_broker_that_forgets_two_thousand_jobs(only: str) -> None:
    """It is emptied, or killed and started empty, in mid-run: all complete, none twice."""
    told = figures("kills", "--only", only, "--kills", "1", seconds=180)[only]
    assert told["completed"] == 2_000
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
