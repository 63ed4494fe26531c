"""Real processes on one ledger."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from subprocess import PIPE, Popen

import pytest
from sqlalchemy import text

from tests.archives import JOBS, tidied
from tests.crowds import crowd
from tests.ledgers import claim, new_job, row, submit
from tests.processes import until
from vibe_tasks.priority import Priority
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.history import count_history
from vibe_tasks.store.job_archive import count_jobs

CLAIMER = """
import json, sys
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
taken = []
with database.read() as connection:
    connection.exec_driver_sql("SELECT 1")
print("ready", flush=True)
sys.stdin.readline()
while True:
    with database.begin() as connection:
        claim = jobs.claim_next_job(connection, "code", worker=sys.argv[2], lease=300)
    if claim is None:
        break
    with database.write_once() as connection:
        jobs.complete_job(connection, claim.id, claim.attempt, sys.argv[2])
    taken.append((int(claim.priority), claim.id))
print(json.dumps(taken), flush=True)
"""

HALF_WAY = """
import sys
from vibe_tasks.jobs import NewJob
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
with database.begin() as connection:
    jobs.complete_job(connection, "first", 1, "half")
    jobs.submit(connection, [NewJob(id=f"new-{n}", name="x", lane="code") for n in range(500)])
    print("ready", flush=True)
    sys.stdin.readline()
"""

ARCHIVER = """
import sys
from vibe_tasks.store import history
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
history.archive_old_history(database, 1, batch=5)
"""

TIDIER = """
import sys, time
from vibe_tasks.flow.archiving import tidy
from vibe_tasks.retention import Keeping
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
tidy(database, Keeping(history_days=None), monotonic=time.monotonic, pause=time.sleep)
"""

CREATOR = """
import sys
from vibe_tasks.store import version
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
version.create(database)
version.require_current(database)
print("created", flush=True)
"""


@pytest.fixture
def started() -> Iterator[list[Popen[str]]]:
    """Processes that a test starts; ended by id whatever happens."""
    processes: list[Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(processes: list[Popen[str]], code: str, *arguments: str) -> Popen[str]:
    """A Python process that has said that it is ready and waits for a line."""
    process = Popen([sys.executable, "-c", code, *arguments], stdin=PIPE, stdout=PIPE, text=True)
    processes.append(process)
    return process


def ready(process: Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_ten_claimers_share_two_thousand_jobs(database: Database) -> None:
    """Each job runs exactly once, and each process sees priorities in order."""
    levels = list(Priority)
    submit(database, *(new_job(id=f"j{n}", priority=levels[n % 5]) for n in range(2_000)))
    with crowd(CLAIMER, [[database.url, f"w{n}"] for n in range(10)]) as claimers:
        assert claimers.lines() == ["ready"] * 10
        claimers.go()
        answers = [json.loads(output) for output in claimers.outputs()]
    taken = Counter(job_id for answer in answers for _, job_id in answer)
    assert len(taken) == 2_000
    assert set(taken.values()) == {1}
    for answer in answers:
        priorities = [priority for priority, _ in answer]
        assert priorities == sorted(priorities)
    with database.read() as connection:
        undone = connection.execute(
            text("SELECT count(*) FROM jobs WHERE status <> 'completed' OR attempt <> 1")
        ).scalar()
    assert undone == 0
    assert count_history(database) == (6_000, 0)


def test_a_process_killed_in_a_transaction_leaves_nothing(
    database: Database, started: list[Popen[str]]
) -> None:
    """S4: neither the completion nor the new jobs are there, and nobody is locked out."""
    submit(database, new_job(id="first"))
    claim(database, "first")
    process = start(started, HALF_WAY, database.url)
    ready(process)
    process.kill()
    process.wait()
    assert row(database, "first")["status"] == "processing"
    with database.begin() as connection:
        assert len(jobs.list_jobs(connection)) == 1
        jobs.complete_job(connection, "first", 1, "whole")
    assert count_history(database) == (3, 0)


def test_a_killed_archiver_neither_loses_nor_doubles(
    database: Database, started: list[Popen[str]]
) -> None:
    """L4: wherever it dies, each row is in exactly one of the two tables."""
    submit(database, *(new_job(id=f"j{n}") for n in range(2_000)))
    with database.begin() as connection:
        connection.exec_driver_sql('UPDATE job_history SET "timestamp" = "timestamp" - 200000')
    process = start(started, ARCHIVER, database.url)
    ready(process)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    while count_history(database)[1] == 0:
        assert process.poll() is None
    process.kill()
    process.wait()
    with database.read() as connection:
        ids = [
            each
            for table in ("job_history", "job_history_archive")
            for each in connection.exec_driver_sql(f"SELECT job_id FROM {table}").scalars()  # noqa: S608
        ]
    assert len(ids) == len(set(ids)) == 2_000
    assert 0 < count_history(database)[1] < 2_000


def test_a_killed_archiver_of_jobs_neither_loses_nor_doubles(
    database: Database, started: list[Popen[str]]
) -> None:
    """Wherever it dies, each job is in one place, and the next one goes on with the rest."""
    submit(database, *(new_job(id=f"j{n}") for n in range(5_000)), new_job(id="newest"))
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET status = 'completed', created_at = 1, status_updated_at = 1"
        )
    process = start(started, TIDIER, database.url)
    ready(process)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()

    def archived() -> int:
        with database.read() as connection:
            return count_jobs(connection)[1]

    while archived() == 0:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert 0 < archived() < 5_000
    # The server hears of the death a moment later; until then it holds the rows of its last batch.
    until(lambda: not tidied(database, JOBS) and archived() == 5_000)
    with database.read() as connection:
        ids = [
            each
            for table in ("jobs", "jobs_archive")
            for each in connection.exec_driver_sql(f"SELECT id FROM {table}").scalars()  # noqa: S608
        ]
    assert len(ids) == len(set(ids)) == 5_001


def test_ten_processes_may_create_the_schema_at_once(empty_database: Database) -> None:
    """One builds it, the others find it built; none fails."""
    with crowd(CREATOR, [[empty_database.url]] * 10) as creators:
        assert creators.lines() == ["ready"] * 10
        creators.go()
        assert creators.outputs() == ["created\n"] * 10
