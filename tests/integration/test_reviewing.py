"""Reviewers' votes in the ledger: who votes last decides, whatever becomes of the others."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.faults import START, World
from tests.ledgers import claim, middle
from tests.plan_jobs import job_of
from tests.reviews import Panel
from vibe_tasks.errors import IllegalMoveError, InputError, LeaseLostError
from vibe_tasks.flow import attempts, control, outside
from vibe_tasks.flow.report import run_report
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import jobs, usage, version
from vibe_tasks.store.consensus import runs_of, spec_id_of
from vibe_tasks.store.engine import Database, open_database


def runs(panel: Panel) -> tuple[dict[str, Any], ...]:
    """What is kept of the task's decisions."""
    with panel.ledger.read() as connection:
        return runs_of(connection, [spec_id_of(panel.plan_id, "a")])


def test_the_last_vote_decides(database: Database, tmp_path: Path) -> None:
    """Two of three pass the work; the votes are kept, and nothing is decided before the last."""
    panel = Panel(database, tmp_path)
    assert panel.live() == ["review"] * 3
    panel.cast(2, "pass")
    panel.cast(3, "pass")
    assert (panel.verdict(), panel.live()) == ("voting", ["review"])
    panel.cast(1, "fail", "a.txt is missing")
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    assert panel.events() == ["QA_PASSED"]
    (run,) = runs(panel)
    assert (run["stage"], run["consensus_ok"], run["degraded"]) == ("qa", 1, 0)
    assert run["synthesis"]["summary"] == "1 check passed; 2 of 3 reviewers for it"
    assert [output["agent_name"] for output in run["outputs"]] == ["r1", "r2", "r3"]
    assert "a.txt is missing" in run["outputs"][0]["content"]


@pytest.mark.parametrize(("rule", "verdict"), [("majority", "pass"), ("unanimous", "fail")])
def test_the_rule_of_the_plan_counts(
    sqlite_ledger: Database, tmp_path: Path, rule: str, verdict: str
) -> None:
    """One vote against is enough where all must be for it."""
    panel = Panel(sqlite_ledger, tmp_path, rule=rule)
    for number, said in enumerate(("pass", "fail", "pass"), start=1):
        panel.cast(number, said)
    assert panel.verdict() == verdict


@pytest.mark.parametrize("review", ["always", "passed"])
def test_a_failed_check_refuses_what_all_reviewers_pass(
    sqlite_ledger: Database, tmp_path: Path, review: str
) -> None:
    """They are asked all the same, for the fix, unless the plan spares them."""
    panel = Panel(sqlite_ledger, tmp_path, checks=(0, 3), review=review)
    if review == "always":
        panel.cast(1, "pass")
        panel.cast(2, "pass", "only a typo")
        panel.cast(3, "fail", "off by one")
    assert (panel.verdict(), panel.live()) == ("fail", ["fix"])
    assert len(panel.seats()) == (3 if review == "always" else 0)
    with sqlite_ledger.read() as connection:
        fix = jobs.find_job(connection, job_of(sqlite_ledger, "a", "fix"))
    report = fix["args"]["kwargs"]["report"]
    assert report["summary"].startswith("check failed: exit 3 (exit code 3)")
    assert [check["passed"] for check in report["checks"]] == [True, False]
    found = ["r3: off by one", "r2: only a typo"] if review == "always" else None
    assert report.get("findings") == found


def test_a_dead_reviewer_degrades_the_run(database: Database, tmp_path: Path) -> None:
    """It is retried once; then two of three decide, which is said; it is no dead letter itself."""
    panel = Panel(database, tmp_path)
    panel.cast(1, "pass")
    panel.end(2, "failure", "exploded")
    panel.cast(3, "pass")
    assert (panel.verdict(), panel.live()) == ("voting", ["review"]), "it has its second attempt"
    panel.make_due(2)
    panel.end(2, "failure", "exploded again")
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    assert panel.events() == ["QA_DEGRADED", "QA_PASSED"]
    assert panel.dead_letters() == []
    (run,) = runs(panel)
    assert (run["consensus_ok"], run["degraded"], len(run["outputs"])) == (1, 1, 2)
    assert run["synthesis"]["absent"] == "reviewer 2 (r2): exploded again"
    with database.read() as connection:
        told = run_report(connection, panel.plan_id, commit=None)["tasks"][0]
    assert told["consensus"] == {"runs": 1, "degraded": 1, "undecided": 0}
    assert told["attempts"]["review"] == 4
    with pytest.raises(IllegalMoveError, match="decided"):
        control.retry_job(database, panel.seat(2)["id"])


def test_too_few_votes_wait_for_a_person(database: Database, tmp_path: Path) -> None:
    """The qa job is the dead letter; a retry asks those again who did not vote, and only them."""
    panel = Panel(database, tmp_path)
    panel.cast(1, "pass")
    panel.end(2, "permanent", "wrong key")
    panel.end(3, "permanent", "no such model")
    assert (panel.verdict(), panel.live(), panel.dead_letters()) == ("undecided", [], ["qa"])
    assert panel.task()["status"] == "dead"
    assert panel.task()["error"] == (
        "undecided: 1 of 3 reviewers voted; "
        "reviewer 2 (r2): wrong key; reviewer 3 (r3): no such model"
    )
    assert panel.events() == ["QA_UNDECIDED", "TASK_DEAD", "PLAN_FAILED"]
    control.retry_job(database, panel.qa()["id"])
    assert (panel.verdict(), panel.dead_letters()) == ("voting", [])
    assert panel.qa()["result"]["summary"] == "1 check passed"
    assert [row["status"] for row in panel.seats()] == ["completed", "pending", "pending"]
    panel.cast(3, "pass")
    panel.cast(2, "fail", "no")
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    assert [run["synthesis"]["verdict"] for run in runs(panel)] == ["undecided", "pass"]
    assert panel.qa()["result"]["summary"] == "1 check passed; 2 of 3 reviewers for it"


def test_a_failed_check_needs_no_votes(sqlite_ledger: Database, tmp_path: Path) -> None:
    """With no vote at all the work is refused by its checks, and not undecided."""
    panel = Panel(sqlite_ledger, tmp_path, checks=(1,))
    for number in (1, 2, 3):
        panel.end(number, "permanent", "wrong key")
    assert (panel.verdict(), panel.live()) == ("fail", ["fix"])
    assert panel.events() == ["QA_DEGRADED", "QA_FAILED"]


def test_the_last_two_votes_at_once_decide_once(database: Database, tmp_path: Path) -> None:
    """Each sees the other, or waits for it: one decision, one deploy job, however they meet."""
    panel = Panel(database, tmp_path)
    panel.cast(1, "pass")
    benches = [panel.bench(panel.seat(number)["id"]) for number in (2, 3)]
    gate = threading.Barrier(2)

    def cast(bench: Any) -> None:
        gate.wait(60)
        bench.finish({"verdict": "pass", "findings": []}, Outcome.DONE, commit=panel.base)

    threads = [threading.Thread(target=cast, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    assert len(runs(panel)) == 1
    assert panel.events() == ["QA_PASSED"]


def test_a_lost_vote_is_cast_by_the_next_attempt_alone(database: Database, tmp_path: Path) -> None:
    """A worker that was taken for dead cannot vote twice, nor after the decision."""
    panel = Panel(database, tmp_path)
    panel.cast(1, "pass")
    panel.cast(2, "fail")
    slow = panel.bench(panel.seat(3)["id"])
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET lease_until = 1 WHERE status = 'processing'")
    attempts.reap(database, uniform=middle)
    panel.cast(3, "pass")
    assert panel.verdict() == "pass"
    with pytest.raises(LeaseLostError):
        slow.finish({"verdict": "fail"}, Outcome.DONE, commit=panel.base)
    assert (panel.verdict(), panel.live(), len(runs(panel))) == ("pass", ["deploy"], 1)


def test_a_worker_that_dies_in_the_last_vote_leaves_nothing_half_done(
    empty_url: str, tmp_path: Path
) -> None:
    """Killed before any statement of it, the vote is not cast; done, all of it is there."""
    world = World(empty_url)
    world.set_clock(START)
    panel = Panel(world.ledger, tmp_path)
    panel.cast(1, "pass")
    panel.end(2, "permanent", "wrong key")
    bench = panel.bench(panel.seat(3)["id"])
    for statements in count():
        with world.process():
            world.fault.arm(statements, deadly=True)
            bench.finish({"verdict": "pass", "findings": []}, Outcome.DONE, commit=panel.base)
        if not world.fault.struck:
            break
        assert (panel.verdict(), panel.seat(3)["status"]) == ("voting", "processing")
        assert (runs(panel), panel.live()) == ((), ["review"])
    assert statements > 10, "it takes so many statements"
    assert (panel.verdict(), panel.live(), len(runs(panel))) == ("pass", ["deploy"], 1)
    assert panel.events() == ["QA_DEGRADED", "QA_PASSED"]
    world.ledger.close()


# --- seats that have to wait ------------------------------------------------------------------


def use_up(panel: Panel, agent: str) -> None:
    """This reviewer has a budget, and nothing is left of it."""
    with panel.ledger.begin() as connection:
        usage.set_budget(connection, panel.plan_id, "agent", agent, 1.0, None, None)
        usage.record(
            connection, job_id="before", attempt=1, plan_id=panel.plan_id, task_id="a",
            agent=agent, kind="review", cost_usd=1.0,
        )  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["snooze", "block"])
def test_a_seat_that_has_to_wait_holds_nobody_up(
    database: Database, tmp_path: Path, first: bool, kind: str
) -> None:
    """An open breaker, a usage limit, a budget: enough votes decide without it, and its job ends,
    whether it was put off before the last vote or after it.
    """
    panel = Panel(database, tmp_path)
    if kind == "block":
        use_up(panel, "r2")
    if first:
        panel.end(2, kind, "circuit breaker r2 is open", wait=600.0)
    panel.cast(1, "pass")
    assert panel.verdict() == "voting"
    panel.cast(3, "pass")
    if not first:
        assert panel.verdict() == "voting"
        panel.end(2, kind, "circuit breaker r2 is open", wait=600.0)
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    assert panel.seat(2)["status"] == "cancelled"
    assert panel.seat(2)["error"] == "decided without it; it waits: circuit breaker r2 is open"
    assert panel.events()[-2:] == ["QA_DEGRADED", "QA_PASSED"]


def test_without_enough_votes_a_waiting_seat_is_waited_for(
    sqlite_ledger: Database, tmp_path: Path
) -> None:
    """Nor is one left behind whose own failure put it off: it has its second attempt."""
    panel = Panel(sqlite_ledger, tmp_path)
    panel.end(1, "permanent", "wrong key")
    panel.end(2, "snooze", "resets 8pm", wait=600.0)
    panel.cast(3, "pass")
    assert (panel.verdict(), panel.live()) == ("voting", ["review"])
    panel.make_due(2)
    panel.end(2, "failure", "exploded")
    assert (panel.verdict(), panel.live()) == ("voting", ["review"])
    panel.make_due(2)
    panel.cast(2, "pass")
    assert panel.verdict() == "pass"


def test_failed_checks_wait_for_no_waiting_seat(sqlite_ledger: Database, tmp_path: Path) -> None:
    """The facts are known, and a fix can begin."""
    panel = Panel(sqlite_ledger, tmp_path, checks=(1,))
    for number in (1, 2, 3):
        panel.end(number, "snooze", "resets 8pm", wait=600.0)
    assert (panel.verdict(), panel.live()) == ("fail", ["fix"])


# --- people -----------------------------------------------------------------------------------


def test_a_person_may_do_without_a_reviewer(database: Database, tmp_path: Path) -> None:
    """A cancelled review is a vote that is missing; the task goes on, and the decision is sent."""
    panel = Panel(database, tmp_path)
    panel.cast(1, "pass")
    panel.cast(2, "pass")
    control.cancel_job(database, panel.seat(3)["id"], "takes for ever")
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])
    with database.read() as connection:
        deploy = jobs.find_job(connection, job_of(database, "a", "deploy"))
    assert deploy["published_at"] is None, "the dispatcher sends it"


def test_a_plan_cancelled_while_they_vote_comes_back(database: Database, tmp_path: Path) -> None:
    """Any of the cancelled reviews brings back all of them; a vote that was cast is kept."""
    panel = Panel(database, tmp_path)
    panel.cast(2, "pass")
    control.cancel_plan(database, panel.plan_id, "stop")
    assert (panel.live(), panel.task()["status"]) == ([], "cancelled")
    with pytest.raises(IllegalMoveError, match="completed"):
        control.retry_job(database, panel.seat(2)["id"])
    control.retry_job(database, panel.seat(3)["id"])
    assert (panel.live(), panel.task()["status"]) == (["review"] * 2, "running")
    with pytest.raises(IllegalMoveError):
        control.retry_job(database, panel.seat(1)["id"])
    panel.cast(1, "pass")
    panel.cast(3, "pass")
    assert (panel.verdict(), panel.live()) == ("pass", ["deploy"])


def test_consumers_outside_check_and_vote_too(database: Database, tmp_path: Path) -> None:
    """A qa job done elsewhere asks the reviewers, and a review done elsewhere is a vote."""
    panel = Panel(database, tmp_path, checks=(1,), review="passed")
    panel.do("fix", panel.base)

    def hand_in(job_id: str, result: dict[str, Any], attempt: int | None = None) -> None:
        attempt = attempt or claim(database, job_id).attempt
        with database.begin() as connection:
            outside.complete(connection, jobs.find_job(connection, job_id), attempt, result)

    hand_in(panel.qa()["id"], {"verdict": "pass", "summary": "looked at it"})
    assert (panel.verdict(), panel.live()) == ("voting", ["review"] * 3)
    with pytest.raises(InputError, match="a review job must have a `verdict`"):
        hand_in(panel.seat(1)["id"], {"findings": ["no"]})
    for findings in (None, "no", [1]):
        with pytest.raises(InputError, match="`findings` of a review job must be a list of texts"):
            hand_in(panel.seat(1)["id"], {"verdict": "fail", "findings": findings}, 1)
    for number, attempt in ((1, 1), (2, None), (3, None)):
        hand_in(panel.seat(number)["id"], {"verdict": "fail", "findings": ["no"]}, attempt)
    assert (panel.verdict(), panel.dead_letters()) == ("fail", ["qa"])
    assert panel.task()["error"] == "refused by 3 of 3 reviewers: r1: no"


def test_votes_of_any_shape_are_counted(database: Database, tmp_path: Path) -> None:
    """What once came in from outside decides like any other vote, as far as it can be read."""
    panel = Panel(database, tmp_path, rule="unanimous")
    odd: tuple[dict[str, Any], ...] = (
        {"verdict": "pass", "findings": None, "model": {"name": "x"}},
        {"verdict": "fail", "findings": ["a\x00b", 5]},
        {"verdict": "pass", "findings": "no"},
    )
    for number, said in enumerate(odd, start=1):
        panel.bench(panel.seat(number)["id"]).finish(said, Outcome.DONE, commit=panel.base)
    assert (panel.verdict(), panel.live()) == ("fail", ["fix"])
    assert panel.qa()["result"]["findings"] == ["r2: a\N{REPLACEMENT CHARACTER}b"]


def test_a_broken_row_keeps_no_lease_from_being_taken_back(
    database: Database, tmp_path: Path
) -> None:
    """Whatever it raises is logged: the others have their next attempt."""
    panel = Panel(database, tmp_path)
    broken, sound = sorted(panel.seat(number)["id"] for number in (1, 2))
    for job_id in (broken, sound):
        claim(database, job_id)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET lease_until = 1 WHERE status = 'processing'")
        connection.exec_driver_sql(
            'UPDATE jobs SET max_retries = 1, args = \'{"args": [], "kwargs": {}}\' '  # noqa: S608
            f"WHERE id = '{broken}'"
        )
    reaped = attempts.reap(database, uniform=middle)
    assert (reaped.taken, reaped.dead) == (1, ())
    with database.read() as connection:
        found = [jobs.find_job(connection, each)["status"] for each in (broken, sound)]
    assert found == ["processing", "pending"]


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Any:
    """An open ledger on SQLite, for what no database can change."""
    ledger = open_database(sqlite_url)
    version.create(ledger)
    yield ledger
    ledger.close()
