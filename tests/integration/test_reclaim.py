"""Messages in own queues of workers that are gone: the dispatcher's look, called by hand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from tests.cluster import Cluster, running_cluster
from tests.ledgers import backdate, row
from vibe_tasks.priority import Priority
from vibe_tasks.store import workers

LOST = "lost@test"


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger without workers."""
    with running_cluster(request, "sqlite") as made:
        yield made


@pytest.fixture
def broker(cluster: Cluster) -> Iterator[Redis]:
    """Each test begins with an empty ledger and broker."""
    with cluster.ledger.begin() as connection:
        for table in ("jobs", "worker_health"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    with cluster.broker() as made:
        made.flushall()
        cluster.module("routing.router").invalidate_worker_cache()
        yield made


def own(cluster: Cluster, worker: str = LOST, priority: Priority = Priority.NORMAL) -> str:
    """The broker's list of a worker's own queue, for a priority."""
    queues = cluster.module("queues")
    return str(queues.broker_keys(queues.own_queue(worker))[priority])


def send(cluster: Cluster, line: str, *, to: str | None = None, age: float = 0.0) -> str:
    """Submit a job and send its message so many seconds ago, to the lane or to a worker; its id."""
    resources, router = cluster.module("resources"), cluster.module("routing.router")
    queues, clock = cluster.module("queues"), resources.wall_clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "wall_clock", lambda: clock() - age)
        if to is not None:
            route = router.Route(queue=queues.own_queue(to), header={"choice": to})
            patch.setattr(router, "routes", lambda _app, _ledger, jobs: [route for _ in jobs])
        job_id = str(cluster.jobs.echo.delay(line).id)
    backdate(cluster.ledger, job_id, ["published_at"], age)
    return job_id


def look(cluster: Cluster) -> Any:
    """One look of the dispatcher."""
    return cluster.module("dispatcher").dispatch(cluster.app, cluster.ledger, grace=5)


def ids(cluster: Cluster, broker: Redis, key: str) -> list[str]:
    """The jobs of a list's messages, the next one first."""
    found: Any = broker.lrange(key, 0, -1)
    sent = [cluster.module("publisher").sent_of(raw) for raw in reversed(found)]
    return [each.job_id for each in sent]


def test_a_backlog_is_not_sent_twice_because_of_what_was_given_back(
    cluster: Cluster, broker: Redis
) -> None:
    """What comes back to the head of a lane was sent later than all that waits there: nobody takes
    the rest for lost. It keeps its order and is next; its list is gone.
    """
    backlog = [send(cluster, "old", age=60) for _ in range(50)]
    back = [send(cluster, "new", to=LOST) for _ in range(3)]
    broker.sadd("vibe.own-queues", LOST)
    for _ in range(3):
        done = look(cluster)
        assert (done.lost, done.sent) == (0, 0)
    assert ids(cluster, broker, "code\x06\x163") == back + backlog
    assert not broker.exists(own(cluster))


def test_what_no_ledger_knows_is_dropped_and_what_has_ended_too(
    cluster: Cluster, broker: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage, messages of others and of jobs that are done; where the header of a job's message is
    missing, the ledger knows its lane.
    """
    done, bare = send(cluster, "done", to=LOST), send(cluster, "bare", to=LOST)
    cluster.app.control.revoke(done)
    (raw, other) = broker.lrange(own(cluster), 0, -1)  # type: ignore[misc]
    assert other != raw
    headless = raw.replace(b'"ledger_job"', b'"x"').replace(b'"lane"', b'"y"')
    broker.lset(own(cluster), 0, headless)  # type: ignore[arg-type]
    broker.lpush(own(cluster), b"garbage", b'{"headers": {"id": "nobody"}}', b"[]")
    broker.sadd("vibe.own-queues", LOST)
    look(cluster)
    assert not broker.exists(own(cluster))
    (left,) = broker.lrange("code\x06\x163", 0, -1)  # type: ignore[misc]
    assert bare.encode() in left
    assert caplog.text.count("dropped a message of no job") == 3


def test_only_workers_that_are_gone_lose_their_messages_and_names_are_forgotten(
    cluster: Cluster, broker: Redis
) -> None:
    """One that beats keeps its queue; one that has left, and one that is silent for a lease, do
    not; whom nobody remembers is not asked for again once its queue is empty.
    """
    names = ("there@test", "left@test", "silent@test", "unknown@test")
    with cluster.ledger.begin() as connection:
        for name in names[:3]:
            me = workers.Registered(worker=name, host=None, process=name)
            workers.register(connection, me, ["code"], tier="standard", capacity=1)
        workers.leave(connection, "left@test")
        connection.exec_driver_sql(
            "UPDATE worker_health SET last_seen = last_seen - 30 WHERE worker_id = 'silent@test'"
        )
    sent = {name: send(cluster, name, to=name) for name in names}
    broker.sadd("vibe.own-queues", "there@test", "unknown@test")  # the others' names were lost
    look(cluster)
    assert set(ids(cluster, broker, "code\x06\x163")) == {sent[name] for name in names[1:]}
    assert ids(cluster, broker, own(cluster, "there@test")) == [sent["there@test"]]
    look(cluster)
    assert broker.smembers("vibe.own-queues") == {b"there@test"}


def test_what_requires_labels_goes_back_to_the_ledger(cluster: Cluster, broker: Redis) -> None:
    """In the lane anybody would take it."""
    job_id = send(cluster, "gpu", to=LOST)
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET required = '[\"gpu\"]'")
    broker.sadd("vibe.own-queues", LOST)
    look(cluster)
    assert cluster.messages("code") == 0
    assert not broker.exists(own(cluster))
    assert row(cluster.ledger, job_id)["held_for"] == "worker"


def test_many_dispatchers_move_each_message_once(cluster: Cluster, broker: Redis) -> None:
    """They find the same messages at the same time."""
    sent = [send(cluster, "x", to=LOST) for _ in range(60)]
    broker.sadd("vibe.own-queues", LOST)
    with ThreadPoolExecutor(4) as pool:
        reclaim = cluster.module("main_process.reclaim").reclaim
        moved = list(pool.map(lambda _: reclaim(cluster.app, cluster.ledger, lease=8.0), range(8)))
    assert sum(moved) == 60
    assert sorted(ids(cluster, broker, "code\x06\x163")) == sorted(sent)
