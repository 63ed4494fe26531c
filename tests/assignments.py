"""Assignments for agents under test."""

from __future__ import annotations

from pathlib import Path

from vibe_tasks.agents.agent import Assignment


def assignment(root: Path, **values: object) -> Assignment:
    """An assignment whose folders are below `root`; any field may be given."""
    folders = {
        "worktree": root / "worktree",
        "plan_dir": root / "plan",
        "scratch": root / "scratch",
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, object] = {
        "job_id": "job-1",
        "plan": "demo",
        "task_id": "store",
        "kind": "dev",
        "attempt": 1,
        "fix_round": 0,
        "prompt": "Write store.py.",
        "task": {"id": "store", "files": ["store.py"]},
        "report": None,
        "timeout": 20.0,
    }
    return Assignment(**(fields | folders | values))  # type: ignore[arg-type]
