"""A broker that loses everything costs seconds, and no job."""

from __future__ import annotations

import pytest

from tests.acceptance.benchmark_script import figures
from tests.long import long


@pytest.mark.timeout(200)
@pytest.mark.parametrize("only", [pytest.param("flush", marks=long), "empty"])
def test_a_broker_that_forgets_two_thousand_jobs(only: str) -> None:
    """It is emptied, or killed and started empty, in mid-run: all complete, none twice.

    The storm empties it too.
    """
    told = figures("kills", "--only", only, "--kills", "1", seconds=180)[only]
    assert told["completed"] == 2_000
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
