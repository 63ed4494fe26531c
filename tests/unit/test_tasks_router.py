"""What a producer decides from its cache of workers; clock, ledger and broker are the test's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from tests.processes import until
from vibe_tasks.jobs import Publication
from vibe_tasks.priority import Priority
from vibe_tasks.routing import WorkerState
from vibe_tasks.store.candidates import Seen
from vibe_tasks.tasks.routing.router import Route, Router
from vibe_tasks.tasks.routing.worker_cache import LIFE, WorkerCache
from vibe_tasks.weights import Weights

HEARTBEAT = 1.0
"""Seconds since the workers' last heartbeats, as each look finds them."""


class Ground:
    """Workers of lane `code`, a clock, and a board of free slots.

    Attributes:
        now: The clock, in seconds.
        workers: As the registry has them.
        looks: How often it was asked, by lane.
        board: What the broker answers about free slots.
        asked: What it was asked about, question by question.
    """

    def __init__(self, *workers: WorkerState) -> None:
        self.now = 100.0
        self.workers = list(workers)
        self.looks: Counter[str] = Counter()
        self.board: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.away = False
        self.before_look: Callable[[], object] = lambda: None
        self.router = Router(WorkerCache(self._look, self._clock), Weights(), self._clock)

    def _clock(self) -> float:
        return self.now

    def _look(self, lane: str) -> Sequence[Seen]:
        self.looks[lane] += 1
        self.before_look()
        if self.away:
            raise OperationalError("SELECT", None, ConnectionError("gone"))
        return [Seen(worker=each, age=HEARTBEAT) for each in self.workers if lane == "code"]

    def _free(self, workers: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(workers))
        return {each: self.board[each] for each in workers if each in self.board}

    def send(self, job_id: str = "j", lane: str = "code", **asks: object) -> str | None:
        """The queue that this job is sent to."""
        return self.route(job_id, lane, **asks).queue

    def route(self, job_id: str = "j", lane: str = "code", **asks: object) -> Route:
        """Where this job is sent, and why."""
        job = Publication(
            id=job_id, name="n", queue=lane, priority=Priority.NORMAL, time_limit=None, canvas=None
        )
        return self.router.route(replace(job, **asks), self._free)  # type: ignore[arg-type]

    def burst(self, number: int, **asks: object) -> Counter[str | None]:
        """How many of so many jobs went where."""
        return Counter(self.send(f"job-{each}", **asks) for each in range(number))


def worker(name: str, slots: int = 2, **values: object) -> WorkerState:
    """A worker with so many slots."""
    return WorkerState(worker_id=name, capacity_limit=slots, **values)  # type: ignore[arg-type]


def test_a_burst_spreads_and_fills_no_queue_beyond_the_free_slots() -> None:
    """1,000 jobs over three equal workers; what they have no room for waits in the lane, from which
    they take in turns. So no worker gets over 1.2 times what another gets.
    """
    ground = Ground(*(worker(f"w{number}@h", 8) for number in range(3)))
    went = ground.burst(1000)
    assert went == {"worker.w0@h": 8, "worker.w1@h": 8, "worker.w2@h": 8, "code": 976}
    assert ground.looks == {"code": 1}, "one query for all of them"
    shares = [went[f"worker.w{number}@h"] + went["code"] / 3 for number in range(3)]
    assert max(shares) / min(shares) <= 1.2


def test_hard_jobs_go_to_the_senior_while_it_has_room() -> None:
    """And ordinary ones to whoever has most room. Its 70 points more are worth seven free slots."""
    ground = Ground(worker("old@h", 6, tier="senior"), worker("a@h", 6), worker("b@h", 6))
    assert ground.burst(6, effort=4) == {"worker.old@h": 6}
    more = Counter(ground.send(f"more-{number}") for number in range(12))
    assert more == {"worker.a@h": 6, "worker.b@h": 6}
    assert ground.send("more") == "code"


def test_ended_jobs_make_room() -> None:
    """As soon as the process that has sent them sees their end; ends of other jobs mean nothing."""
    ground = Ground(worker("w@h", 1))
    assert ground.send("a") == "worker.w@h"
    assert ground.send("b") == "code"
    ground.router.forget(["b", "unknown"])
    assert ground.send("c") == "code"
    ground.router.forget(["a", "a"])
    assert ground.send("d") == "worker.w@h"


def test_a_job_that_is_sent_again_counts_once() -> None:
    """The dispatcher sends what the broker has lost."""
    ground = Ground(worker("w@h", 2))
    assert [ground.send("a") for _ in range(5)] == ["worker.w@h"] * 5
    assert ground.send("b") == "worker.w@h"
    assert ground.send("c") == "code"


def test_a_heartbeat_tells_of_what_was_sent_before_it() -> None:
    """A look forgets what the worker's own figures have, and keeps what was sent after them."""
    ground = Ground(worker("w@h", 2))
    ground.send("before")
    ground.now += LIFE - 0.5
    ground.send("after")  # half a second before the look, whose heartbeat is older than that
    ground.now += 0.5
    assert ground.send("next") == "worker.w@h"
    assert ground.looks == {"code": 2}
    assert ground.send("last") == "code"


def test_a_worker_of_two_lanes_has_its_slots_once() -> None:
    """What was sent to it from one lane is missing in the other."""
    ground = Ground(worker("w@h", 1))
    ground._look = lambda _lane: [Seen(worker=ground.workers[0], age=HEARTBEAT)]  # type: ignore[method-assign]
    ground.router = Router(WorkerCache(ground._look, ground._clock), Weights(), ground._clock)
    assert ground.send("a", "code") == "worker.w@h"
    assert ground.send("b", "qa") == "qa"


def test_workers_without_a_queue_of_their_own_get_no_messages() -> None:
    """Registered ones that do not run, and programs that look into the ledger by themselves."""
    ground = Ground(worker("@code-auto-1"), worker("outside-1@h", tier="outside"))
    assert ground.send() == "code"
    assert [each.worker_id for each in ground.router.workers("code")] == [
        "@code-auto-1", "outside-1@h",
    ]  # fmt: skip


def test_required_labels_keep_a_job_out_of_the_lane() -> None:
    """It goes to a worker that has them, or nowhere."""
    ground = Ground(worker("plain@h"), worker("gpu@h", 1, labels=frozenset({"gpu"})))
    assert ground.send("a", required=("gpu",)) == "worker.gpu@h"
    held = ground.route("b", required=("gpu",))
    assert held.queue is None
    assert held.header == {
        "choice": None, "why": "the only worker with gpu is full", "candidates": [],
    }  # fmt: skip
    assert ground.send("c", required=("tpu",)) is None


def test_a_job_that_would_be_held_asks_workers_that_were_full_when_last_heard_of() -> None:
    """It is not to wait for their next heartbeat as well."""
    ground = Ground(worker("gpu@h", 2, labels=frozenset({"gpu"}), active_tasks=2))
    assert ground.send("a", required=("gpu",)) is None
    assert ground.send("b", effort=5, labels={"gpu": 9}) == "code", "which could go to the lane"
    assert ground.asked == [["gpu@h"]]
    ground.now += 0.3
    ground.board["gpu@h"] = 1
    assert ground.send("c", required=("gpu",)) == "worker.gpu@h"
    assert ground.send("d", required=("gpu",)) is None


def test_the_best_worker_is_asked_before_a_worse_one_is_taken() -> None:
    """Only where our own jobs have made it full; the answer corrects what we believe of it."""
    ground = Ground(worker("old@h", 2, tier="senior"), worker("w@h", 6))
    assert ground.burst(2, effort=5) == {"worker.old@h": 2}
    ground.board["old@h"] = 1  # one of them is done
    assert ground.send("c", effort=5) == "worker.old@h"
    assert ground.asked == [["old@h"]]
    ground.board["old@h"] = 0
    assert ground.send("d", effort=5) == "worker.w@h", "asked a moment ago"
    ground.now += 0.3
    assert ground.send("e", effort=5) == "worker.w@h", "it says itself that it is full"
    assert len(ground.asked) == 2
    assert ground.send("f") == "worker.w@h"
    assert len(ground.asked) == 2, "an ordinary job is as well off with any worker"


def test_paced_hard_jobs_stay_on_the_senior() -> None:
    """Ten a second, each done in that time: many more in a life of the cache than it has slots."""
    ground = Ground(worker("old@h", 4, tier="senior"), worker("w@h", 4))
    ground.board["old@h"] = 4
    went: Counter[str | None] = Counter()
    for number in range(90):
        ground.now += 0.1
        went[ground.send(f"job-{number}", effort=4)] += 1
    assert went["worker.old@h"] > 0.9 * 90, went
    assert ground.looks == {"code": 1}


def test_a_ledger_that_is_away_costs_no_message() -> None:
    """All go to the lane; it is asked again after a while, not for each job."""
    ground = Ground(worker("w@h"))
    ground.away = True
    assert ground.burst(50) == {"code": 50}
    assert ground.send("x", required=("gpu",)) is None
    assert ground.looks == {"code": 1}
    ground.away = False
    ground.now += 5
    assert ground.send() == "worker.w@h"


def test_one_query_in_ten_seconds_and_lane() -> None:
    """Also for a lane without workers; an invalidation makes the next one look."""
    ground = Ground()
    for _ in range(100):
        ground.now += 0.5
        ground.send()
    assert ground.looks == {"code": 5}
    ground.router.workers("qa")
    ground.router.cache.invalidate("qa")
    ground.send()
    assert ground.looks == {"code": 5, "qa": 1}
    ground.router.workers("qa")
    ground.router.cache.invalidate()
    ground.send()
    assert ground.looks == {"code": 6, "qa": 2}


def test_of_many_threads_one_looks() -> None:
    """The others wait for it; what was written while it looked is looked at again."""
    ground = Ground(worker("w@h", 50))
    looking, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        looking.set()
        assert go_on.wait(60)

    ground.before_look = hold_up
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(ground.send(f"job-{each}")))
        for each in range(8)
    ]
    for thread in threads:
        thread.start()
    assert looking.wait(60)
    go_on.set()
    until(lambda: len(found) == 8)
    for thread in threads:
        thread.join()
    assert found == ["worker.w@h"] * 8
    assert ground.looks == {"code": 1}

    ground.router.cache.invalidate()
    ground.before_look = ground.router.cache.invalidate
    ground.send("a")
    ground.before_look = lambda: None
    ground.send("b")
    assert ground.looks == {"code": 3}, "the second look was older than what was written"


@pytest.mark.parametrize("slots", [1, 3])
def test_the_header_tells_the_decision(slots: int) -> None:
    """Compact JSON values: the choice, why, and at most five candidates with each term."""
    ground = Ground(*(worker(f"w{number}@h", slots) for number in range(7)))
    header = ground.route().header
    assert header["choice"] == header["candidates"][0][0]
    assert header["why"] == "drawn among 7 equal workers"
    assert len(header["candidates"]) == 5
    terms = {"free slots": 10 * slots, "tier": 0, "priority": 0}
    assert header["candidates"][0][1:] == [10 * slots, terms]
