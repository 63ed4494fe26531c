from __future__ import annotations

from typing import Any

import pytest

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import JobStatus, NewJob
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.plan_list import list_plans

NEEDS = [("b", "a"), ("c", "a"), ("d", "b"), ("d", "c"), ("e", "d")]
"""A diamond with a tail: each pair is a task and one that it needs."""


def plan_row(plan_id: str = "p1", name: str = "todo", **columns: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("digest", "source", "plan_dir", "repo", "base_commit", "branch"), "x")
    return {"id": plan_id, "name": name, **texts, "spec": {"n": 1}, **columns}


def insert(database: Database, plan_id: str = "p1", **columns: Any) -> None:
    waits = {"a": 0, "b": 1, "c": 1, "d": 2, "e": 1, "f": 0}
    rows = [
        {"id": task, "position": position, "title": task, "spec": {}, "fix_round": 0,
         "max_fix_rounds": 3, "waiting_on": waits[task],
         "status": "waiting" if waits[task] else "running"}
        for position, task in enumerate(waits)
    ]  # fmt: skip
    with database.begin() as connection:
        plans.insert_plan(connection, plan_row(plan_id, **columns), rows, NEEDS)


def statuses(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return {each["id"]: each["status"] for each in plans.tasks_of(connection, "p1")}


def deploy(database: Database, task: str) -> tuple[str, ...]:
    with database.begin() as connection:
        plans.set_task(connection, "p1", task, status="deployed")
        return plans.satisfy(connection, "p1", task)


def kill(database: Database, task: str) -> tuple[str, ...]:
    with database.begin() as connection:
        plans.set_task(connection, "p1", task, status="dead")
        return plans.block_dependants(connection, "p1")


def test_a_plan_is_found_by_id_and_by_name(database: Database) -> None:
    """The latest of a name, replaced ones left out; an unknown one is an error."""
    insert(database, "p1", name="todo")
    insert(database, "p2", name="todo")
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE plans SET created_at = created_at - 9 WHERE id = 'p1'")
        assert plans.find_plan(connection, "p1")["spec"] == {"n": 1}
        assert plans.find_plan(connection, "todo")["id"] == "p2"
        assert [each["id"] for each in list_plans(connection)] == ["p2", "p1"]
        plans.set_plan_status(connection, "p2", "replaced")
        assert plans.find_plan(connection, "todo")["id"] == "p1"
        with pytest.raises(UnknownJobError, match="no plan nothing"):
            plans.find_plan(connection, "nothing")


def test_a_plan_ends_once(database: Database) -> None:
    """Of two that close it one is told so; its end is timed, a restart takes that back."""
    insert(database)
    with database.begin() as connection:
        assert plans.plan_status(connection, "p1") == "running"
        assert plans.set_plan_status(connection, "p1", "failed") is True
        assert plans.set_plan_status(connection, "p1", "failed") is False
        ended = plans.find_plan(connection, "p1")["ended_at"]
        assert ended == pytest.approx(server_time(database), abs=5)
        assert plans.set_plan_status(connection, "p1", "running") is True
        assert plans.find_plan(connection, "p1")["ended_at"] is None


def test_a_replaced_plan_keeps_its_end_and_its_branch(database: Database) -> None:
    """Only the one that was replaced last is that whose branch was set aside."""
    for number, plan_id in enumerate(("p1", "p2", "p3")):
        insert(database, plan_id, branch="vibe/todo")
        with database.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE plans SET created_at = {number + 1} WHERE id = '{plan_id}'"  # noqa: S608
            )
    with database.begin() as connection:
        plans.set_plan_status(connection, "p1", "completed")
        ended = plans.find_plan(connection, "p1")["ended_at"]
        for plan_id in ("p1", "p2"):
            plans.set_plan_status(connection, plan_id, "replaced")
        plans.move_branch(connection, plan_row("p4", branch="vibe/todo"), "vibe/todo.1")
        assert plans.find_plan(connection, "p1")["ended_at"] == ended
        assert plans.find_plan(connection, "p2")["ended_at"] is not None
        branches = {each["id"]: each["branch"] for each in list_plans(connection)}
    assert branches == {"p1": "vibe/todo", "p2": "vibe/todo.1", "p3": "vibe/todo"}


def test_a_task_starts_when_its_last_need_is_deployed(database: Database) -> None:
    """Not before, and in the plan's order."""
    insert(database)
    assert deploy(database, "a") == ("b", "c")
    assert deploy(database, "c") == ()
    assert statuses(database)["d"] == "waiting"
    assert deploy(database, "b") == ("d",)
    with database.read() as connection:
        assert plans.find_task(connection, "p1", "d")["stage"] == "dev"
        assert plans.task_counts(connection, "p1") == {"deployed": 3, "running": 2, "waiting": 1}


def test_a_dead_task_blocks_all_that_need_it(database: Database) -> None:
    """Directly or not; what does not need it goes on."""
    insert(database)
    deploy(database, "a")
    assert sorted(kill(database, "b")) == ["d", "e"]
    assert statuses(database) == {
        "a": "deployed", "b": "dead", "c": "running", "d": "blocked", "e": "blocked",
        "f": "running",
    }  # fmt: skip
    assert kill(database, "b") == ()


def test_a_blocked_task_does_not_start(database: Database) -> None:
    """Its other needs are counted all the same, so that it may start once it is unblocked."""
    insert(database)
    deploy(database, "a")
    kill(database, "b")
    assert deploy(database, "c") == ()
    with database.begin() as connection:
        plans.set_task(connection, "p1", "b", status="running")
        plans.unblock_dependants(connection, "p1")
    assert statuses(database)["d"] == "waiting"
    assert deploy(database, "b") == ("d",)


def test_another_dead_need_keeps_a_task_blocked(database: Database) -> None:
    """Of two dead needs one coming back to life is not enough."""
    insert(database)
    deploy(database, "a")
    kill(database, "b")
    kill(database, "c")
    with database.begin() as connection:
        plans.set_task(connection, "p1", "b", status="running")
        plans.unblock_dependants(connection, "p1")
    assert statuses(database)["d"] == statuses(database)["e"] == "blocked"


def test_a_plan_of_another_id_is_left_alone(database: Database) -> None:
    """Tasks of two plans may have the same names."""
    insert(database, "p1")
    insert(database, "p2")
    deploy(database, "a")
    kill(database, "c")
    with database.read() as connection:
        assert plans.task_counts(connection, "p2") == {"running": 2, "waiting": 4}


def test_a_chain_of_a_thousand_tasks_is_blocked_in_one_go(database: Database) -> None:
    """The depth of a plan is no limit."""
    rows = [
        {"id": f"t{n}", "position": n, "title": "", "spec": {}, "fix_round": 0,
         "max_fix_rounds": 3, "waiting_on": int(n > 0), "status": "waiting" if n else "running"}
        for n in range(1_000)
    ]  # fmt: skip
    with database.begin() as connection:
        needs = [(f"t{n}", f"t{n - 1}") for n in range(1, 1_000)]
        plans.insert_plan(connection, plan_row(), rows, needs)
    assert len(kill(database, "t0")) == 999


def test_only_a_change_of_status_is_timed(database: Database) -> None:
    """`status_updated_at` of a task does not follow other columns."""
    insert(database)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE tasks SET status_updated_at = 5")
        plans.set_task(connection, "p1", "a", commit_id="c0ffee")
        assert plans.find_task(connection, "p1", "a")["status_updated_at"] == 5
        plans.set_task(connection, "p1", "a", status="deployed")
        assert plans.find_task(connection, "p1", "a")["status_updated_at"] > 5
        with pytest.raises(UnknownJobError, match="no task z in plan p1"):
            plans.find_task(connection, "p1", "z")


def test_the_jobs_of_a_plan_are_found(database: Database) -> None:
    """All of them, the live ones, and the latest of a kind."""
    insert(database)
    made = [
        NewJob(id=f"{task}-{kind}", name="x", lane="code", plan_id="p1", task_id=task, kind=kind)
        for task in "ab"
        for kind in ("dev", "qa")
    ]
    with database.begin() as connection:
        jobs.submit(connection, made)
        jobs.cancel_job(connection, "a-dev", "no")
        assert len(plans.jobs_of_plan(connection, "p1")) == 4
        live = {each["id"] for each in plans.live_jobs(connection, "p1")}
        assert live == {"a-qa", "b-dev", "b-qa"}
        assert [each["id"] for each in plans.live_jobs(connection, "p1", "a")] == ["a-qa"]
        status = JobStatus.PENDING
        assert plans.job_of(connection, "p1", "a", "qa", status=status) == "a-qa"
        assert plans.job_of(connection, "p1", "a", "dev", status=status) is None
