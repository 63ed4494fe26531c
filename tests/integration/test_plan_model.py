"""A plan under every history: verdicts, votes, crashes, duplicates, cancels and retries.

No task is deployed twice, none starts before what it needs is deployed, and the plan ends exactly
once, however its attempts ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults import START, World
from tests.ledger_ground import pick
from tests.ledger_model import LEASE
from tests.ledgers import middle
from vibe_tasks.errors import IllegalMoveError, LeaseLostError
from vibe_tasks.flow import attempts, control, progress
from vibe_tasks.flow.attempts import Ending
from vibe_tasks.flow.workplace import Bench, Workplace
from vibe_tasks.jobs import Claim
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.store import jobs, plans

EXAMPLES = {"sqlite": 7, "postgresql": 3}
PLAN = "p1"
NEEDS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}
"""A diamond and a task beside it."""

REVIEWERS = {"b": 2, "e": 3}
"""Reviewers of a task; the others have none."""

GOOD = {
    JobKind.DEV: Outcome.DONE, JobKind.FIX: Outcome.DONE, JobKind.QA: Outcome.PASSED,
    JobKind.REVIEW: Outcome.DONE, JobKind.DEPLOY: Outcome.DONE,
}  # fmt: skip
BAD = {**GOOD, JobKind.QA: Outcome.REJECTED, JobKind.DEPLOY: Outcome.CONFLICT}
SPEC = {"lane": "code", "priority": "normal", "effort": 2, "max_retries": 2, "retry_base": 0.0}
ENDS = ("PLAN_COMPLETED", "PLAN_FAILED", "PLAN_CANCELLED")
ALL = "SELECT * FROM {} ORDER BY 1, 2"

which = st.integers(0, 9)
MOSTLY = 8
"""Choices out of ten that go to what can still move; the others may be late, or doubled."""


class PlanMachine(RuleBasedStateMachine):
    """Workers and people at one plan; each process may die at any statement."""

    def __init__(self, world: World) -> None:
        super().__init__()
        world.reset()
        self.world = world
        self.taken: list[Claim] = []
        self.armed: int | None = None
        self.sound = True
        self.before = self.look()
        with world.ledger.begin() as connection:
            submit_plan(connection)

    @initialize(steps=st.integers(0, 25))
    def come_some_way(self, steps: int) -> None:
        """The plan was under way before; else few histories would get beyond its beginning."""
        for _ in range(steps):
            pending = [job for job in self.look()["jobs"] if job["status"] == "pending"]
            if pending:
                self.take(pending[0])
                self.end(self.taken[-1], good=True)
            else:
                self.decide(whole=False)

    # --- workers ---

    @rule(which=which)
    def claim(self, which: int) -> None:
        """A message arrives, mostly one that is wanted."""
        found = self.look()["jobs"]
        wanted = [job for job in found if job["status"] == "pending"]
        self.take(pick(reversed(wanted if wanted and which < MOSTLY else found), which))

    def take(self, job: dict[str, Any]) -> None:
        """A message of this job arrives."""
        with self.process() as ledger:
            with ledger.write_once() as connection:
                claim = jobs.claim(connection, job["id"], worker="w1", lease=LEASE)
            assert (claim is not None) == (job["status"] == "pending")
            if claim is not None:
                self.taken.append(claim)

    @precondition(lambda self: self.taken)
    @rule(which=which, good=st.sampled_from([True, True, True, False]))
    def finish(self, which: int, good: bool) -> None:
        """An attempt, current or stale, says that it is done; only a current one may."""
        claim = self.some_attempt(which)
        stale = not self.is_current(claim)
        with self.process():
            try:
                self.end(claim, good=good)
            except LeaseLostError:
                assert stale
            else:
                assert not stale

    @precondition(lambda self: self.taken)
    @rule(which=which, kind=st.sampled_from(["failure", "permanent", "snooze", "cancel"]))
    def settle(self, which: int, kind: Any) -> None:
        """An attempt, current or stale, ends otherwise; only a current one may."""
        claim = self.some_attempt(which)
        stale = not self.is_current(claim)
        with self.process() as ledger:
            try:
                attempts.settle(ledger, claim, Ending(kind=kind, text="bad luck"), uniform=middle)
            except LeaseLostError:
                assert stale
            else:
                assert not stale

    @precondition(lambda self: self.taken)
    @rule()
    def lose_workers(self) -> None:
        """All workers are gone; their leases run out."""
        self.world.set_clock(self.world.now + LEASE + 1)
        with self.process() as ledger:
            attempts.reap(ledger, uniform=middle)

    # --- people ---

    @precondition(lambda self: len(self.taken) > 2)
    @rule(which=which, what=st.sampled_from(["retry", "retry", "retry", "discard", "cancel"]))
    def intervene(self, which: int, what: str) -> None:
        """A person cancels, retries or discards one of the newest jobs."""
        job = pick(reversed(self.look()["jobs"]), which)
        act = {"retry": control.retry_job, "discard": control.discard_job}
        with self.process() as ledger:
            try:
                if what == "cancel":
                    control.cancel_job(ledger, job["id"], "not wanted")
                else:
                    act[what](ledger, job["id"])
            except IllegalMoveError:
                assert what != "cancel" or job["status"] in {"completed", "cancelled"}

    @precondition(lambda self: len(self.taken) > 2)
    @rule(whole=st.sampled_from([False] * 29 + [True]))
    def decide(self, whole: bool) -> None:
        """A person approves what waits for it, or cancels the whole plan."""
        with self.process() as ledger:
            try:
                if whole:
                    control.cancel_plan(ledger, PLAN, "not wanted")
                else:
                    control.approve(ledger, PLAN)
            except IllegalMoveError:
                pass

    @rule(statements=st.integers(0, 12))
    def strike_next(self, statements: int) -> None:
        """The next process dies before one of its statements."""
        self.armed = statements

    # --- what always holds ---

    def process(self) -> Any:
        """A process; struck, it leaves nothing behind of what it had not committed."""
        self.sound = False
        if self.armed is not None:
            self.world.fault.arm(self.armed, deadly=True)
            self.armed = None
        return self.world.process()

    def look(self) -> dict[str, Any]:
        """Everything that is in the ledger."""
        found: dict[str, Any] = {}
        with self.world.ledger.read() as connection:
            for table in ("tasks", "jobs", "plans", "events"):
                rows = connection.exec_driver_sql(ALL.format(table))
                found[table] = [dict(row) for row in rows.mappings()]
        return found

    def some_attempt(self, which: int) -> Claim:
        """An attempt, mostly one that may still write."""
        current = [claim for claim in self.taken if self.is_current(claim)]
        return pick(reversed(current if current and which < MOSTLY else self.taken), which)

    def is_current(self, claim: Claim) -> bool:
        """Whether this attempt may still write."""
        with self.world.ledger.read() as connection:
            row = jobs.find_job(connection, claim.id)
        return (row["status"], row["attempt"]) == ("processing", claim.attempt)

    def end(self, claim: Claim, *, good: bool) -> None:
        """Write the end of an attempt that did its work; of a qa job perhaps with votes to come."""
        outcome = (GOOD if good else BAD)[JobKind(claim.kind)]
        result: dict[str, Any] = {"outcome": outcome.value}
        verdict = "pass" if good else "fail"
        if claim.kind == JobKind.REVIEW:
            result |= {"verdict": verdict, "findings": []}
        elif claim.kind == JobKind.QA and claim.task_id in REVIEWERS:
            outcome = Outcome.VOTING
            result |= {"verdict": "voting", "checked": verdict, "summary": "", "commit": "c1"}
        self.bench(claim).finish(result, outcome, commit="c1", report={"summary": "bad"})

    def bench(self, claim: Claim) -> Bench:
        """What an attempt needs to write its end."""
        place = Workplace(ledger=self.world.ledger, home=Path(), environ={})
        nothing: Any = None
        return Bench(place=place, claim=claim, plan={}, spec={}, repository=nothing)

    @invariant()
    def holds(self) -> None:
        """Tasks, their jobs and the plan fit together."""
        found = self.look()
        tasks = {task["id"]: task for task in found["tasks"]}
        deployed = {task for task, row in tasks.items() if row["status"] == "deployed"}
        live: dict[str, list[Any]] = {task: [] for task in tasks}
        merged: list[str] = []
        for job in found["jobs"]:
            if job["status"] in {"blocked", "pending", "processing"}:
                live[job["task_id"]].append(job)
            done = job["kind"] == "deploy" and job["status"] == "completed"
            merged += [job["task_id"]] * (done and "done" in str(job["result"]))
            if job["attempt"] > 0:
                assert deployed.issuperset(NEEDS[job["task_id"]]), "started before its needs"
        assert sorted(merged) == sorted(deployed), "deployed twice, or not at all"
        for task, row in tasks.items():
            assert row["waiting_on"] == len(set(NEEDS[task]) - deployed)
            statuses = [job["status"] for job in live[task]]
            match row["status"]:
                case "running":
                    reviews = [job["round"] for job in live[task] if job["kind"] == "review"]
                    assert len(statuses) == max(1, len(reviews))
                    assert not reviews or set(reviews) == {row["fix_round"]}
                case "waiting" | "blocked":
                    assert statuses == ["blocked"]
                case _:
                    assert not statuses
            cut = any(tasks[need]["status"] in {"dead", "cancelled", "blocked"}
                      for need in NEEDS[task])  # fmt: skip
            assert cut or row["status"] != "blocked"
            assert not cut or row["status"] not in {"waiting", "running"}
        check_votes(found["jobs"], tasks)
        check_end(found["plans"][0]["status"], tasks, found["events"])
        self.sound = True

    def teardown(self) -> None:
        """Fair workers and a person who approves bring the plan to its end."""
        if not self.sound:
            return
        self.armed = None
        for _ in range(40):
            found = self.look()
            if found["plans"][0]["status"] != "running":
                break
            self.lose_workers()
            self.decide(whole=False)
            for job in found["jobs"]:
                if job["status"] == "pending":
                    self.take(job)
            for claim in self.taken:
                if self.is_current(claim):
                    self.end(claim, good=True)
            self.holds()
        assert self.look()["plans"][0]["status"] != "running", "the plan never ends"


def check_votes(rows: list[Any], tasks: dict[str, Any]) -> None:
    """A vote is open exactly while its task waits for it, and enough votes are behind a verdict."""
    for qa in (row for row in rows if row["kind"] == "qa" and row["status"] == "completed"):
        verdict = decoded(qa["result"]).get("verdict")
        if verdict is None:
            continue
        ours = [row for row in rows if row["kind"] == "review" and qa["id"] in str(row["args"])]
        assert len(ours) == REVIEWERS[qa["task_id"]]
        assert not any(row["dead_at"] for row in ours), "the qa job is the dead letter"
        task = tasks[qa["task_id"]]
        left = {row["status"] for row in ours} & {"pending", "processing"}
        if verdict == "voting" and task["status"] == "running":
            assert (task["stage"], bool(left)) == ("review", True)
        else:
            assert not left
        cast = [row for row in ours if row["status"] == "completed"]
        assert verdict != "pass" or 2 * len(cast) > len(ours)
        assert verdict != "undecided" or 2 * len(cast) <= len(ours)


def decoded(value: Any) -> Any:
    """A JSON value, as either database gives it."""
    return json.loads(value) if isinstance(value, str) else value


def check_end(plan: str, tasks: dict[str, Any], events: list[Any]) -> None:
    """The plan is under way while something can go on, and its end is told once."""
    statuses = {row["status"] for row in tasks.values()}
    assert (plan == "running") == bool(statuses & {"running", "waiting"})
    assert (plan == "completed") == (statuses == {"deployed"})
    told = [event["hook_event_type"] for event in events]
    ends = sum(name in ENDS for name in told)
    assert ends - told.count("PLAN_RESUMED") == (plan != "running")


def submit_plan(connection: Any) -> None:
    """Write the plan as `flow.submission` does; every second task's deploy waits for approval."""
    texts = dict.fromkeys(("digest", "source", "plan_dir", "repo", "base_commit", "branch"), "x")
    rows = [
        {"id": task, "position": position, "title": task, "fix_round": 0, "max_fix_rounds": 1,
         "waiting_on": len(needs), "status": "waiting" if needs else "running", "plan_id": PLAN,
         "spec": {**SPEC, "approval": "manual" if position % 2 else "auto",
                  "qa_review": "always", "reviewers": [{"agent": "r"}] * REVIEWERS.get(task, 0)}}
        for position, (task, needs) in enumerate(NEEDS.items())
    ]  # fmt: skip
    plans.insert_plan(
        connection, {"id": PLAN, "name": "todo", **texts, "spec": {}}, rows,
        [(task, need) for task, needs in NEEDS.items() for need in needs],
    )  # fmt: skip
    made = [progress.new_job(row, JobKind.DEV, blocked=row["status"] == "waiting") for row in rows]
    jobs.submit(connection, made, published=True)


@pytest.fixture
def world(empty_url: str) -> Iterator[World]:
    """An empty ledger under our clock; SQLite, then PostgreSQL."""
    made = World(empty_url)
    made.set_clock(START)
    yield made
    made.ledger.close()


def test_a_plan_ends_once_whatever_happens(world: World) -> None:
    """Nothing is deployed twice or too early, and the plan is never left hanging."""
    full = 30 if os.environ.get("VIBE_FULL") else 1
    chosen = settings(
        max_examples=EXAMPLES[world.ledger.engine.dialect.name] * full,
        stateful_step_count=60,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: PlanMachine(world), settings=chosen)
