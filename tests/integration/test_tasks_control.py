"""Lanes, keys and deadlines with real workers and a real dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import group
from celery.exceptions import ChordError, TaskRevokedError

from tests.cluster import Cluster, databases, ready, running_cluster
from tests.processes import until
from vibe_tasks.errors import InputError
from vibe_tasks.store import events, lanes


@pytest.fixture(scope="module", params=databases("postgres"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two workers with two processes each, and two dispatchers."""
    with running_cluster(request, request.param, measured=True) as made:
        workers = [made.start_worker("code,keyed,free", processes=2) for _ in range(2)]
        made.dispatcher()
        made.dispatcher()
        for worker in workers:
            ready(worker)
        yield made


@pytest.fixture(autouse=True)
def no_rules_are_left(cluster: Cluster) -> Iterator[None]:
    """Each test begins without rules."""
    yield
    with cluster.ledger.begin() as connection:
        for lane in lanes.governed(connection):
            lanes.resume(connection, lane)
            lanes.limit(connection, lane, concurrency=None, rate=None)


def test_a_paused_lane_waits_and_a_resumed_one_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing is lost meanwhile, other lanes go on, and the message is not sent again and again."""
    with cluster.ledger.begin() as connection:
        lanes.pause(connection, "keyed")
    waiting = cluster.jobs.note.apply_async((str(tmp_path / "a"),), lane="keyed")
    later = cluster.jobs.note.apply_async((str(tmp_path / "b"),), lane="keyed", countdown=0.2)
    until(lambda: cluster.row(waiting.id)["held_at"] is not None)
    until(lambda: cluster.row(later.id)["held_at"] is not None)
    assert cluster.jobs.add.delay(1, 2).get(timeout=60) == 3
    assert cluster.messages("keyed") == 0
    assert [row["status"] for row in cluster.history(waiting.id)] == ["pending"]
    with cluster.ledger.begin() as connection:
        lanes.resume(connection, "keyed")
    assert waiting.get(timeout=60) == later.get(timeout=60) == "started"


def test_no_more_run_than_the_lane_allows(cluster: Cluster, tmp_path: Path) -> None:
    """Four processes, two at once, twenty jobs: a place is taken at once when it is free."""
    with cluster.ledger.begin() as connection:
        lanes.limit(connection, "free", concurrency=2)
    log, gate = tmp_path / "log", tmp_path / "gate"
    results = [
        cluster.jobs.hold.apply_async((str(log), str(gate), str(number)), lane="free")
        for number in range(20)
    ]
    until(lambda: len(cluster.jobs.lines(log)) == 2)
    until(lambda: sum(cluster.row(each.id)["held_at"] is not None for each in results) == 18)
    assert len(cluster.jobs.lines(log)) == 2
    gate.touch()
    assert [each.get(timeout=60) for each in results] == [str(number) for number in range(20)]
    with cluster.ledger.read() as connection:
        running = connection.exec_driver_sql(
            "SELECT h.status FROM job_history h JOIN jobs j ON j.id = h.job_id "
            "WHERE j.lane = 'free' AND 'processing' IN (h.from_status, h.status) ORDER BY h.id"
        ).scalars()
        at_once, most = 0, 0
        for status in running:
            at_once += 1 if status == "processing" else -1
            most = max(most, at_once)
    assert most == 2


def test_one_job_of_a_key_after_another(cluster: Cluster, tmp_path: Path) -> None:
    """The key is made of an argument; two keys do not wait for each other."""
    gate = tmp_path / "gate"
    logs = [tmp_path / "one", tmp_path / "two"]
    calls = [(str(log), str(gate), str(number)) for log in logs for number in range(4)]
    results = cluster.jobs.one_by_one.submit_many(calls)
    assert cluster.row(results[0].id)["concurrency_key"] == f"log-{logs[0]}"
    until(lambda: all(len(cluster.jobs.lines(log)) == 1 for log in logs))
    gate.touch()
    for each in results:
        each.get(timeout=60)
    for log in logs:
        written = cluster.jobs.lines(log)
        assert len(written) == 8
        assert [f"{line} ended" for line in written[::2]] == written[1::2]


def test_what_has_not_started_in_time_is_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    """With the reason, an event, and an answer for whoever waits; by call, by task, by moment."""
    log = tmp_path / "log"
    with cluster.ledger.begin() as connection:
        lanes.pause(connection, "keyed")
    moment = datetime.now(UTC) + timedelta(seconds=0.2)  # noqa: TID251  what a caller would write
    results = [
        cluster.jobs.soon_or_never.delay(str(log)),
        cluster.jobs.note.apply_async((str(log),), lane="keyed", expires=0.2),
        cluster.jobs.note.apply_async((str(log),), lane="keyed", expires=moment),
        cluster.jobs.note.apply_async((str(log),), countdown=60, expires=0.2),
    ]
    for each in results:
        with pytest.raises(TaskRevokedError, match="not started by its deadline"):
            each.get(timeout=60)
        assert [row["status"] for row in cluster.history(each.id)] == ["pending", "cancelled"]
        with cluster.ledger.read() as connection:
            (told,) = events.recent(connection, session=each.id)
        assert told["hook_event_type"] == "JOB_EXPIRED"
    assert not log.exists()


def test_a_deadline_is_for_the_first_start_alone(cluster: Cluster, tmp_path: Path) -> None:
    """A job that has started in time keeps its retries."""
    result = cluster.jobs.fail_until.apply_async((str(tmp_path / "log"), 3), expires=5)
    assert result.get(timeout=60) == 3


def test_a_chord_hears_of_a_member_that_was_given_up(cluster: Cluster) -> None:
    """It fails, instead of waiting for ever."""
    with cluster.ledger.begin() as connection:
        lanes.pause(connection, "keyed")
    late = cluster.jobs.echo.s(1).set(lane="keyed", expires=0.2)
    result = (group(late, cluster.jobs.echo.s(2)) | cluster.jobs.total.s()).apply_async()
    with pytest.raises((ChordError, TaskRevokedError)):
        result.get(timeout=60)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"expires": 0}, "expires must be above zero"), ({"expires": "soon"}, "expires must be"),
     ({"concurrency_key": 5}, "concurrency_key must be a text"),
     ({"unique_key": 5}, "unique_key must be a text"), ({"concurency_key": "a"}, "did you mean")],
)  # fmt: skip
def test_bad_options_are_refused(cluster: Cluster, options: dict[str, object], words: str) -> None:
    """In one line; nothing is written."""
    before = cluster.count_jobs()
    with pytest.raises(InputError, match=words):
        cluster.jobs.add.apply_async((1, 2), **options)
    assert cluster.count_jobs() == before


def test_an_id_belongs_to_one_job(cluster: Cluster) -> None:
    """A second call with the same `task_id` is refused in one line."""
    first = cluster.jobs.add.apply_async((1, 2), task_id="my-id")
    with pytest.raises(InputError, match=r"^job my-id is in the ledger already$"):
        cluster.jobs.add.apply_async((3, 4), task_id="my-id")
    assert first.get(timeout=60) == 3
