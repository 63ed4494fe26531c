"""An agent that is any program: prompt on standard input, files in the worktree.

The environment, the exit codes and the last line of output are what users' programs rely on.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from vibe_tasks.agents.agent import Answer, Assignment, check_exit
from vibe_tasks.errors import TransientError
from vibe_tasks.failures import bounded
from vibe_tasks.workspace.environment import child_environment
from vibe_tasks.workspace.process import Finished, run

LONGEST_SUMMARY = 4_000
"""Characters kept of a summary, and of each finding."""

MOST_FINDINGS = 100
"""Findings kept of one review."""

LARGEST_COUNT = 2**53
"""Above this no count of tokens is believed; also the largest whole number JSON keeps exactly."""

LONGEST_COMPLAINT = 1_500
"""Characters of a failed agent's output that go into the error; its log has the rest."""


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """Runs a program in the worktree.

    Attributes:
        argv: Program and arguments; `{plan_dir}` in them stands for the plan file's folder.
    """

    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError(f"argv must name a program, got {self.argv!r}")

    def work(self, assignment: Assignment) -> Answer:
        """Run the program to its end and read what it says."""
        task_file = assignment.scratch / "task.json"
        task_file.write_text(json.dumps(_described(assignment), indent=2) + "\n", encoding="utf-8")
        finished = run(
            [part.replace("{plan_dir}", str(assignment.plan_dir)) for part in self.argv],
            cwd=assignment.worktree,
            env=child_environment(os.environ, extra=_variables(assignment, str(task_file))),
            timeout=assignment.timeout,
            stdin=assignment.full_prompt,
            log=assignment.scratch / "agent.log",
        )
        _check(finished, assignment.timeout)
        return read_answer(finished.stdout_tail)


def read_answer(stdout: str) -> Answer:
    """What the last line of an agent's standard output says, where it is a JSON object.

    An agent is not trusted: values of a wrong type, negative ones and numbers beyond reason
    count as not given, long texts are cut.
    """
    said = _last_object(stdout)
    findings = said.get("findings")
    verdict = said.get("verdict")
    return Answer(
        summary=_text(said.get("summary")),
        input_tokens=_count(said.get("input_tokens")),
        output_tokens=_count(said.get("output_tokens")),
        cost_usd=_amount(said.get("cost_usd")),
        verdict=verdict if verdict in ("pass", "fail") else None,
        findings=_findings(findings) if isinstance(findings, list) else (),
    )


def _described(assignment: Assignment) -> dict[str, object]:
    """The content of the task file."""
    return {
        "job_id": assignment.job_id,
        "plan": assignment.plan,
        "kind": assignment.kind,
        "attempt": assignment.attempt,
        "fix_round": assignment.fix_round,
        "task": dict(assignment.task),
        "report": None if assignment.report is None else dict(assignment.report),
    }


def _variables(assignment: Assignment, task_file: str) -> dict[str, str]:
    return {
        "VIBE_JOB_ID": assignment.job_id,
        "VIBE_PLAN": assignment.plan,
        "VIBE_TASK_ID": assignment.task_id,
        "VIBE_KIND": assignment.kind,
        "VIBE_ATTEMPT": str(assignment.attempt),
        "VIBE_FIX_ROUND": str(assignment.fix_round),
        "VIBE_TASK_FILE": task_file,
    }


def _check(finished: Finished, timeout: float) -> None:
    """Raise what the end of the program means, with the end of what it said."""
    said = finished.output.strip()[-LONGEST_COMPLAINT:]
    if finished.timed_out or finished.exit_code is None:
        text = f"agent did not end within {timeout:g} s"
        raise TransientError(f"{text}: {said}" if said else text)
    check_exit(finished.exit_code, said)


def _last_object(stdout: str) -> Mapping[str, object]:
    lines = stdout.rstrip().split("\n")
    if not lines[-1].lstrip().startswith("{"):
        return {}
    try:
        said = json.loads(lines[-1])
    except (ValueError, RecursionError):  # RecursionError: brackets nested without end
        return {}
    return said if isinstance(said, dict) else {}


def _findings(values: list[object]) -> tuple[str, ...]:
    texts = (_text(v if isinstance(v, str) else json.dumps(v)) for v in values[:MOST_FINDINGS])
    return tuple(text for text in texts if text)


def _text(value: object) -> str:
    return bounded(value).strip()[:LONGEST_SUMMARY] if isinstance(value, str) else ""


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= LARGEST_COUNT else 0


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= LARGEST_COUNT and math.isfinite(value) else 0.0
