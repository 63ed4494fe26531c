"""Many processes at one breaker and one cache: nothing is doubled, lost or stuck."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sqlalchemy import text

from tests.crowds import crowd as processes
from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.store import breakers, result_cache
from vibe_tasks.store.engine import Database

CROWD = 4
KEYS = 12
CALLS = 40

ONE_OF_THEM = """
import json, random, sys
from contextlib import contextmanager
from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.store import breakers, result_cache as cache
from vibe_tasks.store.engine import DATABASE_ERRORS, open_database
ledger, me = open_database(sys.argv[1]), sys.argv[2]
keys, calls = int(sys.argv[3]), int(sys.argv[4])
config = CircuitBreakerConfig(half_open_calls=2, minimum_calls=10_000)
draw = random.Random(me)
with ledger.read() as connection:
    connection.exec_driver_sql("SELECT 1")

def transaction():
    # SQLite's writers do not queue: on a busy machine one may wait past the busy timeout, at BEGIN.
    while True:
        try:
            made = ledger.begin()
            return made, made.__enter__()
        except DATABASE_ERRORS:
            pass

@contextmanager
def writing():
    made, connection = transaction()
    try:
        yield connection
    except BaseException:
        if not made.__exit__(*sys.exc_info()):
            raise
    else:
        made.__exit__(None, None, None)

def begin(stage):
    print(stage, flush=True)
    sys.stdin.readline()

def take(key, lease=60.0):
    with writing() as connection:
        found = cache.take(connection, key, me, lease, None, 3600.0)
    looks[type(found).__name__] += 1
    return found

def put(key, most):
    with writing() as connection:
        assert cache.put(connection, key, me, {"by": me}, 10, 3600.0, most)

looks = {"Hit": 0, "Mine": 0, "Busy": 0}
begin("one makes it")
made, seen, left = [], {}, [f"k{n}" for n in range(keys)]
while left:
    key = draw.choice(left)
    found = take(key)
    if isinstance(found, cache.Mine):
        made.append(key)
        put(key, 1000)
    elif isinstance(found, cache.Hit):
        seen[key] = found.value["by"]
        left.remove(key)
begin("it is too small")
for number in range(calls):
    key = f"small{draw.randrange(keys)}"
    if isinstance(take(key), cache.Mine):
        put(key, 5)
begin("calls are counted")
for number in range(calls):
    with writing() as connection:
        assert breakers.admit(connection, "closed", config, me, 60.0) == 0.0
    with writing() as connection:
        breakers.settle(connection, "closed", config, me, number % 4 != 0)
begin("few may try")
admitted = 0
for number in range(calls):
    with writing() as connection:
        admitted += breakers.admit(connection, "half", config, f"{me}-{number}", 60.0) == 0.0
print(json.dumps({"made": made, "seen": seen, "looks": looks, "admitted": admitted}), flush=True)
"""


def crowd(database: Database) -> list[dict[str, Any]]:
    """Four processes go through all stages together; what each has seen."""
    members = [[database.url, f"w{n}", str(KEYS), str(CALLS)] for n in range(CROWD)]
    with processes(ONE_OF_THEM, members) as children:
        for _stage in range(4):
            assert all(children.lines())
            children.go()
        return [json.loads(output) for output in children.outputs()]


def test_a_crowd_shares_a_breaker_and_a_cache(database: Database) -> None:
    """Each key is made by one alone, and all see what that one made; every look, call and eviction
    is counted; the bound holds; of a hundred that ask at a half-open breaker two get through.
    """
    with database.begin() as connection:
        breakers.trip(connection, "half", 0.0, "test")
    found = crowd(database)
    made = Counter(key for each in found for key in each["made"])
    assert made == Counter(f"k{n}" for n in range(KEYS))
    makers = {key: f"w{n}" for n, each in enumerate(found) for key in each["made"]}
    assert all(each["seen"] == makers for each in found)
    with database.read() as connection:
        counts = result_cache.counts(connection)
        known = {each.name: each for each in breakers.states(connection)}
        stored = connection.execute(
            text("SELECT count(*) FROM result_cache WHERE status = 'making'")
        ).scalar()
    looks = Counter[str]()
    for each in found:
        looks.update(each["looks"])
    assert (counts.hits, counts.misses, counts.waits) == (
        looks["Hit"], looks["Mine"], looks["Busy"],
    )  # fmt: skip
    assert (counts.size, stored) == (looks["Mine"] - counts.evictions, 0)
    assert counts.size <= 5 + CROWD - 1
    rules = CircuitBreakerConfig()
    assert known["closed"].calls == CROWD * CALLS
    assert known["closed"].failures == CROWD * CALLS // 4
    assert rules.window_seconds > 60  # none of them has left the window meanwhile
    assert (known["half"].trials, sum(each["admitted"] for each in found)) == (2, 2)
