"""A real cluster under random mischief loses nothing, doubles nothing, overlaps nothing."""

from __future__ import annotations

import pytest

from tests.acceptance.benchmark_script import figures
from tests.cluster import databases


@pytest.mark.timeout(360)
@pytest.mark.parametrize("database", databases("postgres"))
def test_a_storm_loses_and_doubles_nothing(database: str) -> None:
    """Workers, pool processes, dispatchers and the broker are killed and paused, the broker is
    emptied, the ledger locked or restarted: every job whose call returned ends once.
    """
    told = figures(
        "storm", "--database", database, "--seconds", "10", "--calls", "60", "--calm", "0.3", "1.0",
        "--seed", "7", seconds=340,
    )  # fmt: skip
    assert told["sound"]
    assert told["submitted"] >= 60
    assert told["lost"] == told["doubled"] == told["overlapping"] == told["forged"] == 0
    assert told["completed"] + told["dead"] + told["cancelled"] >= told["submitted"]
    assert told["drained"] is not None
