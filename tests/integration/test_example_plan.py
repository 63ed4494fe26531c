"""The example plan does what its comment promises, played through without the queue.

Each wave of tasks starts from the same commit, as on a machine with many workers, so that
the merges of parallel tasks are tried too.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.assignments import assignment
from vibe_tasks.agents.agent import Assignment
from vibe_tasks.agents.build import build_agent
from vibe_tasks.agents.recorded import RecordedAgent, load
from vibe_tasks.errors import TransientError
from vibe_tasks.plan import Plan, RecordedSpec, TaskSpec, parse_plan
from vibe_tasks.workspace.checks import CheckResult, run_checks
from vibe_tasks.workspace.environment import child_environment
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.merge import merge
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.surroundings import Surrounded
from vibe_tasks.workspace.worktree import Worktree, checkout

EXAMPLE = Path(__file__).parents[2] / "examples" / "todo-api"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The example plan, accepted as a user's plan would be."""
    path = EXAMPLE / "plan.yaml"
    return parse_plan(path.read_text(encoding="utf-8"), file=str(path))


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The folder as the demo lays it out: plan, recordings and a new repository."""
    folder = tmp_path / "demo"
    shutil.copytree(EXAMPLE / "recordings", folder / "recordings")
    shutil.copy(EXAMPLE / "plan.yaml", folder)
    shutil.copytree(EXAMPLE / "seed", folder / "repo")
    git("init", "-q", "-b", "main", cwd=folder / "repo")
    git("add", "-A", cwd=folder / "repo")
    git("commit", "-q", "-m", "A repository to start from", cwd=folder / "repo")
    return folder


@dataclass(kw_only=True)
class Played:
    """What it took to get a task through QA."""

    dev_attempts: int = 0
    failed_qa: list[tuple[CheckResult, ...]] = field(default_factory=list)


@dataclass(kw_only=True)
class Player:
    """Plays a plan through, wave by wave."""

    plan: Plan
    demo: Path
    repository: Repository
    played: dict[str, Played] = field(default_factory=dict)

    def play(self, branch: str) -> None:
        """Every task, each as soon as its needs are merged."""
        left = list(self.plan.order())
        while left:
            wave = [task for task in left if set(task.needs) <= self.played.keys()]
            head = self.repository.resolve(branch)
            commits = {task.id: self._task(task, head) for task in wave}
            for task_id, commit in reversed(commits.items()):
                merged = merge(
                    self.repository,
                    branch=branch,
                    commit=commit,
                    message=f"Merge {task_id}",
                    fence=lambda: None,
                )
                assert merged.fresh
            left = [task for task in left if task not in wave]

    def _task(self, task: TaskSpec, head: str) -> str:
        """Dev, QA and fixes of one task; the commit that QA approved."""
        played = self.played[task.id] = Played()
        with checkout(self.repository, head, self.demo / "work" / task.id) as worktree:
            commit = self._dev(task, worktree, played)
            while not all(check.passed for check in self._qa(task, worktree)):
                fix_round = len(played.failed_qa)
                report = played.failed_qa[-1]
                assert fix_round <= self.plan.resolved(task).max_fix_rounds
                checks = {"checks": [asdict(check) for check in report]}
                self._work(task, worktree, kind="fix", fix_round=fix_round, report=checks)
                commit = worktree.commit_all(f"{task.id}: fix {fix_round}")
        return commit

    def _dev(self, task: TaskSpec, worktree: Worktree, played: Played) -> str:
        for attempt in range(1, self.plan.resolved(task).max_retries + 1):
            played.dev_attempts = attempt
            try:
                self._work(task, worktree, kind="dev", attempt=attempt)
            except TransientError:
                continue
            return worktree.commit_all(f"{task.id}: {task.title}")
        pytest.fail(f"no attempt at {task.id} succeeded")

    def _qa(self, task: TaskSpec, worktree: Worktree) -> tuple[CheckResult, ...]:
        results = run_checks(
            self.plan.resolved(task).checks,
            cwd=worktree.path,
            held=Surrounded(env=child_environment(os.environ, extra={})),
            timeout=self.plan.qa.timeout,
            log=self.demo / "checks.log",
        )
        if not all(check.passed for check in results):
            self.played[task.id].failed_qa.append(results)
        return results

    def _work(self, task: TaskSpec, worktree: Worktree, **values: object) -> None:
        agent = build_agent(self.plan.agent_of(task), plan_dir=self.demo)
        job: Assignment = assignment(
            self.demo / "jobs" / task.id,
            task_id=task.id,
            prompt=task.prompt,
            worktree=worktree.path,
            **values,
        )
        agent.work(job)


def test_the_plan_is_played_to_its_end(plan: Plan, demo: Path):
    """Every task passes its own checks; one is fixed, one agent fails once; merges are clean.

    At the end the package that was built passes its tests and works from the command line.
    """
    repository = Repository.open(demo / plan.repo)
    repository.create_branch("vibe/todo-api", repository.resolve("main"))
    player = Player(plan=plan, demo=demo, repository=repository)
    player.play("vibe/todo-api")

    fixed = {name: len(played.failed_qa) for name, played in player.played.items()}
    assert {name: count for name, count in fixed.items() if count} == {"sorting": 1}
    said = player.played["sorting"].failed_qa[0][0].output
    assert "TypeError" in said
    assert "AssertionError" in said
    attempts = {name: played.dev_attempts for name, played in player.played.items()}
    assert {name: count for name, count in attempts.items() if count > 1} == {"export": 2}

    with checkout(repository, repository.resolve("vibe/todo-api"), demo / "end") as worktree:
        results = run_checks(
            ["python -m unittest", "python -m todo add 'Read a book' && python -m todo list"],
            cwd=worktree.path,
            held=Surrounded(env=child_environment(os.environ, extra={})),
            timeout=60,
            log=demo / "checks.log",
        )
        assert [check.passed for check in results] == [True, True]
        assert "Ran 5" in results[0].output
        assert "Read a book" in results[1].output


def test_the_plan_has_parallel_work_and_depth(plan: Plan):
    """The demo shows something: a chain of five needs, and four tasks that can run at once."""
    level: dict[str, int] = {}
    for task in plan.order():
        level[task.id] = 1 + max((level[need] for need in task.needs), default=0)
    assert 8 <= len(plan.tasks) <= 12
    assert max(level.values()) >= 5
    assert max(list(level.values()).count(depth) for depth in level.values()) >= 4


def test_recordings_and_tasks_fit_each_other(plan: Plan):
    """Every recording is sound, belongs to a task and writes just the files the task names."""
    spec = plan.agents["taped"]
    assert isinstance(spec, RecordedSpec)
    agent = build_agent(spec, plan_dir=EXAMPLE)
    assert isinstance(agent, RecordedAgent)
    written: dict[str, set[str]] = {task.id: set() for task in plan.tasks}
    for path in sorted(agent.folder.rglob("*")):
        if path.is_file():
            written[path.parent.name] |= load(path).write.keys()
    assert written == {task.id: set(task.files) for task in plan.tasks}
