"""What the router costs a producer, and where it sends a burst: `python benchmarks/routing.py`.

The workers are rows of the registry and no more: nothing is run, so that only the producer is seen.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from report import percentile, show
from servers import environment, folder, ledger_url, running

from vibe_tasks.jobs import Publication
from vibe_tasks.priority import Priority
from vibe_tasks.store import workers
from vibe_tasks.store.engine import Database

LANES = {"three": 3, "thirty": 30, "three hundred": 300}
COST = (
    "Microseconds of processor time for each job that the router takes in `.delay()`, with a warm "
    "cache, p50 / p95; all of `.delay()` beside it, and what `submit_many` of 1,000 jobs pays for "
    "each. Queries are those about workers, of all calls together. SQLite, Valkey on a socket, "
    "{size} calls each."
)
BURST = (
    "1,000 jobs in one burst while the cache lives: how many go to each worker's own queue and how "
    "many to the lane, from which workers take in turns. Four slots each."
)


class Looks:
    """Counts the looks of a router at the registry, and times its decisions."""

    def __init__(self, module: Any) -> None:
        self.number = 0
        self.seconds: list[float] = []
        self._routes, self._look = module.routes, module.workers_of
        module.routes, module.workers_of = self._timed, self._counted

    def _timed(self, app: Any, ledger: Database, jobs: Sequence[Publication]) -> Any:
        began = time.thread_time()
        found = self._routes(app, ledger, jobs)
        self.seconds.append((time.thread_time() - began) / len(jobs))
        return found

    def _counted(self, *arguments: Any, **options: Any) -> Any:
        self.number += 1
        return self._look(*arguments, **options)


def register(ledger: Database, number: int, *, slots: int, lane: str, seniors: int = 0) -> None:
    """So many workers of a lane."""
    with ledger.begin() as connection:
        for each in range(number):
            name = f"{lane}-{each}@bench"
            known = workers.Registered(worker=name, host="bench", process=name)
            tier = "senior" if each < seniors else "standard"
            workers.register(connection, known, [lane], tier=tier, capacity=slots)


def micro(values: Sequence[float]) -> str:
    """p50 and p95 in microseconds."""
    return " / ".join(f"{1e6 * percentile(values, share):.0f}" for share in (0.5, 0.95))


def costs(task: Any, ledger: Database, looks: Looks, size: int) -> list[list[str]]:
    """Rows of the table, for lanes with room and for one that is full."""
    table = []
    lanes = [(name, number, 1000) for name, number in LANES.items()]
    for name, number, slots in [*lanes, ("three, all full", 3, 1)]:
        lane = f"lane-{number}-{slots}"
        register(ledger, number, slots=slots, lane=lane)
        calls: list[float] = []
        looks.number, looks.seconds, first = 0, [], time.perf_counter()
        for turn in range(size + 5):
            began = time.thread_time()
            task.apply_async((turn,), lane=lane)
            calls.append(time.thread_time() - began)
        single = looks.seconds[5:]
        queries = f"{looks.number} in {time.perf_counter() - first:.0f} s"
        looks.seconds = []
        task.submit_many([(turn,) for turn in range(1000)], lane=lane)
        table.append([name, micro(single), micro(calls[5:]), micro(looks.seconds), queries])
    return table


def burst(route: Callable[[Publication], Any], lane: str, effort: int) -> Counter[str]:
    """How many of 1,000 jobs go where."""
    went: Counter[str] = Counter()
    for number in range(1000):
        job = Publication(
            id=f"{lane}-{number}", name="bench.routed", queue=lane, priority=Priority.NORMAL,
            time_limit=None, canvas=None, effort=effort,
        )  # fmt: skip
        went[str(route(job).queue)] += 1
    return went


def bursts(route: Callable[[Publication], Any], ledger: Database) -> list[list[str]]:
    """Rows of the table: equal workers, and a senior with hard jobs."""
    table = []
    for name, lane, seniors, effort in (
        ("equal workers", "equal", 0, 2), ("a senior, hard jobs", "hard", 1, 4),
    ):  # fmt: skip
        register(ledger, 3, slots=4, lane=lane, seniors=seniors)
        went = burst(route, lane, effort)
        own = [went[f"worker.{lane}-{number}@bench"] for number in range(3)]
        shares = [each + went[lane] / 3 for each in own]
        table.append([name, *map(str, own), str(went[lane]), f"{max(shares) / min(shares):.2f}"])
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it works")
    size = 50 if parser.parse_args().quick else 2000
    with folder() as place, ledger_url("sqlite", place) as url:
        os.environ.update(environment(place, url, VIBE_IMPORTS="", VIBE_LEASE_SECONDS="3600"))
        # Read when they are imported: the settings, and with them the ledger and the broker.
        from vibe_tasks import job  # noqa: PLC0415
        from vibe_tasks.tasks import resources  # noqa: PLC0415
        from vibe_tasks.tasks.routing import router  # noqa: PLC0415

        @job(name="bench.routed")
        def routed(number: int) -> int:
            """Nothing; nobody runs it."""
            return number

        with running(place, os.environ, {}):
            ledger = resources.ledger()
            looks = Looks(router)
            cost = costs(routed, ledger, looks, size)
            spread = bursts(router.route, ledger)
    show(
        "The router's cost", COST.format(size=f"{size:,}"),
        ["workers of the lane", "router, µs", "`.delay()`, µs", "router in a batch, µs", "queries"],
        cost,
    )  # fmt: skip
    show("A burst", BURST, ["workers", "first", "second", "third", "lane", "most / least"], spread)


if __name__ == "__main__":
    main()
