"""Claims while an SQLite ledger is vacuumed and backed up: `python benchmarks/upkeep.py`.

Both run by themselves or by hand while everybody works; nobody must notice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event as Signal
from pathlib import Path

from claims import connect, submitted
from report import begin, percentile, told
from servers import folder, ledger_url

from vibe_tasks.store import jobs
from vibe_tasks.store.backup import back_up
from vibe_tasks.store.engine import Database, run_plain
from vibe_tasks.store.vacuum import vacuum

METHOD = (
    "A file of {megabytes} MB, nine tenths of it deleted. One process claims jobs by id and "
    "completes them, as a worker does, for as long as the other one vacuums, or backs up, or, with "
    "nobody else, {alone:,} of them, in turns, {rounds} rounds; the dead rows are written anew for "
    "each. Only the claim is timed. Milliseconds; all rounds together."
)
FILL = """
INSERT INTO job_logs (job_id, attempt, seq, at, lines)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
SELECT 'filler', 1, i, 1.0, hex(randomblob(500)) FROM n
"""
ROWS_OF_MEGABYTE = 900
"""Rows of `FILL` that take about so much."""

ALONE = 5_000
"""Claims of a round in which nothing else is done."""


def fill(database: Database, megabytes: int) -> None:
    """Write so much, and delete nine tenths of it."""
    with database.begin() as connection:
        run_plain(connection, "DELETE FROM job_logs")
        run_plain(connection, FILL.format(rows=megabytes * ROWS_OF_MEGABYTE))
    with database.begin() as connection:
        run_plain(connection, "DELETE FROM job_logs WHERE seq % 10 > 0")


def do(what: str, url: str, place: Path, ready: Signal, done: Signal) -> None:
    """Be the other process."""
    database = connect(url)
    with database.read():
        ready.set()
    if what == "vacuum":
        vacuum(database, monotonic=time.monotonic, pause=time.sleep)
    elif what == "backup":
        back_up(database, place / "copy.db", pause=time.sleep, force=True)
    done.set()
    database.close()


def claims_beside(what: str, database: Database, url: str, place: Path, count: int) -> list[float]:
    """Seconds of each of so many claims at most, until the other process is done."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=do, args=(what, url, place, ready, done))
    waiting = submitted(url, count)
    other.start()
    if not ready.wait(60):
        raise RuntimeError("the other process does not begin")
    seconds: list[float] = []
    while waiting and (len(seconds) < ALONE if what == "nothing" else not done.is_set()):
        job_id = waiting.pop()
        start = time.perf_counter()
        with database.write_once() as connection:
            claim = jobs.claim(connection, job_id, worker="bench", lease=600)
        seconds.append(time.perf_counter() - start)
        if claim is None:
            raise RuntimeError("a claim of a job that is nobody else's came to nothing")
        with database.write_once() as connection:
            jobs.complete_job(connection, job_id, claim.attempt, None)
    if not waiting and what != "nothing":
        raise RuntimeError("there were too few jobs to claim")
    other.join()
    return seconds


def row(name: str, seconds: Sequence[float]) -> list[str]:
    """The table's cells."""
    ways: Sequence[Callable[[Sequence[float]], float]] = [
        statistics.mean, lambda each: percentile(each, 0.5), lambda each: percentile(each, 0.95),
        lambda each: percentile(each, 0.99), max,
    ]  # fmt: skip
    return [name, str(len(seconds)), *(f"{1000 * way(seconds):.2f}" for way in ways)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small file, to see that it works")
    chosen = parser.parse_args()
    megabytes, rounds, count = (5, 1, 4_000) if chosen.quick else (150, 4, 60_000)
    head = ["meanwhile", "claims", "mean", "p50", "p95", "p99", "longest"]
    begin(
        "Claims beside upkeep", METHOD.format(megabytes=megabytes, rounds=rounds, alone=ALONE), head
    )
    found: dict[str, list[float]] = {"nothing": [], "vacuum": [], "backup": []}
    with folder() as place, ledger_url("sqlite", place) as url:
        database = connect(url)
        database.leave_checkpoints()
        for _ in range(rounds):
            for what, seconds in found.items():
                fill(database, megabytes)
                seconds.extend(claims_beside(what, database, url, place, count))
        database.close()
    for what, seconds in found.items():
        told(row(what, seconds))


if __name__ == "__main__":
    main()
