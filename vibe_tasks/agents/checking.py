"""The checks of a task, run while an agent of our own still works on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from vibe_tasks.agents.agent import Assignment
from vibe_tasks.agents.report import checks_in_words
from vibe_tasks.errors import AttemptError
from vibe_tasks.plan_specs import Surroundings
from vibe_tasks.workspace.checks import run_checks
from vibe_tasks.workspace.surroundings import surround

LONGEST_CHECK = 300.0
"""Seconds for one check, unless the agent's own time ends before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """Runs the checks of one assignment, as its agent is surrounded.

    Attributes:
        assignment: Whose checks they are.
        surroundings: What programs that the agent starts are given and held to.
        environ: Environment of this process.
        left: Seconds that the agent may still take.
        stop: Why the agent is to end now; asked once a second, from any thread.
    """

    assignment: Assignment
    surroundings: Surroundings
    environ: Mapping[str, str]
    left: Callable[[], float]
    stop: Callable[[], str | None]

    @property
    def commands(self) -> Sequence[str]:
        """The command lines; none where the task has none."""
        checks = self.assignment.task.get("checks")
        return [str(line) for line in checks] if isinstance(checks, list | tuple) else []

    def run(self) -> str:
        """Run them all and tell in words how they ended."""
        assignment = self.assignment
        held = surround(
            self.surroundings, assignment.machine, environ=self.environ,
            worktree=assignment.worktree, readable=(assignment.scratch, assignment.plan_dir),
        )  # fmt: skip
        try:
            results = run_checks(
                self.commands,
                cwd=assignment.worktree,
                held=held,
                timeout=max(0.1, min(LONGEST_CHECK, self.left())),
                log=assignment.scratch / "checks.log",
                stop=self.stop,
            )
        except AttemptError as error:
            return f"The checks could not be run: {error}"
        return checks_in_words([asdict(each) for each in results])
