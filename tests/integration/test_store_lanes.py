"""Pauses, limits, rates and keys, enforced at the claim."""

from __future__ import annotations

import pytest

from tests.ledgers import claim, new_job, row, submit
from vibe_tasks.jobs import Claim
from vibe_tasks.priority import Priority
from vibe_tasks.store import held, jobs, lane_list, lanes, outbox, version
from vibe_tasks.store.engine import Database, open_database


def rules(database: Database, lane: str = "code", **limits: object) -> None:
    with database.begin() as connection:
        lanes.limit(connection, lane, **limits)  # type: ignore[arg-type]


def pause(database: Database, lane: str = "code") -> None:
    with database.begin() as connection:
        assert lanes.pause(connection, lane)


def resume(database: Database, lane: str = "code") -> None:
    with database.begin() as connection:
        assert lanes.resume(connection, lane)


def take(database: Database, job_id: str) -> Claim | None:
    with database.write_once() as connection:
        return jobs.claim(connection, job_id, worker="w", lease=30)


def take_next(database: Database, lane: str = "code") -> str | None:
    with database.begin() as connection:
        taken = jobs.claim_next_job(connection, lane, worker="w", lease=30)
    return taken and taken.id


def complete(database: Database, *job_ids: str) -> None:
    for job_id in job_ids:
        with database.write_once() as connection:
            jobs.complete_job(connection, job_id, row(database, job_id)["attempt"], None)


def turns(database: Database, **chosen: object) -> list[str]:
    """Who gets a turn now."""
    with database.begin() as connection:
        return list(held.give_turns(connection, **chosen).job_ids)  # type: ignore[arg-type]


def sent(database: Database) -> list[str]:
    with database.begin() as connection:
        return [each.id for each in outbox.take_unpublished(connection)]


def why(database: Database, job_id: str) -> str:
    with database.read() as connection:
        return lane_list.why_held(connection, jobs.find_job(connection, job_id))


def test_a_paused_lane_keeps_its_jobs(database: Database) -> None:
    """Neither way to claim gets one; other lanes go on; what waited starts after the resume."""
    submit(database, new_job(id="a"), new_job(id="b", lane="qa"), published=True)
    pause(database)
    assert take(database, "a") is None
    assert take_next(database) is None
    assert take(database, "b") is not None
    assert why(database, "a") == "lane code is paused"
    assert turns(database) == []
    found = row(database, "a")
    assert (found["status"], found["published_at"]) == ("pending", None)
    assert sent(database) == []
    with database.begin() as connection:
        assert outbox.lost(connection, "code", Priority.NORMAL, grace=0, before=None) == 0
        assert not lanes.pause(connection, "code")
    resume(database)
    with database.begin() as connection:
        assert not lanes.resume(connection, "code")
        assert lanes.governed(connection) == frozenset()
    assert turns(database) == ["a"]
    assert take(database, "a") is not None
    found = row(database, "a")
    assert (found["held_at"], found["held_for"]) == (None, None)


def test_running_jobs_of_a_paused_lane_go_on(database: Database) -> None:
    """A pause takes nobody's lease, and a retry of what ran waits like the others."""
    submit(database, new_job(id="a"), published=True)
    claim(database, "a")
    pause(database)
    with database.begin() as connection:
        jobs.snooze_job(connection, "a", 1, 0, "later")
    assert sent(database) == []
    assert why(database, "a") == "lane code is paused"


def test_a_limit_holds_for_both_ways_to_claim(database: Database) -> None:
    """No more run than it says; an end makes room for one, the most urgent first."""
    submit(
        database, *(new_job(id=name) for name in "abcd"), new_job(id="x", priority=Priority.HIGH),
        published=True,
    )  # fmt: skip
    rules(database, concurrency=2)
    assert take(database, "a") is not None
    assert take_next(database) == "x"
    assert take(database, "b") is None
    assert take(database, "d") is None
    assert take_next(database) is None
    assert why(database, "b") == "lane code runs 2 at once, and does"
    assert turns(database) == []
    complete(database, "a")
    assert turns(database) == ["b"]
    assert turns(database) == []  # its message is on the way
    assert take(database, "b") is not None
    complete(database, "x")
    assert take_next(database) == "c"
    complete(database, "b")
    assert take_next(database) == "d"


def test_a_changed_limit_holds_at_once(database: Database) -> None:
    """More, fewer, none."""
    submit(database, *(new_job(id=name) for name in "abcdef"), published=True)
    rules(database, concurrency=1)
    assert [take(database, name) is not None for name in "ab"] == [True, False]
    rules(database, concurrency=2)
    assert turns(database) == ["b"]
    assert [take(database, name) is not None for name in "bc"] == [True, False]
    rules(database, concurrency=1)
    complete(database, "a")
    assert turns(database) == []
    rules(database, concurrency=None)
    assert [take(database, name) is not None for name in "cdef"] == [True] * 4


@pytest.mark.parametrize(("concurrency", "rate"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -2.0)])
def test_a_limit_that_lets_nobody_in_is_refused(
    database: Database, concurrency: int, rate: float
) -> None:
    """Who wants that pauses the lane."""
    with pytest.raises(ValueError, match="must be"):
        rules(database, concurrency=concurrency, rate=rate)


class Clock:
    """What the database takes for the time."""

    now = 1_000.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


def test_a_rate_is_a_bucket_of_tokens(sqlite_url: str) -> None:
    """At first a second's worth starts at once, then as many as the time allows, and no limit or
    clock that is set again gives any away.
    """
    clock = Clock()
    database = open_database(sqlite_url, clock=clock)
    version.create(database)
    submit(database, *(new_job(id=f"j{n}") for n in range(50)), published=True)
    rules(database, rate=5.0)
    assert [take_next(database) for _ in range(6)] == ["j0", "j1", "j2", "j3", "j4", None]
    assert why_of_next(database) == "lane code starts 5/s, the next in 0.2 s or later"
    rules(database, rate=5.0)
    assert take_next(database) is None
    clock.now += 0.4
    assert [take_next(database) for _ in range(3)] == ["j5", "j6", None]
    clock.now -= 3_600
    assert take_next(database) is None
    clock.now += 0.2
    assert take_next(database) == "j7"
    clock.now += 1_000
    assert sum(take_next(database) is not None for _ in range(20)) == 5
    database.close()


def why_of_next(database: Database) -> str:
    assert take(database, "j9") is None
    return why(database, "j9")


def test_held_jobs_of_a_limited_rate_get_as_many_turns_as_tokens(sqlite_url: str) -> None:
    """And the dispatcher is told when to look for the next."""
    clock = Clock()
    database = open_database(sqlite_url, clock=clock)
    version.create(database)
    rules(database, rate=0.5)
    submit(database, *(new_job(id=name) for name in "abc"))
    assert sent(database) == []
    assert turns(database) == ["a"]
    assert take(database, "a") is not None
    with database.begin() as connection:
        found = held.give_turns(connection)
    assert (found.job_ids, found.wait) == ((), pytest.approx(2.0))
    clock.now += 2.0
    assert turns(database) == ["b"]
    database.close()


def test_one_job_of_a_key_runs_at_a_time(database: Database) -> None:
    """Whatever lane it is in; the next one starts when it has ended, most urgent first."""
    submit(
        database, new_job(id="a", concurrency_key="k"), new_job(id="b", concurrency_key="k"),
        new_job(id="c", concurrency_key="k", lane="qa", priority=Priority.HIGH),
        new_job(id="other", concurrency_key="l"), published=True,
    )  # fmt: skip
    taken = take(database, "a")
    assert taken is not None
    assert (taken.concurrency_key, taken.governed) == ("k", False)
    assert take(database, "b") is None
    assert take(database, "c") is None
    assert take(database, "other") is not None
    assert why(database, "b") == "its concurrency key 'k' is busy with job a"
    assert turns(database) == []
    complete(database, "a")
    assert turns(database, key="k") == ["c"]
    assert turns(database) == []
    assert take(database, "c") is not None
    complete(database, "c")
    assert turns(database) == ["b"]
    assert take(database, "b") is not None


def test_the_next_of_a_lane_passes_over_busy_keys(database: Database) -> None:
    """A busy key holds up its own jobs alone."""
    submit(
        database, new_job(id="a", concurrency_key="k"), new_job(id="b", concurrency_key="k"),
        new_job(id="c"), published=True,
    )  # fmt: skip
    assert [take_next(database) for _ in range(3)] == ["a", "c", None]
    complete(database, "a")
    assert take_next(database) == "b"


def test_a_key_in_a_limited_lane_needs_both(database: Database) -> None:
    """Held jobs move from waiting for the key to waiting for the lane and back, none is lost."""
    submit(
        database, *(new_job(id=f"k{n}", concurrency_key="k") for n in range(3)), new_job(id="free"),
        published=True,
    )  # fmt: skip
    rules(database, concurrency=2)
    assert take(database, "k0") is not None
    assert take(database, "k1") is None
    assert take(database, "free") is not None
    assert take(database, "k2") is None
    complete(database, "k0")
    assert turns(database, lane="code", key="k") == ["k1"] or turns(database) == ["k2"]
    order = []
    for _ in range(10):
        turns(database)
        for name in ("k1", "k2"):
            if row(database, name)["status"] == "pending" and take(database, name):
                order.append(name)
                complete(database, name)
    assert sorted(order) == ["k1", "k2"]


def test_what_was_held_is_revived_as_new(database: Database) -> None:
    """A cancelled job waits for nothing, a revived one is in the outbox."""
    submit(database, new_job(id="a"), published=True)
    pause(database)
    assert take(database, "a") is None
    with database.begin() as connection:
        jobs.cancel_job(connection, "a", "no")
    assert why(database, "a") == ""
    resume(database)
    assert turns(database) == []
    with database.begin() as connection:
        jobs.revive_job(connection, "a")
    assert sent(database) == ["a"]


def test_a_backlog_is_not_sent_again_and_again(database: Database) -> None:
    """Of a lane with two at once, two messages are on the way, however often somebody looks; one
    that the broker loses is sent again.
    """
    rules(database, concurrency=2)
    submit(database, *(new_job(id=f"j{n:03}") for n in range(300)))
    given = [job_id for _ in range(20) for job_id in (*sent(database), *turns(database))]
    assert given == ["j000", "j001"]
    assert take(database, "j000") is not None
    assert turns(database) == []
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET published_at = published_at - 60")
        assert outbox.lost(connection, "code", Priority.NORMAL, grace=5, before=None) == 1
    assert (sent(database), turns(database)) == ([], ["j001"])


def test_lanes_are_listed_with_what_waits_in_them(database: Database) -> None:
    """Those with rules, with live jobs, or that are asked for."""
    submit(
        database, *(new_job(id=name) for name in "abc"), new_job(id="later", delay=60),
        new_job(id="d", lane="qa"), published=True,
    )  # fmt: skip
    rules(database, concurrency=1, rate=2.0)
    pause(database, "deploy")
    take(database, "a")
    take(database, "b")
    with database.read() as connection:
        found = {each.lane: each for each in lane_list.list_lanes(connection, also=["control"])}
    assert list(found) == ["code", "control", "deploy", "qa"]
    code = found["code"]
    assert (code.concurrency, code.rate, code.paused) == (1, 2.0, False)
    assert (code.running, code.ready, code.held) == (1, 1, 1)
    assert code.oldest is not None
    assert found["deploy"].paused
    assert (found["qa"].ready, found["control"].oldest) == (1, None)
