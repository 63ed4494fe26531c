"""The lines of lanes and keys: a busy key holds up its own jobs alone, and looks stay short."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.ledgers import claim, new_job, row, submit
from tests.processes import until
from vibe_tasks.errors import VibeError
from vibe_tasks.flow import deadlines
from vibe_tasks.jobs import Claim
from vibe_tasks.priority import Priority
from vibe_tasks.store import held, jobs, lanes, outbox
from vibe_tasks.store.engine import Database


def take(database: Database, job_id: str) -> Claim | None:
    with database.write_once() as connection:
        return jobs.claim(connection, job_id, worker="w", lease=30)


def take_next(database: Database, lane: str = "code") -> str | None:
    with database.write_once() as connection:
        taken = jobs.claim_next_job(connection, lane, worker="w", lease=30)
    return taken and taken.id


def look(database: Database) -> list[str]:
    """A look of the dispatcher: who is to be sent now."""
    with database.begin() as connection:
        sent = [each.id for each in outbox.take_unpublished(connection)]
    with database.begin() as connection:
        return [*sent, *held.give_turns(connection).job_ids]


def rules(database: Database, lane: str = "code", *, concurrency: int) -> None:
    with database.begin() as connection:
        lanes.limit(connection, lane, concurrency=concurrency)


def lines(database: Database) -> Counter[str | None]:
    with database.read() as connection:
        return Counter(
            connection.execute(text("SELECT held_for FROM jobs WHERE status = 'pending'")).scalars()
        )


@pytest.mark.parametrize("dispatcher", [True, False])
def test_consumers_get_what_is_behind_a_busy_key(database: Database, dispatcher: bool) -> None:
    """In a limited lane, whoever has looked at it before."""
    rules(database, concurrency=3)
    submit(
        database, new_job(id="k1", concurrency_key="k"), new_job(id="k2", concurrency_key="k"),
        new_job(id="f"), new_job(id="g"),
    )  # fmt: skip
    with database.begin() as connection:
        outbox.take_unpublished(connection)
    taken = []
    for _ in range(4):
        taken.append(take_next(database))
        if dispatcher:
            look(database)
    assert taken == ["k1", "f", "g", None]
    with database.write_once() as connection:
        jobs.complete_job(connection, "k1", 1, None)
    assert take_next(database) == "k2"


def test_messages_are_sent_for_what_is_behind_a_busy_key(database: Database) -> None:
    """One look finds the free job behind hundreds that cannot start."""
    rules(database, concurrency=2)
    submit(
        database, *(new_job(id=f"k{n:03}", concurrency_key="k") for n in range(300)),
        new_job(id="f"),
    )  # fmt: skip
    assert sorted(look(database)) == ["f", "k000"]
    assert take(database, "k000") is not None
    assert take(database, "f") is not None


def test_of_a_key_one_job_stands_in_a_lanes_line(database: Database) -> None:
    """However often somebody looks at a paused lane; a more urgent one goes before."""
    with database.begin() as connection:
        lanes.pause(connection, "code")
    names = [f"k{n}" for n in range(20)]
    submit(database, *(new_job(id=name, concurrency_key="k") for name in names), published=True)
    for name in names:
        assert take(database, name) is None
    for _ in range(5):
        assert look(database) == []
    assert lines(database) == {"key": 19, "lane": 1}
    submit(database, new_job(id="now", concurrency_key="k", priority=Priority.CRITICAL))
    look(database)
    rules(database, concurrency=1)
    with database.begin() as connection:
        lanes.resume(connection, "code")
    assert look(database) == ["now"]


def test_a_turn_for_nothing_goes_to_the_next_of_the_lane(database: Database) -> None:
    """The key of the first became busy in another lane before its message came."""
    rules(database, concurrency=1)
    submit(database, new_job(id="k1", concurrency_key="k"), new_job(id="f"))
    assert look(database) == ["k1"]
    submit(database, new_job(id="k2", lane="qa", concurrency_key="k"))
    claim(database, "k2")
    assert take(database, "k1") is None
    with database.read() as connection:
        assert held.refused_for_key(connection, "k1") == "code"
        assert held.refused_for_key(connection, "f") is None
    with database.begin() as connection:
        assert held.give_turns(connection, lane="code").job_ids == ("f",)


def test_keys_of_another_lane_hide_none_of_mine(database: Database) -> None:
    """More of them than one look gives turns to."""
    names = [f"o{n}" for n in range(120)]
    submit(
        database, *(new_job(id=name, lane="other", concurrency_key=f"a{name}") for name in names),
        new_job(id="mine", concurrency_key="z"), published=True,
    )  # fmt: skip
    with database.begin() as connection:
        for name in [*names, "mine"]:
            held.hold(connection, name, "key")
    assert take_next(database) == "mine"


def test_a_consumer_passes_over_hundreds_of_one_busy_key(database: Database) -> None:
    """They are held, so that the next look does not meet them again."""
    submit(
        database, *(new_job(id=f"k{n}", concurrency_key="k") for n in range(600)),
        new_job(id="f"), published=True,
    )  # fmt: skip
    claim(database, "k0")
    assert take_next(database) == "f"
    assert lines(database) == {"key": 599}


def test_a_poll_of_an_idle_lane_waits_for_no_writer(database: Database) -> None:
    """It looks, and writes nothing."""
    submit(database, new_job(id="a"), new_job(id="later", lane="idle", delay=60))
    with database.begin() as connection:
        connection.execute(text("UPDATE jobs SET published_at = 1"))
        assert take_next(database, "idle") is None


def test_a_pause_and_a_resume_at_once(database: Database) -> None:
    """The one waits for the other; none finds the lane's row gone under its hands."""
    if database.is_sqlite:
        pytest.skip("writers queue up at the start")
    with database.begin() as connection:
        lanes.limit(connection, "code", rate=1.0)
    with database.begin() as mine:
        lanes._insert(mine, "code")
        with database.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(OperationalError):
                lanes.limit(other, "code", rate=None)
        lanes.pause(mine, "code")
    with database.read() as connection:
        assert lanes.governed(connection) == {"code"}


def test_a_claim_that_waited_knows_of_the_pause(database: Database) -> None:
    """The row was in another's hands when it began; the lane was paused meanwhile."""
    if database.is_sqlite:
        pytest.skip("writers queue up at the start")
    submit(database, new_job(id="a"))
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as other:
            other.execute(text("SELECT 1 FROM jobs FOR UPDATE"))
            waiting = pool.submit(take, database, "a")
            until(lambda: blocked(database))
            with database.begin() as connection:
                lanes.pause(connection, "code")
        assert waiting.result(timeout=60) is None
    assert row(database, "a")["held_for"] == "lane"


def blocked(database: Database) -> bool:
    """Whether somebody waits for a row."""
    with database.read() as connection:
        found = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return bool(found.scalar())


def test_a_backlog_of_a_paused_lane_hides_nothing(database: Database) -> None:
    """Where all that was looked at had to be held, there may be more."""
    with database.begin() as connection:
        lanes.pause(connection, "code")
    urgent = (new_job(priority=Priority.HIGH) for _ in range(outbox.BITES + 2))
    submit(database, *urgent, new_job(id="free", lane="qa"))
    sent = []
    with database.begin() as connection:
        assert outbox.take_unpublished(connection, most=1) == ()
        while outbox.any_unsent(connection):
            sent += [each.id for each in outbox.take_unpublished(connection, most=1)]
    assert sent == ["free"]


def test_results_of_more_jobs_than_a_statement_has_places(database: Database) -> None:
    """PostgreSQL takes 65,535 parameters."""
    submit(database, new_job(id="a"))
    names = ["a", *(f"x{n}" for n in range(70_000))]
    with database.read() as connection:
        assert list(jobs.results_of(connection, names)) == ["a"]
        assert [each.id for each in outbox.publications(connection, names)] == ["a"]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_nobody_snoozes_for_ever(database: Database, seconds: float) -> None:
    """What is no time to wait is refused; one that got in all the same is waited for by nobody."""
    submit(database, new_job(id="a"))
    claim(database, "a")
    with pytest.raises(ValueError, match="zero or more"), database.begin() as connection:
        jobs.snooze_job(connection, "a", 1, seconds, "later")
    with database.begin() as connection:
        jobs.snooze_job(connection, "a", 1, 60, "later")
        connection.execute(text("UPDATE jobs SET backoff_until = :at"), {"at": seconds})
        found = outbox.seconds_to_next(connection)
    assert found is None or found < 0


def test_late_jobs_are_given_up_so_many_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is said whether there are more; one that cannot be keeps none of the others."""
    give_up = deadlines.give_up_if_late

    def refuse(ledger: Database, job_id: str) -> bool:
        if job_id == "odd":
            raise VibeError("its chord is broken")
        return give_up(ledger, job_id)

    monkeypatch.setattr(deadlines, "give_up_if_late", refuse)
    submit(
        database, new_job(id="odd", start_by=0.5),
        *(new_job(id=f"l{n}", start_by=1.0 + n) for n in range(3)),
    )  # fmt: skip
    assert deadlines.give_up_late(database, most=2) == (("l0", "l1"), True)
    assert deadlines.give_up_late(database, most=2) == (("l2",), False)
    assert row(database, "odd")["status"] == "pending"
