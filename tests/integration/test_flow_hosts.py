"""A plan whose repository is an address: its jobs go from host to host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import claim, new_job, row, submit
from tests.plan_jobs import job_of, plan_of
from tests.remotes import host, new_remote, refs_of
from tests.repositories import files_of, raw
from vibe_tasks.errors import InputError, PermanentError, RepositoryError
from vibe_tasks.flow.deployment import deploy
from vibe_tasks.flow.development import develop
from vibe_tasks.flow.quality import judge
from vibe_tasks.flow.submission import Prepared, prepare, submit_plan
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Database
from vibe_tasks.store.plan_list import list_plans
from vibe_tasks.workspace.remote import Mirror

WRITES = {"type": "command", "argv": ["sh", "-c", "cat > $VIBE_TASK_ID.txt"]}


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """One commit on main."""
    return new_remote(tmp_path, {"README": "hello\n"})


def ready(folder: Path, home: str = "producer", **fields: Any) -> Prepared:
    """A plan of two tasks for the remote, as some host submits it."""
    plan = plan_of(repo=f"file://{folder / 'remote.git'}", **{"agents": {"sh": WRITES}} | fields)
    return prepare(plan, folder / "plan.yaml", home=folder / home)


def bench(ledger: Database, folder: Path, name: str, task: str, kind: str) -> Bench:
    """An attempt at the task's job of this kind, on a host of this name."""
    place = Workplace(ledger=ledger, home=folder / name, environ=os.environ)
    return set_up(place, claim(ledger, job_of(ledger, task, kind), worker=name))


def plan_row(ledger: Database, plan_id: str) -> dict[str, Any]:
    with ledger.read() as connection:
        return plans.find_plan(connection, plan_id)


def test_each_job_of_a_task_may_be_on_another_host(
    database: Database, remote: Path, tmp_path: Path
) -> None:
    """Commits go through the remote; what needs a task begins with its merge, wherever."""
    checks = ["test -f a.txt"]
    prepared = ready(tmp_path, qa={"checks": checks})
    plan_id = submit_plan(database, prepared).plan_id
    found = plan_row(database, plan_id)
    assert found["repo"] == found["remote"] == f"file://{remote}"
    assert refs_of(remote)["refs/heads/vibe/todo"] == found["base_commit"]

    for number, task in enumerate("ab"):
        for step, work in enumerate((develop, judge, deploy)):
            kind = ("dev", "qa", "deploy")[step]
            work(bench(database, tmp_path, f"host-{(number + step) % 3}", task, kind))

    assert plan_row(database, plan_id)["status"] == "completed"
    merged = host(tmp_path, "reader").branch_commit("vibe/todo")
    assert merged is not None
    assert set(files_of(host(tmp_path, "reader"), merged)) == {"README", "a.txt", "b.txt"}
    pins = [ref for ref in refs_of(remote) if ref.startswith("refs/vibe/todo/")]
    assert len(pins) == 2
    (tmp_path / "producer").rename(tmp_path / "gone")
    assert submit_refused(database, tmp_path).startswith("plan todo has ended (completed)")


def submit_refused(ledger: Database, folder: Path) -> str:
    with pytest.raises(InputError) as refused:
        submit_plan(ledger, ready(folder, "another"))
    return str(refused.value).split(";")[0]


def test_a_worker_that_died_after_its_push_is_made_up_for_elsewhere(
    database: Database, remote: Path, tmp_path: Path
) -> None:
    """What it pushed and did not write down is done again, on another host: one merge of each."""
    plan_id = submit_plan(database, ready(tmp_path)).plan_id
    for kind, work in (("dev", develop), ("qa", judge), ("deploy", deploy)):
        dead = bench(database, tmp_path, "one", "a", kind)
        with pytest.MonkeyPatch.context() as killed:
            killed.setattr(Bench, "finish", _killed)
            with pytest.raises(KeyboardInterrupt):
                work(dead)
        _lost(database, dead)
        work(bench(database, tmp_path, "two", "a", kind))
    assert row(database, job_of(database, "a", "deploy"))["status"] == "completed"
    merged = refs_of(remote)["refs/heads/vibe/todo"]
    log = raw("git", "log", "--first-parent", "--format=%p", merged, "--not", "main", cwd=remote)
    assert len(log.splitlines()) == 1
    assert plan_row(database, plan_id)["status"] == "running"


def _killed(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def _lost(ledger: Database, dead: Bench) -> None:
    with ledger.begin() as connection:
        jobs.snooze_job(connection, dead.claim.id, dead.claim.attempt, 0.0, "its worker is gone")


def test_a_submission_that_was_killed_is_repeated_from_another_host(
    database: Database, remote: Path, tmp_path: Path
) -> None:
    """The branch may be on the remote already; one with something on it is somebody else's."""
    prepared = ready(tmp_path)
    prepared.repository.create_branch("vibe/todo", prepared.base_commit)
    again = submit_plan(database, ready(tmp_path, "elsewhere"))
    assert submit_plan(database, prepared).plan_id == again.plan_id
    develop(bench(database, tmp_path, "one", "a", "dev"))
    judge(bench(database, tmp_path, "one", "a", "qa"))
    deploy(bench(database, tmp_path, "one", "a", "deploy"))
    fresh = submit_plan(database, ready(tmp_path, "elsewhere"), fresh=True)
    assert (fresh.set_aside, fresh.resumed) == ("vibe/todo.1", False)
    assert refs_of(remote)["refs/heads/vibe/todo"] == prepared.base_commit
    assert plan_row(database, again.plan_id)["branch"] == "vibe/todo.1"


@pytest.mark.usefixtures("remote")
def test_the_ledger_is_free_while_a_remote_takes_its_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remote may hang for minutes; on SQLite a submission that waited in its transaction would
    let nobody write meanwhile.
    """
    asked = []

    def while_others_write(name: str) -> None:
        ask = getattr(Mirror, name)

        def slow(mirror: Mirror, *arguments: Any, **options: Any) -> Any:
            asked.append(name)
            submit(database, new_job())
            return ask(mirror, *arguments, **options)

        monkeypatch.setattr(Mirror, name, slow)

    submit_plan(database, ready(tmp_path))
    develop(bench(database, tmp_path, "one", "a", "dev"))
    judge(bench(database, tmp_path, "one", "a", "qa"))
    deploy(bench(database, tmp_path, "one", "a", "deploy"))
    for name in ("glance", "set_aside", "create_branch"):
        while_others_write(name)
    submit_plan(database, ready(tmp_path), fresh=True)
    assert asked == ["glance", "set_aside", "create_branch"]


@pytest.mark.parametrize("repo", ["remote.git", "origin"])
def test_a_plan_is_accepted_whole_or_not_at_all(
    database: Database, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: str
) -> None:
    """Killed between its branch and its rows, there is no plan; the same command submits it, also
    when the base has moved on since. A branch from elsewhere is none of ours.
    """
    address = f"file://{remote}" if repo == "remote.git" else repo

    def prepared() -> Prepared:
        plan = plan_of(repo=address, agents={"sh": WRITES})
        return prepare(plan, tmp_path / "plan.yaml", home=tmp_path / "producer")

    first = prepared()
    with monkeypatch.context() as killed:
        killed.setattr("vibe_tasks.flow.submission._write", _killed)
        with pytest.raises(KeyboardInterrupt):
            submit_plan(database, first)
    with database.read() as connection:
        assert list_plans(connection) == ()
    assert first.repository.branch_commit("vibe/todo") == first.base_commit

    raw("git", "commit", "-q", "--allow-empty", "-m", "more", cwd=tmp_path / "origin")
    if repo == "remote.git":
        raw("git", "push", "-q", str(remote), "main", cwd=tmp_path / "origin")
    again = prepared()
    assert submit_plan(database, again).set_aside is None
    assert again.base_commit != first.base_commit
    assert again.repository.branch_commit("vibe/todo") == again.base_commit
    with database.begin() as connection:
        for table in ("jobs", "task_needs", "tasks", "plans"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    if repo == "origin":
        with pytest.raises(InputError, match="from elsewhere"):
            submit_plan(database, again)


def test_the_plan_files_folder_is_not_on_every_host(database: Database, tmp_path: Path) -> None:
    """Who names it is told so once and clearly; a program in the repository works everywhere."""
    new_remote(tmp_path, {"agent.sh": "cat > $VIBE_TASK_ID.txt\n"})
    theirs = {"type": "command", "argv": ["sh", "{plan_dir}/agent.sh"]}
    ours = {"type": "command", "argv": ["sh", "agent.sh"]}
    tasks = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b", "agent": "ours"}]
    (tmp_path / "plans").mkdir()
    address = f"file://{tmp_path / 'remote.git'}"
    plan = plan_of(repo=address, agents={"sh": theirs, "ours": ours}, tasks=tasks)
    submit_plan(
        database, prepare(plan, tmp_path / "plans" / "plan.yaml", home=tmp_path / "producer")
    )
    (tmp_path / "plans").rmdir()  # as on a host that never had it
    with pytest.raises(PermanentError, match=r"needs the plan file's folder .*plans, which is not"):
        develop(bench(database, tmp_path, "one", "a", "dev"))
    result, _ = develop(bench(database, tmp_path, "one", "b", "dev"))
    assert result["changed"]


def test_a_local_repository_is_on_one_host_alone(database: Database, tmp_path: Path) -> None:
    """A worker elsewhere says what the plan lacks."""
    new_remote(tmp_path)
    prepared = prepare(plan_of(repo="origin"), tmp_path / "plan.yaml", home=tmp_path / "producer")
    submit_plan(database, prepared)
    (tmp_path / "origin").rename(tmp_path / "moved")
    with pytest.raises(RepositoryError, match="need a plan whose `repo` is an address"):
        bench(database, tmp_path, "one", "a", "dev")


def test_an_address_that_does_not_answer_refuses_the_plan(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(RepositoryError, match="file:///nowhere"):
        prepare(plan_of(repo="file:///nowhere"), tmp_path / "plan.yaml", home=tmp_path / "home")
