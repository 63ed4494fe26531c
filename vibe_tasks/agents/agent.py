"""What an agent is given, what it answers, and what its exit codes mean.

An agent does one dev or fix job, or one review, in a worktree of its own. It edits files
there; nobody believes its words or its exit code alone, QA judges the change.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vibe_tasks.agents.report import rendered
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.workspace.surroundings import Machine

TRANSIENT_EXIT = 75
"""`EX_TEMPFAIL` of sysexits.h: the other side may answer later."""

PERMANENT_EXITS: Mapping[int, str] = {
    64: "wrong usage",
    65: "wrong input",
    77: "permission denied",
    78: "wrong configuration",
}
"""Exit codes of sysexits.h that another attempt would meet again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent:
    """Something that an agent told while it worked.

    Attributes:
        kind: `session`, `message`, `tool`, `usage`, `error` or `result`.
        text: What it said or did, for people; bounded by whoever keeps it.
        session_id: The agent's own name for this conversation, where it told one.
        input_tokens: Tokens read so far in this job, where it told.
        output_tokens: Tokens written so far in this job.
        cost_usd: What this job has cost so far, in US dollars.
    """

    kind: str
    text: str = ""
    session_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class Attendant(Protocol):
    """Who looks after an agent while it works. Called from the thread that runs it."""

    def heard(self, event: AgentEvent) -> None:
        """Take what the agent told."""
        ...

    def stop_reason(self) -> str | None:
        """Why the agent is to end now, asked about once a second; None: it may go on.

        A reason ends the agent cleanly, and `StoppedError` is raised with it.
        """
        ...


class _Nobody:
    def heard(self, event: AgentEvent) -> None: ...

    def stop_reason(self) -> str | None:
        return None


NOBODY: Attendant = _Nobody()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One dev, fix or review job for an agent.

    Attributes:
        job_id: The job in the ledger.
        plan: Name of the plan.
        task_id: Id of the plan's task.
        kind: `dev`, `fix` or `review`.
        attempt: Which run of the job this is, from 1.
        fix_round: 0 before the first failed QA, then 1, 2, …
        prompt: What the task asks for, without the report.
        task: The whole task of the plan, as JSON values.
        report: The QA report or merge conflict that a fix answers, as JSON values; for a review
            what the checks said.
        worktree: Where the agent works; its changes are committed for it.
        plan_dir: Folder of the plan file.
        scratch: Existing folder outside the worktree, for the task file and the log.
        timeout: Seconds the agent may take.
        idle_timeout: Seconds without a word from it after which it counts as hung; None: none.
        attendant: Hears what it says while it works, and may end it.
        machine: What this machine adds to the surroundings of programs.
    """

    job_id: str
    plan: str
    task_id: str
    kind: str
    attempt: int
    fix_round: int
    prompt: str
    task: Mapping[str, object]
    report: Mapping[str, object] | None
    worktree: Path
    plan_dir: Path
    scratch: Path
    timeout: float
    idle_timeout: float | None = None
    attendant: Attendant = NOBODY
    machine: Machine = field(default_factory=Machine)

    @property
    def full_prompt(self) -> str:
        """The prompt, followed for a fix by the report in words; a review's prompt has it."""
        if self.report is None or self.kind == "review":
            return self.prompt
        return f"{self.prompt.rstrip()}\n\n{rendered(self.report)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an agent says about its work.

    Attributes:
        summary: What was done, for people.
        input_tokens: Tokens read by language models.
        output_tokens: Tokens written by language models.
        cost_usd: What it cost, in US dollars.
        verdict: `pass` or `fail` for a review, else None.
        findings: What a review found.
        session_id: The agent's own name for the conversation.
        model: The model that did it, where the agent told.
    """

    summary: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    verdict: str | None = None
    findings: tuple[str, ...] = ()
    session_id: str | None = None
    model: str | None = None


class Agent(Protocol):
    """Anything that can do an assignment."""

    def work(self, assignment: Assignment) -> Answer:
        """Do the assignment, editing files below its worktree.

        Raises:
            TransientError: Another attempt may succeed.
            PermanentError: Another attempt would fail the same way.
            UsageLimitError: Its provider refuses until a moment.
            StoppedError: The attendant had a reason to end it.
        """
        ...


def check_exit(code: int, said: str) -> None:
    """Return for exit code 0, raise what any other one means.

    Args:
        code: Exit code; 128 + n when signal n ended the agent.
        said: The end of its output or its summary, for the error's text.

    Raises:
        PermanentError: For 64, 65, 77 and 78.
        TransientError: For 75 and every other code: unknown failures are retryable.
    """
    if code == 0:
        return
    text = f"{_meaning(code)}: {said}" if said else _meaning(code)
    if code in PERMANENT_EXITS:
        raise PermanentError(text)
    raise TransientError(text)


def _meaning(code: int) -> str:
    word = PERMANENT_EXITS.get(code, "transient" if code == TRANSIENT_EXIT else "")
    if code > 128:  # a shell's way to say that a signal ended the program
        word = next((known.name for known in signal.Signals if known == code - 128), "")
    return f"agent exited with {code} ({word})" if word else f"agent exited with {code}"
