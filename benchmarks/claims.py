"""Latency of claims on small and large ledgers: `python benchmarks/claims.py`.

A claim is what stands between a message and its job; it must not get slower with the rows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from report import milliseconds, show, spread
from servers import DATABASES, folder, ledger_url

from vibe_tasks.jobs import NewJob
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, open_database, run_plain

PROCESSES = (1, 10)
METHOD = (
    "Each process claims, by the id in its message (`claim`) or the most urgent of the lane "
    "(`claim_next_job`), and completes each job; only the claim is timed. {claims} claims a "
    "process. Of the ledger's other rows nine tenths are completed, one tenth is pending in the "
    "same lane, over all priorities. p50 / p95 / p99 in milliseconds. Ten processes share the "
    "cores with the server, so that their latency is mostly waiting for a turn. Claims a second "
    "counts the completions' time too."
)
FILL = """
INSERT INTO jobs (id, name, kind, lane, priority, effort, status, args, result, retry_count,
                  max_retries, retry_base, attempt, published_at, round, created_at,
                  status_updated_at)
WITH RECURSIVE numbers (n) AS (
  SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {last}
)
SELECT 'row-' || n, 'bench.noop', 'call', 'code', n / 10 % 5, 2,
       CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'completed' END,
       '{{"args":[],"kwargs":{{}}}}', NULL, 0, 3, 1.0,
       CASE WHEN n % 10 = 0 THEN 0 ELSE 1 END, 1700000000.0, 0, 1700000000.0, 1700000000.0 + n
FROM numbers
"""
"""Rows as the pipeline would leave them; the triggers write their history too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one process is to do.

    Attributes:
        url: The ledger.
        ids: Jobs to claim by id; empty: the most urgent ones, `count` of them.
        count: Number of claims.
        began: File whose appearance starts all processes together.
    """

    url: str
    ids: tuple[str, ...]
    count: int
    began: Path


def connect(url: str) -> Database:
    """The ledger of this URL."""
    return open_database(url.replace("postgresql://", "postgresql+psycopg://"))


def fill(url: str, first: int, last: int) -> None:
    """Bring the ledger to `last` rows."""
    if last <= first:
        return
    database = connect(url)
    with database.begin() as connection:
        run_plain(connection, FILL.format(first=first, last=last))
    with database.read() as connection:
        run_plain(connection, "ANALYZE")  # as the server's own upkeep would soon do
    database.close()


def work(share: Share) -> dict[str, Any]:
    """Claim and complete; seconds of each claim, the ids claimed, and when it began and ended."""
    database = connect(share.url)
    with database.read() as connection:
        jobs.ended_of(connection, ["warm"])
    while not share.began.exists():
        time.sleep(0.001)
    began, seconds, claimed = time.time(), [], []
    for number in range(share.count):
        start = time.perf_counter()
        claim = _claim(database, share.ids[number] if share.ids else None)
        seconds.append(time.perf_counter() - start)
        if claim is None:
            raise RuntimeError("a claim of a job that is nobody else's came to nothing")
        claimed.append(claim.id)
        with database.write_once() as connection:
            jobs.complete_job(connection, claim.id, claim.attempt, None)
    database.close()
    return {"seconds": seconds, "claimed": claimed, "began": began, "ended": time.time()}


def _claim(database: Database, job_id: str | None) -> Any:
    if job_id is not None:
        with database.write_once() as connection:
            return jobs.claim(connection, job_id, worker="bench", lease=60)
    with database.begin() as connection:
        return jobs.claim_next_job(connection, "code", worker="bench", lease=60)


def submitted(url: str, count: int) -> list[str]:
    """Submit so many jobs; their ids."""
    new = [NewJob(id=str(uuid4()), name="bench.noop", lane="code") for _ in range(count)]
    database = connect(url)
    with database.begin() as connection:
        jobs.submit(connection, new, published=True)
    database.close()
    return [job.id for job in new]


def measure(url: str, place: Path, processes: int, count: int, by_id: bool) -> list[str]:
    """The table's cells for one setting."""
    ids = submitted(url, processes * count)
    began = place / f"began-{uuid4().hex}"
    shares = [
        Share(
            url=url, count=count, began=began,
            ids=tuple(ids[number::processes]) if by_id else (),
        )
        for number in range(processes)
    ]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        waiting = pool.map_async(work, shares, chunksize=1)
        time.sleep(0.2 + 0.2 * processes)  # imports and connections are not what is measured
        began.touch()
        done = waiting.get(timeout=600)
    claimed = [job_id for each in done for job_id in each["claimed"]]
    if len(set(claimed)) != processes * count:
        raise RuntimeError("two processes claimed one job")
    seconds = [each for result in done for each in result["seconds"]]
    lasted = max(each["ended"] for each in done) - min(each["began"] for each in done)
    return [milliseconds(seconds), spread([len(claimed) / lasted])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few claims, to see that it works")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    chosen = parser.parse_args()
    sizes = (0, 1_000) if chosen.quick else (0, 100_000, 1_000_000)
    crowds = (2,) if chosen.quick else PROCESSES
    budget = 20 if chosen.quick else 3_000
    ways: dict[str, bool] = {"claim": True, "claim_next_job": False}
    table: list[list[str]] = []
    for database in [chosen.database] if chosen.database else DATABASES:
        with folder() as place, ledger_url(database, place) as url:
            rows = 0
            for size in sizes:
                fill(url, rows, size)
                rows = size
                table += [
                    [database, f"{size:,}", name, str(crowd),
                     *_cells(measure, url, place, crowd, budget // crowd, by_id)]
                    for crowd in crowds
                    for name, by_id in ways.items()
                ]  # fmt: skip
    show(
        "Claims", METHOD.format(claims=" or ".join(str(budget // crowd) for crowd in crowds)),
        ["ledger", "rows", "by", "processes", "ms, p50 / p95 / p99", "claims/s"], table,
    )  # fmt: skip


def _cells(cells: Callable[..., list[str]], *arguments: Any) -> list[str]:
    milli, rate = cells(*arguments)
    return [milli, rate.partition(" ")[0]]


if __name__ == "__main__":
    main()
