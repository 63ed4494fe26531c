"""Many claim at once: limits, rates and keys hold over threads and processes alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from threading import Barrier, Event

import pytest
from sqlalchemy import text

from tests.crowds import crowd as processes
from tests.ledgers import new_job, submit
from vibe_tasks.store import held, jobs, lanes
from vibe_tasks.store.engine import Database

CROWD = 8

CLAIMER = """
import json, sys
from vibe_tasks.store import held, jobs
from vibe_tasks.store.engine import open_database
database = open_database(sys.argv[1])
ids, taken = json.loads(sys.argv[3]), []
with database.read() as connection:
    connection.exec_driver_sql("SELECT 1")
print("ready", flush=True)
sys.stdin.readline()
while ids:
    with database.write_once() as connection:
        claim = jobs.claim(connection, ids.pop(0), worker=sys.argv[2], lease=300)
    if claim is not None:
        with database.write_once() as connection:
            jobs.complete_job(connection, claim.id, claim.attempt, None)
        taken.append(claim.id)
    with database.begin() as connection:
        ids += held.give_turns(connection, lane="code", key="k").job_ids
print(json.dumps(taken), flush=True)
"""


def at_once(database: Database, where: str = "1 = 1") -> list[int]:
    """How many attempts ran after each start and end, by the history that the triggers wrote."""
    with database.read() as connection:
        rows = connection.execute(
            text(
                "SELECT h.from_status, h.status FROM job_history h JOIN jobs j ON j.id = h.job_id "  # noqa: S608
                f"WHERE 'processing' IN (h.from_status, h.status) AND {where} ORDER BY h.id"
            )
        ).all()
    return list(accumulate(1 if status == "processing" else -1 for _, status in rows))


def crowd(database: Database, wanted: Iterable[str], *, peak: int) -> int:
    """Eight take whatever has its turn until all is done; how many of a lane have run at once."""
    left = set(wanted)
    start, full = Barrier(CROWD), Event()
    running: set[str] = set()

    def one(number: int) -> int:
        seen = 0
        start.wait(timeout=60)
        while left:
            with database.begin() as connection:
                found = jobs.claim_next_job(connection, "code", worker=f"w{number}", lease=60)
            if found is None:
                continue
            running.add(found.id)
            seen = max(seen, len(running))
            if seen >= peak:
                full.set()
            full.wait(60)  # the first ones stay until as many run as may
            running.discard(found.id)
            with database.write_once() as connection:
                jobs.complete_job(connection, found.id, found.attempt, None)
            left.discard(found.id)
        return seen

    with ThreadPoolExecutor(CROWD) as pool:
        return max(pool.map(one, range(CROWD)))


def test_a_limit_is_reached_and_never_exceeded(database: Database) -> None:
    """Eight consumers, three at once: three is the most, and three it is."""
    names = [f"j{number}" for number in range(40)]
    submit(database, *(new_job(id=name) for name in names))
    with database.begin() as connection:
        lanes.limit(connection, "code", concurrency=3)
    assert crowd(database, names, peak=3) == 3
    assert max(at_once(database)) == 3


def test_a_key_is_never_in_two_hands(database: Database) -> None:
    """Eight consumers and two keys: two run at once, each of another key."""
    names = [f"j{number}" for number in range(30)]
    submit(
        database, *(new_job(id=name, concurrency_key=f"k{n % 2}") for n, name in enumerate(names))
    )
    assert crowd(database, names, peak=2) == 2
    for key in ("k0", "k1"):
        assert max(at_once(database, f"j.concurrency_key = '{key}'")) == 1


@pytest.mark.parametrize("rule", ["limit", "key"])
def test_processes_that_got_a_message_for_each_job(database: Database, rule: str) -> None:
    """Four workers with messages of all jobs, one at once: all jobs run once, one after another."""
    names = [f"j{number}" for number in range(24)]
    key = "k" if rule == "key" else None
    submit(database, *(new_job(id=name, concurrency_key=key) for name in names), published=True)
    if rule == "limit":
        with database.begin() as connection:
            lanes.limit(connection, "code", concurrency=1)
    members = [[database.url, f"w{n}", json.dumps(names[n::4])] for n in range(4)]
    with processes(CLAIMER, members) as workers:
        assert workers.lines() == ["ready"] * 4
        workers.go()
        taken = [name for output in workers.outputs() for name in json.loads(output)]
    while len(taken) < len(names):  # what was held when the last worker looked for more
        with database.begin() as connection:
            given = held.give_turns(connection).job_ids
        for job_id in given:
            with database.write_once() as connection:
                claim = jobs.claim(connection, job_id, worker="late", lease=30)
            assert claim is not None
            with database.write_once() as connection:
                jobs.complete_job(connection, claim.id, claim.attempt, None)
            taken.append(job_id)
    assert sorted(taken) == sorted(names)
    assert max(at_once(database)) == 1


@pytest.mark.parametrize("rate", [40.0])
def test_a_rate_holds_for_all_together(database: Database, rate: float) -> None:
    """Eight consumers start no more in any span of time than the rate and one burst allow."""
    names = [f"j{number}" for number in range(90)]
    submit(database, *(new_job(id=name) for name in names))
    with database.begin() as connection:
        lanes.limit(connection, "code", rate=rate)
    crowd(database, names, peak=1)
    with database.read() as connection:
        starts = [
            row.timestamp
            for row in connection.execute(
                text("SELECT timestamp FROM job_history WHERE status = 'processing' ORDER BY 1")
            )
        ]
    assert len(starts) == len(names)
    for first, began in enumerate(starts):
        for last in range(first, len(starts)):
            # A start is written a moment after its token was counted.
            assert last - first + 1 <= rate * (starts[last] - began + 0.1) + rate
