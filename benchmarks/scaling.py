"""How the scaling policy fares against others: `python benchmarks/scaling.py`.

A simulation: the policy is the program's own (`vibe_tasks.scaling`), workers, jobs and time are not
real. What is measured is what a size costs and what waits for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heapreplace
from pathlib import Path
from typing import Any

import scaling_lanes
from report import percentile, show
from scaling_fleet import Simulation, Size
from scaling_load import HOUR, RECORDED, Job, burst, day_and_night, part, recorded, steady
from scaling_plots import can_draw, draw
from scaling_rules import RULES

SLOTS, START_UP = 4, 60.0
BOUND = START_UP
"""Seconds of p95 wait that the fixed maximum may show: as long as a unit takes to start. A fleet
that is never enlarged has to be as large as that."""

METHOD = (
    f"Units have {SLOTS} slots, take {START_UP:.0f} s to start, cost from the order on, and finish "
    "what they have in hand before they go. The fixed maximum is the least number of units whose "
    f"p95 wait is {BOUND:.0f} s at most; the others scale between one and as many. Work is the "
    "share of its hours in which all slots would be at work: no rule can do with less. Hours are "
    "counted until the last job has started. Recorded jobs: a hundred requests like the recorded "
    "one in a row, read at 5,000 tokens a second and written at 30, cut off at half an hour "
    "(median 86 s, mean 131 s). Loads with a star had no part in comparing "
    "defaults; of the recording the rule had seen the whole when it was made. A cell has the "
    "wait's p50 / p95 in seconds, hours of units (share of the fixed maximum's), and how often an "
    "hour the size was changed."
)

UNSEEN = ("recorded, a day: 2nd half", "steady 2", "burst 2", "day and night 2")
"""Loads that the policy's defaults were not compared on. The rule itself was made on the whole
recording, its second half with it."""


def loads(path: Path) -> dict[str, Callable[[], list[Job]]]:
    """What makes the loads, by name; those of a recording only where there is one."""
    made: dict[str, Callable[[], list[Job]]] = {}
    if path.exists():
        made["recorded hour"] = partial(recorded, path)
        made["recorded, 6 hours"] = partial(recorded, path, stretch=6)
        made["recorded, a day"] = partial(recorded, path, stretch=24)
        made["recorded, a day: 2nd half"] = lambda: part(recorded(path, stretch=24), 0.5, 1.0)
    for name, generated in (("steady", steady), ("burst", burst), ("day and night", day_and_night)):
        for seed in (1, 2):
            made[f"{name} {seed}"] = partial(generated, seed)
    return made


def fixed_maximum(jobs: Sequence[Job]) -> int:
    """The least number of units whose p95 wait is within the bound."""
    low, high = 1, 1
    while not _within(jobs, high):
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _within(jobs, middle) else (middle + 1, high)
    return low


def _within(jobs: Sequence[Job], units: int) -> bool:
    # First come, first served by slots that are all there: no simulation of units is needed.
    free = [0.0] * (units * SLOTS)
    waits = []
    for job in jobs:
        start = max(job.at, free[0])
        heapreplace(free, start + job.seconds)
        waits.append(start - job.at)
    return percentile(waits, 0.95) <= BOUND


def compare(name: str, jobs: Sequence[Job], plots: Path | None) -> list[dict[str, Any]]:
    """What each rule shows on a load."""
    most = fixed_maximum(jobs)
    outcomes = {}
    for rule, made in RULES.items():
        least = most if rule == "fixed maximum" else 1
        size = Size(least=least, most=most, slots=SLOTS, start_up=START_UP)
        outcomes[rule] = Simulation(jobs, made(size), size).run()
    hours = outcomes["fixed maximum"].hours
    if plots is not None:
        draw(plots, name, jobs, outcomes)
    work = sum(job.seconds for job in jobs) / SLOTS / HOUR / hours
    return [
        {
            "load": name, "tuned": name not in UNSEEN, "jobs": len(jobs), "most": most,
            "work": work, "rule": rule, "wait_p50": percentile(found.waits, 0.5),
            "wait_p95": percentile(found.waits, 0.95), "hours": found.hours,
            "share": found.hours / hours, "changes_per_hour": found.changes / found.span * HOUR,
        }
        for rule, found in outcomes.items()
    ]  # fmt: skip


def main() -> None:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="little, to see that it works")
    parser.add_argument("--json", action="store_true", help="print one object instead of tables")
    parser.add_argument("--trace", type=Path, default=RECORDED, help="the recorded arrivals")
    parser.add_argument("--load", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write pictures there")
    given = parser.parse_args()
    known = loads(given.trace)
    wanted = given.load or (["burst 1"] if given.quick else list(known))
    if not given.trace.exists():
        print(f"no recorded arrivals at {given.trace}: left out", file=sys.stderr)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no such load: {', '.join(unknown)}; there are {', '.join(known)}")
    plots = given.plots if given.plots and can_draw() else None
    if given.plots and plots is None:
        print("no pictures: matplotlib is not installed (the extra `benchmarks`)", file=sys.stderr)
    rows = [row for name in wanted for row in compare(name, known[name](), plots)]
    lanes = scaling_lanes.compare(5 if given.quick or given.load else 100)
    if given.json:
        print(json.dumps({"scaling": rows, "lanes": lanes}, indent=2))
    else:
        _show(rows, lanes)


def _show(rows: Sequence[Mapping[str, Any]], lanes: Sequence[Mapping[str, Any]]) -> None:
    by_load: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_load.setdefault(row["load"], {})[row["rule"]] = row
    show("Scaling", METHOD, ("load", *RULES), [_row(each) for each in by_load.values()])
    show(
        "One lane for development and fixes", scaling_lanes.METHOD.format(plans=lanes[0]["plans"]),
        ("tasks come", "workers", "tasks/h", "at work", "development waits min, p50 / p95",
         "a fix waits min, p50 / p95", "a task takes min, p50 / p95"),
        [_lanes_row(each) for each in lanes],
    )  # fmt: skip


def _row(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first = found["fixed maximum"]
    title = f"{first['load']}{'' if first['tuned'] else ' *'}; {first['jobs']:,} jobs"
    return [
        f"{title}, {first['most']} units, work {first['work']:.0%}",
        *(
            f"{each['wait_p50']:.0f} / {each['wait_p95']:.0f}, {each['hours']:.0f} "
            f"({each['share']:.0%}), {each['changes_per_hour']:.0f}"
            for each in found.values()
        ),
    ]


def _lanes_row(found: Mapping[str, Any]) -> list[str]:
    def minutes(name: str) -> str:
        return " / ".join(f"{found[f'{name}_{share}'] / 60:.1f}" for share in ("p50", "p95"))

    return [
        found["load"], found["lanes"], f"{found['tasks_per_hour']:.0f}",
        f"{found['utilisation']:.0%}", minutes("dev_wait"), minutes("fix_wait"), minutes("task"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
