"""What a producer can do with a job, seen from the producer's side."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path
from time import monotonic

import pytest
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

from tests.cluster import Cluster, databases, ready, running_cluster
from tests.processes import until
from vibe_tasks.errors import InputError


@pytest.fixture(scope="module", params=databases("sqlite"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes, and a dispatcher."""
    with running_cluster(request, request.param, measured=True) as made:
        worker = made.start_worker("code,qa,deploy,control", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


# --- calls ---


def test_delay_runs_the_job_and_get_returns_its_result(cluster: Cluster) -> None:
    """The result is a Celery AsyncResult; its id is the job's id in the ledger."""
    result = cluster.jobs.add.delay(2, 3)
    assert isinstance(result, AsyncResult)
    assert result.get(timeout=60) == 5
    assert (result.state, result.ready(), result.successful(), result.failed()) == (
        "SUCCESS", True, True, False,
    )  # fmt: skip
    row = cluster.row(result.id)
    assert (row["status"], row["name"], row["result"]) == ("completed", "cluster_jobs.add", 5)


def test_every_transition_is_in_the_history(cluster: Cluster) -> None:
    """Submitted, claimed, completed: one row each, with the worker's name."""
    result = cluster.jobs.add.delay(2, 3)
    result.get(timeout=60)
    rows = cluster.history(result.id)
    assert [row["status"] for row in rows] == ["pending", "processing", "completed"]
    assert rows[1]["attempt"] == 1
    assert rows[1]["worker_id"].endswith("@test")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "näïve ✓ \x00",
        [1, [2, {"a": None}]],
        {"a": {"b": [1]}},
        "x" * 200_000,
    ],
)
def test_any_json_value_goes_through_unchanged(cluster: Cluster, value: object) -> None:
    """Arguments and results of all JSON types, NUL and long texts included."""
    assert cluster.jobs.echo.delay(value).get(timeout=60) == value


def test_a_bound_job_sees_its_id_and_arguments(cluster: Cluster) -> None:
    """`bind=True` works; the request is filled from the ledger."""
    result = cluster.jobs.who_am_i.delay(greeting="hi")
    assert result.get(timeout=60) == {
        "id": result.id, "retries": 0, "args": [], "kwargs": {"greeting": "hi"},
        "name": "cluster_jobs.who_am_i", "greeting": "hi",
    }  # fmt: skip


def test_a_coroutine_function_is_a_job(cluster: Cluster) -> None:
    """`async def` runs to its end, and its error is the job's."""
    assert cluster.jobs.add_later.delay(1, 2).get(timeout=60) == 3
    result = cluster.jobs.fail_later.delay()
    with pytest.raises(Exception, match=r"^also coroutines fail"):
        result.get(timeout=60)


def test_get_raises_what_the_last_attempt_said(cluster: Cluster, tmp_path: Path) -> None:
    """A failed job's result is a JobFailedError; get(propagate=False) returns it."""
    result = cluster.jobs.refuse.delay(str(tmp_path / "log"))
    failure = cluster.module("results").JobFailedError
    with pytest.raises(failure, match=r"^it will never work"):
        result.get(timeout=60)
    assert result.failed()
    assert result.state == "FAILURE"
    assert isinstance(result.get(propagate=False), failure)
    assert len(cluster.jobs.lines(tmp_path / "log")) == 1


def test_waiting_is_bounded(cluster: Cluster) -> None:
    """get(timeout) of a job that does not end raises Celery's TimeoutError, and not before."""
    result = cluster.jobs.add.apply_async((1, 2), countdown=60)
    begun = monotonic()
    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.2)
    assert monotonic() - begun >= 0.2
    assert (result.state, result.ready()) == ("PENDING", False)


def test_an_unknown_id_is_pending(cluster: Cluster) -> None:
    """As everywhere in Celery."""
    result = cluster.jobs.add.AsyncResult("no-such-job")
    assert (result.state, result.ready()) == ("PENDING", False)


def test_a_job_may_submit_jobs(cluster: Cluster, tmp_path: Path) -> None:
    """The worker is a producer too."""
    first = cluster.jobs.producer.delay(str(tmp_path / "log"))
    second = cluster.jobs.note.AsyncResult(first.get(timeout=60))
    assert second.get(timeout=60) == "from a job"


def test_a_job_called_directly_is_the_function(cluster: Cluster) -> None:
    """Without a broker, a ledger row or a worker; a coroutine is run."""
    before = cluster.count_jobs()
    assert cluster.jobs.add(1, 2) == 3
    assert cluster.jobs.add_later(1, 2) == 3
    assert cluster.count_jobs() == before


@pytest.mark.parametrize("options", [{}, {"queue": "qa"}])
def test_a_job_sent_by_name_is_a_job_all_the_same(
    cluster: Cluster, options: dict[str, str]
) -> None:
    """`send_task` by a producer that cannot import the function: the worker writes the row."""
    result = cluster.app.send_task("cluster_jobs.add", (1,), {"right": 2}, **options)
    assert cluster.jobs.add.AsyncResult(result.id).get(timeout=60) == 3
    row = cluster.row(result.id)
    assert (row["status"], row["lane"]) == ("completed", options.get("queue", "code"))


# --- options ---


@pytest.mark.parametrize(
    ("priority", "level"),
    [
        ("fix", 0),
        ("critical", 1),
        ("HIGH", 2),
        ("normal", 3),
        ("low", 4),
        (0, 0),
        (4, 4),
        (None, 3),
    ],
)
def test_priority_is_a_name_or_a_number(
    cluster: Cluster, priority: str | int | None, level: int
) -> None:
    """Lower is sooner; without one the task's own holds."""
    result = cluster.jobs.add.apply_async((1, 2), priority=priority)
    assert result.get(timeout=60) == 3
    assert cluster.row(result.id)["priority"] == level


def test_the_decorators_options_are_the_jobs(cluster: Cluster) -> None:
    """Lane, priority, effort, attempts, wait and time limit are in the row."""
    row = cluster.row(cluster.jobs.particular.delay().id)
    names = ("lane", "priority", "effort", "max_retries", "retry_base", "time_limit", "kind")
    assert [row[name] for name in names] == ["tests", 2, 4, 7, 0.5, 60.0, "call"]


@pytest.mark.parametrize("option", ["lane", "queue"])
def test_a_call_chooses_its_lane(cluster: Cluster, option: str) -> None:
    """`lane=`, or Celery's word for it."""
    result = cluster.jobs.add.apply_async((1, 2), **{option: "qa"})
    assert result.get(timeout=60) == 3
    assert cluster.row(result.id)["lane"] == "qa"


def test_a_task_id_of_the_callers_choice(cluster: Cluster) -> None:
    """`task_id=` is the job's id."""
    result = cluster.jobs.add.apply_async((1, 2), task_id="my-own-id")
    assert result.id == "my-own-id"
    assert result.get(timeout=60) == 3


def test_countdown_never_starts_early_and_waits_in_the_ledger(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The broker has no message of it; it starts after its time."""
    begun = monotonic()
    log = tmp_path / "log"
    result = cluster.jobs.note.apply_async((str(log),), countdown=0.8)
    assert cluster.messages("code") == 0
    assert cluster.row(result.id)["published_at"] is None
    result.get(timeout=60)
    assert monotonic() - begun >= 0.8
    rows = cluster.history(result.id)
    assert rows[1]["timestamp"] - rows[0]["timestamp"] >= 0.8
    assert cluster.jobs.lines(log) == ["started"]


def test_a_countdown_below_zero_is_due_now(cluster: Cluster) -> None:
    """As in Celery: somebody's moment has passed while they computed it."""
    assert cluster.jobs.add.apply_async((1, 2), countdown=-3).get(timeout=60) == 3


@pytest.mark.parametrize("text", [False, True])
def test_eta_is_a_moment(cluster: Cluster, text: bool) -> None:
    """A datetime or its ISO text; also one in the past, which is due now."""
    moment = datetime.now(UTC) + timedelta(seconds=0.5)  # noqa: TID251  a moment is the promise
    result = cluster.jobs.add.apply_async((1, 2), eta=moment.isoformat() if text else moment)
    assert result.get(timeout=60) == 3
    assert cluster.history(result.id)[1]["timestamp"] >= moment.timestamp()
    past = cluster.jobs.add.apply_async((1, 2), eta=moment - timedelta(days=1))
    assert past.get(timeout=60) == 3


def test_a_unique_key_belongs_to_one_live_job(cluster: Cluster, tmp_path: Path) -> None:
    """A second call gets the first one's result; after its end the key is free again."""
    log, gate = str(tmp_path / "log"), tmp_path / "gate"
    first = cluster.jobs.hold.apply_async((log, str(gate)), unique_key="a.png")
    until(lambda: cluster.jobs.lines(log) == ["started"])
    second = cluster.jobs.hold.apply_async((log, str(gate)), unique_key="a.png")
    assert second.id == first.id
    gate.touch()
    assert second.get(timeout=60) == "started"
    third = cluster.jobs.hold.apply_async((log, str(gate)), unique_key="a.png")
    assert third.id != first.id
    third.get(timeout=60)
    assert len(cluster.jobs.lines(log)) == 2


def test_a_unique_key_holds_while_its_job_waits(cluster: Cluster) -> None:
    """Also for a job that is due later."""
    first = cluster.jobs.add.apply_async((1, 2), countdown=60, unique_key="later")
    second = cluster.jobs.add.apply_async((1, 2), unique_key="later")
    assert second.id == first.id


def test_submit_many_is_one_transaction_in_order(cluster: Cluster) -> None:
    """Results come in the order of the calls; tuples and mappings are taken."""
    calls = [(number, 1) for number in range(40)] + [{"left": 40, "right": 1}]
    results = cluster.jobs.add.submit_many(calls, priority="high")
    assert [result.get(timeout=60) for result in results] == [n + 1 for n in range(41)]
    rows = [cluster.row(result.id) for result in results]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert {row["priority"] for row in rows} == {2}


def test_submit_many_is_all_or_nothing(cluster: Cluster) -> None:
    """One wrong call, and none of them is written."""
    before = cluster.count_jobs()
    with pytest.raises(InputError):
        cluster.jobs.echo.submit_many([(1,), (object(),)])
    with pytest.raises(TypeError):
        cluster.jobs.add.submit_many([(1, 2), (1,)])
    assert cluster.jobs.add.submit_many([]) == []
    assert cluster.count_jobs() == before


# --- refusals ---


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", nan, inf, {"deep": [nan]}, Path("/")]
)
def test_what_is_no_json_value_is_refused(cluster: Cluster, value: object) -> None:
    """One line that names the job; nothing is written."""
    before = cluster.count_jobs()
    with pytest.raises(InputError, match=r"cluster_jobs\.echo: arguments must be JSON values"):
        cluster.jobs.echo.delay(value)
    with pytest.raises(InputError, match="JSON"):
        cluster.jobs.echo.delay(value=value)
    assert cluster.count_jobs() == before


@pytest.mark.parametrize(("args", "kwargs"), [((1,), {}), ((1, 2, 3), {}), ((1, 2), {"more": 3})])
def test_a_wrong_signature_is_a_type_error_at_the_producer(
    cluster: Cluster, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    """As a plain call would raise; nothing is written."""
    before = cluster.count_jobs()
    with pytest.raises(TypeError):
        cluster.jobs.add.delay(*args, **kwargs)
    assert cluster.count_jobs() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expires": -10}, "expires"),
        ({"soft_time_limit": 10}, "no option soft_time_limit"),
        ({"unique_kee": "a"}, "no option unique_kee.*unique_key"),
        ({"serializer": "pickle"}, "no option serializer"),
        ({"priority": "urgent"}, "urgent"),
        ({"priority": 7}, "7"),
        ({"countdown": nan}, "countdown"),
        ({"countdown": "soon"}, "countdown"),
        ({"countdown": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "countdown or eta"),
        ({"eta": "tomorrow"}, "eta"),
        ({"time_limit": -1}, "time_limit"),
        ({"lane": "a lane"}, "lane"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused(
    cluster: Cluster, options: dict[str, object], words: str
) -> None:
    """Taking it silently would be a lie; nothing is written."""
    before = cluster.count_jobs()
    with pytest.raises(InputError, match=words):
        cluster.jobs.add.apply_async((1, 2), **options)
    assert cluster.count_jobs() == before


def test_replace_is_refused_in_one_line(cluster: Cluster) -> None:
    """A job cannot become another job: its id and its row are its own."""
    result = cluster.jobs.replace_myself.delay()
    with pytest.raises(Exception, match="replace"):
        result.get(timeout=60)
    assert cluster.status(result.id) == "failed"


# --- eager ---


@pytest.fixture
def eager(cluster: Cluster) -> Iterator[Cluster]:
    """As users run their unit tests."""
    cluster.app.conf.task_always_eager = True
    try:
        yield cluster
    finally:
        cluster.app.conf.task_always_eager = False


def test_eager_calls_run_here_and_write_nothing(eager: Cluster) -> None:
    """`task_always_eager` works for calls, chains and submit_many; options are checked as ever."""
    before = eager.count_jobs()
    add = eager.jobs.add
    assert add.delay(1, 2).get() == 3
    assert add.apply_async((1, 2), countdown=5, priority="high", unique_key="k").get() == 3
    assert (add.s(1, 2) | add.s(3)).apply_async().get() == 6
    assert [result.get() for result in add.submit_many([(1, 1), (2, 2)])] == [2, 4]
    assert eager.jobs.add_later.delay(1, 2).get() == 3
    with pytest.raises(TypeError):
        add.delay(1)
    assert eager.count_jobs() == before


def test_an_eager_failure_is_in_the_result(eager: Cluster, tmp_path: Path) -> None:
    """The error itself, as Celery does it."""
    result = eager.jobs.refuse.delay(str(tmp_path / "log"))
    assert result.failed()
    with pytest.raises(Exception, match="it will never work"):
        result.get()


# --- ends that are no failures ---


def test_snooze_runs_it_later_without_counting(cluster: Cluster, tmp_path: Path) -> None:
    """More snoozes than failures allowed; the retry count stays at zero."""
    result = cluster.jobs.snooze.delay(str(tmp_path / "log"), 4)
    assert result.get(timeout=60) == 5
    row = cluster.row(result.id)
    assert (row["attempt"], row["retry_count"]) == (5, 0)


def test_cancel_ends_the_job(cluster: Cluster, tmp_path: Path) -> None:
    """It is cancelled with its reason, is not tried again, and is no dead letter."""
    result = cluster.jobs.give_up.delay(str(tmp_path / "log"))
    with pytest.raises(TaskRevokedError, match="no longer wanted"):
        result.get(timeout=60)
    row = cluster.row(result.id)
    assert (row["status"], row["attempt"], row["dead_at"]) == ("cancelled", 1, None)
