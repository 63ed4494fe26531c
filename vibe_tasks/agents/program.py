"""Starting an agent's program for an assignment: its surroundings, and what it is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vibe_tasks.agents.agent import Assignment
from vibe_tasks.errors import StoppedError, TransientError
from vibe_tasks.plan_specs import Surroundings
from vibe_tasks.workspace.process import Finished, run
from vibe_tasks.workspace.said import Said
from vibe_tasks.workspace.surroundings import surround

LONGEST_COMPLAINT = 1_500
"""Characters of a failed agent's output that go into the error; its log has the rest."""

UNBOUND = Surroundings()
"""Nothing is handed on, and nothing bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a program is started.

    Attributes:
        argv: Program and arguments.
        stdin: What it reads from standard input.
        variables: Variables of its environment that are set in any case.
        allowed: Names of further variables that are handed on from ours.
    """

    argv: Sequence[str]
    stdin: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()


def run_program(
    start: Start,
    assignment: Assignment,
    surroundings: Surroundings,
    *,
    hear: Callable[[str], float | None],
    read: Callable[[bytes], bool] | None = None,
) -> Finished:
    """Run the program in the worktree to its end, however that comes.

    Args:
        start: How it is started.
        assignment: What it is to do.
        surroundings: What it is given and held to.
        hear: Gets each line of standard output; a number means that the work is over, and that
            the program has so many seconds left to end by itself.
        read: Whether a line of standard output is for programs alone, so that the job's log does
            without it; None: none is.

    Raises:
        StoppedError: The attendant had a reason to end it.
        TransientError: It took its own working directory away.
        PermanentError: There is no such program.
    """
    task_file = assignment.scratch / "task.json"
    task_file.write_text(json.dumps(_described(assignment), indent=2) + "\n", encoding="utf-8")
    held = surround(
        surroundings, assignment.machine, environ=os.environ, worktree=assignment.worktree,
        readable=(assignment.scratch, assignment.plan_dir), allowed=start.allowed,
        extra={**start.variables, **_variables(assignment, str(task_file))},
    )  # fmt: skip
    finished = run(
        start.argv,
        cwd=assignment.worktree,
        env=held.env,
        timeout=assignment.timeout,
        stdin=start.stdin,
        log=assignment.scratch / "agent.log",
        idle=assignment.idle_timeout,
        limits=held.limits,
        sandbox=held.sandbox,
        hear=hear,
        stop=assignment.attendant.stop_reason,
        said=Said("agent", held.secrets, read),
    )
    if finished.ended_by == "stop":
        raise StoppedError(finished.why)
    if not assignment.worktree.is_dir():
        raise TransientError("the agent took away the folder that it worked in")
    return finished


def surroundings_of(spec: Surroundings) -> Surroundings:
    """The surroundings alone of an agent as a plan describes it."""
    return Surroundings(env=spec.env, limits=spec.limits, sandbox=spec.sandbox)


def check_end(finished: Finished) -> int:
    """The exit code of a program that was not ended by us.

    Raises:
        TransientError: It ran past a limit; the text says which.
    """
    if finished.exit_code is None:
        said = complaint(finished)
        raise TransientError(f"agent {finished.why}: {said}" if said else f"agent {finished.why}")
    return finished.exit_code


def complaint(finished: Finished) -> str:
    """The end of what the program said, for an error's text."""
    return finished.output.strip()[-LONGEST_COMPLAINT:]


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
