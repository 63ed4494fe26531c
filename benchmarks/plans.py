"""What the pipeline itself costs: `python benchmarks/plans.py`.

Plans of tasks that do nothing, side by side and in a row, through the real command; and the time
from the command's start to the first job's.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import show, spread
from servers import HERE, folder

from vibe_tasks.workspace.git import git

PROCESSES = 2
METHOD = (
    f"`vibe run PLAN --workers {PROCESSES}` on a new home; the agent is `true` where a task "
    "changes nothing and a shell that appends a line where it does, which takes a worktree, a "
    "commit and a merge. Milliseconds a task: the plan's duration by its report over its tasks. "
    "First start: from the command's start to the first attempt's; all: to the command's end."
)
APPEND = 'echo "$VIBE_TASK_ID" >> chain.txt'


def plan_of(place: Path, agent: Sequence[str], needs: Sequence[Sequence[str]]) -> Path:
    """A plan with a task for each entry of `needs`, and its repository."""
    repository = place / "repo"
    repository.mkdir()
    git("init", "-q", "-b", "main", cwd=repository)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=repository)
    document = {
        "version": 1, "name": "bench", "repo": "repo", "agent": "none",
        "agents": {"none": {"type": "command", "argv": list(agent)}},
        "tasks": [
            {"id": f"t{number}", "title": f"Task {number}", "needs": list(need)}
            for number, need in enumerate(needs)
        ],
    }  # fmt: skip
    path = place / "plan.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def run(agent: Sequence[str], needs: Sequence[Sequence[str]]) -> dict[str, float]:
    """Run such a plan: seconds of the plan, to the first attempt, and of the whole command."""
    with folder() as place:
        plan = plan_of(place, agent, needs)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VIBE_")}
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        environ = {**kept, "VIBE_HOME": str(place / "home"), "PYTHONPATH": path.rstrip(os.pathsep)}
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "vibe_tasks.cli.main", "run", str(plan), "--json",
             "--workers", str(PROCESSES)],
            env=environ, cwd=place, capture_output=True, text=True, check=False,
        )  # fmt: skip
        ended = time.time()
        if done.returncode != 0:
            raise RuntimeError(f"the plan failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        report: dict[str, Any] = json.loads(done.stdout)
        connection = sqlite3.connect(place / "home" / "ledger.db")
        [[first]] = connection.execute("SELECT min(started_at) FROM jobs").fetchall()
        connection.close()
    return {"plan": report["seconds"], "first": first - began, "all": ended - began}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small plans, to see that it works")
    chosen = parser.parse_args()
    wide, deep, rounds = (4, 2, 1) if chosen.quick else (500, 200, 3)
    chain: list[list[str]] = [[], *([f"t{number}"] for number in range(deep - 1))]
    shell = ["sh", "-c", APPEND]
    plans: list[tuple[str, Sequence[str], list[list[str]]]] = [
        (f"{wide} tasks side by side, no change", ["true"], [[] for _ in range(wide)]),
        (f"{deep} tasks in a row, no change", ["true"], chain),
        (f"{deep} tasks in a row, a commit each", shell, chain),
        ("1 task, no change", ["true"], [[]]),
    ]
    if chosen.quick:
        plans = plans[2:3]
    table = []
    for name, agent, needs in plans:
        results = [run(agent, needs) for _ in range(rounds if len(needs) > 1 else 2 * rounds)]
        table.append(
            [name, spread([result["plan"] for result in results], 2),
             spread([1000 * result["plan"] / len(needs) for result in results], 1),
             spread([result["first"] for result in results], 2),
             spread([result["all"] for result in results], 2)]
        )  # fmt: skip
    show(
        "Plans", METHOD,
        ["plan", "seconds", "ms a task", "first start, s", "all, s"], table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
