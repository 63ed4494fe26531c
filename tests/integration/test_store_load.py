"""The load of lanes as a growing pool asks for it: what may start, who serves, which rules hold."""

from __future__ import annotations

from sqlalchemy import update

from tests.ledgers import claim, new_job, submit
from vibe_tasks.scaling import Load
from vibe_tasks.store import held, lanes, load, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.scaling_rules import NAMES, Rules, rules_of, set_rules
from vibe_tasks.store.schema import worker_health
from vibe_tasks.store.workers import Registered


def loads(database: Database) -> dict[str, Load]:
    """What may start, by lane."""
    with database.read() as connection:
        return load.startable(connection, load.lane_loads(connection, ["code", "qa"]))


def test_what_may_not_start_is_no_reason_for_more_workers(database: Database) -> None:
    """Of a lane that is limited, as many as it has room for; of one that is paused, none."""
    for number in range(6):
        submit(database, new_job(id=f"c{number}"))
    submit(database, new_job(id="q", lane="qa"))
    assert {lane: each.waiting for lane, each in loads(database).items()} == {"code": 6, "qa": 1}
    with database.begin() as connection:
        lanes.limit(connection, "code", concurrency=2)
        lanes.pause(connection, "qa")
    found = loads(database)
    assert (found["code"].waiting, found["code"].obstacle) == (2, None)
    assert (found["qa"].waiting, found["qa"].obstacle) == (0, "the lane is paused")
    claim(database, "c0")
    claim(database, "c1")
    assert loads(database)["code"].waiting == 0
    assert "limit" in str(loads(database)["code"].obstacle)


def test_jobs_for_workers_of_other_kinds_are_no_reason_to_grow(database: Database) -> None:
    """Those that wait for a worker with a label are a reason for workers that have it alone, and
    so is the time that they have waited.
    """
    submit(database, new_job(id="any"))
    for number in range(3):
        submit(database, new_job(id=f"g{number}", required=("gpu", "big")))
    with database.begin() as connection:
        held.hold_for_worker(connection, ["g0", "g1", "g2"])
        connection.exec_driver_sql("UPDATE jobs SET held_at = held_at - 500 WHERE id = 'g0'")
    with database.read() as connection:
        found = load.lane_loads(connection, ["code"])
        assert found["code"].waiting == 4
        for labels, waiting in (((), 1), (("gpu",), 1), (("gpu", "big", "new"), 4)):
            reached = load.within_reach(connection, found, labels)
            assert reached["code"].waiting == waiting
            assert (reached["code"].oldest_age >= 500) is (waiting == 4)


def test_who_serves_a_lane(database: Database) -> None:
    """Those that are online and were heard of lately, by name; who drains takes nothing new."""
    with database.begin() as connection:
        for name in ("b", "a", "drains", "silent"):
            known = Registered(worker=name, host=None, process=None)
            workers.register(connection, known, ["code", "qa"], tier="standard", capacity=1)
        workers.drain(connection, "drains")
        silent = update(worker_health).where(worker_health.c.worker_id == "silent")
        connection.execute(silent.values(last_seen=worker_health.c.last_seen - 60))
    with database.read() as connection:
        found = load.serving(connection, ["code"], seconds=8)
        assert found == {"code": ("a", "b")}


def test_who_was_heard_of_on_a_host(database: Database) -> None:
    """By the host that they registered; by the end of their names where they know none."""
    with database.begin() as connection:
        for name, host in (
            ("a@my_pc", "one"), ("b@other", "one"), ("c@my_pc", None), ("d@my_pc", "two"),
            ("e@my-pc", None), ("left@my_pc", "one"), ("silent@my_pc", "one"),
        ):  # fmt: skip
            known = Registered(worker=name, host=host, process="1" if host else None)
            workers.register(connection, known, ["code", "qa"], tier="standard", capacity=1)
        workers.leave(connection, "left@my_pc")
        silent = update(worker_health).where(worker_health.c.worker_id == "silent@my_pc")
        connection.execute(silent.values(last_seen=worker_health.c.last_seen - 60))
    with database.read() as connection:
        found = workers.heard_at(connection, "one", name="my_pc", seconds=8)
        assert found == {"a@my_pc", "b@other", "c@my_pc"}
        unknown = workers.heard_at(connection, None, name="my_pc", seconds=8)
        assert unknown == {"a@my_pc", "c@my_pc", "d@my_pc"}


def test_rules_are_kept_until_the_last_is_taken_away(database: Database) -> None:
    """One by one; then the settings hold again, and nothing is left behind."""
    with database.begin() as connection:
        set_rules(connection, "code", {"up_depth": 20, "down_after": 90.0})
        both = set_rules(connection, "code", {"up_depth": 30, "max_size": 5})
    assert both == Rules(up_depth=30, down_after=90.0, max_size=5)
    with database.read() as connection:
        assert rules_of(connection) == {"code": both}
        assert rules_of(connection, ["qa"]) == {}
    with database.begin() as connection:
        set_rules(connection, "code", dict.fromkeys(NAMES))
        assert rules_of(connection) == {}
