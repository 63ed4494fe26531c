"""What the scaling policy must show against other rules, in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.benchmark_script import figures

RECORDED = Path(__file__).parents[3] / "shared/data/traces/azure_llm_code_2023.csv"
START_UP = 60.0

Rules = Mapping[str, Mapping[str, Any]]


def rules_of(*loads: str) -> list[Rules]:
    """Each load's figures by rule."""
    options = [part for load in loads for part in ("--load", load)]
    rows = figures("scaling", *options, seconds=120)["scaling"]
    size = len(rows) // len(loads)
    return [
        {row["rule"]: row for row in rows[start : start + size]}
        for start in range(0, len(rows), size)
    ]


def keeps_its_promise(rules: Rules) -> None:
    """Less than half of the fixed maximum, for a wait of at most a start-up more."""
    ours, fixed = rules["ours"], rules["fixed maximum"]
    assert ours["share"] <= 0.45
    assert ours["wait_p95"] <= 1.5 * fixed["wait_p95"] + START_UP


def beats(rules: Rules, *others: str) -> None:
    """Shorter waits on fewer hours."""
    for other in others:
        for figure in ("wait_p95", "hours"):
            assert rules["ours"][figure] < rules[other][figure], (other, figure)


def test_it_beats_the_others_on_a_load_that_comes_in_bursts() -> None:
    """With the same figures each time; one load was not used to choose the defaults."""
    first, again, unseen = rules_of("burst 1", "burst 1", "burst 2")
    assert first == again
    for rules in (first, unseen):
        keeps_its_promise(rules)
        beats(rules, "queue length", "waiting and busy")
        assert rules["ours"]["wait_p95"] < rules["thresholds 10/2"]["wait_p95"]
        assert rules["ours"]["changes_per_hour"] < rules["thresholds 10/2"]["changes_per_hour"]


@pytest.mark.data
@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded inputs are not here")
def test_it_beats_the_others_on_recorded_arrivals() -> None:
    """A recorded hour drawn out to a day, and its second half, which chose no default."""
    for rules in rules_of("recorded, a day", "recorded, a day: 2nd half"):
        keeps_its_promise(rules)
        beats(rules, "thresholds 10/2", "queue length")
