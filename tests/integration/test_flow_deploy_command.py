"""The command after a merge: what it does not confirm is taken back, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest

from tests.ledgers import backdate, claim, middle, row
from tests.plan_jobs import job_of, prepared
from tests.remotes import new_remote
from tests.repositories import new_commit, raw
from vibe_tasks.errors import TransientError
from vibe_tasks.flow.attempts import Ending, settle
from vibe_tasks.flow.deployment import deploy
from vibe_tasks.flow.development import develop
from vibe_tasks.flow.submission import Prepared, submit_plan
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import events
from vibe_tasks.store.engine import Database
from vibe_tasks.workspace.merge import merge
from vibe_tasks.workspace.remote import Mirror

PARALLEL = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b"}]

MENDS = {"type": "command", "argv": ["sh", "-c", "grep -q '^<<<<' a.txt && echo both > a.txt"]}
"""An agent that finds a conflict in a.txt, and ends it."""


class Place:
    """A plan of two tasks that need nothing, on a branch of a repository.

    Attributes:
        ledger: The ledger.
        ready: The plan.
    """

    def __init__(self, ledger: Database, folder: Path, ready: Prepared) -> None:
        self.ledger, self.ready, self._folder = ledger, ready, folder
        self.plan_id = submit_plan(ledger, ready).plan_id

    def bench(self, job_id: str) -> Bench:
        """An attempt at the job."""
        place = Workplace(ledger=self.ledger, home=self._folder / "home", environ=os.environ)
        return set_up(place, claim(self.ledger, job_id))

    def to_deploy(self, task: str) -> str:
        """Bring the task, with a file of its own, to its deploy job; that job."""
        commit = new_commit(self.ready.repository, self.ready.base_commit, {f"{task}.txt": "x\n"})
        for kind, outcome in (("dev", Outcome.DONE), ("qa", Outcome.PASSED)):
            bench = self.bench(job_of(self.ledger, task, kind))
            bench.finish({}, outcome, commit=commit)
        return job_of(self.ledger, task, "deploy")

    def fail(self, bench: Bench) -> str:
        """Deploy, which fails; the error, after it was written down and the wait is over."""
        with pytest.raises(TransientError) as failed:
            deploy(bench)
        ending = Ending(kind="failure", text=str(failed.value), wait=0.0)
        settle(self.ledger, bench.claim, ending, uniform=middle)
        backdate(self.ledger, bench.claim.id, ["status_updated_at"], 1.0)
        return str(failed.value)

    def merged_and_killed(self, job_id: str) -> str:
        """A deploy that died between its merge and its command; its merge commit."""
        bench = self.bench(job_id)
        made = merge(
            self.ready.repository, branch="vibe/todo", commit=bench.commit,
            message=f"Merge it\n\nVibe-Job: {job_id}\n", fence=bench.fence,
        )  # fmt: skip
        ending = Ending(kind="failure", text="WorkerLost", wait=0.0)
        settle(self.ledger, bench.claim, ending, uniform=middle)
        return made.commit

    @property
    def tip(self) -> str | None:
        """Where the branch stands."""
        return self.ready.repository.branch_commit("vibe/todo")

    def files(self) -> set[str]:
        """What is on the branch."""
        names = raw("git", "ls-tree", "--name-only", str(self.tip), cwd=self.ready.repository.path)
        return set(names.split())

    def rolled_back(self) -> list[Any]:
        """The payloads of the events that say so."""
        with self.ledger.read() as connection:
            found = events.recent(connection, session=self.plan_id)
        return [each["payload"] for each in found if each["hook_event_type"] == "ROLLED_BACK"]


BOTH = pytest.mark.parametrize("place", ["local", "remote"], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Place:
    """A plan whose command passes where the file `good` is; on this machine, or on a remote."""
    fields: dict[str, Any] = {}
    if getattr(request, "param", "local") == "remote":
        new_remote(tmp_path)
        fields["repo"] = f"file://{tmp_path / 'remote.git'}"
    command = f"echo looking; test -e {tmp_path / 'good'} && test -f a.txt"
    ready = prepared(
        tmp_path, tasks=PARALLEL, deploy={"command": command}, agents={"sh": MENDS}, **fields
    )
    return Place(database, tmp_path, ready)


@BOTH
def test_a_merge_that_the_command_refuses_is_taken_back(place: Place, tmp_path: Path) -> None:
    """Each time, and the next attempt merges anew; when the command passes it stays."""
    job_id = place.to_deploy("a")
    for _ in range(2):
        said = place.fail(place.bench(job_id))
        assert said.startswith("deploy command failed: echo looking;")
        assert said.endswith(" (exit code 1); the merge is taken back.\nIt said: looking")
        assert place.tip == place.ready.base_commit
    assert [each["job_id"] for each in place.rolled_back()] == [job_id] * 2

    (tmp_path / "good").touch()
    result, _ = deploy(place.bench(job_id))
    assert place.tip == result["merge_commit"]
    assert place.files() == {"README", "a.txt"}
    assert len(place.rolled_back()) == 2


def test_deploys_with_a_command_run_one_at_a_time(place: Place) -> None:
    """So that no other merge is on top of the one that is taken back."""
    first, second = place.to_deploy("a"), place.to_deploy("b")
    keys = {row(place.ledger, each)["concurrency_key"] for each in (first, second)}
    assert keys == {f"deploy {place.plan_id}"}
    assert row(place.ledger, job_of(place.ledger, "a", "dev"))["concurrency_key"] is None


def test_what_others_put_on_the_branch_meanwhile_stays(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge under it stays too: a branch that has moved on is left alone."""
    theirs = new_commit(place.ready.repository, place.ready.base_commit, {"theirs.txt": "x\n"})
    take = Bench.fence
    fences = []

    def fence(bench: Bench) -> None:
        take(bench)
        fences.append(place.tip)
        if len(fences) == 3:  # before the merge, before the command, before it is taken back
            merge(
                place.ready.repository, branch="vibe/todo", commit=theirs, message="Mine",
                fence=lambda: None,
            )  # fmt: skip

    monkeypatch.setattr(Bench, "fence", fence)
    said = place.fail(place.bench(place.to_deploy("a")))
    assert "; the merge stays: the branch cannot be moved back." in said
    assert place.files() == {"README", "a.txt", "theirs.txt"}
    assert place.rolled_back() == []
    monkeypatch.undo()
    (tmp_path / "good").touch()
    deploy(place.bench(job_of(place.ledger, "a", "deploy")))
    assert place.files() == {"README", "a.txt", "theirs.txt"}


@BOTH
def test_a_killed_deploys_merge_is_no_ground_for_others(place: Place, tmp_path: Path) -> None:
    """It may be taken back yet: nothing begins with it, and the next deploy takes it back."""
    (tmp_path / "good").touch()
    dead = place.to_deploy("a")
    left = place.merged_and_killed(dead)
    assert place.tip == left
    second = place.to_deploy("b")
    bench = place.bench(second)
    assert bench.tip() == place.ready.base_commit

    place.fail(bench)  # there is no a.txt without the other's merge
    assert place.tip == place.ready.base_commit
    taken = [(each["task"], each["job_id"]) for each in place.rolled_back()]
    assert taken == [("a", dead), ("b", second)]

    deploy(place.bench(dead))
    deploy(place.bench(second))
    assert place.files() == {"README", "a.txt", "b.txt"}


@pytest.mark.parametrize("place", ["remote"], indirect=True)
def test_a_remote_may_let_nobody_move_a_branch_back(place: Place, tmp_path: Path) -> None:
    """Then the merge stays, the error says so, and nobody waits for the remote to think better."""
    raw("git", "config", "receive.denyNonFastForwards", "true", cwd=tmp_path / "remote.git")
    said = place.fail(place.bench(place.to_deploy("a")))
    assert "; the merge stays: the branch cannot be moved back." in said
    assert place.files() == {"README", "a.txt"}
    assert place.rolled_back() == []


def test_a_killed_deploy_merges_anew(place: Place, tmp_path: Path) -> None:
    """Its own merge that is not confirmed is taken back: it is on the branch once, as another."""
    (tmp_path / "good").touch()
    job_id = place.to_deploy("a")
    left = place.merged_and_killed(job_id)
    result, _ = deploy(place.bench(job_id))
    assert place.tip == result["merge_commit"] != left
    assert [each["merge_commit"] for each in place.rolled_back()] == [left]
    between = f"{place.ready.base_commit}..{place.tip}"
    log = raw("git", "log", "--merges", "--format=%h", between, cwd=place.ready.repository.path)
    assert len(log.split()) == 1


@pytest.mark.parametrize("place", ["remote"], indirect=True)
def test_a_rollback_that_arrives_late_takes_nothing_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt's push to take its merge back is under way for so long that the next attempt has
    deployed the same commit by then: that merge is another one, and stays.
    """
    job_id, move, late = place.to_deploy("a"), Mirror.move_ref, []

    def hang(mirror: Mirror, ref: str, *, new: str, old: str | None, **others: Any) -> bool:
        if new == place.ready.base_commit:
            late.append((ref, new, old))
            raise KeyboardInterrupt
        return move(mirror, ref, new=new, old=old, **others)

    monkeypatch.setattr(Mirror, "move_ref", hang)
    bench = place.bench(job_id)
    with pytest.raises(KeyboardInterrupt):
        deploy(bench)
    monkeypatch.undo()
    settle(place.ledger, bench.claim, Ending(kind="failure", text="lost", wait=0.0), uniform=middle)

    (tmp_path / "good").touch()
    result, _ = deploy(place.bench(job_id))
    ((ref, new, old),) = late
    push = f"--force-with-lease={ref}:{old}"
    where = {"cwd": place.ready.repository.path}
    with pytest.raises(CalledProcessError):
        raw("git", "push", push, f"file://{tmp_path / 'remote.git'}", f"{new}:{ref}", **where)
    assert place.tip == result["merge_commit"]
    assert place.files() == {"README", "a.txt"}


@pytest.mark.parametrize("place", ["remote"], indirect=True)
def test_a_fix_meets_the_merge_that_could_not_be_taken_back(place: Place, tmp_path: Path) -> None:
    """It is on the branch for good, so what conflicts with it is mended on top of it."""
    raw("git", "config", "receive.denyNonFastForwards", "true", cwd=tmp_path / "remote.git")
    place.fail(place.bench(place.to_deploy("a")))
    commit = new_commit(place.ready.repository, place.ready.base_commit, {"a.txt": "other\n"})
    for kind, outcome in (("dev", Outcome.DONE), ("qa", Outcome.PASSED)):
        place.bench(job_of(place.ledger, "b", kind)).finish({}, outcome, commit=commit)
    result, _ = deploy(place.bench(job_of(place.ledger, "b", "deploy")))
    assert result["conflict"]["paths"] == ["a.txt"]

    fixed, _ = develop(place.bench(job_of(place.ledger, "b", "fix")))
    place.bench(job_of(place.ledger, "b", "qa")).finish({}, Outcome.PASSED, commit=fixed["commit"])
    (tmp_path / "good").touch()
    result, _ = deploy(place.bench(job_of(place.ledger, "b", "deploy")))
    assert result["merged"]
    assert place.files() == {"README", "a.txt"}
