"""What a job costs the ledger's database and leaves in it: `python benchmarks/capacity.py`.

The figures that one multiplies: bytes at rest, bytes of log, processor time of the server, and what
several connections get done at once. docs/capacity.md computes from them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import claims
from claims import connect
from psutil import Process
from redis import Redis
from report import show, spread
from servers import DATABASES, environment, folder, ledger_url, running

from vibe_tasks.flow.archiving import tidy
from vibe_tasks.jobs import NewJob
from vibe_tasks.retention import Keeping
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, run_plain
from vibe_tasks.store.extras import POSTGRES_EXTRAS

BATCH = 500
PARTS = ("jobs", "history", "all", "archived")
METHOD = (
    "One connection submits {jobs:,} no-op jobs in batches of 500, then claims and completes each "
    "by its id: three transitions, three rows of history. Bytes a job are those at rest, rows and "
    "indexes, after a full vacuum; archived: once all are in the archives. The log is PostgreSQL's "
    "WAL between two checkpoints. The server's processor time is that of all its processes."
)
WAITING = (
    "{jobs:,} calls that nobody takes, by `submit_many`: growth of the broker's memory for each."
)
CROWD = (
    "Processes with a connection each claim and complete jobs of their own, {jobs:,} in all; jobs "
    "a second, median of {rounds} rounds in turns with the lowest and the highest. Without: the "
    "same, with the two calls of pg_notify taken out of the trigger that writes the history."
)
CALLS = """
from noops import noop
noop.submit_many([(number,) for number in range({jobs})])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What jobs cost.

    Attributes:
        rows: Bytes at rest by part: `jobs`, `history`, `all`, and `archived`.
        log: Bytes of the server's log; 0 on SQLite.
        processor: Seconds of the server's processes; of our own on SQLite.
        rate: Jobs a second, from the first claim to the last completion.
        jobs: How many there were.
    """

    rows: dict[str, float]
    log: float
    processor: float
    rate: float
    jobs: int

    def cells(self) -> list[str]:
        """The table's cells."""
        bytes_ = [f"{self.rows[part] / self.jobs:,.0f}" for part in PARTS]
        log = f"{self.log / self.jobs:,.0f}" if self.log else "-"
        return [*bytes_, log, f"{1000 * self.processor / self.jobs:.2f}", f"{self.rate:,.0f}"]


def submitted(database: Database, count: int) -> list[str]:
    """Submit so many jobs; their ids."""
    ids = [str(uuid4()) for _ in range(count)]
    for first in range(0, count, BATCH):
        new = [
            NewJob(id=each, name="bench.noop", lane="code", args=(first, "a.png"))
            for each in ids[first : first + BATCH]
        ]
        with database.begin() as connection:
            jobs.submit(connection, new, published=True)
    return ids


def done(database: Database, ids: Sequence[str]) -> None:
    """Claim and complete each."""
    for job_id in ids:
        with database.write_once() as connection:
            claim = jobs.claim(connection, job_id, worker="bench@here", lease=60)
        if claim is None:
            raise RuntimeError("a claim of a job that is nobody else's came to nothing")
        with database.write_once() as connection:
            jobs.complete_job(connection, claim.id, claim.attempt, {"width": 100})


def measure(database: Database, count: int, spent: Callable[[], float]) -> Cost:
    """What so many jobs cost this ledger."""
    before, log, processor = sizes(database), _log(database), spent()
    ids = submitted(database, count)
    began = time.perf_counter()
    done(database, ids)
    rate = count / (time.perf_counter() - began)
    processor, log = spent() - processor, _log(database) - log
    after = sizes(database)
    rows = {part: after[part] - before[part] for part in after}
    everything = Keeping(history_days=0, jobs_days=0)
    tidy(database, everything, monotonic=time.monotonic, pause=lambda _seconds: None)
    archived = sizes(database, ("jobs_archive", "job_history_archive"))
    rows["archived"] = archived["all"]
    return Cost(rows=rows, log=log, processor=processor, rate=rate, jobs=count)


def sizes(
    database: Database, tables: tuple[str, str] = ("jobs", "job_history")
) -> dict[str, float]:
    """Bytes of jobs, of history and of both, indexes included, after a full vacuum."""
    with database.read() as connection:
        if database.is_sqlite:
            run_plain(connection, "VACUUM")
            statement = (
                "SELECT (SELECT COALESCE(SUM(pgsize), 0) FROM dbstat WHERE name IN "
                "(SELECT name FROM sqlite_schema WHERE tbl_name = '{table}'))"
            )
        else:
            for table in tables:
                run_plain(connection, f"VACUUM FULL {table}")
            run_plain(connection, "CHECKPOINT")
            statement = "SELECT pg_total_relation_size('{table}')"
        found = {
            part: float(_value(connection, statement.format(table=table)))
            for part, table in zip(("jobs", "history"), tables, strict=True)
        }
    return found | {"all": sum(found.values())}


def _log(database: Database) -> float:
    if database.is_sqlite:
        return 0.0
    with database.read() as connection:
        return float(_value(connection, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))


def _value(connection: Any, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar_one()


def server_seconds(database: Database) -> Callable[[], float]:
    """Reads the processor time of the server and its processes; of this process on SQLite."""
    if database.is_sqlite:
        return lambda: _of(Process())
    with database.read() as connection:
        backend = int(_value(connection, "SELECT pg_backend_pid()"))
    postmaster = Process(backend).parent()
    if postmaster is None:
        raise RuntimeError("the server's first process is not to be found")
    return lambda: sum(map(_of, [postmaster, *postmaster.children(recursive=True)]))


def _of(process: Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def notifying(url: str, *, on: bool) -> None:
    """Put the trigger's function there with its notifications, or without them."""
    function = next(each for each in POSTGRES_EXTRAS if "FUNCTION vibe_job_history" in each)
    if not on:
        function = re.sub(r"PERFORM pg_notify.*?::text\);", "", function, flags=re.DOTALL)
        function = function.replace("PERFORM vibe_notify_new_job(NEW);", "NULL;")
    database = connect(url)
    with database.read() as connection:
        run_plain(connection, function.replace("CREATE", "CREATE OR REPLACE", 1))
    database.close()


def crowds(
    url: str, place: Path, count: int, sizes_: Sequence[int], rounds: int
) -> list[list[str]]:
    """Rows of the table: jobs a second by the number of connections, with and without."""
    table = []
    for processes in sizes_:
        rates: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for on in (True, False):
                notifying(url, on=on)
                cells = claims.measure(url, place, processes, count // processes, True)
                rates[on].append(float(cells[1].split()[0]))
        table.append([str(processes), spread(rates[True]), spread(rates[False])])
    return table


def message_bytes(count: int) -> float:
    """Bytes of the broker's memory for a message that waits."""
    with ExitStack() as stack:
        home = stack.enter_context(folder())
        environ = environment(home, stack.enter_context(ledger_url("sqlite", home)))
        stack.enter_context(running(home, environ, {}))
        broker = stack.enter_context(Redis(unix_socket_path=str(home / "broker.sock")))
        held = []
        for calls in (10, count):  # the first ones make what is made once
            program = [sys.executable, "-c", CALLS.format(jobs=calls)]
            subprocess.run(program, env=environ, check=True)
            held.append(broker.info("memory")["used_memory"])
    return float(held[1] - held[0]) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few jobs, to see that it works")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    chosen = parser.parse_args()
    count, sizes_, rounds = (100, (2,), 1) if chosen.quick else (10_000, (1, 4, 8), 3)
    table, crowded = [], []
    for name in [chosen.database] if chosen.database else DATABASES:
        with folder() as place, ledger_url(name, place) as url:
            table.append([name, *_costs(url, count).cells()])
            if name != "sqlite":
                crowded = crowds(url, place, count // 5, sizes_, rounds)
    show(
        "A job in the ledger", METHOD.format(jobs=count),
        ["ledger", "jobs' bytes", "history's bytes", "all bytes", "archived, bytes", "log, bytes",
         "server, ms", "jobs/s"], table,
    )  # fmt: skip
    told = WAITING.format(jobs=count)
    show("A message that waits", told, ["bytes"], [[f"{message_bytes(count):,.0f}"]])
    if crowded:
        show(
            "Connections", CROWD.format(jobs=count // 5, rounds=rounds),
            ["connections", "jobs/s", "without notifications"], crowded,
        )  # fmt: skip


def _costs(url: str, count: int) -> Cost:
    database = connect(url)
    try:
        return measure(database, count, server_seconds(database))
    finally:
        database.close()


if __name__ == "__main__":
    main()
