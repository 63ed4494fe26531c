"""The producer's side of `throughput.py`: rounds of bare Celery and of ours, in turns.

Run by it with the environment of the servers; prints one JSON object of lists, one value for
each round.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.result import ResultSet
from noops import bare, bare_noop, noop
from processor_time import processor_seconds
from report import Measured

from vibe_tasks import app


def end_to_end(task: Any, owner: Any, size: int, *, many: bool = False) -> tuple[float, float]:
    """Jobs per second that were submitted, and that were submitted, run and their results read."""
    began = time.perf_counter()
    results = (
        task.submit_many([(number,) for number in range(size)])
        if many
        else [task.delay(number) for number in range(size)]
    )
    submitted = time.perf_counter()
    values = ResultSet(results, app=owner).join_native(timeout=300)
    ended = time.perf_counter()
    if len(values) != size:
        raise RuntimeError(f"{len(values)} results of {size} jobs")
    return size / (submitted - began), size / (ended - began)


def latencies(task: Any, owner: Any, size: int, rate: float) -> list[float]:
    """Seconds from before `.delay()` to the function's first line, at this many calls a second."""
    asked, results = [], []
    began = time.perf_counter()
    for number in range(size):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        asked.append(time.time())
        results.append(task.delay(number))
    started = ResultSet(results, app=owner).join_native(timeout=60)
    return [start - ask for ask, start in zip(asked, started, strict=True)]


def measured_round(
    measured: Measured, name: str, pids: Mapping[str, int], size: int, work: Callable[[], object]
) -> None:
    """Do the round and add the processor milliseconds that a job took of each process."""
    before = processor_seconds(pids)
    work()
    for part, spent in processor_seconds(pids).items():
        cost = 1000 * (spent - before[part]) / size
        measured.setdefault(f"{name} cpu {part}", []).append(cost)


def throughput(measured: Measured, turn: int, size: int, pids: Mapping[str, int]) -> None:
    """One round of each side, in alternating order, and one of ours in bulk."""
    sides = (("bare", bare_noop, bare), ("ours", noop, app))

    def one(name: str, task: Any, owner: Any, many: bool = False) -> None:
        submitted, total = end_to_end(task, owner, size, many=many)
        measured.setdefault(f"{name} delay", []).append(submitted)
        measured.setdefault(f"{name} total", []).append(total)

    for name, task, owner in sides if turn % 2 == 0 else sides[::-1]:
        measured_round(measured, name, pids, size, lambda: one(name, task, owner))  # noqa: B023
    measured_round(measured, "many", pids, size, lambda: one("many", noop, app, many=True))


def main(arguments: Sequence[str]) -> None:
    """Run as `ROUNDS SIZE SAMPLES RATE PIDS`."""
    rounds, size, samples, rate = map(int, arguments[:4])
    pids: dict[str, int] = json.loads(arguments[4])
    measured: Measured = {}
    sides = (("bare", bare_noop, bare), ("ours", noop, app))
    for _, task, owner in sides:  # imports, connections, first pages
        end_to_end(task, owner, 100)
    for turn in range(rounds):
        throughput(measured, turn, size, pids)
    for _ in range(max(1, rounds // 2)):
        for name, task, owner in sides:
            found = latencies(task, owner, samples, rate)
            measured.setdefault(f"{name} latency", []).extend(found)
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
