"""One look of the dispatcher, called by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cluster import Cluster, running_cluster, said
from tests.ledgers import backdate, claim, new_job, row, submit
from tests.processes import until
from vibe_tasks.store import lanes
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.upgrade import upgrade


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger without workers."""
    with running_cluster(request, request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def empty(cluster: Cluster) -> None:
    """Each test begins with an empty ledger and broker."""
    with cluster.ledger.begin() as connection:
        for table in ("jobs", "lanes", "upkeep"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    with cluster.broker() as broker:
        broker.flushall()


def tick(cluster: Cluster) -> dict[str, object]:
    """What beat asks some worker to do."""
    done: dict[str, object] = cluster.module("upkeep").dispatch.run()
    return done


def lose_a_worker(cluster: Cluster) -> str:
    """A job whose lease ran out a minute ago; its id."""
    job = new_job()
    submit(cluster.ledger, job, published=True)
    claim(cluster.ledger, job.id)
    backdate(cluster.ledger, job.id, ["lease_until"], 90)
    return job.id


def pause_all(cluster: Cluster, seconds: float) -> None:
    """As if nobody had looked for so long."""
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE upkeep SET looked_at = looked_at - {seconds}, "  # noqa: S608
            f"patient_until = patient_until - {seconds}"
        )


@pytest.mark.filterwarnings("ignore:(?s).*'queue' task attribute")
def test_beats_ticks_are_patient_after_a_pause(cluster: Cluster) -> None:
    """Whatever process gets the tick: expired leases are taken back by ticks that follow closely,
    and not by the first one after nobody had looked for a while.
    """
    job_id = lose_a_worker(cluster)
    assert tick(cluster)["reaped"] == 1
    assert row(cluster.ledger, job_id)["status"] == "pending"
    lose_a_worker(cluster)
    pause_all(cluster, 3_600)
    assert tick(cluster)["reaped"] == 0
    assert tick(cluster)["reaped"] == 0
    with cluster.ledger.begin() as connection:  # the workers have had their time for a heartbeat
        connection.exec_driver_sql("UPDATE upkeep SET patient_until = looked_at")
    assert tick(cluster)["reaped"] == 1


def test_a_backlog_does_not_keep_the_reaper_waiting(cluster: Cluster) -> None:
    """One look sends so many messages and no more; the next, at once, begins with the leases."""
    dispatcher = cluster.module("dispatcher")
    submit(cluster.ledger, *(new_job() for _ in range(dispatcher.BITES * 500 + 10)))
    first = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert (first.sent, first.wait) == (dispatcher.BITES * 500, 0.0)
    lose_a_worker(cluster)
    second = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert second.reaped == 1
    assert second.sent >= 10
    assert second.wait != 0.0


def test_one_broken_job_holds_nobody_up(cluster: Cluster) -> None:
    """Neither one whose end cannot be written nor one whose message cannot be made: the rest is
    sent, and the leases of the others are taken back.
    """
    broken, lost = lose_a_worker(cluster), lose_a_worker(cluster)
    unsendable, due = new_job(), new_job()
    submit(cluster.ledger, unsendable, due)
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET canvas = '[1]', max_retries = 1 "  # noqa: S608
            f"WHERE id IN ('{broken}', '{unsendable.id}')"
        )
    done = cluster.module("dispatcher").dispatch(cluster.app, cluster.ledger, grace=5)
    assert done.reaped == 1
    assert row(cluster.ledger, lost)["status"] == "pending"
    assert row(cluster.ledger, broken)["status"] == "processing"
    assert cluster.messages("code") == 2


def test_a_lane_without_rules_gets_all_its_held_jobs_back(cluster: Cluster) -> None:
    """They were held while it was paused; each is sent once."""
    dispatcher = cluster.module("dispatcher")
    with cluster.ledger.begin() as connection:
        lanes.pause(connection, "code")
    submit(cluster.ledger, *(new_job() for _ in range(1_200)))
    done = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert (done.sent, cluster.messages("code")) == (0, 0)
    with cluster.ledger.begin() as connection:
        lanes.resume(connection, "code")
    done = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert (done.sent, cluster.messages("code")) == (1_200, 1_200)
    assert dispatcher.dispatch(cluster.app, cluster.ledger, grace=5).sent == 0


def test_the_next_look_comes_with_the_next_token(cluster: Cluster) -> None:
    """A lane with a rate is not bound to the dispatcher's pace."""
    dispatcher = cluster.module("dispatcher")
    with cluster.ledger.begin() as connection:
        lanes.limit(connection, "code", rate=4.0)
    submit(cluster.ledger, *(new_job() for _ in range(10)))
    assert dispatcher.dispatch(cluster.app, cluster.ledger, grace=5).sent == 4
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE lanes SET tokens = 0")
    done = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert done.sent == 0
    assert done.wait is None or 0 < done.wait <= 0.25


def test_a_broker_that_is_away_is_asked_once_in_a_look(cluster: Cluster) -> None:
    """The others of that look do not wait for it as well; what was to be sent is sent later."""
    dispatcher = cluster.module("dispatcher")
    submit(cluster.ledger, *(new_job() for _ in range(3)))
    job_id = lose_a_worker(cluster)
    cluster.broker_down()
    done = dispatcher.dispatch(cluster.app, cluster.ledger, grace=5)
    assert (done.sent, done.reaped) == (0, 1)
    cluster.broker_up()
    assert row(cluster.ledger, job_id)["status"] == "pending"
    until(lambda: dispatcher.dispatch(cluster.app, cluster.ledger, grace=5).sent == 4)


def test_a_dispatcher_that_starts_before_its_ledger_waits_for_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As when a database is restarted: it says what is missing, and begins once it is there."""
    folder = tmp_path / "later"
    dispatcher = cluster.start(
        "early", sys.executable, "-m", "vibe_tasks.tasks.dispatcher",
        environ={"VIBE_DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}"},
    )  # fmt: skip
    until(lambda: "ledger away" in said(dispatcher))
    folder.mkdir()
    until((folder / "ledger.db").exists)
    assert dispatcher.exit_code() is None


def test_a_dispatcher_refuses_a_ledger_of_another_version(cluster: Cluster, tmp_path: Path) -> None:
    """One line and exit code 2, not a traceback for ever."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_database(url)
    upgrade(ledger, to=1)
    ledger.close()
    dispatcher = cluster.start(
        "old", sys.executable, "-m", "vibe_tasks.tasks.dispatcher",
        environ={"VIBE_DATABASE_URL": url},
    )  # fmt: skip
    until(lambda: dispatcher.exit_code() is not None)
    assert dispatcher.exit_code() == 2
    assert said(dispatcher).strip().endswith("run `vibe db upgrade`")


@pytest.mark.filterwarnings("ignore:(?s).*'queue' task attribute")
def test_a_days_vacuum_is_done_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hourly tick finds that it was done today; where one tick could not do all, the next one
    goes on. On a server nothing is done: autovacuum does it.
    """
    entries = cluster.module("upkeep")
    monkeypatch.setattr(entries, "MOST_SLICES", 20)
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(cluster.module("resources"), "monotonic", lambda: next(ticks))
    if not cluster.ledger.is_sqlite:
        assert entries.vacuum_ledger.run() is None
        return
    with cluster.ledger.begin() as connection:
        rows = [{"n": number, "text": "x" * 3_000} for number in range(500)]
        log = text(
            "INSERT INTO job_logs (job_id, attempt, seq, at, lines) VALUES (:n, 1, 1, 1, :text)"
        )
        connection.execute(log, rows)
        connection.exec_driver_sql("DELETE FROM job_logs")
    figures = [entries.vacuum_ledger.run() for _ in range(4)]
    assert [each and each["more"] for each in figures] == [True, False, None, None]
    assert figures[1]["after"]["free"] == 0
