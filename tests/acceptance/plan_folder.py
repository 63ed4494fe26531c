"""A folder with a repository, a plan file and the agent that the plan names."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.repositories import files_of, new_repository
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.repository import Repository

SCRIPTED = Path(__file__).with_name("scripted_agent.py")

Files = Mapping[str, str | bytes]


def agent_of(script: Path = SCRIPTED, *arguments: str, timeout: float = 30) -> dict[str, Any]:
    """A command agent that runs this script, which lies beside the plan."""
    argv = [sys.executable, f"{{plan_dir}}/{script.name}", *arguments]
    return {"type": "command", "argv": argv, "timeout": timeout}


def make_plan(
    folder: Path,
    tasks: Sequence[Mapping[str, Any]],
    *,
    name: str = "work",
    files: Files | None = None,
    agent: Mapping[str, Any] | None = None,
    script: Path = SCRIPTED,
    **more: Any,
) -> Path:
    """Write `plan.yaml` and its agent, and make the repository unless it is there.

    Args:
        folder: Where to.
        tasks: As in a plan file; a missing title is filled in.
        name: The plan's name.
        files: The repository's first commit.
        agent: The agent's specification; default: `script` as a command.
        script: The agent's program.
        more: Other keys of the plan, in place of the defaults here.
    """
    repository = folder / "repo"
    if not repository.exists():
        new_repository(repository, dict(files) if files is not None else None)
    shutil.copy(script, folder)
    document = {
        "version": 1,
        "name": name,
        "repo": "repo",
        "agent": "mine",
        "agents": {"mine": agent or agent_of(script)},
        "defaults": {"retry_base": 0.05, "max_retries": 3, "max_fix_rounds": 2},
        "tasks": [{"title": f"Do {task['id']}", **task} for task in tasks],
        **more,
    }
    path = folder / "plan.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")  # YAML, as all JSON is
    return path


def branch_files(folder: Path, name: str = "work") -> dict[str, str]:
    """Path and content of every file on the plan's branch."""
    return files_of(Repository.open(folder / "repo"), f"vibe/{name}")


def merges(folder: Path, name: str = "work") -> list[str]:
    """The second parent of each merge commit on the plan's branch: what was merged, in order."""
    text = git("log", "--first-parent", "--reverse", "--format=%P", f"main..vibe/{name}",
               cwd=folder / "repo")  # fmt: skip
    parents = [line.split() for line in text.splitlines()]
    assert all(len(each) == 2 for each in parents), "only merges may stand on the branch itself"
    return [each[1] for each in parents]


def branches(folder: Path) -> list[str]:
    """Every branch of the repository."""
    return git(
        "for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=folder / "repo"
    ).split()


def outcomes(report: Mapping[str, Any]) -> dict[str, str]:
    """Task to outcome, from a report."""
    return {task["id"]: task["outcome"] for task in report["tasks"]}
