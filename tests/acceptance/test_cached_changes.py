"""What agents made before is used again, and only where it would come out the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.acceptance.plan_folder import agent_of, branch_files, make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.processes import until
from tests.repositories import raw
from vibe_tasks.workspace.git import git

COUNTED = Path(__file__).with_name("counted_agent.py")

TASKS: list[dict[str, Any]] = [
    {"id": "left", "prompt": "write('left.txt', 'left')"},
    {"id": "right", "prompt": "write('right.bin', 'r\\0ght')"},
    {
        "id": "both", "prompt": "write('both.txt', open('left.txt').read())",
        "needs": ["left", "right"],
    },
    {
        "id": "mended", "prompt": "write('mended.txt', env['VIBE_FIX_ROUND'])",
        "checks": ["grep -q 1 mended.txt"],
    },
]  # fmt: skip


def starts(folder: Path) -> list[str]:
    """Task and kind of each start of the agent, in order."""
    file = folder / "starts.log"
    return file.read_text("utf-8").splitlines() if file.exists() else []


def clone(one: Path, other: Path) -> None:
    """Clone the repository in one folder into the other."""
    raw("git", "clone", "-q", "-b", "main", str(one / "repo"), str(other / "repo"), cwd=other)


def counted(folder: Path, *more: str) -> dict[str, Any]:
    """An agent that notes each of its starts in this folder."""
    return agent_of(COUNTED, str(folder / "starts.log"), *more, timeout=120)


def tree(folder: Path) -> str:
    """The files of the plan's branch, as git names them together."""
    return git("rev-parse", "vibe/work^{tree}", cwd=folder / "repo")


def test_a_fresh_clone_starts_no_agent(vibe: Vibe, tmp_path: Path):
    """The same plan in another clone of the same repository: every change comes from the cache, a
    fix round too, and the result has the same files. What costs nothing is told as nothing.
    """
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    plan = make_plan(first, TASKS, agent=counted(tmp_path), script=COUNTED)
    report = vibe.run("run", plan, "--json").report
    assert set(outcomes(report).values()) == {"deployed"}, report
    assert report["cache"] == {"hits": 0, "misses": 5}
    assert report["tokens"] == {"input": 35, "output": 10}
    begun = starts(tmp_path)
    assert sorted(begun) == ["both dev", "left dev", "mended dev", "mended fix", "right dev"]

    second.mkdir()
    clone(first, second)
    for name in (plan.name, COUNTED.name):
        shutil.copy(first / name, second)
    again = vibe.run("run", second / plan.name, "--fresh", "--json").report
    assert set(outcomes(again).values()) == {"deployed"}, again
    assert starts(tmp_path) == begun
    assert again["cache"] == {"hits": 5, "misses": 0}
    assert (again["tokens"], again["cost_usd"]) == ({"input": 0, "output": 0}, 0.0)
    assert tree(second) == tree(first)
    assert branch_files(second)["mended.txt"] == "1"


def test_what_came_to_nothing_is_made_again(vibe: Vibe, tmp_path: Path):
    """A task that died is not answered from memory when it is tried once more: an agent that plays
    dice gets another throw.
    """
    tasks = [{"id": "a", "prompt": "write('a.txt', 'x')", "checks": ["false"]}]
    plan = make_plan(
        tmp_path, tasks, agent=counted(tmp_path), script=COUNTED,
        defaults={"max_fix_rounds": 0, "retry_base": 0.05},
    )  # fmt: skip
    for rounds in (1, 2):
        report = vibe.run("run", plan, "--fresh", "--json").report
        assert outcomes(report) == {"a": "dead"}
        assert starts(tmp_path) == ["a dev"] * rounds


def test_two_plans_make_the_same_change_once(vibe: Vibe, tmp_path: Path):
    """While one worker lets an agent work, another one that needs the same waits for it, and loses
    no attempt by that.
    """
    gate = tmp_path / "gate"
    task = {"id": "a", "prompt": "write('a.txt', 'x')", "max_retries": 1}
    plans = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "two":
            clone(tmp_path / "one", folder)
        agent = counted(tmp_path, str(gate))
        plans.append(make_plan(folder, [task], name=name, agent=agent, script=COUNTED))
    with vibe.started("run", plans[0], "--json") as first:
        until(lambda: bool(starts(tmp_path)))
        with vibe.started("run", plans[1], "--json") as second:
            waits = "SELECT number FROM cache_counts WHERE name = 'waits'"
            until(lambda: bool(vibe.rows(waits)))
            gate.touch()
            second.communicate(timeout=60)
            first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert starts(tmp_path) == ["a dev"]
    assert branch_files(tmp_path / "two", "two")["a.txt"] == "x"
