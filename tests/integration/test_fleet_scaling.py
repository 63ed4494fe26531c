"""Looking at a lane's fleet, with a provisioner that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from tests.ledgers import claim, new_job, submit
from vibe_tasks import check_saturation
from vibe_tasks.errors import CircuitBreakerOpenError
from vibe_tasks.fleet import FleetLane
from vibe_tasks.settings import Settings
from vibe_tasks.store import breakers, events, fleet, jobs, lanes, scale_decisions, version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.scaling_rules import set_rules
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order, ProvisionerError
from vibe_tasks.tasks.fleet.scaler import LEASE, Scaler, Verdict

START = 1_800_000_000.0


@dataclass
class Fake:
    """A provisioner whose workers are a number, and register at once.

    Attributes:
        size: Workers there are.
        fails: What the next orders raise, in their order; None: nothing.
        after: The same, once the order was carried out.
        orders: What was asked for.
    """

    size: int = 0
    fails: list[BaseException | None] = field(default_factory=list)
    after: list[BaseException | None] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def look(self, lane: FleetLane, *, last: int | None) -> Found:  # noqa: ARG002
        """Its number."""
        return Found(size=self.size, starting=0)

    def tend(self, lane: FleetLane) -> None:
        """Nothing."""

    def scale(self, lane: FleetLane, order: Order) -> int:  # noqa: ARG002
        """Take the order, or fail."""
        self.orders.append(order)
        if self.fails and (error := self.fails.pop(0)):
            raise error
        self.size = order.target
        if self.after and (error := self.after.pop(0)):
            raise error
        return self.size


class Ground:
    """A ledger whose clock is the test's, and one lane under control."""

    def __init__(self, url: str) -> None:
        self.now = START
        self.ledger = open_database(url, clock=lambda: self.now)
        version.create(self.ledger)
        self.fakes = {"virtual": Fake(), "process": Fake()}
        self.fake = self.fakes["virtual"]
        self.settings = Settings(
            fleet=("code=virtual:0:8", "qa=process:0:8"),
            fleet_timeout=5,
            scale_down_after=60,
            scale_down_cooldown=20,
        )

    def lane(self, name: str = "code", **values: Any) -> FleetLane:
        """A lane under control."""
        return FleetLane(**{"lane": name, "provisioner": "virtual", "least": 0, "most": 8} | values)

    def look(self, *lanes_: FleetLane, seconds: float = 10) -> Verdict:
        """Go on so many seconds, and look at each lane; the last verdict."""
        self.now += seconds
        scaler = Scaler(self.ledger, self.settings, self.fakes)
        for each in lanes_ or (self.lane(),):
            verdict = scaler.scale(each)
            self.register(each.lane, self.fakes[each.provisioner].size)
        return verdict

    def register(self, lane: str, workers: int) -> None:
        """What so many workers of one slot do when they start, or beat."""
        with self.ledger.begin() as connection:
            for each in fleet.members(connection, f"w-{lane}-"):
                fleet.give_up(connection, each.worker)
            for number in range(workers):
                fleet.want(connection, f"w-{lane}-{number}", lane, slots=1, status="online")

    def jobs(self, number: int, lane: str = "code") -> list[str]:
        """So many jobs that wait; their ids."""
        new = [new_job(lane=lane) for _ in range(number)]
        submit(self.ledger, *new)
        return [each.id for each in new]

    def run(self, job_ids: list[str]) -> None:
        """Let them run."""
        for each in job_ids:
            claim(self.ledger, each, lease=1_000_000)

    def end(self, job_ids: list[str]) -> None:
        """Let them end."""
        for each in job_ids:
            with self.ledger.begin() as connection:
                jobs.complete_job(connection, each, 1, None)

    def told(self, lane: str | None = None) -> list[tuple[int, int, int | None, str | None]]:
        """The history, oldest first."""
        with self.ledger.read() as connection:
            found = scale_decisions.history(connection, lane=lane)
        return [(row["before"], row["target"], row["applied"], row["error"])
                for row in reversed(found)]  # fmt: skip

    def reasons(self) -> list[str]:
        """Of the history, oldest first."""
        with self.ledger.read() as connection:
            return [row["reason"] for row in reversed(scale_decisions.history(connection))]


@pytest.fixture
def ground(sqlite_url: str) -> Iterator[Ground]:
    made = Ground(sqlite_url)
    yield made
    made.ledger.close()


def test_a_burst_is_met_and_its_end_too(ground: Ground):
    """Workers come at once as work needs, go in steps once it is over and never while they are
    busy; the history has a row for each change, with its figures, and none for other looks.
    """
    ground.look()
    work = ground.jobs(12)
    assert ground.look(seconds=1).applied == 8
    ground.run(work[:8])
    ground.run(work[8:])
    ground.end(work[:6])
    for _ in range(30):
        ground.look()
    assert ground.fake.size == 6
    ground.end(work[6:])
    for _ in range(30):
        ground.look()
    assert ground.fake.size == 0
    changes = ground.told()[1:]
    assert changes[0] == (0, 8, 8, None)
    assert all(row[1] < row[0] and row[1] == row[2] and row[3] is None for row in changes[1:])
    assert len(changes) <= 8
    with ground.ledger.read() as connection:
        first = scale_decisions.history(connection)[-2]
        scaled = [row for row in events.recent(connection) if row["hook_event_type"] == "SCALED"]
    assert first["figures"]["waiting"] == 12
    assert "12 jobs wait" in first["reason"]
    assert len(scaled) == len(changes)
    assert scaled[0]["payload"]["applied"] == 8


def test_what_is_refused_is_told_once(ground: Ground):
    """Wishes beyond the lane's most, or the most of all lanes, are written down with the reason,
    and not again at each look.
    """
    ground.settings = ground.settings.model_copy(update={"max_auto_scale_workers": 10})
    ground.jobs(50)
    ground.jobs(50, "qa")
    both = ground.lane(), ground.lane("qa", provisioner="process")
    for _ in range(20):
        ground.look(*both)
    assert (ground.fake.size, ground.fakes["process"].size) == (8, 2)
    assert ground.told("code") == [(0, 8, 8, None), (8, 8, 8, "refused")]
    assert ground.told("qa") == [(0, 2, 2, None), (2, 2, 2, "refused")]
    said = " ".join(ground.reasons())
    assert "refused: at most 8 workers for this lane" in said
    assert "refused: at most 10 workers over all lanes" in said
    ground.look(*both, seconds=700)
    assert len(ground.told("code")) == 3


@pytest.mark.parametrize("obstacle", ["paused", "limit", "breaker", "usage limit"])
def test_no_worker_comes_for_work_that_is_held_up(ground: Ground, obstacle: str):
    """A paused lane, a limit that is reached, a breaker that its jobs wait for and a provider's
    limit let nothing grow, and the history names them; when they are over, workers come.
    """
    running, waiting, *_ = ground.jobs(14)
    with ground.ledger.begin() as connection:
        if obstacle == "paused":
            lanes.pause(connection, "code")
        elif obstacle == "limit":
            lanes.limit(connection, "code", concurrency=1)
        else:
            breakers.trip(connection, "claude", 300, "come back at noon")
    claim(ground.ledger, running) if obstacle == "limit" else None
    if obstacle in {"breaker", "usage limit"}:
        met = CircuitBreakerOpenError.text("claude") if obstacle == "breaker" else None
        taken = claim(ground.ledger, waiting)
        with ground.ledger.begin() as connection:
            jobs.snooze_job(connection, taken.id, taken.attempt, 290.0, met or "come back at noon")
    for _ in range(3):
        assert ground.look().applied == 0
    (row,) = ground.told()
    assert row[3] == "refused"
    words = {"paused": "paused", "limit": "limit lets"}.get(obstacle, "circuit breaker claude")
    assert words in ground.reasons()[0]
    with ground.ledger.begin() as connection:
        assert not check_saturation(connection, "code")
        lanes.resume(connection, "code")
        lanes.limit(connection, "code", concurrency=None)
        breakers.close(connection, "claude")
        assert check_saturation(connection, "code")
    assert ground.look().applied == 8


def test_a_limited_lane_gets_no_more_than_may_run(ground: Ground):
    """With room for three at once, fifty waiting jobs are three workers' work."""
    ground.jobs(50)
    with ground.ledger.begin() as connection:
        lanes.limit(connection, "code", concurrency=3)
    assert ground.look().applied == 3


def test_a_provisioner_that_fails_is_left_alone_for_longer_each_time(ground: Ground):
    """Its errors are in the history, the pauses grow, another lane goes on all the while, and when
    it works again all is as ever.
    """
    ground.jobs(20)
    ground.jobs(20, "qa")
    ground.fake.fails = [ProvisionerError("quota")] * 4
    both = ground.lane(), ground.lane("qa", provisioner="process")
    began, tries = ground.now, []
    while ground.fake.size == 0:
        before = len(ground.fake.orders)
        ground.look(*both)
        tries += [ground.now - began] if len(ground.fake.orders) > before else []
    assert ground.fakes["process"].size == 8
    pauses = [later - sooner for sooner, later in pairwise(tries)]
    assert pauses == [10, 20, 40, 80]
    assert ground.told("code") == [(0, 8, 0, "quota")] * 4 + [(0, 8, 8, None)]


def test_a_provisioner_that_hangs_costs_one_answers_time(ground: Ground):
    """It is left, the error says so, and its lane is free for the next look."""
    hung = threading.Event()
    ground.settings = ground.settings.model_copy(update={"fleet_timeout": 0.02})
    ground.fake.scale = lambda *_: hung.wait(60)  # type: ignore[assignment, method-assign]
    ground.jobs(20)
    assert "no answer within" in (ground.look().error or "")
    hung.set()


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_check_that_is_killed_is_made_good(ground: Ground, moment: str):
    """Killed before or after the provisioner did its part: while its lease lives nobody decides
    for the lane; then the decision is marked, and the size is what the work needs.
    """
    ground.jobs(20)
    (ground.fake.fails if moment == "before" else ground.fake.after).append(Killed())
    with pytest.raises(Killed):
        ground.look()
    assert "another process" in ground.look().reason
    ground.look(seconds=LEASE)
    ground.look()
    assert ground.fake.size == 8
    first, *later = ground.told()
    assert first == (0, 8, None, scale_decisions.INTERRUPTED)
    assert later == ([(0, 8, 8, None)] if moment == "before" else []) + [(8, 8, 8, "refused")]


def test_who_is_too_slow_does_not_end_the_lease_of_another(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
):
    """A machine that slept in the middle of an order: its lease is another's when it goes on."""

    def sleep(lane: FleetLane, order: Order) -> int:
        ground.now += LEASE + 1
        with ground.ledger.begin() as connection:
            assert scale_decisions.take(connection, lane.lane, seconds=LEASE)
        return order.target

    monkeypatch.setattr(ground.fake, "scale", sleep)
    ground.jobs(20)
    ground.look()
    assert "another process" in ground.look().reason
    assert "another process" not in ground.look(seconds=LEASE).reason


def test_rules_that_are_set_while_all_runs_hold(ground: Ground):
    """`vibe lanes limit` bounds the fleet of a lane too, from the next look on."""
    with ground.ledger.begin() as connection:
        set_rules(connection, "code", {"max_size": 2, "min_size": 1})
    assert ground.look().applied == 1
    ground.jobs(20)
    assert ground.look().applied == 2


def test_a_look_without_applying_changes_nothing(ground: Ground):
    """It says what would be done, and leaves no trace."""
    ground.jobs(20)
    ground.now += 10
    verdict = Scaler(ground.ledger, ground.settings, ground.fakes).look(ground.lane())
    assert (verdict.before, verdict.target) == (0, 8)
    assert not ground.fake.orders
    assert ground.told() == []


def test_a_size_is_decided_by_one_process_on_both_databases(database: Database):
    """Ten at a time: one decides, the others leave it to that one; one order is given."""
    submit(database, *(new_job() for _ in range(20)))
    fake, together = Fake(), threading.Barrier(4)
    entered, go_on = threading.Event(), threading.Event()
    scale = fake.scale

    def slow(lane: FleetLane, order: Order) -> int:
        entered.set()
        go_on.wait(60)
        return scale(lane, order)

    fake.scale = slow  # type: ignore[method-assign]
    lane = FleetLane(lane="code", provisioner="virtual", least=0, most=8)
    said: list[str] = []

    def look() -> None:
        together.wait()
        said.append(Scaler(database, Settings(), {"virtual": fake}).scale(lane).reason)
        if entered.wait(60):
            go_on.set()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(fake.orders) == 1
    assert sum("another process" in each for each in said) <= 3
