"""The most urgent job is next, over all lanes and all workers, however much waits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import pytest

from tests.cluster import Cluster, running_cluster
from tests.long import long
from tests.processes import until
from vibe_tasks.priority import Priority
from vibe_tasks.store import lanes

WORKERS = 6
"""With one process each, so that the ledger tells when each took the message of its next job."""

BATCH = 10
LANES = ("code", "qa")
BURSTS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""After these parts of all jobs have ended, urgent ones come in."""

LATE = 10
"""How many of them at once."""

IN_HANDS = 2 * WORKERS - 1
"""Messages that may be on their way at one moment besides that of a job which starts: each worker
may have one in its process and another in a queue of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The start of a job.

    Attributes:
        at: Number of this transition in the ledger's history.
        free: Number of the transition that ended its worker's previous job: the message was taken
            after it. 0 for a first one.
        job: Its id.
        priority: Lower is sooner.
    """

    at: int
    free: int
    job: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened.

    Attributes:
        cluster: Where; its workers are still there.
        order: The starts, as they came.
        sent: For each job that came in during the run, the history's last number after its message
            was sent.
    """

    cluster: Cluster
    order: Sequence[Start]
    sent: Mapping[str, int]


@pytest.fixture(
    scope="module", params=[1_500, pytest.param(5_000, marks=(long, pytest.mark.timeout(300)))]
)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """So many jobs of two lanes and all levels, submitted in random order before a worker is there,
    and urgent ones that come in while they are worked off.
    """
    count, sent = int(request.param), {}
    with running_cluster(request, "sqlite") as cluster:
        submit_in_random_order(cluster, count)
        cluster.dispatcher()
        for _ in range(WORKERS):
            cluster.start_worker(",".join(LANES))
        for part in BURSTS:
            until_ended(cluster, int(part * count), of=count)
            for number in range(LATE):
                level = (Priority.FIX, Priority.CRITICAL)[number % 2]
                lane = LANES[number // 2 % 2]
                result = cluster.jobs.echo.apply_async((1,), lane=lane, priority=level)
                sent[result.id] = last_transition(cluster)
        until_ended(cluster, count + len(sent), of=count + len(sent))
        yield Run(cluster=cluster, order=starts(cluster), sent=sent)


def submit_in_random_order(cluster: Cluster, count: int) -> None:
    """Jobs that do nothing, in batches of a lane and a level each."""
    kinds = [(lane, level) for lane in LANES for level in Priority]
    batches = kinds * (count // BATCH // len(kinds))
    random.Random(7).shuffle(batches)
    for lane, level in batches:
        cluster.jobs.echo.submit_many([(0,)] * BATCH, lane=lane, priority=level)


def last_transition(cluster: Cluster) -> int:
    """The number of the latest transition."""
    with cluster.ledger.read() as connection:
        return int(connection.exec_driver_sql("SELECT max(id) FROM job_history").scalar_one())


def until_ended(cluster: Cluster, count: int, *, of: int) -> None:
    """Wait until about so many of the jobs that were submitted have ended. Each has three
    transitions; the number of the last is cheap to ask for.
    """
    until(lambda: last_transition(cluster) >= of + 2 * count, seconds=200)


def starts(cluster: Cluster, after: int = 0) -> list[Start]:
    """The starts since this transition, in order."""
    found, free = [], {}
    with cluster.ledger.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT h.id, h.status, h.worker_id, h.job_id, j.priority "
            "FROM job_history h JOIN jobs j ON j.id = h.job_id "
            "WHERE h.id > ? AND 'processing' IN (h.from_status, h.status) ORDER BY h.id",
            (after,),
        ).all()
    for at, status, worker, job, level in rows:
        if status == "processing":
            found.append(Start(at=at, free=free.get(worker, 0), job=job, priority=level))
        else:
            free[worker] = at
    return found


def overtaken(order: Sequence[Start], sent: Mapping[str, int]) -> list[int]:
    """For each start, how many more urgent jobs had not started although their messages were in the
    broker when the worker took that of the job which started.
    """
    waiting = Counter(each.priority for each in order if each.job not in sent)
    late = {each.job: each.priority for each in order if each.job in sent}
    counts = []
    for each in order:
        if late.pop(each.job, None) is None:
            waiting[each.priority] -= 1
        counts.append(
            sum(number for level, number in waiting.items() if level < each.priority)
            + sum(level < each.priority and sent[job] < each.free for job, level in late.items())
        )
    return counts


def test_a_job_that_starts_is_one_of_the_most_urgent(run: Run) -> None:
    """Over both lanes and all workers: what is more urgent and has not started is in the hands of
    another worker already. Nothing is hoarded, nothing is started twice.
    """
    counts = overtaken(run.order, run.sent)
    assert len(counts) == len({each.job for each in run.order})
    assert max(counts) <= IN_HANDS, Counter(counts)


def test_an_urgent_job_is_next_however_much_waits(run: Run) -> None:
    """Of the less urgent jobs that wait, about as many start before it as there are workers. A
    single one may have to wait until the process that has taken it gets a processor.
    """
    waits = [
        sum(sent < each.at < late.at and each.priority > late.priority for each in run.order)
        for late in run.order
        if (sent := run.sent.get(late.job)) is not None
    ]
    assert len(waits) == LATE * len(BURSTS)
    assert median(waits) <= WORKERS, sorted(waits)
    assert max(waits) <= 10 * WORKERS, sorted(waits)


def test_a_resumed_lane_begins_with_the_most_urgent(run: Run) -> None:
    """What was held while its lane was paused starts by priority, too."""
    cluster = run.cluster
    with cluster.ledger.begin() as connection:
        lanes.pause(connection, "qa")
    before = last_transition(cluster)
    levels = list(Priority) * 2
    random.Random(8).shuffle(levels)
    for level in levels:
        cluster.jobs.echo.submit_many([(0,)] * BATCH, lane="qa", priority=level)
    count = BATCH * len(levels)
    until(lambda: held(cluster) == count)
    with cluster.ledger.begin() as connection:
        lanes.resume(connection, "qa")
    until(lambda: last_transition(cluster) >= before + 3 * count)
    order = starts(cluster, before)
    assert len(order) == count
    assert max(overtaken(order, {})) <= IN_HANDS


def test_a_workers_own_queue_has_no_precedence(run: Run) -> None:
    """What the router sent to a worker alone starts by its priority among what is in the lanes."""
    cluster, own = run.cluster, run.cluster.module("queues").own_queue("loner@test")
    before = last_transition(cluster)
    for level in Priority:
        cluster.jobs.echo.apply_async((0,), lane="alone", priority=level)
    keys = cluster.module("queues").broker_keys
    with cluster.broker() as broker:
        for level in (Priority.HIGH, Priority.LOW):
            broker.rename(keys("alone")[level], keys(own)[level])
    with cluster.worker("alone", "-n", "loner@test"):
        until(lambda: last_transition(cluster) >= before + 3 * len(Priority))
    assert [each.priority for each in starts(cluster, before)] == sorted(Priority)


def held(cluster: Cluster) -> int:
    """How many jobs of the lane are held."""
    with cluster.ledger.read() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM jobs WHERE status = 'pending' AND held_at IS NOT NULL"
            ).scalar_one()
        )
