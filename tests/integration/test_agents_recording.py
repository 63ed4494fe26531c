"""Recording an agent in a real repository, and replaying what was recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.assignments import assignment
from vibe_tasks.agents.agent import Answer, Assignment
from vibe_tasks.agents.recorded import RecordedAgent
from vibe_tasks.agents.recording import RecordingAgent
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.workspace.git import git


@dataclass
class Scripted:
    """An agent that does what a function does."""

    act: Callable[[Path], Answer | None]

    def work(self, assignment: Assignment) -> Answer:
        """Call the function with the worktree."""
        return self.act(assignment.worktree) or Answer()


@pytest.fixture
def job(tmp_path: Path) -> Assignment:
    """An assignment whose worktree is a repository with a few files."""
    made = assignment(tmp_path)
    fill(made.worktree)
    git("init", "-q", cwd=made.worktree)
    git("add", "-A", cwd=made.worktree)
    git("commit", "-q", "-m", "start", cwd=made.worktree)
    return made


def fill(folder: Path) -> None:
    """The files that the repository starts with."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keep.py").write_text("kept\n")
    (folder / "old name.py").write_text("one\ntwo\nthree\n")
    (folder / "gone.py").write_text("gone\n")
    (folder / ".gitignore").write_text("*.log\n")


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of every file, git's own left out."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def busy(worktree: Path) -> Answer:
    """New, changed, renamed, deleted, binary and executable files; some of them committed."""
    (worktree / "new").mkdir()
    (worktree / "new/größe.py").write_text("x = 1\n")
    (worktree / "new/bare").write_text("no newline")
    (worktree / "new/dos.txt").write_bytes(b"a\r\nb\r\n")
    (worktree / "blob.bin").write_bytes(b"\x00\xff\xfe")
    (worktree / "empty").touch()
    (worktree / "keep.py").chmod(0o755)
    (worktree / "old name.py").rename(worktree / "new name.py")
    git("add", "-A", cwd=worktree)
    git("commit", "-q", "-m", "the agent commits by itself", cwd=worktree)
    (worktree / "gone.py").unlink()
    (worktree / "new/größe.py").write_text("x = 2\n")
    return Answer(summary="busy", input_tokens=1, cost_usd=0.5, findings=("one",))


def test_a_replay_makes_the_same_change(job: Assignment, tmp_path: Path):
    """What an agent did, committed or not, a recorded agent does again, answer included."""
    tapes = tmp_path / "tapes"
    answer = RecordingAgent(Scripted(busy), tapes).work(job)
    again = assignment(tmp_path / "again")
    fill(again.worktree)
    assert RecordedAgent(tapes).work(again) == answer
    assert tree(again.worktree) == tree(job.worktree)


def test_ignored_files_and_caches_are_not_recorded(job: Assignment, tmp_path: Path):
    """A recording has what would have been committed, nothing else."""

    def act(worktree: Path) -> None:
        (worktree / "noise.log").write_text("x")
        (worktree / "pkg/__pycache__").mkdir(parents=True)
        (worktree / "pkg/__pycache__/a.cpython-311.pyc").write_text("x")
        (worktree / "pkg/a.py").write_text("x\n")

    RecordingAgent(Scripted(act), tmp_path / "tapes").work(job)
    again = assignment(tmp_path / "again")
    RecordedAgent(tmp_path / "tapes").work(again)
    assert list(tree(again.worktree)) == ["pkg/a.py"]


@pytest.mark.parametrize("kind", [TransientError, PermanentError])
def test_failures_are_recorded_and_raised(job: Assignment, tmp_path: Path, kind):
    """A step that failed fails in the replay too, with its words and its half-done files."""

    def act(worktree: Path) -> None:
        (worktree / "half.py").write_text("half\n")
        raise kind("the model said no")

    agent = RecordingAgent(Scripted(act), tmp_path / "tapes")
    with pytest.raises(kind, match="the model said no"):
        agent.work(job)
    again = assignment(tmp_path / "again")
    with pytest.raises(kind, match="the model said no"):
        RecordedAgent(tmp_path / "tapes").work(again)
    assert list(tree(again.worktree)) == ["half.py"]


def test_steps_have_files_of_their_own(job: Assignment, tmp_path: Path):
    """A fix is recorded beside the dev step, and a new recording replaces the old one."""
    tapes = tmp_path / "tapes"
    for text in ("first", "second"):
        RecordingAgent(Scripted(lambda _, text=text: Answer(summary=text)), tapes).work(job)
    fix = assignment(tmp_path, kind="fix", fix_round=1)
    RecordingAgent(Scripted(lambda _: Answer(summary="fixed")), tapes).work(fix)
    assert sorted(path.name for path in tapes.rglob("*.*")) == ["dev-1.json", "fix-1.json"]
    assert RecordedAgent(tapes).work(job).summary == "second"
    assert RecordedAgent(tapes).work(fix).summary == "fixed"


def link(worktree: Path) -> None:
    """Make a symbolic link."""
    (worktree / "link").symlink_to("/etc")


def odd_name(worktree: Path) -> None:
    """Make a file whose name is not UTF-8."""
    Path(os.fsdecode(os.fsencode(worktree) + b"/odd-\xff")).touch()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (link, "link cannot be recorded"),
        pytest.param(
            odd_name,
            "odd-.* is not UTF-8",
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names"),
        ),
    ],
)
def test_what_a_recording_cannot_hold_is_refused(job: Assignment, tmp_path: Path, act, said):
    """Links and odd names are refused by name: a replay would not bring them back."""
    with pytest.raises(PermanentError, match=said):
        RecordingAgent(Scripted(act), tmp_path / "tapes").work(job)
    assert not list((tmp_path / "tapes").rglob("*.json"))
