"""Where a producer's messages go, on a real ledger and broker; the workers are rows and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from tests.cluster import Cluster, running_cluster
from vibe_tasks.errors import InputError
from vibe_tasks.store import candidates, workers
from vibe_tasks.store.engine import Database

LEASE = 20.0


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger without workers."""
    with running_cluster(request, "sqlite") as made:
        yield made


@pytest.fixture(autouse=True)
def empty(cluster: Cluster) -> None:
    """Each test begins with an empty ledger and broker."""
    with cluster.ledger.begin() as connection:
        for table in ("jobs", "worker_health"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    with cluster.broker() as broker:
        broker.flushall()
    cluster.module("routing.router")._router_of.cache_clear()


def register(
    ledger: Database, name: str, *, slots: int = 2, lanes: str = "code", **values: Any
) -> None:
    """A worker without a process."""
    known = workers.Registered(worker=name, host="h", process=name)
    with ledger.begin() as connection:
        workers.register(
            connection, known, lanes.split(","),
            **{"tier": "standard", "capacity": slots, **values},
        )  # fmt: skip


@contextmanager
def looks(ledger: Database) -> Iterator[list[str]]:
    """The statements about workers that this process runs meanwhile."""
    found: list[str] = []

    def note(statement: str) -> None:
        if "worker_health" in statement:
            found.append(statement)

    def on_checkout(connection: Any, _record: object, _proxy: object) -> None:
        connection.set_trace_callback(note)

    event.listen(ledger.engine, "checkout", on_checkout)
    yield found
    event.remove(ledger.engine, "checkout", on_checkout)
    with ledger.read() as connection:
        connection.connection.dbapi_connection.set_trace_callback(None)


def message(cluster: Cluster, queue: str) -> dict[str, Any]:
    """The headers of the only message of a queue."""
    with cluster.broker() as broker:
        keys = cluster.module("queues").broker_keys(queue).values()
        raw = [each for key in keys for each in broker.lrange(key, 0, -1)]
    assert len(raw) == 1, raw
    headers: dict[str, Any] = json.loads(raw[0])["headers"]
    return headers


def test_the_registry_is_seen_without_who_is_gone_or_drains(database: Database) -> None:
    """Silent, drained and left workers are no candidates; figures, labels and host are read."""
    register(database, "w@h", slots=3, tier="senior", labels=["gpu", "a"], lanes="code,qa")
    for name in ("silent@h", "drains@h", "left@h", "elsewhere@h"):
        register(database, name, lanes="deploy" if name == "elsewhere@h" else "code")
    with database.begin() as connection:
        workers.beat(connection, "w@h", active=1)
        workers.drain(connection, "drains@h")
        workers.leave(connection, "left@h")
        connection.exec_driver_sql(
            "UPDATE worker_health SET last_seen = last_seen - 30 WHERE worker_id = 'silent@h'"
        )
        (seen,) = candidates.workers_of(connection, "code", lease=LEASE)
        assert candidates.workers_of(connection, "qa", lease=LEASE)[0].worker == seen.worker
    found = seen.worker
    assert (found.worker_id, found.tier, found.free, found.host) == ("w@h", "senior", 2, "h")
    assert found.labels == {"gpu", "a"}
    assert 0 <= seen.age < LEASE


def test_every_write_of_workers_is_told_after_its_commit(database: Database) -> None:
    """To whoever watches this process' writes; other writes and looks are not."""
    told: list[str] = []
    candidates.watch_written(database, lambda: told.append("written"))
    with database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    with database.read() as connection:
        workers.list_workers(connection)
    assert not told
    register(database, "w@h")
    assert len(told) == 1
    known = workers.Registered(worker="w@h", host="h", process="w@h")
    writes = (
        lambda connection: workers.beat(connection, "w@h", active=1),
        lambda connection: workers.drain(connection, "w@h"),
        lambda connection: workers.sign_off(connection, known),
        lambda connection: workers.leave(connection, "w@h"),
        lambda connection: workers.forget(connection, "w@h"),
    )
    for number, write in enumerate(writes, start=1):
        with database.begin() as connection:
            write(connection)
            assert len(told) == number
        assert len(told) == number + 1


def test_a_batch_fills_own_queues_to_their_free_slots_with_one_look(cluster: Cluster) -> None:
    """1,000 jobs in a call: three equal workers get what they have room for, the lane the rest."""
    for number in range(3):
        register(cluster.ledger, f"w{number}@h", slots=8)
    with looks(cluster.ledger) as found:
        cluster.jobs.add.submit_many([(number, 1) for number in range(1000)])
        assert len(found) == 1
        cluster.jobs.add.delay(1, 1)
        assert len(found) == 1, "a second call within ten seconds asks nobody"
    own = [cluster.messages(f"worker.w{number}@h") for number in range(3)]
    assert own == [8, 8, 8]
    assert cluster.messages("code") == 977


def test_the_message_says_where_it_belongs_and_why_it_went_there(cluster: Cluster) -> None:
    """Headers `lane` and `route`; a result that was read makes room again."""
    register(cluster.ledger, "w@h", slots=1)
    cached = cluster.module("routing.router").get_cached_workers
    first = cluster.jobs.add.delay(1, 1)
    headers = message(cluster, "worker.w@h")
    assert (headers["id"], headers["lane"]) == (first.id, "code")
    assert headers["route"]["choice"] == "w@h"
    assert cached("code")[0].active_tasks == 1
    cluster.jobs.add.delay(1, 1)
    assert message(cluster, "code")["route"]["why"] == "the only worker is full"
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET status = 'processing'")
        connection.exec_driver_sql("UPDATE jobs SET status = 'completed', result = '2'")
    assert first.ready()
    assert cached("code")[0].active_tasks == 0
    cluster.jobs.add.delay(1, 1)
    assert cluster.messages("worker.w@h") == 2


def test_a_batch_overfills_no_senior_and_asks_a_deaf_broker_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board of free slots knows nothing of the messages that are about to be sent."""
    register(cluster.ledger, "old@h", slots=4, tier="senior")
    router, slots = cluster.module("routing.router"), cluster.module("routing.slots")
    monkeypatch.setattr(router, "ASK_AGAIN", 0.0)
    with cluster.broker() as broker:
        slots.post(broker, "old@h", 4)
    monkeypatch.setattr(cluster.jobs.add, "effort", 5)
    cluster.jobs.add.submit_many([(1, number) for number in range(20)])
    assert cluster.messages("worker.old@h") == 4
    assert cluster.messages("code") == 16
    asked: list[object] = []
    monkeypatch.setattr(slots, "look", lambda _app, workers: asked.append(workers) or {})
    cluster.jobs.add.submit_many([(1, number) for number in range(20)])
    assert len(asked) == 1


def test_a_write_by_this_process_is_seen_at_once(cluster: Cluster) -> None:
    """And one by others after an invalidation."""
    cached = cluster.module("routing.router").get_cached_workers
    assert cached("code") == ()
    register(cluster.ledger, "w@h")
    assert [each.worker_id for each in cached("code")] == ["w@h"]
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE worker_health SET capacity_limit = 7")
    assert cached("code")[0].capacity_limit == 2
    cluster.module("routing.router").invalidate_worker_cache("code")
    assert cached("code")[0].capacity_limit == 7


def test_what_requires_a_label_never_enters_the_lane(cluster: Cluster) -> None:
    """It goes to a worker that has it, else it is held until there is one."""
    register(cluster.ledger, "plain@h")
    register(cluster.ledger, "gpu@h", slots=1, labels=["gpu"])
    first, second = (
        cluster.jobs.add.apply_async((1, 1), required=["gpu"], labels={"ssd": 2}) for _ in range(2)
    )
    assert message(cluster, "worker.gpu@h")["id"] == first.id
    row = cluster.row(first.id)
    assert (row["required"], row["labels"], row["held_for"]) == (["gpu"], {"ssd": 2}, None)
    assert cluster.row(second.id)["held_for"] == "worker"
    assert cluster.row(second.id)["published_at"] is None
    assert cluster.messages("code") == 0
    held = cluster.jobs.add.submit_many([(1, 1)], required="gpu", labels={"ssd": 1})
    assert cluster.row(held[0].id)["held_for"] == "worker"


def test_jobs_that_nobody_can_run_hide_others_for_a_moment(cluster: Cluster) -> None:
    """The dispatcher's looks go on behind them, hundreds at a time."""
    add, turns = cluster.jobs.add, cluster.module("main_process.worker_turns").WorkerTurns()
    add.submit_many([(1, 1)] * 650, required="quantum")
    able = add.apply_async((1, 1), required=["gpu"])
    register(cluster.ledger, "gpu@h", labels=["gpu"])
    assert [turns.give(cluster.app, cluster.ledger) for _ in range(3)] == [0, 1, 0]
    assert message(cluster, "worker.gpu@h")["id"] == able.id


def test_what_a_user_routes_is_the_lane_of_the_job(cluster: Cluster) -> None:
    """By name or by function with the call's arguments; what the call itself says goes first. The
    workers of that lane get it as those of any other.
    """
    register(cluster.ledger, "feeds@h", lanes="feeds")
    app, add = cluster.app, cluster.jobs.add
    ours = app.conf.task_routes

    def by_argument(_name: str, args: Any, _kwargs: Any, _options: Any, **_: Any) -> Any:
        return "tens" if args[0] >= 10 else None

    app.conf.task_routes = (by_argument, {add.name: {"queue": "feeds"}}, *ours)
    app.amqp.flush_routes()
    del app.amqp.router
    try:
        assert cluster.row(add.delay(10, 1).id)["lane"] == "tens"
        assert cluster.row(add.delay(1, 1).id)["lane"] == "feeds"
        assert cluster.messages("worker.feeds@h") == 1
        assert cluster.row(add.apply_async((1, 1), lane="code").id)["lane"] == "code"
        assert cluster.row(cluster.jobs.echo.delay(1).id)["lane"] == "code"
        app.conf.task_routes = {add.name: "no such,lane"}
        app.amqp.flush_routes()
        del app.amqp.router
        with pytest.raises(InputError, match="no such,lane"):
            add.delay(1, 1)
    finally:
        app.conf.task_routes = ours
        app.amqp.flush_routes()
        del app.amqp.router
    assert not {"feeds", "tens", "worker.feeds@h"} & set(app.amqp.queues)


def test_celery_itself_sends_a_job_to_its_lane(cluster: Cluster) -> None:
    """`send_task` by name, as Celery's router is asked for it, however free a worker is."""
    register(cluster.ledger, "w@h")
    queues = set(cluster.app.amqp.queues)
    sent = cluster.app.send_task(cluster.jobs.add.name, (1, 1))
    cluster.app.send_task("unknown.to.us", (1, 1), queue="qa")
    assert message(cluster, "code")["id"] == sent.id
    assert cluster.messages("qa") == 1
    assert set(cluster.app.amqp.queues) == queues


def test_a_broker_that_is_away_takes_no_slot(cluster: Cluster) -> None:
    """What could not be sent is not counted as in a worker's hands."""
    register(cluster.ledger, "w@h", slots=1)
    with cluster.stopped_broker():
        job = cluster.jobs.add.delay(1, 1)
    assert cluster.row(job.id)["published_at"] is None
    assert cluster.module("routing.router").get_cached_workers("code")[0].active_tasks == 0
