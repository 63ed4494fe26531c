"""HumanEval as a plan, and what its run must report: a pure prediction."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.humaneval_agent import ALWAYS_WRONG, TRANSIENT, WRONG_AT_FIRST
from tests.acceptance.plan_folder import agent_of, make_plan

DATASET = Path(__file__).parents[3] / "shared/data/humaneval/HumanEval.jsonl.gz"
AGENT = Path(__file__).with_name("humaneval_agent.py")
MAX_FIX_ROUNDS = 2

Problem = dict[str, Any]

RUN_ALL = """
import runpy, sys, contextlib, io
sys.path.insert(0, ".")
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(path, run_name="__main__")
print(len(sys.argv) - 1)
"""
"""Runs check files in one process: one interpreter start instead of 164."""


def read_problems(first: int) -> list[Problem]:
    """The first problems of the data set, in its order."""
    with gzip.open(DATASET, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][:first]


def task_id(problem: Problem) -> str:
    """The problem's name as a task id and as a module's name."""
    return str(problem["task_id"]).replace("/", "_")


def check_file(problem: Problem) -> str:
    """The program that judges a solution."""
    return (
        f"from solutions.{task_id(problem)} import *\n{problem['test']}\n"
        f"check({problem['entry_point']})\n"
    )


def humaneval_plan(folder: Path, problems: Sequence[Problem]) -> Path:
    """The repository with the checks, and the plan with a task for each problem."""
    files = {f"checks/{task_id(problem)}.py": check_file(problem) for problem in problems}
    tasks = [
        {
            "id": task_id(problem),
            "title": f"Solve {problem['task_id']}",
            "prompt": problem["prompt"],
            "files": [f"solutions/{task_id(problem)}.py"],
            "checks": [f"PYTHONPATH=. {sys.executable} -B checks/{task_id(problem)}.py"],
        }
        for problem in problems
    ]
    return make_plan(
        folder, tasks, name="humaneval", files=files, script=AGENT,
        agent=agent_of(AGENT, str(DATASET)), qa={"timeout": 60},
        defaults={"retry_base": 0.02, "max_retries": 3, "max_fix_rounds": MAX_FIX_ROUNDS},
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the report must say of one problem.

    Attributes:
        deployed: Whether its solution is merged; else it is dead after its last fix round.
        fix_rounds: Fix rounds begun.
        dev_attempts: Attempts at its dev job; all its other jobs take one attempt each.
    """

    deployed: bool
    fix_rounds: int
    dev_attempts: int

    @property
    def attempts(self) -> dict[str, int]:
        """Attempts by kind of job, as in the report."""
        return {
            "dev": self.dev_attempts, "qa": 1 + self.fix_rounds, "fix": self.fix_rounds,
            "deploy": int(self.deployed),
        }  # fmt: skip

    @property
    def jobs(self) -> int:
        """Jobs of all kinds; a retry is an attempt, no job."""
        return sum(self.attempts.values()) - (self.dev_attempts - 1)


def expected(number: int) -> Expected:
    """What becomes of the problem of this number, from 1, with the agent as it is."""
    always, at_first = number % ALWAYS_WRONG == 0, number % WRONG_AT_FIRST == 0
    return Expected(
        deployed=not always,
        fix_rounds=MAX_FIX_ROUNDS if always else int(at_first),
        dev_attempts=2 if number % TRANSIENT == 0 else 1,
    )


def prediction(problems: Sequence[Problem]) -> dict[str, Any]:
    """The report of a run without interruptions, but for ids, commits and times."""
    outcomes = {
        task_id(problem): expected(number) for number, problem in enumerate(problems, start=1)
    }
    dead = [name for name, each in outcomes.items() if not each.deployed]
    agent_jobs = [(number, 1 + each.fix_rounds) for number, each in enumerate(outcomes.values(), 1)]
    return {
        "plan": "humaneval",
        "outcome": "failed" if dead else "completed",
        "branch": "vibe/humaneval",
        "tasks": [
            {
                "id": name,
                "outcome": "deployed" if each.deployed else "dead",
                "attempts": each.attempts,
                "fix_rounds": each.fix_rounds,
            }
            for name, each in outcomes.items()
        ],
        "jobs": {
            "completed": sum(each.jobs for each in outcomes.values()), "failed": 0, "cancelled": 0,
        },
        "retries": sum(each.dev_attempts - 1 for each in outcomes.values()),
        "dead_letters": [{"task": name, "kind": "qa", "attempts": 1} for name in dead],
        "tokens": {
            "input": sum(number * jobs for number, jobs in agent_jobs),
            "output": sum(jobs for _, jobs in agent_jobs),
        },
        "cost_usd": 0.0,
    }  # fmt: skip


def reported(report: dict[str, Any]) -> dict[str, Any]:
    """What of a report can be predicted."""
    kept = {name: report[name] for name in prediction([])}
    kept["tasks"] = [
        {name: task[name] for name in ("id", "outcome", "attempts", "fix_rounds")}
        for task in report["tasks"]
    ]
    kept["dead_letters"] = [
        {name: letter[name] for name in ("task", "kind", "attempts")}
        for letter in dead_letters(report)
    ]
    return kept


def dead_letters(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report's dead letters in the order of the problems; there they stand as they died."""
    return sorted(report["dead_letters"], key=lambda letter: int(letter["task"].rpartition("_")[2]))
