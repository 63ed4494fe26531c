"""An agent that is any program: prompt on standard input, files in the worktree.

The environment, the exit codes and the last line of output are what users' programs rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vibe_tasks.agents.agent import AgentEvent, Answer, Assignment, Attendant, check_exit
from vibe_tasks.agents.answer import amount, count, json_object, read_answer, text
from vibe_tasks.agents.program import UNBOUND, Start, check_end, complaint, run_program
from vibe_tasks.plan_specs import Surroundings


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """Runs a program in the worktree.

    Attributes:
        argv: Program and arguments; `{plan_dir}` in them stands for the plan file's folder.
        surroundings: What it is given and held to.
    """

    argv: tuple[str, ...]
    surroundings: Surroundings = UNBOUND

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError(f"argv must name a program, got {self.argv!r}")

    def work(self, assignment: Assignment) -> Answer:
        """Run the program to its end and read what it says."""
        argv = [part.replace("{plan_dir}", str(assignment.plan_dir)) for part in self.argv]
        finished = run_program(
            Start(argv=argv, stdin=assignment.full_prompt), assignment, self.surroundings,
            hear=_passing_on(assignment.attendant),
        )  # fmt: skip
        code = check_end(finished)
        check_exit(code, complaint(finished))
        return read_answer(finished.stdout_tail)


def _passing_on(attendant: Attendant) -> Callable[[str], None]:
    """Tell the attendant what lines that are JSON objects say: any of them may be the last."""

    def hear(line: str) -> None:
        said = json_object(line)
        if not said.keys() & {"summary", "input_tokens", "output_tokens", "cost_usd"}:
            return
        summary = text(said.get("summary"))
        attendant.heard(
            AgentEvent(
                kind="message" if summary else "usage",
                text=summary,
                input_tokens=count(said["input_tokens"]) if "input_tokens" in said else None,
                output_tokens=count(said["output_tokens"]) if "output_tokens" in said else None,
                cost_usd=amount(said["cost_usd"]) if "cost_usd" in said else None,
            )
        )

    return hear
