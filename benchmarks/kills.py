"""One failure, many times in a row: `python benchmarks/kills.py --only worker --kills 200`.

`worker`: 500 jobs of 20 ms, the whole worker killed at a third. `running`: a worker killed with 20
jobs running. `flush` and `empty`: 2,000 jobs, the broker emptied, or killed and started empty, at
a third. Exit code 1 where a job was lost, completed twice or run by two at once.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from report import percentile, show
from servers import folder
from storm_cluster import Deployment, deployment, tree, wait_ready
from storm_verdict import MUST_BE_ZERO, Ledger, Verdict, judge, runs_of

from vibe_tasks.jobs import NewJob
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import open_database

LIMIT = 120.0
"""Seconds for a round."""

MANY, FEW, TWO_THOUSAND = 500, 20, 2_000
DONE = "SELECT count(*) FROM jobs WHERE status = 'completed'"
ENDED = "SELECT max(timestamp) FROM job_history WHERE status = 'completed'"
SILENCE = "SELECT timestamp FROM job_history WHERE status = 'completed' ORDER BY id"
METHOD = (
    "{kills} rounds on {database}, default settings, the worker started again at once, a "
    "dispatcher. Seconds, median / p95 / max of the rounds. Recovery: {recovery}."
)
RECOVERY = {
    "worker": "the longest time without a completion after the kill",
    "running": "from the kill to the end of the last of the jobs",
    "flush": "the longest time without a completion after the flush",
    "empty": "the longest time without a completion after the kill",
}


class Rounds:
    """A deployment with one worker that is killed again and again. Main thread only.

    Args:
        place: The deployment.
        only: What is done.
        size: Jobs of a round.
        pool: Celery's pool of the worker.
    """

    def __init__(self, place: Deployment, only: str, size: int, pool: str) -> None:
        self._place, self._only, self._size, self._pool = place, only, size, pool
        self._processes = FEW if only == "running" else 2
        self.database = open_database(
            place.environ["VIBE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
        )
        self._broker = place.start_broker()
        self._dispatcher = place.start_dispatcher()
        self._worker = place.start_worker(self._processes, pool=pool)
        wait_ready(self._worker)
        self.calls = place.folder / "calls.jsonl"
        self._chance = random.Random(1)

    def round(self) -> float:
        """Submit, strike, wait for the end; the seconds of recovery."""
        before = self._count(DONE)
        self._submit()
        if self._only == "running":
            self._wait(lambda: self._running() == self._size)
        else:
            self._wait(lambda: self._count(DONE) >= before + self._size // 3)
        began = time.time()
        self._strike()
        self._wait(lambda: self._count(DONE) == before + self._size)
        if self._only == "running":
            return float(self._count(ENDED)) - began
        with self.database.read() as connection:
            ends = [row[0] for row in connection.exec_driver_sql(SILENCE) if row[0] >= began]
        return float(max(b - a for a, b in zip([began, *ends], ends, strict=False)))

    def _submit(self) -> None:
        name, seconds = ("outlast", 60.0) if self._only == "running" else ("work", 0.02)
        new = [
            NewJob(
                id=str(uuid4()), name=f"storm_jobs.{name}", lane="code",
                kwargs={"seconds": seconds}, max_retries=1_000, retry_base=1.0,
            )
            for _ in range(self._size)
        ]  # fmt: skip
        with self.database.begin() as connection:
            jobs.submit(connection, new)  # the dispatcher sends them
        with self.calls.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'job': each.id})}\n" for each in new)

    def _strike(self) -> None:
        if self._only == "flush":
            with self._place.broker() as broker:
                broker.flushall()
        elif self._only == "empty":
            self._place.kill([self._broker.pid])
            self._broker = self._place.start_broker()
        else:
            self._place.kill(tree(self._worker.pid))
            self._worker = self._place.start_worker(self._processes, pool=self._pool)

    def _count(self, query: str) -> Any:
        with self.database.read() as connection:
            return connection.exec_driver_sql(query).scalar_one()

    def _running(self) -> int:
        """Jobs whose function has begun, by its own word, and has not ended."""
        gone = {str(pid) for pid, _ in self._place.died}
        running = 0
        for path in self._place.runs.glob("*.jsonl"):
            lines = path.read_text(encoding="utf-8")
            running += (path.stem not in gone) * (2 * lines.count('"start"') - lines.count("\n"))
        return running

    def _wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {LIMIT:.0f} s")
            if self._worker.exit_code() is not None:
                raise RuntimeError(f"the worker ended by itself: {self._worker.last_words()}")
            time.sleep(0.1)


def measure(
    home: Path, *, database: str, only: str, rounds: int, size: int, pool: str
) -> tuple[Verdict, list[float]]:
    """All rounds; the verdict over all their jobs, and the recoveries."""
    with deployment(home, database) as (place, _):
        made = Rounds(place, only, size, pool)
        found: list[float] = []
        try:
            for number in range(rounds):
                found.append(made.round())
                print(f"{only} {number + 1}: {found[-1]:.1f} s", file=sys.stderr, flush=True)
        except TimeoutError as error:
            print(f"{only} {len(found) + 1}: {error}", file=sys.stderr)
        runs = runs_of(place.runs, place.died)
        verdict = judge(Ledger(made.database), made.calls, runs)
        made.database.close()
        return verdict, found


def main() -> int:
    """Strike, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(RECOVERY), help="only this; all by default")
    parser.add_argument("--kills", type=int, default=20, help="rounds")
    parser.add_argument("--jobs", type=int, default=0, help="jobs of a round")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("--json", action="store_true", help="figures alone, as JSON")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table, told, sound = [], {}, True
    for only in [chosen.only] if chosen.only else list(RECOVERY):
        size = chosen.jobs or {"worker": MANY, "running": FEW}.get(only, TWO_THOUSAND)
        with folder() as home:
            verdict, found = measure(
                home, database=chosen.database, only=only, rounds=chosen.kills, size=size,
                pool=chosen.pool,
            )  # fmt: skip
        sound &= verdict.sound and len(found) == chosen.kills
        told[only] = {**verdict.told(), "recovery": found, "rounds": len(found)}
        spread = (
            " / ".join(f"{percentile(found, s):.1f}" for s in (0.5, 0.95, 1.0)) if found else "-"
        )
        table.append(
            [only, str(size), str(len(found)), str(verdict.completed), spread,
             *(str(getattr(verdict, name)) for name in MUST_BE_ZERO)]
        )  # fmt: skip
    if chosen.json:
        print(json.dumps({**told, "sound": sound}))
    else:
        recovery = "; ".join(f"`{only}`: {RECOVERY[only]}" for only in told)
        show(
            "One failure, many times",
            METHOD.format(kills=chosen.kills, database=chosen.database, recovery=recovery),
            ["what", "jobs", "rounds", "completed", "recovery, s",
             *(name.replace("_", " ") for name in MUST_BE_ZERO)],
            table,
        )  # fmt: skip
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
