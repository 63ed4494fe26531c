"""Claims while ten million rows of history go to the archive: `python benchmarks/archive.py`.

The archive has to keep up for years, and nobody must notice it; killed half way it loses nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.pool import Pool
from pathlib import Path
from uuid import uuid4

from claims import Share, connect, submitted, work
from report import begin, milliseconds, percentile, told
from servers import DATABASES, folder, ledger_url

from vibe_tasks.flow.archiving import tidy
from vibe_tasks.retention import Keeping
from vibe_tasks.store.engine import run_plain

CLAIMERS = 10
METHOD = (
    "{rows:,} rows of history are older than a week. Ten processes claim and complete jobs by the "
    "ids in their messages, {claims} a process and round; only the claim is timed. {rounds} rounds "
    "each, in turns: nothing else runs; the archive runs, as beat runs it. It is killed (SIGKILL) "
    "after each of its rounds and the next goes on; at the end it runs alone until nothing is "
    "left. Then each row is in exactly one table: number and sum of ids are compared. p50 / p95 / "
    "p99 in milliseconds; the ratio is that of the two p99. Rows a second are those of the rounds, "
    "and those of the archive alone. The ten processes share the cores with the server."
)
FILL = """
INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
WITH RECURSIVE numbers (n) AS (
  SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {last}
)
SELECT 'row-' || (n / 3), CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN 'pending' ELSE 'processing' END,
       CASE n % 3 WHEN 0 THEN 'pending' WHEN 1 THEN 'processing' ELSE 'completed' END,
       n % 3, CASE n % 3 WHEN 0 THEN NULL ELSE 'celery@build-3' END, 1700000000.0 + n * 0.01, NULL
FROM numbers
"""
CHUNK = 500_000


def fill(url: str, rows: int) -> None:
    """Write so many rows of history, three for each of that many jobs that are gone."""
    database = connect(url)
    for first in range(0, rows, CHUNK):
        with database.begin() as connection:
            run_plain(connection, FILL.format(first=first, last=min(rows, first + CHUNK)))
    with database.read() as connection:
        run_plain(connection, "ANALYZE")
    database.close()


def archive(url: str) -> None:
    """Archive until nothing is left."""
    database = connect(url)
    kept = Keeping(history_days=7, jobs_days=None)
    tidy(database, kept, monotonic=time.monotonic, pause=time.sleep)
    database.close()


def claims(pool: Pool, url: str, place: Path, count: int) -> list[float]:
    """Seconds of each claim of one round."""
    ids = submitted(url, CLAIMERS * count)
    began = place / f"began-{uuid4().hex}"
    shares = [
        Share(url=url, count=count, began=began, ids=tuple(ids[number::CLAIMERS]))
        for number in range(CLAIMERS)
    ]
    waiting = pool.map_async(work, shares, chunksize=1)
    time.sleep(0.2 + 0.2 * CLAIMERS)  # imports and connections are not what is measured
    began.touch()
    done = waiting.get(timeout=600)
    return [each for result in done for each in result["seconds"]]


def moved(url: str) -> int:
    """Rows in the archive."""
    database = connect(url)
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM job_history_archive").scalar_one()
    database.close()
    return int(found)


def sums(url: str, most: int) -> tuple[int, int]:
    """Number and sum of the ids up to this one, in both tables together."""
    both = "SELECT id FROM job_history UNION ALL SELECT id FROM job_history_archive"
    database = connect(url)
    with database.read() as connection:
        row = connection.exec_driver_sql(
            f"SELECT count(*), sum(id) FROM ({both}) AS rows_ WHERE id <= {most}"  # noqa: S608
        ).one()
    database.close()
    return int(row[0]), int(row[1])


def started(url: str) -> SpawnProcess:
    """A process that archives, once it has begun to."""
    before = moved(url)
    process = multiprocessing.get_context("spawn").Process(target=archive, args=(url,))
    process.start()
    while process.is_alive() and moved(url) == before:
        time.sleep(0.05)
    return process


def measure(
    pool: Pool, url: str, place: Path, *, rows: int, count: int, rounds: int
) -> Sequence[str]:
    """The table's cells."""
    fill(url, rows)
    expected = sums(url, rows)
    alone: list[float] = []
    beside: list[float] = []
    went, lasted = 0, 0.0
    claims(pool, url, place, count)  # everything is in memory once
    for _ in range(rounds):
        alone += claims(pool, url, place, count)
        process = started(url)
        first, since = moved(url), time.monotonic()
        beside += claims(pool, url, place, count)
        went, lasted = went + moved(url) - first, lasted + time.monotonic() - since
        process.kill()
        process.join()
        if sums(url, rows) != expected:
            raise RuntimeError("a row was lost or doubled by the kill")
    left, since = rows - moved(url), time.monotonic()
    archive(url)
    speed = left / (time.monotonic() - since)
    if sums(url, rows) != expected or moved(url) < rows:
        raise RuntimeError("a row was lost or doubled")
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    return (
        milliseconds(alone), milliseconds(beside), f"{ratio:.2f}", f"{went / lasted:,.0f}",
        f"{speed:,.0f}",
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rows, to see that it works")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--rows", type=int, default=10_000_000)
    chosen = parser.parse_args()
    rows = 20_000 if chosen.quick else chosen.rows
    count, rounds = (10, 1) if chosen.quick else (500, 4)
    context = multiprocessing.get_context("spawn")
    head = ["ledger", "claims alone, ms", "beside the archive, ms", "ratio", "rows/s", "alone"]
    begin("Archive", METHOD.format(rows=rows, claims=count, rounds=rounds), head)
    for database in [chosen.database] if chosen.database else DATABASES:
        with (
            folder() as place, ledger_url(database, place) as url, context.Pool(CLAIMERS) as pool,
        ):  # fmt: skip
            told([database, *measure(pool, url, place, rows=rows, count=count, rounds=rounds)])


if __name__ == "__main__":
    main()
