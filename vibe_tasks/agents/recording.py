"""Recording what any agent does, for a recorded agent to replay."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import dataclass
from pathlib import Path

from vibe_tasks.agents.agent import TRANSIENT_EXIT, Agent, Answer, Assignment
from vibe_tasks.agents.recorded import step_of
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.workspace.git import git, names, readable
from vibe_tasks.workspace.worktree import _is_cache

PERMANENT_EXIT = 65
"""Stands for every permanent failure; replay raises the same error with the same text."""


@dataclass(frozen=True, slots=True)
class RecordingAgent:
    """Lets another agent work and records each step, failed ones too.

    A replay takes no time: the seconds of the recording stay 0.

    Attributes:
        inner: The agent that does the work.
        folder: Where the recordings go, a folder for each task.
    """

    inner: Agent
    folder: Path

    def work(self, assignment: Assignment) -> Answer:
        """Do what the inner agent does and write the step's recording."""
        base = git("rev-parse", "HEAD", cwd=assignment.worktree).strip()
        try:
            answer = self.inner.work(assignment)
        except TransientError as error:
            failed = Answer(summary=str(error))
            record(self.folder, assignment, base=base, answer=failed, code=TRANSIENT_EXIT)
            raise
        except PermanentError as error:
            failed = Answer(summary=str(error))
            record(self.folder, assignment, base=base, answer=failed, code=PERMANENT_EXIT)
            raise
        record(self.folder, assignment, base=base, answer=answer)
        return answer


def record(
    folder: Path, assignment: Assignment, *, base: str, answer: Answer, code: int = 0
) -> Path:
    """Write the recording of one step, replacing an earlier one, and return its path.

    Args:
        folder: Holds a folder for each task.
        assignment: What was done.
        base: Commit that the worktree had before; the change since then is recorded, whether
            the agent committed it or not. Ignored files are left out.
        answer: What the agent said.
        code: Exit code that the replay will have.

    Raises:
        PermanentError: The change cannot be recorded: a symbolic link, a submodule, or a
            name that is not UTF-8.
    """
    written, deleted = _changes(assignment.worktree, base)
    content = {
        "write": {path: _content(assignment.worktree, path) for path in written},
        "executable": [p for p in written if _is_executable(assignment.worktree / p)],
        "delete": deleted,
        "exit": code,
        "summary": answer.summary,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
        "verdict": answer.verdict,
        "findings": list(answer.findings),
    }
    kind, number = step_of(assignment)
    path = folder / assignment.task_id / f"{kind}-{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    kept = {key: value for key, value in content.items() if value}
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    new.write_text(text, encoding="utf-8", errors="replace")
    new.replace(path)
    return path


def _changes(worktree: Path, base: str) -> tuple[list[str], list[str]]:
    """Paths written and paths deleted since the commit."""
    tracked = names(git("diff", "--name-status", "--no-renames", "-z", base, "--", cwd=worktree))
    untracked = names(git("ls-files", "--others", "--exclude-standard", "-z", cwd=worktree))
    status = dict(zip(tracked[1::2], tracked[0::2], strict=True))
    written = {path for path in status if status[path] != "D"}
    written |= {path for path in untracked if not _is_cache(path)}
    for path in status.keys() | written:
        if readable(path) != path:
            raise PermanentError(f"{readable(path)} cannot be recorded: its name is not UTF-8")
    return sorted(written), sorted(status.keys() - written)


def _content(worktree: Path, path: str) -> str | list[str] | dict[str, str]:
    place = worktree / path
    if place.is_symlink() or not place.is_file():
        raise PermanentError(f"{readable(path)} cannot be recorded: only regular files can")
    raw = place.read_bytes()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}
    return text[:-1].split("\n") if text.endswith("\n") else text


def _is_executable(place: Path) -> bool:
    return bool(place.stat().st_mode & stat.S_IXUSR)
