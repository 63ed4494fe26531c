"""Replaying recordings: which one, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.assignments import assignment
from vibe_tasks.agents.agent import Answer
from vibe_tasks.agents.recorded import RecordedAgent, inside
from vibe_tasks.errors import PermanentError, TransientError


def tape(root: Path, step: str, **recording: object) -> RecordedAgent:
    """A recording for the task `store`, and an agent that knows it."""
    path = root / "recordings" / "store" / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recording), encoding="utf-8")
    return RecordedAgent(path.parent.parent)


def test_files_are_written_and_deleted(tmp_path: Path):
    """Text, lines and bytes come out as recorded; deleted files are gone; the answer is told."""
    agent = tape(
        tmp_path,
        "dev-1",
        write={
            "text.txt": "no newline",
            "pkg/lines.py": ["a", "", "b"],
            "empty": [],
            "blob.bin": {"base64": "AP8="},
            "old.sh": "new",
        },
        executable=["pkg/lines.py"],
        delete=["gone.txt", "never-there.txt"],
        summary="wrote it",
        input_tokens=3,
        output_tokens=4,
        cost_usd=0.5,
    )
    job = assignment(tmp_path)
    (job.worktree / "gone.txt").write_text("x")
    (job.worktree / "old.sh").touch(0o755)
    answer = agent.work(job)
    assert answer == Answer(summary="wrote it", input_tokens=3, output_tokens=4, cost_usd=0.5)
    assert (job.worktree / "text.txt").read_bytes() == b"no newline"
    assert (job.worktree / "pkg/lines.py").read_bytes() == b"a\n\nb\n"
    assert (job.worktree / "empty").read_bytes() == b""
    assert (job.worktree / "blob.bin").read_bytes() == b"\x00\xff"
    assert (job.worktree / "pkg/lines.py").stat().st_mode & 0o100
    assert not (job.worktree / "old.sh").stat().st_mode & 0o111
    assert not (job.worktree / "gone.txt").exists()


@pytest.mark.parametrize(
    ("kind", "attempt", "fix_round", "expected"),
    [
        ("dev", 1, 0, "dev-1"),
        ("dev", 2, 0, "dev-1"),
        ("dev", 3, 0, "dev-3"),
        ("dev", 12, 0, "dev-10"),
        ("fix", 1, 1, "fix-1"),
        ("fix", 4, 3, "fix-1"),
        ("review", 1, 0, "review-1"),
        ("review", 1, 1, "review-2"),
    ],
)
def test_the_latest_recording_up_to_the_step_is_replayed(
    tmp_path: Path, kind, attempt, fix_round, expected
):
    """Dev goes by the attempt, fix by the round; a missing step falls back to an earlier one."""
    for step in (
        "dev-1",
        "dev-3",
        "dev-10",
        "dev-x",
        "dev-02",
        "dev-0",
        "fix-1",
        "review-1",
        "review-2",
    ):
        agent = tape(tmp_path, step, summary=step)
    job = assignment(tmp_path, kind=kind, attempt=attempt, fix_round=fix_round)
    assert agent.work(job).summary == expected


def test_a_missing_recording_is_named(tmp_path: Path):
    """Without a recording the job fails for good, with the file that was looked for."""
    agent = tape(tmp_path, "dev-2")
    with pytest.raises(PermanentError, match=r"no recording .*recordings/store/dev-1\.json"):
        agent.work(assignment(tmp_path))
    with pytest.raises(PermanentError, match=r"store/fix-2\.json"):
        agent.work(assignment(tmp_path, kind="fix", fix_round=2))


@pytest.mark.parametrize(
    ("code", "kind"), [(75, TransientError), (1, TransientError), (65, PermanentError)]
)
def test_a_recorded_failure_fails_the_same_way(tmp_path: Path, code, kind):
    """The exit code means what a command's means; half-done work is written as it was."""
    agent = tape(tmp_path, "dev-1", write={"half.py": "x"}, exit=code, summary="overloaded")
    with pytest.raises(kind, match=f"{code}.*overloaded"):
        agent.work(assignment(tmp_path))
    assert (tmp_path / "worktree/half.py").exists()


def test_a_review_answers_its_verdict(tmp_path: Path):
    """A recorded review gives its verdict and findings."""
    agent = tape(tmp_path, "review-1", verdict="fail", findings=["no tests"])
    answer = agent.work(assignment(tmp_path, kind="review"))
    assert (answer.verdict, answer.findings) == ("fail", ("no tests",))


def test_recorded_seconds_pass(tmp_path: Path):
    """A replay takes as long as the recording says, and never longer than the timeout."""
    slept: list[float] = []
    agent = RecordedAgent(tape(tmp_path, "dev-1", seconds=3, write={"a": "x"}).folder, slept.append)
    agent.work(assignment(tmp_path, timeout=3.0))
    with pytest.raises(TransientError, match=r"did not end within 2\.5 s"):
        agent.work(assignment(tmp_path, timeout=2.5))
    assert slept == [3.0, 2.5]


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "a/",
        "",
        ".",
        "./a",
        "a\0b",
        ".git",
        ".git/hooks/x",
        "sub/.GIT/config",
        "link/x",
        "link",
    ],
)
def test_paths_that_leave_the_worktree_are_refused(tmp_path: Path, path):
    """Nothing is written outside the worktree or into git's own files, links included."""
    agent = tape(tmp_path, "dev-1", write={"fine.txt": "x", path: "x"})
    job = assignment(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (job.worktree / "link").symlink_to(outside)
    with pytest.raises(PermanentError, match="recorded path"):
        agent.work(job)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_deleting_outside_the_worktree_is_refused(tmp_path: Path):
    """Deletions are held to the same paths as writes; a link itself may be deleted."""
    job = assignment(tmp_path)
    (tmp_path / "keep").write_text("x")
    (job.worktree / "link").symlink_to(tmp_path)
    for path in ("../keep", "link/keep"):
        with pytest.raises(PermanentError, match="recorded path"):
            tape(tmp_path, "dev-1", delete=[path]).work(job)
    tape(tmp_path, "dev-1", delete=["link"]).work(job)
    assert (tmp_path / "keep").exists()
    assert not (job.worktree / "link").is_symlink()


def test_a_missing_worktree_fails_closed(tmp_path: Path):
    """A worktree that is gone is not made anew."""
    job = assignment(tmp_path)
    job.worktree.rmdir()
    with pytest.raises(PermanentError, match="worktree"):
        tape(tmp_path, "dev-1", write={"a": "x"}).work(job)
    assert not job.worktree.exists()


def test_files_and_folders_do_not_take_each_others_place(tmp_path: Path):
    """A recording that does not fit the worktree fails for good instead of being tried again."""
    job = assignment(tmp_path)
    (job.worktree / "folder").mkdir()
    (job.worktree / "file").write_text("x")
    for recording in (
        {"write": {"folder": "x"}},
        {"write": {"file/below": "x"}},
        {"delete": ["folder"]},
    ):
        with pytest.raises(PermanentError, match="recorded path"):
            tape(tmp_path, "dev-1", **recording).work(job)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "file"),
        ("[]", "file"),
        ('{"wirte": {}}', "wirte"),
        ('{"write": {"a": 3}}', "write.a"),
        ('{"write": {"a": {"base64": "*"}}}', "base64"),
        ('{"exit": 256}', "exit"),
        ('{"exit": "0"}', "exit"),
        ('{"seconds": -1}', "seconds"),
        ('{"cost_usd": NaN}', "."),
        ('{"verdict": "maybe"}', "verdict"),
        ('{"executable": ["a"]}', "executable"),
    ],
)
def test_a_wrong_recording_is_refused_by_file_and_key(tmp_path: Path, content, said):
    """A typing error in a recording is found at once, with its file and key."""
    agent = tape(tmp_path, "dev-1")
    (agent.folder / "store/dev-1.json").write_text(content)
    with pytest.raises(PermanentError, match=rf"dev-1\.json.*{said}"):
        agent.work(assignment(tmp_path))


@given(st.text(alphabet=st.sampled_from("ab./\\~ ") | st.characters(codec="utf-8"), max_size=12))
def test_no_text_names_a_place_outside(tmp_path_factory, path):
    """Whatever the path, it is refused or lies below the worktree."""
    worktree = tmp_path_factory.getbasetemp() / "nothing-here"
    try:
        place = inside(worktree, path)
    except PermanentError:
        return
    assert worktree in place.resolve().parents
