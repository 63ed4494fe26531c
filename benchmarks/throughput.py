"""Throughput and latency of durable jobs against bare Celery: `python benchmarks/throughput.py`.

The ledger's price: the same no-op function as `@job` and as a bare Celery task with Redis
results, on one Valkey, two pool processes each, by turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from report import Measured, milliseconds, percentile, show, spread
from servers import DATABASES, HERE, both_workers, environment, folder, ledger_url, running

CONCURRENCY = 2
RATE = 50
NAMES = {"bare": "bare Celery", "ours": "vibe_tasks", "many": "vibe_tasks, `submit_many`"}
METHOD = (
    "No-op, {rounds} rounds of {size} jobs for each side, in turns; the other side's worker idles. "
    "Total: first `.delay()` to last result read. Latency: from before `.delay()` to the "
    "function's first line, {rate} calls a second. Median [lowest-highest] of the rounds; "
    "latencies p50 / p95 / p99 of all samples."
)


def measure(database: str, rounds: int, size: int, samples: int) -> Measured:
    """All rounds on this database."""
    with folder() as home, ledger_url(database, home) as url:
        environ = environment(home, url)
        with running(home, environ, both_workers(CONCURRENCY)) as stack:
            command = [sys.executable, str(HERE / "producer.py")]
            command += [str(number) for number in (rounds, size, samples, RATE)]
            command.append(json.dumps(dict(stack.pids)))
            done = subprocess.run(
                command, env=environ, stdout=subprocess.PIPE, text=True, check=True
            )
    measured: Measured = json.loads(done.stdout)
    return measured


def rows(database: str, measured: Measured) -> list[list[str]]:
    """The table's lines for one database."""

    def ratio(over: str, under: str) -> float:
        return statistics.median(measured[over]) / statistics.median(measured[under])

    many = ratio("many delay", "bare delay")
    own = ratio("many delay", "ours delay")
    bare, ours = measured["bare latency"], measured["ours latency"]
    later = 1000 * (percentile(ours, 0.99) - percentile(bare, 0.99))
    return [
        [database, "`.delay()`, calls/s", spread(measured["bare delay"]),
         spread(measured["ours delay"]), f"{ratio('ours delay', 'bare delay'):.2f}", ""],
        [database, "total, jobs/s", spread(measured["bare total"]),
         spread(measured["ours total"]), f"{ratio('ours total', 'bare total'):.2f}", ">= 0.8"],
        [database, "`submit_many`, jobs/s", spread(measured["bare delay"]),
         spread(measured["many delay"]),
         f"{many:.1f} ({own:.1f} of our delay)", ">= 5"],
        [database, "total with `submit_many`, jobs/s", spread(measured["bare total"]),
         spread(measured["many total"]),
         f"{ratio('many total', 'bare total'):.2f}", ""],
        [database, "enqueue to start, ms", milliseconds(bare), milliseconds(ours),
         f"p99 {later:+.2f} ms", "<= +5 ms"],
    ]  # fmt: skip


def costs(database: str, measured: Measured) -> list[list[str]]:
    """Processor milliseconds a job, by process: `.delay()` of each side, then `submit_many`."""

    def cost(name: str, *parts: str) -> float:
        return sum(statistics.median(measured[f"{name} cpu {part}"]) for part in parts)

    table = []
    for name, worker in (("bare", "bare"), ("ours", "ours"), ("many", "ours")):
        own = ("producer", worker, f"{worker} pool", "valkey", "dispatcher")
        table.append(
            [database, NAMES[name], *(f"{cost(name, part):.2f}" for part in own),
             f"{cost(name, *own):.2f}"]
        )  # fmt: skip
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few jobs, to see that it works")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    chosen = parser.parse_args()
    rounds, size, samples = (1, 100, 20) if chosen.quick else (6, 3000, 500)
    table, spent = [], []
    for database in [chosen.database] if chosen.database else DATABASES:
        measured = measure(database, rounds, size, samples)
        table += rows(database, measured)
        spent += costs(database, measured)
    show(
        "Throughput against bare Celery", METHOD.format(rounds=rounds, size=size, rate=RATE),
        ["ledger", "measure", "bare Celery", "vibe_tasks", "ratio", "target"], table,
    )  # fmt: skip
    show(
        "Where a job's processor time goes",
        "Milliseconds of user and system time for each job of the rounds above; medians. "
        "What PostgreSQL itself takes is not in it.",
        ["ledger", "side", "producer", "worker", "its pool", "valkey", "dispatcher", "all"], spent,
    )  # fmt: skip


if __name__ == "__main__":
    main()
