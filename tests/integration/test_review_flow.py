"""The way of plans through crashes, cancellations and rival processes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import claim, row
from tests.plan_jobs import job_of, plan_of, prepared
from tests.repositories import new_commit, new_repository, raw, write
from vibe_tasks.cli.crew import remove_leftovers
from vibe_tasks.errors import InputError, LeaseLostError, PermanentError, RepositoryError
from vibe_tasks.flow import control
from vibe_tasks.flow.deployment import deploy
from vibe_tasks.flow.submission import prepare, submit_plan
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import plans
from vibe_tasks.store.engine import Database
from vibe_tasks.store.plan_list import list_plans
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.worktree import checkout


def bench_of(ledger: Database, folder: Path, job_id: str) -> Bench:
    """An attempt at the job, set up."""
    place = Workplace(ledger=ledger, home=folder / "home", environ={})
    return set_up(place, claim(ledger, job_id))


def to_deploy(ledger: Database, folder: Path, task: str, commit: str) -> str:
    """Bring the task to its deploy job; that job."""
    for kind, outcome in (("dev", Outcome.DONE), ("qa", Outcome.PASSED)):
        bench_of(ledger, folder, job_of(ledger, task, kind)).finish({}, outcome, commit=commit)
    return job_of(ledger, task, "deploy")


def task_status(ledger: Database, plan_id: str) -> dict[str, str]:
    with ledger.read() as connection:
        return {each["id"]: each["status"] for each in plans.tasks_of(connection, plan_id)}


def plan_status(ledger: Database, plan_id: str) -> str:
    with ledger.read() as connection:
        return plans.plan_status(connection, plan_id)


# --- retry by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_a_cancelled_deploy_comes_back_to_its_approval(
    database: Database, tmp_path: Path, whole: bool
) -> None:
    """What waited for a person and was cancelled waits for that person again."""
    ready = prepared(tmp_path, deploy={"approval": "manual"})
    plan_id = submit_plan(database, ready).plan_id
    job_id = to_deploy(database, tmp_path, "a", ready.base_commit)
    assert row(database, job_id)["status"] == "blocked"
    if whole:
        control.cancel_plan(database, plan_id, "stop")
    else:
        control.cancel_job(database, job_id, "stop")
    control.retry_job(database, job_id)
    assert row(database, job_id)["status"] == "blocked"
    assert task_status(database, plan_id)["a"] == "running"
    control.approve(database, plan_id)
    assert row(database, job_id)["status"] == "pending"


def test_an_approved_deploy_that_ran_comes_back_at_once(database: Database, tmp_path: Path) -> None:
    """Its approval is not asked for twice."""
    ready = prepared(tmp_path, deploy={"approval": "manual"})
    plan_id = submit_plan(database, ready).plan_id
    job_id = to_deploy(database, tmp_path, "a", ready.base_commit)
    control.approve(database, plan_id)
    claim(database, job_id)
    control.cancel_job(database, job_id, "stop")
    control.retry_job(database, job_id)
    assert row(database, job_id)["status"] == "pending"


def test_a_cancelled_task_comes_back_to_wait_for_its_needs(
    database: Database, tmp_path: Path
) -> None:
    """A dev job never starts before what it needs is deployed."""
    ready = prepared(tmp_path)
    plan_id = submit_plan(database, ready).plan_id
    job_id = job_of(database, "b", "dev")
    control.cancel_job(database, job_id, "stop")
    control.retry_job(database, job_id)
    assert row(database, job_id)["status"] == "blocked"
    assert task_status(database, plan_id) == {"a": "running", "b": "waiting"}
    deploy_id = to_deploy(database, tmp_path, "a", ready.base_commit)
    deploy(bench_of(database, tmp_path, deploy_id))
    assert row(database, job_id)["status"] == "pending"
    assert task_status(database, plan_id) == {"a": "deployed", "b": "running"}


def test_a_cancelled_plan_does_not_wait_for_what_stays_cancelled(
    database: Database, tmp_path: Path
) -> None:
    """A task whose need is cancelled comes back blocked, and its plan is not left running."""
    plan_id = submit_plan(database, prepared(tmp_path)).plan_id
    control.cancel_plan(database, plan_id, "stop")
    control.retry_job(database, job_of(database, "b", "dev"))
    assert task_status(database, plan_id) == {"a": "cancelled", "b": "blocked"}
    assert plan_status(database, plan_id) == "failed"
    control.retry_job(database, job_of(database, "a", "dev"))
    assert task_status(database, plan_id) == {"a": "running", "b": "waiting"}
    assert plan_status(database, plan_id) == "running"


# --- fences -----------------------------------------------------------------------------------


def test_a_deploy_command_needs_the_lease(database: Database, tmp_path: Path) -> None:
    """The commit may be on the branch already: then the merge asks for no lease."""
    ready = prepared(tmp_path, deploy={"command": f"touch {tmp_path / 'deployed'}"})
    submit_plan(database, ready)
    job_id = to_deploy(database, tmp_path, "a", ready.base_commit)
    bench = bench_of(database, tmp_path, job_id)
    control.cancel_job(database, job_id, "stop")
    with pytest.raises(LeaseLostError):
        deploy(bench)
    assert not (tmp_path / "deployed").exists()


@pytest.mark.parametrize("merged", [True, False])
def test_a_branch_that_is_gone_is_not_begun_again_without_its_merges(
    database: Database, tmp_path: Path, merged: bool
) -> None:
    """Where nothing was merged yet there is nothing to lose."""
    tasks = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b"}]
    ready = prepared(tmp_path, tasks=tasks)
    submit_plan(database, ready)
    work = new_commit(ready.repository, ready.base_commit, {"a.txt": "a\n"})
    if merged:
        deploy(bench_of(database, tmp_path, to_deploy(database, tmp_path, "a", work)))
    raw("git", "branch", "-m", "vibe/todo", "result", cwd=ready.repository.path)
    bench = bench_of(database, tmp_path, to_deploy(database, tmp_path, "b", work))
    if merged:
        with pytest.raises(PermanentError, match="gone"):
            deploy(bench)
        assert ready.repository.branch_commit("vibe/todo") is None
    else:
        deploy(bench)
        assert ready.repository.is_ancestor(work, ready.repository.resolve("vibe/todo"))


# --- starting over ----------------------------------------------------------------------------


class Breaks(Repository):
    """A repository whose disk is full when the new branch is to be made."""

    def create_branch(self, branch: str, commit: str) -> None:  # noqa: ARG002
        """Fail."""
        raise RepositoryError("no space left on device")


def test_a_broken_fresh_start_leaves_no_plan_without_its_branch(
    database: Database, tmp_path: Path
) -> None:
    """The old plan must not go on upon a branch that lacks what it has merged."""
    ready = prepared(tmp_path)
    old = submit_plan(database, ready).plan_id
    work = new_commit(ready.repository, ready.base_commit, {"a.txt": "a\n"})
    deploy(bench_of(database, tmp_path, to_deploy(database, tmp_path, "a", work)))
    broken = replace(ready, repository=Breaks(**_fields(ready.repository)))
    with pytest.raises(RepositoryError, match="no space"):
        submit_plan(database, broken, fresh=True)
    again = submit_plan(database, ready)
    assert not again.resumed
    assert plan_status(database, old) == "replaced"
    assert ready.repository.is_ancestor(work, ready.repository.resolve("vibe/todo.1"))


def test_a_branch_in_use_refuses_a_fresh_start_whole(database: Database, tmp_path: Path) -> None:
    """The plan that is under way stays under way."""
    ready = prepared(tmp_path)
    old = submit_plan(database, ready).plan_id
    raw("git", "checkout", "-q", "vibe/todo", cwd=ready.repository.path)
    with pytest.raises(RepositoryError, match="checked out"):
        submit_plan(database, ready, fresh=True)
    assert plan_status(database, old) == "running"


@pytest.mark.postgres
def test_two_fresh_starts_at_once_are_one_plan(database: Database, tmp_path: Path) -> None:
    """The second finds the first's plan; they never share a branch."""
    ready = prepared(tmp_path)
    submit_plan(database, ready)
    made: list[object] = []
    gate = threading.Barrier(2)

    def start() -> None:
        gate.wait(60)
        try:
            made.append(submit_plan(database, ready, fresh=True).plan_id)
        except InputError as error:
            made.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.read() as connection:
        running = [each for each in list_plans(connection) if each["status"] == "running"]
    assert len(running) == 1, made


def _fields(repository: Repository) -> dict[str, Any]:
    return {name: getattr(repository, name) for name in ("path", "common_dir", "bare")}


# --- mirrors ----------------------------------------------------------------------------------


def test_plans_of_one_name_have_a_mirror_for_each_address(tmp_path: Path) -> None:
    """Another `repo` in the plan means another repository."""
    for name in ("one", "two"):
        origin = new_repository(tmp_path / name, {"name.txt": name})
        ready = prepare(
            plan_of(repo=f"file://{origin.path}"), tmp_path / "plan.yaml", home=tmp_path / "home"
        )
        assert ready.base_commit == origin.resolve("main")


def test_a_mirror_knows_the_branches_of_its_remote(tmp_path: Path) -> None:
    """`base` may name any of them, and means what it is there now."""
    origin = new_repository(tmp_path / "origin")
    raw("git", "branch", "release", cwd=origin.path)
    plan = plan_of(repo=f"file://{origin.path}", base="release")
    prepare(plan, tmp_path / "plan.yaml", home=tmp_path / "home")
    raw("git", "checkout", "-q", "release", cwd=origin.path)
    raw("git", "commit", "-q", "--allow-empty", "-m", "new", cwd=origin.path)
    ready = prepare(plan, tmp_path / "plan.yaml", home=tmp_path / "home")
    assert ready.base_commit == origin.resolve("release")


# --- leftovers --------------------------------------------------------------------------------


def test_a_killed_attempt_leaves_nothing_in_the_repository(tmp_path: Path) -> None:
    """Clearing up takes its folder, and its entry in git's list of worktrees."""
    repository = new_repository(tmp_path / "repo")
    folders = tmp_path / "worktrees"
    killed = checkout(repository, repository.resolve("main"), folders / "job-1")
    live = checkout(repository, repository.resolve("main"), folders / "job-2")
    killed.__enter__()
    live.__enter__()
    write(folders / "job-1", {"closed/file": "x"})
    (folders / "job-1" / "closed").chmod(0o500)
    remove_leftovers(folders, {"job-2"})
    assert [folder.name for folder in folders.iterdir()] == ["job-2"]
    listed = raw("git", "worktree", "list", "--porcelain", cwd=repository.path)
    assert "job-2" in listed
    assert "job-1" not in listed


def test_a_bent_link_leads_clearing_up_nowhere(tmp_path: Path) -> None:
    """An agent may write anything into `.git`; only an entry of that very worktree is removed."""
    precious = tmp_path / "worktrees" / "precious"
    write(precious, {"file": "x"})
    write(tmp_path / "left" / "job-1", {".git": f"gitdir: {precious}\n"})
    remove_leftovers(tmp_path / "left", set())
    assert (precious / "file").exists()
    assert not (tmp_path / "left" / "job-1").exists()
